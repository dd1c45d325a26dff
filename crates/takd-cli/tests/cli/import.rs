//! A network from elsewhere: taken in, tested, and a teacher.

use crate::common::{folder, json, run, run_folders, takd, text};
use std::fs;
use std::path::{Path, PathBuf};

/// A file with a network, as if it came from elsewhere.
fn elsewhere(dir: &Path) -> PathBuf {
    let out = dir.join("elsewhere");
    run(&mut crate::common::distill(&["plane4"], &out, &["--epochs", "1", "--quiet"]), 0);
    let file = dir.join("teacher.safetensors");
    fs::copy(run_folders(&out)[0].join("model.safetensors"), &file).expect("a copy");
    file
}

fn import(file: &Path, out: &Path, more: &[&str], status: i32) -> std::process::Output {
    let mut command = takd(&["import", "--data", "shapes10", "--out"]);
    run(command.arg(out).arg(file).args(more), status)
}

#[test]
fn network_of_a_file_is_recognised_tested_and_teaches() {
    let dir = folder();
    let (file, out) = (elsewhere(dir.path()), dir.path().join("results"));
    let own = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25"];
    let found = json(&import(&file, &out, &[&["--json"], &own[..]].concat(), 0).stdout);
    assert_eq!(
        (&found["network"], &found["outputs"], &found["test_images"]),
        (&"plane4".into(), &10.into(), &2_000.into())
    );
    let said = text(&import(&file, &out, &own, 0).stdout);
    let accuracy = 100.0 * found["test_accuracy"].as_f64().expect("a share");
    assert!(said.contains("plane4 with 10 outputs (safetensors file, f32)"), "{said}");
    assert!(said.contains(&format!("test accuracy {accuracy:.2} %")), "{said}");

    let path = file.to_str().expect("a name");
    let mut distill = crate::common::distill(&[path, "plane2"], &out, &["--epochs", "1", "--seeds", "1,2", "--json"]);
    let output = run(distill.args(own), 0);
    let report = json(&output.stdout);
    let paths = report["cells"][0]["paths"].as_array().expect("paths");
    let alone = paths.iter().find(|path| path["path"] == "plane4").expect("the teacher's row");
    let runs = alone["runs"].as_array().expect("runs");
    assert!(runs.iter().all(|run| run["run"] == found["run"]), "{alone}");
    assert!(report.to_string().contains("It was trained elsewhere and is the same for all seeds;"), "{report}");
    // Nothing of it is trained again.
    assert!(!text(&output.stderr).contains("plane4 comes from"), "{}", text(&output.stderr));

    let listed = json(&run(&mut crate::common::runs(&["ls", "--json"], &out), 0).stdout);
    assert_eq!(listed.as_array().expect("a list").len(), 3);
    run(&mut crate::common::runs(&["verify"], &out), 0);
}

#[test]
fn recipe_names_files_and_wrong_ones_are_refused_with_their_line() {
    let dir = folder();
    let (file, out) = (elsewhere(dir.path()), dir.path().join("results"));
    let recipe = |import: &str| {
        let text = format!(
            "title = \"by one from elsewhere\"\n\n[defaults]\nseeds = [1]\nepochs = 1\nlimit = 100\n\n[[cell]]\nname = \"c\"\n\
             data = \"shapes10\"\npaths = [\"plane4 -> plane2\"]\nimport = {import}\n"
        );
        let path = dir.path().join("mine.toml");
        fs::write(&path, text).expect("a recipe");
        path
    };
    let run_recipe = |import: &str, status| {
        let mut command = takd(&["run"]);
        run(command.arg(recipe(import)).arg("--out").arg(&out), status)
    };
    let path = file.display();
    let said = run_recipe(&format!("{{ plane4 = \"{path}\" }}"), 0);
    assert!(text(&said.stderr).contains("plane4 comes from"), "{}", text(&said.stderr));
    assert!(text(&said.stdout).contains("trained elsewhere"), "{}", text(&said.stdout));
    for (import, reason) in [
        ("{ plane4 = \"gone.pth\" }", "there is no such file"),
        ("{ plane2 = \"x.pth\" }", "no path of the cell begins with `plane2`"),
        (&format!("{{ plane4 = {{ file = \"{path}\", mean = [0.5, 0.5, 0.5] }} }}"), "belong together"),
        (&format!("{{ plane4 = {{ file = \"{path}\", means = [0.5] }} }}"), "did you mean `mean`?"),
    ] {
        let said = text(&run_recipe(import, 1).stderr);
        assert!(said.contains(reason) && said.contains("mine.toml:12:"), "{said}");
    }
}

#[test]
fn files_that_hold_no_network_are_refused_by_name() {
    let dir = folder();
    let out = dir.path().join("results");
    let file = dir.path().join("notes.pth");
    fs::write(&file, "no network").expect("a file");
    let said = text(&import(&file, &out, &[], 1).stderr);
    assert!(said.contains("notes.pth") && said.contains("neither a safetensors file nor"), "{said}");
    let said = text(&import(&dir.path().join("gone.pth"), &out, &[], 1).stderr);
    assert!(said.contains("gone.pth") && said.contains("there is no such file"), "{said}");
    let said = text(&import(dir.path(), &out, &[], 1).stderr);
    assert!(said.contains("config.json"), "{said}");
    let said = text(&import(&file, &out, &["--mean", "1,2"], 2).stderr);
    assert!(said.contains("three numbers, for red, green and blue"), "{said}");
    let file = elsewhere(dir.path());
    let said = text(&import(&file, &out, &["--order", "1,0"], 1).stderr);
    assert!(said.contains("plane4 with 10 outputs") && said.contains("10 classes"), "{said}");
}

#[test]
fn search_behind_a_network_from_elsewhere_finds_a_winner_and_the_limit_is_the_students() {
    let dir = folder();
    let (file, out) = (elsewhere(dir.path()), dir.path().join("results"));
    let path = file.to_str().expect("a name");
    let search =
        ["--epochs", "1", "--seeds", "7", "--protocol", "code", "--search", "--trials", "2", "--quiet", "--json"];
    let report = json(&run(&mut crate::common::distill(&[path, "plane2"], &out, &search), 0).stdout);
    let cell = &report["cells"][0];
    assert_eq!(cell["train_images"], 100);
    let paths = cell["paths"].as_array().expect("paths");
    let taught = paths.iter().find(|path| path["path"] == "plane4 → plane2").expect("the student's row");
    assert!(taught["runs"].as_array().is_some_and(|runs| !runs.is_empty()), "{taught}");
}

#[test]
fn what_a_file_expects_is_said_of_a_file_alone() {
    let dir = folder();
    let out = dir.path().join("results");
    let refused = text(&run(&mut crate::common::distill(&["plane4", "plane2"], &out, &["--order", "1,0"]), 2).stderr);
    assert!(refused.contains("the path begins with none"), "{refused}");
    let refused = text(&run(&mut crate::common::distill(&["resnt56.pth", "plane2"], &out, &[]), 1).stderr);
    assert!(refused.contains("resnt56.pth") && refused.contains("there is no such file"), "{refused}");
}

#[test]
fn folder_of_a_model_says_itself_what_it_expects_and_teaches() {
    let dir = folder();
    let out = dir.path().join("results");
    run(&mut crate::common::distill(&["plane4"], &out, &["--epochs", "1", "--quiet"]), 0);
    let model = dir.path().join("my-model");
    let id = crate::common::id_of("plane4", &out);
    run(
        takd(&["export", "--quiet", "--no-measuring", "--precision", "f16", &id]).arg(&model).arg("--out").arg(&out),
        0,
    );
    let config = json(&fs::read(model.join("config.json")).expect("a configuration"));
    let found = json(&import(&model, &out, &["--json"], 0).stdout);
    assert_eq!((&found["network"], &found["mean"]), (&config["architecture"], &config["input"]["mean"]));
    let name = model.to_str().expect("a name");
    let report =
        json(&run(&mut crate::common::distill(&[name, "plane2"], &out, &["--epochs", "1", "--json"]), 0).stdout);
    let paths = report["cells"][0]["paths"].as_array().expect("paths");
    let teacher = paths.iter().find(|path| path["path"] == "plane4").expect("the teacher's row");
    assert_eq!(teacher["runs"][0]["run"], found["run"]);
    // Other classes have other names.
    let mut command = takd(&["import", "--data", "shapes100", "--out"]);
    let refused = text(&run(command.arg(&out).arg(&model), 1).stderr);
    assert!(refused.contains("has no output for the class"), "{refused}");
}

#[test]
fn report_of_a_recipe_does_not_need_the_file_of_a_network_that_was_taken_in() {
    let dir = folder();
    let (file, out) = (elsewhere(dir.path()), dir.path().join("results"));
    let recipe = dir.path().join("mine.toml");
    let text_of = format!(
        "title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [\"plane4 -> plane2\"]\nepochs = 1\nlimit = 100\n\
         import = {{ plane4 = {{ file = {:?}, mean = [0.5, 0.5, 0.5], std = [0.25, 0.25, 0.25] }} }}\n",
        file.to_str().expect("a name")
    );
    fs::write(&recipe, text_of).expect("a recipe");
    let command = |name: &str| {
        let mut command = takd(&[name]);
        command.arg(&recipe).args(["--json", "--out"]).arg(&out);
        command
    };
    let trained = json(&run(command("run").arg("--quiet"), 0).stdout);
    fs::remove_file(&file).expect("the file goes");
    let reported = json(&run(&mut command("report"), 0).stdout);
    assert_eq!(crate::common::ids(&reported), crate::common::ids(&trained));
    // What trains has it again.
    let refused = text(&run(&mut command("run"), 1).stderr);
    assert!(refused.contains("mine.toml:8:") && refused.contains("there is no such file"), "{refused}");
    // Nobody knows what it held.
    fs::remove_dir_all(out.join("imports")).expect("the records go");
    let refused = text(&run(&mut command("report"), 1).stderr);
    assert!(refused.contains("mine.toml:8:") && refused.contains("there is no such file"), "{refused}");
}

//! `--config`, `--print-config` and `takd train`.

use crate::common::{folder, ids, json, run, run_folders, takd, text};
use std::fs;
use std::path::Path;

/// The ids of the runs that a command would train, in the plan's order.
fn planned(command: &[&str], out: &Path) -> Vec<String> {
    let output = run(takd(command).args(["--dry-run", "--json", "--out"]).arg(out), 0);
    let runs = json(&output.stdout)["runs"].take();
    runs.as_array().expect("runs").iter().map(|run| run["id"].as_str().expect("an id").to_owned()).collect()
}

/// The settings that a command prints.
fn printed(command: &[&str], out: &Path) -> String {
    text(&run(takd(command).args(["--print-config", "--out"]).arg(out), 0).stdout)
}

#[test]
fn printed_settings_plan_the_same_runs_with_no_other_flags() {
    let out = folder();
    let cases: [(&[&str], &[&str]); 7] = [
        (&["distill", "plane4", "plane2", "--data", "shapes10"], &[]),
        (
            &["distill", "plane4->plane4->plane2", "--data", "shapes10"],
            &["--lambda", "0.3,0.7", "--temperature", "4", "--protocol", "code", "--seeds", "1,2"],
        ),
        (
            &["distill", "resnet8+plane2", "plane2", "--data", "shapes10"],
            &[
                "--epochs",
                "plane2=5,7",
                "--protocol",
                "paper",
                "--replays",
                "3",
                "--limit",
                "100",
                "--augmentation",
                "cutout 8",
            ],
        ),
        (
            &["distill", "resnet8", "--data", "shapes10"],
            &["--size", "24of28", "--epochs", "resnet8=3", "--seeds", "1..3"],
        ),
        (
            &["distill", "plane4", "plane2", "--data", "shapes10", "--trials", "2"],
            &["--epochs", "2", "--protocol", "paper", "--seeds", "41"],
        ),
        (&["train", "plane2", "resnet8", "--data", "shapes10"], &["--protocol", "paper", "--limit", "50"]),
        (
            &["run", "table1", "--preset", "quick", "--cells", "resnet/cifar10,plain/cifar10"],
            &["--lambda", "0.4", "--epochs", "2"],
        ),
    ];
    let file = out.path().join("settings.toml");
    for (command, flags) in cases {
        let asked = [command, flags].concat();
        let settings = printed(&asked, out.path());
        fs::write(&file, &settings).expect("a file");
        let with_file = [command, &["--config", file.to_str().expect("a name")]].concat();
        assert_eq!(planned(&with_file, out.path()), planned(&asked, out.path()), "{asked:?}\n{settings}");
        // What is in force with the file is what is in the file.
        assert_eq!(printed(&with_file, out.path()), settings, "{asked:?}");
    }
    assert!(!out.path().join("runs").exists() || run_folders(out.path()).is_empty());
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_recipe() {
    let out = folder();
    let file = out.path().join("settings.toml");
    fs::write(&file, "epochs = 4\nlambda = 0.25\n\n[training.resnet]\nbatch_size = 16\n").expect("a file");
    let command =
        ["run", "table1", "--preset", "quick", "--cells", "resnet/cifar10", "--config", file.to_str().expect("a name")];
    let settings = printed(&[&command[..], &["--epochs", "3"]].concat(), out.path());
    for line in ["epochs = 3 ", "lambda = 0.25 ", "batch_size = 16 ", "temperature = 5.0 ", "seeds = [31] "] {
        assert!(settings.contains(&format!("\n{line}")), "{line}: {settings}");
    }
    // `takd report` says by the same flags which runs are meant.
    let mut train = takd(&["train", "plane2", "--data", "shapes10", "--quiet", "--limit", "50", "--json", "--config"]);
    fs::write(&file, "epochs = 1\n").expect("a file");
    let report = json(&run(train.arg(&file).arg("--out").arg(out.path()), 0).stdout);
    assert_eq!(crate::common::show(&ids(&report)[0], out.path())["config"]["training"]["epochs"], 1);
}

#[test]
fn wrong_file_is_an_error_with_its_line_and_cells_that_differ_are_named() {
    let out = folder();
    let file = out.path().join("settings.toml");
    fs::write(&file, "epochs = 4\nlamda = 0.25\n").expect("a file");
    let command = |file: &Path| {
        let mut command = takd(&["distill", "plane4", "plane2", "--data", "shapes10", "--config"]);
        command.arg(file).arg("--out").arg(out.path());
        command
    };
    let message = text(&run(&mut command(&file), 1).stderr);
    assert!(message.contains("settings.toml:2:1: unknown key `lamda`; did you mean `lambda`?"), "{message}");
    let message = text(&run(&mut command(&out.path().join("none.toml")), 1).stderr);
    assert!(message.contains("none.toml; --print-config makes one"), "{message}");
    let message = text(&run(&mut command(out.path()), 1).stderr);
    assert!(message.contains("a file of settings is a file"), "{message}");
    // A list for the steps of another path.
    fs::write(&file, "lambda = [0.1, 0.2]\n").expect("a file");
    let message = text(&run(&mut command(&file), 2).stderr);
    assert!(message.contains("λ has 2 values, and the path plane4 → plane2 has 1 step"), "{message}");

    let recipe = out.path().join("two.toml");
    let cell = |name: &str, lambda: f64| {
        format!("[[cell]]\nname = \"{name}\"\ndata = \"shapes10\"\npaths = [\"plane4 -> plane2\"]\nlambda = {lambda}\n")
    };
    fs::write(&recipe, format!("title = \"two\"\n{}{}", cell("a", 0.5), cell("b", 0.6))).expect("a file");
    let name = recipe.to_str().expect("a name");
    let message = text(&run(takd(&["run", name, "--print-config", "--out"]).arg(out.path()), 1).stderr);
    assert!(message.contains("the cells `a` and `b` differ in `lambda`"), "{message}");
    assert!(message.contains("name one cell with --cells"), "{message}");
    assert!(printed(&["run", name, "--cells", "b"], out.path()).contains("\nlambda = 0.6 "));
}

#[test]
fn networks_are_trained_each_alone_and_begin_paths() {
    let out = folder();
    let flags = ["--data", "shapes10", "--limit", "100", "--epochs", "1", "--json", "--out"];
    let mut train = takd(&["train", "plane4", "plane2", "plane4"]);
    let report = json(&run(train.args(flags).arg(out.path()), 0).stdout);
    let paths = report["cells"][0]["paths"].as_array().expect("paths");
    let names: Vec<_> = paths.iter().map(|path| path["path"].as_str().expect("a path")).collect();
    assert_eq!(names, ["plane4", "plane2"]);
    assert_eq!(run_folders(out.path()).len(), 2);
    let distilled = run(takd(&["distill", "plane4", "plane2"]).args(flags).arg(out.path()), 0);
    assert!(text(&distilled.stderr).contains("already trained"), "{}", text(&distilled.stderr));
    assert_eq!(ids(&json(&distilled.stdout))[0], ids(&report)[0]);

    for path in [&["resnet20->resnet8"][..], &["resnet20", "->", "resnet8"], &["resnet20-"], &["plane4+plane2"]] {
        let message = text(&run(takd(&["train"]).args(path).args(flags).arg(out.path()), 2).stderr);
        assert!(message.contains("`takd distill` has one teach the other"), "{message}");
    }
    let message = text(&run(takd(&["train", "plane3"]).args(flags).arg(out.path()), 2).stderr);
    assert!(message.contains("unknown network `plane3`; did you mean"), "{message}");
}

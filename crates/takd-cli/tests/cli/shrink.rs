//! From a folder of images and a budget of time to a student that can be used.

use crate::common::{folder, json, run, runs, takd, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// `takd shrink` for plane2 on a hundred images, an epoch each.
fn shrink(out: &Path, more: &[&str], status: i32) -> Output {
    let mut command = takd(&["shrink", "--data", "shapes10", "--student", "plane2", "--limit", "100", "--epochs", "1"]);
    run(command.arg("--out").arg(out).args(more), status)
}

/// The recipes that were kept.
fn recipes(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out.join("recipes")).expect("recipes");
    entries.map(|entry| entry.expect("a recipe").path()).collect()
}

#[test]
fn student_is_chosen_by_held_out_images_and_exported_and_nothing_is_trained_twice() {
    let dir = folder();
    let out = dir.path().join("results");
    let teacher = ["--teacher", "plane6", "--budget", "1h"];
    let shrunk = json(&shrink(&out, &[&teacher[..], &["--json"]].concat(), 0).stdout);
    let students = shrunk["students"].as_array().expect("students");
    let mut paths: Vec<&str> = students.iter().map(|student| student["path"].as_str().expect("a path")).collect();
    assert_eq!(shrunk["path"], paths[0]);
    let held_out: Vec<f64> = students.iter().map(|of| of["held_out_accuracy"].as_f64().expect("a share")).collect();
    assert!(held_out.is_sorted_by(|a, b| a >= b), "{held_out:?}");
    paths.sort_unstable();
    assert_eq!(paths, ["plane2", "plane6 → plane2", "plane6 → plane4 → plane2"]);
    assert_eq!(shrunk["teacher"]["path"], "plane6");
    assert!(shrunk["teacher"]["flop"].as_u64() > students[0]["flop"].as_u64());
    assert!(students[0]["latency_s"].as_f64().expect("seconds") > 0.0);

    let model = PathBuf::from(shrunk["folder"].as_str().expect("a folder"));
    let name = model.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(model.parent() == Some(&out.join("models")) && name.starts_with("plane2-shapes10-"), "{name}");
    let config = json(&fs::read(model.join("config.json")).expect("a configuration"));
    assert_eq!(config["accuracy"]["top1"], shrunk["test_accuracy"]);
    assert_eq!(config["training"]["run"], shrunk["run"]);
    let image = dir.path().join("grey.png");
    image::RgbImage::from_pixel(40, 40, image::Rgb([90; 3])).save(&image).expect("an image");
    let mut predict = takd(&["predict", "--json", "--model"]);
    assert_eq!(json(&run(predict.arg(&model).arg(&image), 0).stdout).as_array().map(Vec::len), Some(1));

    // The same again goes by the same recipe, whatever a measurement would say now; so does `takd run`.
    let [recipe] = &recipes(&out)[..] else { panic!("one recipe") };
    let written = fs::read_to_string(recipe).expect("a recipe");
    let listed = run(&mut runs(&["ls", "--json"], &out), 0).stdout;
    let again = shrink(&out, &teacher, 0);
    assert!(text(&again.stderr).contains("which was made before"), "{}", text(&again.stderr));
    let best = format!("Best of 3 on 10 held-out images: {}, ", shrunk["path"].as_str().expect("a path"));
    assert!(text(&again.stdout).contains(&best), "{}", text(&again.stdout));
    run(takd(&["run"]).arg(recipe).args(["--quiet", "--out"]).arg(&out), 0);
    assert_eq!(text(&run(&mut runs(&["ls", "--json"], &out), 0).stdout), text(&listed));
    assert_eq!(fs::read_to_string(recipe).expect("a recipe"), written);
}

#[test]
fn folder_has_the_form_that_is_asked_for_and_it_is_said_what_its_weights_cost() {
    let dir = folder();
    let (out, to) = (dir.path().join("results"), dir.path().join("student"));
    let form = ["--precision", "int8", "--onnx", "none", "--no-python", "--licence", "cc0-1.0", "--note", "Drawn."];
    let more = [&["--teacher", "plane4", "--to", to.to_str().expect("a path")], &form[..]].concat();
    let said = text(&shrink(&out, &more, 0).stdout);
    let config = json(&fs::read(to.join("config.json")).expect("a configuration"));
    assert_eq!((&config["weights"], &config["licence"]), (&"int8".into(), &"cc0-1.0".into()));
    assert_eq!(config["data"]["notes"].as_array().and_then(|notes| notes.last()), Some(&"Drawn.".into()));
    let int8 = config["precisions"].as_array().expect("costs").iter().find(|cost| cost["precision"] == "int8");
    let accuracy = 100.0 * int8.expect("int8")["top1"].as_f64().expect("a share");
    assert!(said.contains("with its weights in int8, ") && said.contains(&format!(", {accuracy:.2} %\n")), "{said}");
    assert!(!said.contains("python") && !said.contains("ONNX") && said.contains("takd predict"), "{said}");
    assert!(!to.join("model.onnx").exists() && !to.join("example.py").exists());

    let shrunk = json(&shrink(&out, &[&more[..], &["--json"]].concat(), 0).stdout);
    assert_eq!(&shrunk["weights"], int8.expect("int8"));
    assert_eq!(shrunk["files"].as_array().map(Vec::len), Some(3));
}

#[test]
fn recipe_is_printed_and_kept_and_nothing_is_trained() {
    let dir = folder();
    let out = dir.path().join("results");
    let printed = text(&shrink(&out, &["--teacher", "plane4", "--print-recipe"], 0).stdout);
    assert!(printed.contains("\"plane4 -> plane2\"") && printed.contains("within 2h"), "{printed}");
    assert!(!out.join("runs").exists() || crate::common::run_folders(&out).is_empty());
    let mine = dir.path().join("mine.toml");
    fs::write(&mine, &printed).expect("a file");
    let planned = json(&run(takd(&["run", "--dry-run", "--json"]).arg(&mine).arg("--out").arg(&out), 0).stdout);
    assert_eq!(planned["runs"].as_array().map(Vec::len), Some(3), "{planned}");
    // An edited recipe is what the command goes by.
    let [kept] = &recipes(&out)[..] else { panic!("one recipe") };
    fs::write(kept, printed.replace("\"plane4 -> plane2\"", "\"plane4 -> plain2\"")).expect("a file");
    let refused = text(&shrink(&out, &["--teacher", "plane4"], 1).stderr);
    assert!(refused.contains("unknown network `plain2`"), "{refused}");
    fs::write(kept, printed.replace("hold_out = \"tenth\"", "hold_out = \"nothing\"")).expect("a file");
    let refused = text(&shrink(&out, &["--teacher", "plane4"], 1).stderr);
    assert!(
        refused.contains("delete it to have it made anew") && refused.contains("no images are held out"),
        "{refused}"
    );
    assert!(!out.join("runs").exists() || crate::common::run_folders(&out).is_empty());
}

#[test]
fn teacher_from_elsewhere_stands_in_the_recipe_with_what_it_expects() {
    let dir = folder();
    let (out, model) = (dir.path().join("results"), dir.path().join("teacher"));
    run(&mut crate::common::distill(&["plane6"], &out, &["--epochs", "1", "--quiet"]), 0);
    let listed = json(&run(&mut runs(&["ls", "--json"], &out), 0).stdout);
    let id = listed[0]["id"].as_str().expect("an id").to_owned();
    run(takd(&["export", "--no-measuring", "--quiet", &id]).arg(&model).arg("--out").arg(&out), 0);

    let out = dir.path().join("others");
    let to = dir.path().join("student");
    let more = ["--teacher", model.to_str().unwrap(), "--to", to.to_str().unwrap(), "--json"];
    let shrunk = json(&shrink(&out, &more, 0).stdout);
    assert_eq!(shrunk["teacher"]["path"], "plane6");
    assert_eq!(shrunk["students"].as_array().map(Vec::len), Some(3));
    assert_eq!(shrunk["folder"].as_str().map(Path::new), Some(to.as_path()));
    let [recipe] = &recipes(&out)[..] else { panic!("one recipe") };
    let recipe = fs::read_to_string(recipe).expect("a recipe");
    assert!(recipe.contains("[cell.import]\nplane6 = { file = ") && recipe.contains("mean = ["), "{recipe}");
    // A file that says nothing of pixels is not taken in without a word.
    let weights = model.join("model.safetensors");
    let more = ["--teacher", weights.to_str().unwrap(), "--print-recipe"];
    let said = text(&shrink(&dir.path().join("third"), &more, 0).stderr);
    assert!(said.contains("pixels were scaled by the mean") && said.contains("say so with --mean and --std"), "{said}");
}

#[test]
fn model_of_another_training_is_replaced_only_if_that_is_asked_for() {
    let dir = folder();
    let (out, to) = (dir.path().join("results"), dir.path().join("student"));
    let to_text = to.to_str().expect("a path");
    let path = |seed: &str, more: &[&str], status| {
        shrink(&out, &[&["--teacher", "plane4", "--to", to_text, "--seeds", seed], more].concat(), status)
    };
    let run_of = || json(&fs::read(to.join("config.json")).expect("a configuration"))["training"]["run"].clone();
    path("1", &[], 0);
    let first = run_of();
    // The same again is the same folder; another is refused before anything is trained.
    path("1", &[], 0);
    let trained = crate::common::run_folders(&out).len();
    let refused = text(&path("2", &[], 1).stderr);
    assert!(refused.contains("name another folder with --to"), "{refused}");
    assert_eq!((run_of(), crate::common::run_folders(&out).len()), (first.clone(), trained));
    fs::write(to.join("notes.txt"), "mine").expect("a file");
    let refused = text(&path("1", &["--replace"], 1).stderr);
    assert!(refused.contains("notes.txt"), "{refused}");
    fs::remove_file(to.join("notes.txt")).expect("it is there");
    path("2", &["--replace"], 0);
    assert_ne!(run_of(), first);
    // Nor is the teacher's own folder taken.
    let refused = shrink(&out, &["--teacher", to_text, "--to", to_text, "--replace"], 1).stderr;
    assert!(text(&refused).contains("is the teacher's folder"), "{}", text(&refused));
}

#[test]
fn of_several_that_plan_the_same_all_go_by_one_recipe() {
    let dir = folder();
    let out = dir.path().join("results");
    let start = || {
        let mut command = std::process::Command::new(crate::common::program());
        command.args(["shrink", "--data", "shapes10", "--student", "plane2", "--teacher", "plane4", "--limit", "100"]);
        command.args(["--epochs", "1", "--print-recipe", "--out"]).arg(&out);
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("it starts")
    };
    let started: Vec<_> = (0..3).map(|_| start()).collect();
    let printed: Vec<String> =
        started.into_iter().map(|child| text(&child.wait_with_output().expect("it ends").stdout)).collect();
    let [kept] = &recipes(&out)[..] else { panic!("one recipe") };
    let kept = fs::read_to_string(kept).expect("a recipe");
    assert!(printed.iter().all(|recipe| *recipe == kept), "{printed:?}");
}

#[test]
fn what_cannot_be_is_refused_before_anything_is_trained() {
    let dir = folder();
    let out = dir.path().join("results");
    let mine = dir.path().join("mine");
    fs::create_dir(&mine).expect("a folder");
    fs::write(mine.join("thesis.txt"), "all of it").expect("a file");
    let mine = mine.to_str().unwrap();
    let cases: &[(&[&str], i32, &str)] = &[
        (&["--to", mine], 1, "name another folder with --to"),
        (&["--teacher", ""], 2, "--teacher names no network"),
        (&["--size", "64"], 2, "plane2 takes no images of 64x64"),
        (&["--budget", "2"], 2, "with its unit, as in 90m, 2h or 1day"),
        (&["--budget", "1s", "--teacher", "plane10", "--epochs", "100000"], 2, "1s is too short"),
        (&["--teacher", "plane11"], 2, "did you mean `plane10`?"),
        (&["--teacher", "plane2"], 2, "takes no more multiplications than the student"),
        (&["--protocol", "code"], 2, "no images are held out of the training of plane2"),
        (&["--mean", "0,0,0", "--std", "1,1,1"], 2, "--teacher names none"),
        (&["--licence", "CC BY 4.0"], 2, "licence `CC BY 4.0` is no identifier"),
        (&["--format", "csv"], 2, "is printed as text or json"),
    ];
    for (more, status, expected) in cases {
        let mut command = takd(&["shrink", "--data", "shapes10", "--student", "plane2", "--limit", "100", "--out"]);
        let output = run(command.arg(&out).args(*more), *status);
        assert!(text(&output.stderr).contains(expected), "{more:?}: {}", text(&output.stderr));
    }
    assert_eq!(fs::read_to_string(Path::new(mine).join("thesis.txt")).expect("the file"), "all of it");
    assert!(!out.join("runs").exists() || crate::common::run_folders(&out).is_empty());
}

#[test]
fn recipe_names_the_images_where_they_are_from_whatever_folder_it_is_used() {
    let dir = folder();
    for class in ["red", "blue"] {
        fs::create_dir_all(dir.path().join("ph").join(class)).expect("a folder");
        for index in 0..20_u8 {
            let colour = if class == "red" { [200, index, 0] } else { [0, index, 200] };
            let image = image::RgbImage::from_pixel(32, 32, image::Rgb(colour));
            image.save(dir.path().join("ph").join(class).join(format!("{index}.png"))).expect("an image");
        }
    }
    let print = |data: &str, from: &Path| {
        let mut command =
            takd(&["shrink", "--student", "plane2", "--teacher", "plane4", "--print-recipe", "--epochs", "1"]);
        command.args(["--data", data, "--out"]).arg(dir.path().join("results")).current_dir(from);
        text(&run(&mut command, 0).stdout)
    };
    let line = |place: &Path| format!("data = {:?}", place.canonicalize().expect("it is there"));
    let first = print("ph", dir.path());
    assert!(first.contains(&line(&dir.path().join("ph"))), "{first}");
    assert_eq!(print("../ph", &dir.path().join("results")), first);
    // The same images elsewhere are not looked for where they were.
    fs::create_dir(dir.path().join("moved")).expect("a folder");
    fs::rename(dir.path().join("ph"), dir.path().join("moved").join("ph")).expect("a move");
    let moved = print("moved/ph", dir.path());
    assert!(moved.contains(&line(&dir.path().join("moved").join("ph"))), "{moved}");
}

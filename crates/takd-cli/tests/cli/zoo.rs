//! From a run to a folder to give away, and what is done with it.

use crate::common::{folder, json, run, runs, takd, text};
use image::RgbImage;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

/// A trained network, exported; its run's id.
fn exported(dir: &Path, more: &[&str]) -> (PathBuf, PathBuf, String) {
    let (out, model) = (dir.join("results"), dir.join("my-model"));
    run(&mut crate::common::distill(&["plane4", "plane2"], &out, &["--epochs", "1", "--quiet"]), 0);
    let listed = json(&run(&mut runs(&["ls", "--json"], &out), 0).stdout);
    let student = listed.as_array().expect("runs").iter().find(|run| run["network"] == "plane2").expect("the student");
    let id = student["id"].as_str().expect("an id").to_owned();
    export(&id, &model, &out, more, 0);
    (model, out, id)
}

fn export(id: &str, model: &Path, out: &Path, more: &[&str], status: i32) -> Output {
    let mut command = takd(&["export", "--json", "--quiet", id]);
    run(command.arg(model).arg("--out").arg(out).args(more), status)
}

fn predict(model: &Path, images: &[&Path], more: &[&str], status: i32) -> Output {
    let mut command = takd(&["predict", "--model"]);
    run(command.arg(model).args(images).args(more), status)
}

fn config(model: &Path) -> Value {
    json(&fs::read(model.join("config.json")).expect("a configuration"))
}

#[test]
fn exported_model_tells_all_of_itself_and_is_as_accurate_as_its_run() {
    let dir = folder();
    let (model, out, id) = exported(dir.path(), &[]);
    let files = ["README.md", "config.json", "example.py", "model.onnx", "model.py", "model.safetensors"];
    let mut found: Vec<_> =
        fs::read_dir(&model).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    found.sort();
    assert_eq!(found, files);
    let about = config(&model);
    assert_eq!(about["architecture"], "plane2");
    assert_eq!(about["training"]["path"], "plane4 -> plane2");
    assert_eq!(about["training"]["run"], id);
    let command = about["training"]["command"].as_str().expect("a command");
    assert_eq!(command, "takd distill plane4 plane2 --data shapes10 --limit 100 --epochs 1");
    assert!(!about.to_string().contains(&dir.path().display().to_string()), "{about}");
    let shown = json(&run(&mut runs(&["show", "--json", &id], &out), 0).stdout);
    assert_eq!(about["accuracy"]["top1"], shown["result"]["test"]["accuracy"]);

    let mut evaluate = takd(&["evaluate", "--json", "--quiet", "--model"]);
    let evaluated = json(&run(evaluate.arg(&model).arg("--out").arg(&out), 0).stdout);
    assert_eq!(evaluated["accuracy"], about["accuracy"]["top1"]);
    assert_eq!(evaluated["top5_accuracy"], about["accuracy"]["top5"]);
    let classes = evaluated["classes"].as_array().expect("classes");
    let count = |of: &Value| of["images"].as_u64().expect("a number");
    assert_eq!((classes.len(), classes.iter().map(count).sum::<u64>()), (10, 2000));
    for class in classes {
        let taken_for: Vec<u64> = class["taken_for"].as_array().expect("classes").iter().map(count).collect();
        let right = count(class) - taken_for.iter().sum::<u64>();
        assert_eq!(class["accuracy"].as_f64(), Some(right as f64 / count(class) as f64), "{class}");
        assert!(taken_for.is_sorted_by(|a, b| a >= b), "{class}");
    }
    let sheet = dir.path().join("mistakes.png");
    let mut evaluate = takd(&["evaluate", "--quiet", "--mistakes"]);
    let said = text(&run(evaluate.arg(&sheet).arg("--model").arg(&model).arg("--out").arg(&out), 0).stdout);
    let first = &classes[0];
    let (name, most) = (first["name"].as_str().expect("a name"), &first["taken_for"][0]);
    let line = format!("%  {name} ({}; taken for: {} ", count(first), count(most));
    assert!(said.contains(&(line + most["name"].as_str().expect("a name"))) && said.contains(", 95 %)"), "{said}");
    assert!(image::open(&sheet).expect("a picture").height() > 64);
    let logits = dir.path().join("logits.safetensors");
    let mut write = takd(&["logits", "--quiet", "--data", "shapes10", "--split", "test", "--model"]);
    run(write.arg(&model).arg(&logits).arg("--out").arg(&out), 0);
    let bytes = fs::read(&logits).expect("the file");
    let file = safetensors::SafeTensors::deserialize(&bytes).expect("a safetensors file");
    assert_eq!((file.len(), file.tensor("test").expect("logits").shape()), (1, &[2000, 10][..]));
    let mut other = takd(&["evaluate", "--data", "shapes100", "--model"]);
    let refused = text(&run(other.arg(&model).arg("--out").arg(&out), 1).stderr);
    assert!(refused.contains("shapes100 has other classes than the model"), "{refused}");
}

#[test]
fn precision_is_chosen_and_its_cost_measured_and_nothing_is_overwritten_unasked() {
    let dir = folder();
    let (model, out, id) = exported(dir.path(), &["--precision", "int8", "--onnx", "none", "--no-python"]);
    let about = config(&model);
    assert_eq!(about["weights"], "int8");
    let costs = about["precisions"].as_array().expect("costs");
    assert_eq!(costs.len(), 3);
    assert!(costs.iter().all(|cost| cost["top1"].is_f64()), "{about}");
    assert_eq!(about["accuracy"]["top1"], costs[2]["top1"]);
    assert!(fs::metadata(model.join("model.safetensors")).expect("weights").len() < 20_000);
    assert!(!model.join("model.onnx").exists() && !model.join("model.py").exists());

    let refused = text(&export(&id, &model, &out, &[], 1).stderr);
    assert!(refused.contains("my-model"), "{refused}");
    assert_eq!(config(&model)["weights"], "int8");
    export(&id, &model, &out, &["--replace", "--no-measuring"], 0);
    assert_eq!(config(&model)["weights"], "f32");
    let foreign = dir.path().join("mine");
    fs::create_dir(&foreign).expect("a folder");
    fs::write(foreign.join("letter.txt"), "dear").expect("a file");
    export(&id, &foreign, &out, &["--replace"], 1);
    assert_eq!(fs::read(foreign.join("letter.txt")).expect("the letter"), b"dear");
    let refused = text(&export(&id, &model, &out, &["--precision", "int4"], 2).stderr);
    assert!(refused.contains("f32, f16 and int8 are known"), "{refused}");
    let refused = text(&export("ffff", &model, &out, &[], 1).stderr);
    assert!(refused.contains("ffff"), "{refused}");
}

#[test]
fn images_and_folders_are_answered_and_what_is_no_image_is_named() {
    let dir = folder();
    let (model, _, _) = exported(dir.path(), &["--no-measuring"]);
    let photos = dir.path().join("photos");
    fs::create_dir_all(photos.join("more")).expect("a folder");
    for (name, grey) in [("b.png", 30), ("a.png", 200), ("more/c.png", 90)] {
        let image = RgbImage::from_fn(50, 40, |x, y| image::Rgb([grey, (x * 4) as u8, (y * 5) as u8]));
        image.save(photos.join(name)).expect("an image");
    }
    fs::write(photos.join("notes.txt"), "no image").expect("a file");
    let answers = json(&predict(&model, &[&photos], &["--json", "--top", "10"], 0).stdout);
    let answers = answers.as_array().expect("answers");
    let names: Vec<_> = answers.iter().map(|answer| answer["file"].as_str().expect("a name")).collect();
    assert!(names[0].ends_with("a.png") && names[1].ends_with("b.png") && names[2].ends_with("c.png"), "{names:?}");
    for answer in answers {
        let classes = answer["classes"].as_array().expect("classes");
        let probabilities: Vec<f64> =
            classes.iter().map(|class| class["probability"].as_f64().expect("a share")).collect();
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-9 && probabilities.is_sorted_by(|a, b| a >= b));
    }
    let csv = text(&predict(&model, &[&photos], &["--format", "csv", "--top", "2"], 0).stdout);
    assert_eq!(csv.lines().next(), Some("file,rank,class,name,probability"));
    assert_eq!(csv.lines().count(), 7);

    let damaged = dir.path().join("damaged.png");
    fs::write(&damaged, b"\x89PNG\r\n\x1a\n").expect("a file");
    let said = predict(&model, &[&damaged, &photos.join("a.png")], &[], 1);
    assert!(text(&said.stdout).contains("a.png: "), "{}", text(&said.stdout));
    let errors = text(&said.stderr);
    assert!(errors.contains("damaged.png") && errors.contains("1 of 2 files"), "{errors}");
    let said = text(&predict(Path::new("plane3-cifar10"), &[&damaged], &[], 1).stderr);
    assert!(said.contains("there is no model plane3-cifar10 here") && said.contains("takd export"), "{said}");
    let said = text(&predict(&photos, &[&damaged], &[], 1).stderr);
    assert!(said.contains("is no model: it has no config.json"), "{said}");
}

/// The models that come with the sources.
fn models() -> Vec<PathBuf> {
    let zoo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models");
    let entries = fs::read_dir(zoo).expect("the zoo").map(|entry| entry.expect("a model").path());
    let models: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    assert!(!models.is_empty());
    models
}

#[test]
fn models_that_come_with_the_sources_answer() {
    let dir = folder();
    let image = dir.path().join("image.png");
    RgbImage::from_fn(70, 50, |x, y| image::Rgb([x as u8, y as u8, 99])).save(&image).expect("an image");
    for model in models() {
        let answers = json(&predict(&model, &[&image], &["--json"], 0).stdout);
        assert_eq!(answers[0]["classes"].as_array().expect("classes").len(), 3, "{}", model.display());
        // They say how they can be made again.
        assert!(config(&model)["training"]["command"].as_str().expect("a command").starts_with("takd distill "));
    }
    // By its name, from where the sources are.
    let mut command = takd(&["predict", "--model", "plane2-cifar10-takd", "--top", "1"]);
    run(command.arg(&image).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")), 0);
}

#[test]
fn numbers_on_the_cards_of_the_zoo_are_those_measured_on_its_data() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !data.join("cifar10").is_dir() {
        return println!("skipped: no real images at ../shared/data/cifar10 beside the workspace");
    }
    let dir = folder();
    for folder in models() {
        let model = takd_zoo::Model::open(&folder).expect("a model");
        let config = model.config();
        let accuracy = config.accuracy.clone().expect("an accuracy");
        // What was rounded cannot be rounded as if it had not been.
        let is_whole = config.weights == takd_zoo::WeightPrecision::F32;
        let costs = config.precisions.iter().filter(|cost| is_whole || cost.precision == config.weights);
        for cost in costs {
            let stored = dir.path().join(format!("{}-{}", config.architecture, cost.precision));
            let exported = model.stored_as(cost.precision).expect("rounded");
            exported.write(&stored, takd_zoo::Extras::default(), takd_zoo::Existing::Replace).expect("a folder");
            let mut evaluate = takd(&["evaluate", "--json", "--quiet", "--offline", "--model"]);
            evaluate.arg(&stored).arg("--data-dir").arg(&data).arg("--out").arg(dir.path().join("results"));
            let found = json(&run(&mut evaluate, 0).stdout);
            assert_eq!(found["images"], accuracy.images);
            let measured = found["accuracy"].as_f64().expect("a share");
            // Another kind of processor rounds otherwise, which may decide of an image or two in ten thousand.
            let is_said = |said: Option<f64>| said.is_some_and(|said| (said - measured).abs() < 4e-4);
            assert!(is_said(cost.top1), "{} in {}: {measured}, not {cost:?}", folder.display(), cost.precision);
            assert!(cost.precision != config.weights || is_said(Some(accuracy.top1)), "{}", folder.display());
            let bytes = fs::metadata(stored.join("model.safetensors")).expect("weights").len();
            assert_eq!(bytes, cost.bytes as u64);
        }
    }
}

#[test]
fn files_of_the_zoo_are_those_that_are_written_today() {
    for folder in models() {
        let model = takd_zoo::Model::open(&folder).expect("a model");
        let onnx = folder.join("model.onnx").exists().then_some(takd_zoo::OnnxInput::Pixels);
        let python = folder.join("model.py").exists();
        for (name, bytes) in model.files(takd_zoo::Extras { onnx, python }).expect("files") {
            assert!(fs::read(folder.join(name)).expect("a file") == bytes, "{} in {}", name, folder.display());
        }
    }
}

#[test]
fn few_classes_have_no_top_5() {
    let dir = folder();
    let (photos, out, model) = (dir.path().join("photos"), dir.path().join("results"), dir.path().join("model"));
    for (class, grey) in [("dark", 40), ("light", 200)] {
        fs::create_dir_all(photos.join(class)).expect("a folder");
        for number in 0..12 {
            let image = RgbImage::from_pixel(32, 32, image::Rgb([grey, grey + number, grey]));
            image.save(photos.join(class).join(format!("{number}.png"))).expect("an image");
        }
    }
    let data = photos.to_str().expect("a name");
    let mut train = takd(&["train", "plane2", "--epochs", "1", "--quiet", "--data", data, "--out"]);
    run(train.arg(&out), 0);
    export(&crate::common::id_of("plane2", &out), &model, &out, &["--data", data], 0);
    let evaluate = |more: &[&str]| {
        let mut command = takd(&["evaluate", "--quiet", "--data", data, "--model"]);
        run(command.arg(&model).arg("--out").arg(&out).args(more), 0).stdout
    };
    let evaluated = json(&evaluate(&["--json"]));
    assert!(evaluated["accuracy"].is_number() && evaluated["top5_accuracy"].is_null(), "{evaluated}");
    let printed = text(&evaluate(&[]));
    assert!(printed.contains("test accuracy") && !printed.contains("top-5"), "{printed}");
}

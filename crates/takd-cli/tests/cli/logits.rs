//! A teacher that is known by a file of its logits alone.

use crate::common::{folder, json, run, runs, takd, text};
use safetensors::{SafeTensors, tensor::TensorView};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

/// What an exported network says of every image, written by `takd logits`; and the folder of the model.
fn written(dir: &Path) -> (PathBuf, PathBuf) {
    let out = dir.join("elsewhere");
    run(&mut crate::common::distill(&["plane4"], &out, &["--epochs", "1", "--quiet"]), 0);
    let (id, model, file) =
        (crate::common::id_of("plane4", &out), dir.join("my-model"), dir.join("logits.safetensors"));
    let mut export = takd(&["export", "--quiet", "--no-measuring", "--onnx", "none", "--no-python", &id]);
    run(export.arg(&model).arg("--out").arg(&out), 0);
    let mut write = takd(&["logits", "--quiet", "--data", "shapes10", "--model"]);
    run(write.arg(&model).arg(&file).arg("--out").arg(&out), 0);
    (file, model)
}

fn import(file: &Path, out: &Path, more: &[&str], status: i32) -> std::process::Output {
    let mut command = takd(&["import", "--data", "shapes10", "--out"]);
    run(command.arg(out).arg(file).args(more), status)
}

/// A copy of a file as a Python program might write it: other metadata, and tensors by `change`.
fn rewritten(file: &Path, copy: &Path, about: &[(&str, &str)], keep: &[&str], change: impl Fn(&mut Vec<u8>)) {
    let bytes = fs::read(file).expect("the file");
    let tensors = SafeTensors::deserialize(&bytes).expect("a safetensors file");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
    let checksum = metadata.metadata().as_ref().expect("metadata")["checksum"].clone();
    let mut about: HashMap<String, String> =
        about.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    about.entry("checksum".into()).or_insert(checksum);
    let changed: Vec<_> = keep
        .iter()
        .map(|name| {
            let tensor = tensors.tensor(name).expect("a tensor");
            let mut data = tensor.data().to_vec();
            change(&mut data);
            (*name, tensor.dtype(), tensor.shape().to_vec(), data)
        })
        .collect();
    let views = changed.iter().map(|(name, dtype, shape, data)| {
        (*name, TensorView::new(*dtype, shape.clone(), data).expect("a tensor of these bytes"))
    });
    fs::write(copy, safetensors::serialize(views, Some(about)).expect("a file")).expect("a copy");
}

#[test]
fn logits_that_takd_writes_are_imported_teach_and_are_kept_like_any_run() {
    let dir = folder();
    let (file, model) = written(dir.path());
    let out = dir.path().join("results");
    let bytes = fs::read(&file).expect("the file");
    let (_, metadata) = SafeTensors::read_metadata(&bytes).expect("a header");
    let about = metadata.metadata().as_ref().expect("metadata");
    assert_eq!((about["dataset"].as_str(), about["architecture"].as_str()), ("shapes10", "plane4"));
    // The same logits are the same bytes, and so the same run.
    let again = dir.path().join("again.safetensors");
    let mut write = takd(&["logits", "--quiet", "--data", "shapes10", "--model"]);
    run(write.arg(&model).arg(&again).arg("--out").arg(&out), 0);
    assert!(fs::read(&again).expect("the file") == bytes);

    let path = file.to_str().expect("a name");
    let student = ["--epochs", "1", "--json"];
    let planned = ["--dry-run", "--epochs", "1", "--json"];
    let planned = json(&run(&mut crate::common::distill(&[path, "plane2"], &out, &planned), 0).stdout);
    assert_eq!(planned["runs"][0]["state"], "to import");
    let found = json(&import(&file, &out, &["--json"], 0).stdout);
    assert_eq!((&found["network"], &found["test_images"]), (&"logits".into(), &2_000.into()));
    assert!(found["mean"].is_null() && found["std"].is_null(), "{found}");
    let config = json(&fs::read(model.join("config.json")).expect("a configuration"));
    assert_eq!(found["test_accuracy"], config["accuracy"]["top1"]);
    let said = text(&import(&file, &out, &[], 0).stdout);
    assert!(said.contains("logits with 10 outputs (logits of ") && said.contains("test accuracy"), "{said}");

    let output = run(&mut crate::common::distill(&[path, "plane2"], &out, &student), 0);
    let report = json(&output.stdout);
    let paths = report["cells"][0]["paths"].as_array().expect("paths");
    let of = |name: &str| paths.iter().find(|path| path["path"] == name).expect("a row")["runs"][0].clone();
    assert_eq!(of("logits")["run"], found["run"]);
    assert!(of("logits → plane2")["agreement"].is_f64(), "{report}");
    let name = format!("{path}+plane4");
    let report = text(&run(&mut crate::common::distill(&[&name, "plane2"], &out, &["--epochs", "1"]), 0).stdout);
    assert!(report.contains("logits + plane4") && report.contains("logits comes from"), "{report}");
    let html = ["--epochs", "1", "--format", "html"];
    run(&mut crate::common::distill(&[path, "plane2"], &out, &html), 0);

    let id = found["run"].as_str().expect("an id");
    let listed = text(&run(&mut runs(&["ls"], &out), 0).stdout);
    assert!(listed.contains("logits → plane2") && listed.contains("logits + plane4 → plane2"), "{listed}");
    let shown = text(&run(&mut runs(&["show", id], &out), 0).stdout);
    assert!(shown.contains("2000 test images: accuracy"), "{shown}");
    run(&mut runs(&["verify"], &out), 0);
    let kept = || {
        let entries = fs::read_dir(out.join("runs").join(id)).expect("a folder");
        entries
            .filter(|entry| entry.as_ref().expect("a file").file_name().to_string_lossy().starts_with("logits-"))
            .count()
    };
    assert!(kept() > 0);
    run(&mut runs(&["gc", "--yes"], &out), 0);
    assert_eq!(kept(), 0);
    run(&mut crate::common::distill(&[path, "plane2"], &out, &["--epochs", "1", "--seeds", "5", "--quiet"]), 0);
    run(&mut runs(&["verify"], &out), 0);

    let mut export = takd(&["export", id]);
    let refused = text(&run(export.arg(dir.path().join("copy")).arg("--out").arg(&out), 1).stderr);
    assert!(refused.contains("it has no network"), "{refused}");
}

#[test]
fn file_without_test_images_teaches_and_its_teacher_is_not_tested() {
    let dir = folder();
    let (file, _) = written(dir.path());
    let (out, own) = (dir.path().join("results"), dir.path().join("from-python.safetensors"));
    rewritten(&file, &own, &[], &["train"], |_| {});
    let found = json(&import(&own, &out, &["--json"], 0).stdout);
    assert!(found["test_accuracy"].is_null() && found["test_images"].is_null(), "{found}");
    let said = text(&import(&own, &out, &[], 0).stdout);
    assert!(said.contains("not tested"), "{said}");
    // In a recipe.
    let recipe = dir.path().join("mine.toml");
    let text_of = format!(
        "title = \"by logits\"\n\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\nseeds = [1]\nepochs = 1\nlimit = 100\n\
         paths = [\"logits -> plane2\"]\nimport = {{ logits = \"{}\" }}\n",
        own.display()
    );
    fs::write(&recipe, text_of).expect("a recipe");
    let said = text(&run(takd(&["run"]).arg(&recipe).arg("--out").arg(&out), 0).stdout);
    assert!(said.contains("has none of the test images"), "{said}");
    let report = json(&run(takd(&["run", "--json"]).arg(&recipe).arg("--out").arg(&out), 0).stdout);
    let paths = report["cells"][0]["paths"].as_array().expect("paths");
    let of = |name: &str| paths.iter().find(|path| path["path"] == name).expect("a row")["runs"][0].clone();
    assert_eq!(of("logits")["state"], "untested");
    let student = of("logits → plane2");
    assert!(student["test_accuracy"].is_f64() && student["agreement"].is_null(), "{student}");
    let shown = text(&run(&mut runs(&["show", found["run"].as_str().expect("an id")], &out), 0).stdout);
    assert!(shown.contains("not tested"), "{shown}");
    run(&mut runs(&["ls"], &out), 0);
    run(&mut runs(&["verify"], &out), 0);

    // A report needs the file no longer.
    fs::remove_file(&own).expect("the file goes");
    let reported = json(&run(takd(&["report", "--json"]).arg(&recipe).arg("--out").arg(&out), 0).stdout);
    assert_eq!(crate::common::ids(&reported), crate::common::ids(&report));
    let said = text(&run(takd(&["report"]).arg(&recipe).arg("--out").arg(&out), 0).stdout);
    assert!(said.contains("has none of the test images"), "{said}");
}

#[test]
fn logits_of_a_model_of_other_image_size_teach_at_the_size_that_the_refusal_names() {
    let dir = folder();
    let (out, model, file) =
        (dir.path().join("results"), dir.path().join("small"), dir.path().join("small.safetensors"));
    let small = ["--size", "16", "--epochs", "1", "--quiet"];
    run(&mut crate::common::distill(&["resnet8"], &out, &small), 0);
    let id = crate::common::id_of("resnet8", &out);
    let mut export = takd(&["export", "--quiet", "--no-measuring", "--onnx", "none", "--no-python", &id]);
    run(export.arg(&model).arg("--out").arg(&out), 0);
    let mut write = takd(&["logits", "--quiet", "--data", "shapes10", "--model"]);
    run(write.arg(&model).arg(&file).arg("--out").arg(&out), 0);
    let path = file.to_str().expect("a name");
    let student = ["--epochs", "1", "--augmentation", "none", "--quiet"];
    let refused = text(&run(&mut crate::common::distill(&[path, "resnet8"], &out, &student), 1).stderr);
    assert!(refused.contains("\n--size 16 scales"), "{refused}");
    run(&mut crate::common::distill(&[path, "resnet8"], &out, &[&student[..], &["--size", "16"]].concat()), 0);
}

#[test]
fn what_cannot_teach_is_refused_before_anything_is_trained() {
    let dir = folder();
    let (file, _) = written(dir.path());
    let out = dir.path().join("results");
    let path = file.to_str().expect("a name");
    let refused = text(&run(&mut crate::common::distill(&[path, "resnet8"], &out, &["--epochs", "1"]), 1).stderr);
    assert!(refused.contains("are augmented (crop-flip)") && refused.contains("--augmentation none"), "{refused}");
    let refused = text(&run(&mut crate::common::distill(&["logits", "plane2"], &out, &["--epochs", "1"]), 1).stderr);
    assert!(refused.contains("known by a file of its logits"), "{refused}");
    let refused = text(&run(&mut takd(&["models", "logits"]), 2).stderr);
    assert!(refused.contains("no network"), "{refused}");
    let scaled = ["--mean", "0.5,0.5,0.5", "--std", "0.5,0.5,0.5"];
    assert!(text(&import(&file, &out, &scaled, 1).stderr).contains("leave them out"));
    let mut other = takd(&["import", "--data", "shapes100", "--out"]);
    let refused = text(&run(other.arg(&out).arg(&file), 1).stderr);
    assert!(refused.contains("logits.safetensors") && refused.contains("of images with the checksum"), "{refused}");

    let own = dir.path().join("own.safetensors");
    let spoil = |data: &mut Vec<u8>| data[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    rewritten(&file, &own, &[], &["train"], spoil);
    let refused =
        text(&run(&mut crate::common::distill(&[own.to_str().expect("a name"), "plane2"], &out, &[]), 1).stderr);
    assert!(refused.contains("own.safetensors") && refused.contains("NaN for image 0"), "{refused}");
    rewritten(&file, &own, &[("checksum", "0000")], &["train", "test"], |_| {});
    let refused = text(&import(&own, &out, &[], 1).stderr);
    assert!(refused.contains("own.safetensors") && refused.contains("the checksum 0000"), "{refused}");
    rewritten(&file, &own, &[("class_names", "[\"a\"]")], &["train"], |_| {});
    assert!(text(&import(&own, &out, &[], 1).stderr).contains("a name for each column"));

    // Logits of the same data set at another size say which, and the flag is named.
    rewritten(&file, &own, &[("checksum", "0000"), ("dataset", "shapes10@16")], &["train"], |_| {});
    let refused =
        text(&run(&mut crate::common::distill(&[own.to_str().expect("a name"), "plane2"], &out, &[]), 1).stderr);
    assert!(refused.contains("of the images of shapes10@16") && refused.contains("--size 16 "), "{refused}");
    rewritten(&file, &own, &[("checksum", "0000"), ("dataset", "shapes10")], &["train"], |_| {});
    let refused = text(&import(&own, &out, &["--size", "16"], 1).stderr);
    assert!(refused.contains("shapes10@16, at another size") && refused.contains("leave --size out"), "{refused}");

    // A file of another program without the checksum: the commands that know it are named.
    let (tensors, bare) = (fs::read(&file).expect("the file"), dir.path().join("bare.safetensors"));
    let tensors = SafeTensors::deserialize(&tensors).expect("a safetensors file");
    fs::write(&bare, safetensors::serialize(tensors.tensors(), None).expect("a file")).expect("a copy");
    let refused = text(&import(&bare, &out, &[], 1).stderr);
    assert!(refused.contains("they need `checksum`") && refused.contains("`takd data show DATA --json`"), "{refused}");
    // Nothing of all this left a run.
    assert!(!out.join("runs").exists() || crate::common::run_folders(&out).is_empty());
}

//! A model goes to the hub and comes back.

use crate::common::{folder, json, run, takd, text};
use crate::stub::{StubHub, TOKEN};
use assert_cmd::Command;
use std::fs;
use std::path::{Path, PathBuf};

const ID: &str = "me/my-model";

/// A model that comes with the sources.
fn model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/plane2-cifar10-takd")
}

/// A command whose hub is `hub` and whose files of the hub are kept in `home`.
fn at(hub: &str, home: &Path, args: &[&str]) -> Command {
    let mut command = takd(args);
    for name in ["HF_HUB_CACHE", "HF_TOKEN_PATH", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"] {
        command.env_remove(name);
    }
    command.env("HF_ENDPOINT", hub).env("HF_HOME", home).env("HF_TOKEN", TOKEN);
    command
}

fn push(hub: &StubHub, home: &Path, dir: &Path, more: &[&str]) -> Command {
    let mut command = at(&hub.endpoint, home, &["hub", "push"]);
    command.arg(dir).arg(ID).args(more);
    command
}

fn image(dir: &Path) -> PathBuf {
    let path = dir.join("image.png");
    image::RgbImage::from_fn(40, 40, |x, y| image::Rgb([x as u8 * 6, y as u8 * 6, 99])).save(&path).expect("an image");
    path
}

/// The model's folder with a file that is none of its own.
fn copy(dir: &Path) -> PathBuf {
    let copied = dir.join("copy");
    fs::create_dir(&copied).expect("a folder");
    for file in fs::read_dir(model()).expect("a model") {
        let file = file.expect("a file");
        fs::copy(file.path(), copied.join(file.file_name())).expect("a copy");
    }
    fs::write(copied.join("secret.txt"), "mine").expect("a file");
    copied
}

#[test]
fn pushed_model_predicts_and_teaches_from_an_empty_cache_and_then_offline() {
    let (dir, hub) = (folder(), StubHub::start());
    let (home, out) = (dir.path().join("hf"), dir.path().join("results"));
    let folder = copy(dir.path());
    let pushed = run(&mut push(&hub, &home, &folder, &["--json"]), 0);
    let told = text(&pushed.stderr);
    assert!(
        told.contains("uploading model.safetensors") && told.contains("a model has no such files: secret.txt"),
        "{told}"
    );
    let pushed = json(&pushed.stdout);
    assert_eq!((&pushed["model"], &pushed["new"]), (&ID.into(), &true.into()));
    assert_eq!(pushed["address"], format!("{}/{ID}", hub.endpoint));
    let kept = hub.model(ID).expect("the model");
    assert_eq!(kept.commits.len(), 1);
    assert_eq!(kept.files.len(), pushed["files"].as_array().expect("files").len());
    assert!(kept.files.contains_key("README.md") && !kept.files.contains_key("secret.txt"));
    for (name, bytes) in &kept.files {
        assert_eq!(*bytes, fs::read(folder.join(name)).expect("the file"), "{name}");
    }
    let again = text(&run(&mut push(&hub, &home, &folder, &["--quiet", "--message", "again"]), 0).stdout);
    assert!(
        again.contains("bytes, which the hub had") && again.ends_with(&format!("{}/{ID}\n", hub.endpoint)),
        "{again}"
    );

    // Nobody pushed from here.
    let home = dir.path().join("other");
    let image = image(dir.path());
    let predict = |endpoint: &str, model: &str, more: &[&str]| {
        let mut command = at(endpoint, &home, &["predict", "--json", "--model", model]);
        command.arg(&image).args(more);
        command
    };
    let local = run(&mut predict(&hub.endpoint, model().to_str().expect("a path"), &[]), 0);
    let answer = run(&mut predict(&hub.endpoint, ID, &[]), 0);
    assert!(text(&answer.stderr).contains("downloading model.safetensors"), "{}", text(&answer.stderr));
    assert_eq!(json(&answer.stdout), json(&local.stdout));
    let endpoint = hub.endpoint.clone();
    drop(hub);
    let offline = run(&mut predict(&endpoint, ID, &["--offline"]), 0);
    assert_eq!(offline.stdout, local.stdout);

    let import = |model: &str| {
        let mut command = at(&endpoint, &home, &["import", "--json", "--offline", "--data", "shapes10", "--order"]);
        command.args(["0,1,2,3,4,5,6,7,8,9", model, "--out"]).arg(&out);
        json(&run(&mut command, 0).stdout)
    };
    let imported = import(ID);
    assert_eq!((&imported["network"], &imported["file"]), (&"plane2".into(), &ID.into()));
    assert_eq!(imported["run"], import(model().to_str().expect("a path"))["run"]);
    let mut distill =
        crate::common::distill(&[ID, "plane2"], &out, &["--epochs", "1", "--offline", "--json", "--order"]);
    distill.arg("0,1,2,3,4,5,6,7,8,9").env("HF_HOME", &home).env("HF_ENDPOINT", &endpoint).env_remove("HF_HUB_CACHE");
    let report = json(&run(&mut distill, 0).stdout);
    assert!(report.to_string().contains(imported["run"].as_str().expect("an id")), "{report}");
}

#[test]
fn model_of_timm_says_its_mean_and_deviation_and_answers_nothing_itself() {
    let (dir, hub) = (folder(), StubHub::start());
    let weights = fs::read(model().join("model.safetensors")).expect("weights");
    let names: Vec<String> = (0..10).map(|class| format!("\"class {class}\"")).collect();
    let config = format!(
        r#"{{"architecture": "x", "label_names": [{}], "pretrained_cfg": {{"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.25, 0.25]}}}}"#,
        names.join(", ")
    );
    hub.keep("timm/some.thing", &[("config.json", config.as_bytes()), ("pytorch_model.bin", &weights)]);
    let import = |more: &[&str], status| {
        let mut command = at(&hub.endpoint, dir.path(), &["import", "timm/some.thing", "--json", "--data", "shapes10"]);
        run(command.args(more).arg("--out").arg(dir.path().join("results")), status)
    };
    let order = ["--order", "0,1,2,3,4,5,6,7,8,9"];
    let found = json(&import(&order, 0).stdout);
    assert_eq!((&found["mean"][0], &found["std"][2]), (&0.5.into(), &0.25.into()));
    let own = json(&import(&[&order[..], &["--mean", "0.1,0.1,0.1", "--std", "0.5,0.5,0.5"]].concat(), 0).stdout);
    assert_ne!(own["mean"], found["mean"]);
    let refused = text(&import(&[], 1).stderr);
    assert!(refused.contains("has no output for the class"), "{refused}");
    let name = format!("timm/some.thing@{:040x}", 1);
    assert!(refused.contains(&name) && refused.contains("--order") && !refused.contains("blobs"), "{refused}");
    let mut predict = at(&hub.endpoint, dir.path(), &["predict", "--model", "timm/some.thing"]);
    let refused = text(&run(predict.arg(image(dir.path())), 1).stderr);
    assert!(refused.contains(&format!("`takd import {name}`")), "{refused}");
}

#[test]
fn name_that_is_neither_here_nor_on_the_hub_says_so_with_both_places() {
    let (dir, hub) = (folder(), StubHub::start());
    let image = image(dir.path());
    let image = image.to_str().expect("a path");
    for args in [
        &["import", "me/gone", "--data", "shapes10"][..],
        &["distill", "me/gone", "plane2", "--data", "shapes10"],
        &["predict", image, "--model", "me/gone"],
    ] {
        let said = text(&run(at(&hub.endpoint, dir.path(), args).current_dir(dir.path()), 1).stderr);
        for part in ["there is no file or folder me/gone here", "models--me--gone", "status code 404"] {
            assert!(said.contains(part), "{args:?}, no `{part}`: {said}");
        }
    }
    // A file is not looked for on the hub.
    hub.requests();
    let said = text(&run(&mut at(&hub.endpoint, dir.path(), &["import", "me/gone.pth"]), 1).stderr);
    assert!(said.contains("there is no such file"), "{said}");
    assert!(hub.asked().is_empty());
}

#[test]
fn what_cannot_be_pushed_is_refused_before_the_hub_is_asked() {
    let (dir, hub) = (folder(), StubHub::start());
    let folder = copy(dir.path());
    let said = text(&run(at(&hub.endpoint, dir.path(), &["hub", "push", "x", "me/a/b"]).arg("--private"), 2).stderr);
    assert!(said.contains("`me/a/b` is no name of a model on the hub"), "{said}");
    let without = text(&run(push(&hub, dir.path(), &folder, &[]).env_remove("HF_TOKEN"), 1).stderr);
    assert!(without.contains("/settings/tokens, and put it into HF_TOKEN or into the file"), "{without}");
    fs::write(folder.join("config.json"), "{}").expect("a file");
    let said = text(&run(&mut push(&hub, dir.path(), &folder, &[]), 1).stderr);
    assert!(said.contains("cannot be pushed") && said.contains("format_version"), "{said}");
    assert!(hub.asked().is_empty());
    let gone = text(&run(&mut push(&hub, dir.path(), &dir.path().join("gone"), &[]), 1).stderr);
    assert!(gone.contains("a model is a folder with config.json and model.safetensors"), "{gone}");
}

#[cfg(unix)]
#[test]
fn link_in_a_folder_is_not_pushed() {
    let (dir, hub) = (folder(), StubHub::start());
    let folder = copy(dir.path());
    let secret = dir.path().join("secret");
    fs::write(&secret, "mine").expect("a file");
    fs::remove_file(folder.join("README.md")).expect("the card");
    std::os::unix::fs::symlink(&secret, folder.join("README.md")).expect("a link");
    let said = text(&run(&mut push(&hub, dir.path(), &folder, &[]), 1).stderr);
    assert!(said.contains("symbolic link"), "{said}");
    assert!(hub.asked().is_empty());
}

#[test]
fn token_of_a_file_is_used_and_a_push_that_fails_says_what_is_on_the_hub() {
    let (dir, hub) = (folder(), StubHub::start());
    fs::write(dir.path().join("token"), format!("{TOKEN}\n")).expect("a token");
    hub.fail("PUT", "/storage/", 403, 1);
    let said = text(&run(push(&hub, dir.path(), &model(), &[]).env_remove("HF_TOKEN"), 1).stderr);
    assert!(said.contains("status code 403") && said.contains("the repository was made, and is still empty"), "{said}");
    let said = text(&run(push(&hub, dir.path(), &model(), &["--private"]).env_remove("HF_TOKEN"), 1).stderr);
    assert!(said.contains("everyone may see it") && said.contains("the repository is as it was"), "{said}");
    assert!(!hub.model(ID).expect("a repository").files.contains_key("config.json"));
    run(push(&hub, dir.path(), &model(), &[]).env_remove("HF_TOKEN"), 0);
    assert!(hub.model(ID).expect("a repository").files.contains_key("config.json"));
}

/// Weights of a plane2 for ten classes, or of a plane4.
fn weights(network: &str) -> Vec<u8> {
    let folder = if network == "plane4" { "plane4-cifar10-assistant" } else { "plane2-cifar10-takd" };
    fs::read(model().with_file_name(folder).join("model.safetensors")).expect("weights")
}

/// What timm says of a model.
fn config_of_timm(mean: f32, labels: &[&str]) -> String {
    let labels: Vec<String> = labels.iter().map(|label| format!("{label:?}")).collect();
    let labels = labels.join(", ");
    format!(
        r#"{{"label_names": [{labels}], "pretrained_cfg": {{"mean": [{mean}, {mean}, {mean}], "std": [0.25, 0.25, 0.25]}}}}"#
    )
}

#[test]
fn config_that_nobody_asked_for_is_missed_by_name_and_not_replaced_in_silence() {
    let (dir, hub) = (folder(), StubHub::start());
    hub.keep(
        "timm/x",
        &[("config.json", config_of_timm(0.5, &[]).as_bytes()), ("model.safetensors", &weights("plane2"))],
    );
    let command = |args: &[&str], more: &[&str]| {
        let mut command = at(&hub.endpoint, dir.path(), args);
        command.args(more).arg("--out").arg(dir.path().join("results"));
        command
    };
    let import = ["import", "timm/x", "--json", "--data", "shapes10"];
    let online = json(&run(&mut command(&import, &[]), 0).stdout);
    // As a program leaves the cache that needs the weights alone.
    let snapshot = dir.path().join(format!("hub/models--timm--x/snapshots/{:040x}", 1));
    fs::remove_file(snapshot.join("config.json")).expect("the configuration");
    let distill = ["distill", "timm/x", "plane2", "--data", "shapes10", "--epochs", "1", "--limit", "100", "--offline"];
    for args in [&[&import[..], &["--offline"]].concat(), &distill[..]] {
        let said = text(&run(&mut command(args, &[]), 1).stderr);
        for part in ["no config.json of timm/x@", "--mean and --std", "online"] {
            assert!(said.contains(part), "no `{part}`: {said}");
        }
    }
    // Whether it is a model of takd's is not known either; and there are no such flags here.
    let predict = ["predict", "--model", "timm/x", "--offline", "image.png"];
    let said = text(&run(&mut at(&hub.endpoint, dir.path(), &predict), 1).stderr);
    assert!(said.contains("no config.json of timm/x@") && said.contains("run it once online"), "{said}");
    assert!(!said.contains("--mean") && !said.contains("is no model of takd's"), "{said}");
    let said = ["--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25", "--offline"];
    assert_eq!(json(&run(&mut command(&import, &said), 0).stdout)["run"], online["run"]);
    // The hub has it.
    assert_eq!(json(&run(&mut command(&import, &[]), 0).stdout)["run"], online["run"]);
}

#[test]
fn teacher_that_says_nothing_of_its_pixels_is_noted_by_distill_too() {
    let (dir, hub) = (folder(), StubHub::start());
    hub.keep("timm/x", &[("model.safetensors", &weights("plane2"))]);
    let distill = ["distill", "timm/x", "plane2", "--data", "shapes10", "--epochs", "1", "--limit", "100"];
    let said =
        text(&run(at(&hub.endpoint, dir.path(), &distill).arg("--out").arg(dir.path().join("results")), 0).stderr);
    let name = format!("timm/x@{:040x}", 1);
    assert!(said.contains(&format!("{name}: pixels were scaled by the mean")), "{said}");
    assert!(said.contains(&format!("plane2 comes from {name} (")), "{said}");
}

#[test]
fn two_outputs_of_one_name_are_refused_with_the_remedy() {
    let (dir, hub) = (folder(), StubHub::start());
    let shapes = ["disc", "ring", "square", "frame", "triangle", "cross", "bar", "crescent", "ell", "disc"];
    let config = config_of_timm(0.5, &shapes);
    hub.keep("timm/x", &[("config.json", config.as_bytes()), ("model.safetensors", &weights("plane2"))]);
    let mut import = at(&hub.endpoint, dir.path(), &["import", "timm/x", "--data", "shapes10"]);
    let said = text(&run(import.arg("--out").arg(dir.path().join("results")), 1).stderr);
    assert!(
        said.contains("has more than one output for the class disc of shapes10") && said.contains("--order"),
        "{said}"
    );
}

#[test]
fn recipe_names_a_model_of_the_hub_and_pins_its_commit() {
    let (dir, hub) = (folder(), StubHub::start());
    for mean in [0.5, 0.25] {
        let config = config_of_timm(mean, &[]);
        hub.keep("timm/x", &[("config.json", config.as_bytes()), ("model.safetensors", &weights("plane2"))]);
    }
    let commits = hub.model("timm/x").expect("a model").commits;
    let recipe = |model: &str| {
        let text = format!(
            "title = \"by one of the hub\"\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [\"plane2 -> plane4\"]\n\
             epochs = 1\nlimit = 100\nseeds = [1]\nimport = {{ plane2 = \"{model}\" }}\n"
        );
        let path = dir.path().join("mine.toml");
        fs::write(&path, text).expect("a recipe");
        path
    };
    let command = |endpoint: &str, args: &[&str], recipe: &Path| {
        let mut command = at(endpoint, dir.path(), args);
        command.arg(recipe).args(["--json", "--out"]).arg(dir.path().join("results"));
        command
    };
    let import = |model: &str| {
        let mut command = at(&hub.endpoint, dir.path(), &["import", "--json", "--data", "shapes10", model, "--out"]);
        json(&run(command.arg(dir.path().join("results")), 0).stdout)
    };
    let mut runs = Vec::new();
    for (model, number) in [("timm/x".to_owned(), 1), (format!("timm/x@{}", commits[0]), 0)] {
        let recipe = recipe(&model);
        let trained = json(&run(&mut command(&hub.endpoint, &["run"], &recipe), 0).stdout);
        let report = trained.to_string();
        assert!(report.contains(&format!("comes from timm/x@{}", commits[number])), "{report}");
        assert!(!report.contains("blobs"), "{report}");
        let teacher = import(&model);
        assert!(report.contains(teacher["run"].as_str().expect("an id")), "{report}");
        // A report asks nothing of the network, and a pinned model is had from the cache.
        hub.requests();
        let reported = json(&run(&mut command(&hub.endpoint, &["report"], &recipe), 0).stdout);
        assert_eq!(crate::common::ids(&reported), crate::common::ids(&trained));
        assert!(hub.asked().is_empty());
        runs.push(teacher["run"].clone());
    }
    assert_ne!(runs[0], runs[1]);
    run(&mut command(&hub.endpoint, &["run", "--offline"], &recipe(&format!("timm/x@{}", commits[0]))), 0);
    for (model, said) in [
        ("timm/gone".to_owned(), "models--timm--gone"),
        ("timm/x@main".to_owned(), "there is no such file"),
        (format!("timm/x@{}", "f".repeat(40)), "not there at that commit"),
    ] {
        let refused = text(&run(&mut command(&hub.endpoint, &["run"], &recipe(&model)), 1).stderr);
        assert!(refused.contains(said), "no `{said}`: {refused}");
    }
    hub.keep("timm/y", &[("model.safetensors", b"no weights")]);
    let refused = text(&run(&mut command(&hub.endpoint, &["run"], &recipe("timm/y")), 1).stderr);
    assert!(refused.contains("cannot take in timm/y@"), "{refused}");
}

#[test]
fn recipe_that_shrink_makes_names_the_teacher_as_the_hub_does() {
    let (dir, hub) = (folder(), StubHub::start());
    let config = config_of_timm(0.5, &[]);
    hub.keep("timm/x", &[("config.json", config.as_bytes()), ("model.safetensors", &weights("plane4"))]);
    let name = format!("timm/x@{:040x}", 1);
    let shrink = ["shrink", "--data", "shapes10", "--student", "plane2", "--budget", "5m", "--print-recipe"];
    for teacher in ["timm/x", &name] {
        let mut command = at(&hub.endpoint, dir.path(), &shrink);
        command.args(["--teacher", teacher, "--out"]).arg(dir.path().join("results"));
        let recipe = text(&run(&mut command, 0).stdout);
        assert!(recipe.contains(&format!("= {{ file = \"{name}\", mean = [0.5, 0.5, 0.5]")), "{recipe}");
        assert!(!recipe.contains("blobs"), "{recipe}");
        let file = dir.path().join("kept.toml");
        fs::write(&file, recipe).expect("a recipe");
        let mut dry = at(&hub.endpoint, dir.path(), &["run", "--dry-run", "--offline"]);
        run(dry.arg(&file).arg("--out").arg(dir.path().join("results")), 0);
    }
    // It trains by that recipe.
    let more = ["--limit", "100", "--epochs", "1", "--teacher", "timm/x", "--seeds", "1", "--json", "--out"];
    let mut command = at(&hub.endpoint, dir.path(), &shrink[..shrink.len() - 1]);
    command.args(more).arg(dir.path().join("others")).arg("--to").arg(dir.path().join("student"));
    let shrunk = json(&run(&mut command, 0).stdout);
    assert_eq!(shrunk["teacher"]["path"], "plane4");
}

#[test]
fn token_with_a_line_break_behind_it_is_used_and_one_with_another_in_it_is_refused() {
    let (dir, hub) = (folder(), StubHub::start());
    run(push(&hub, dir.path(), &model(), &["--quiet"]).env("HF_TOKEN", format!("{TOKEN}\n")), 0);
    let said = text(&run(push(&hub, dir.path(), &model(), &[]).env("HF_TOKEN", "hf_a\nb"), 1).stderr);
    assert!(said.contains("the token in HF_TOKEN") && !said.contains("hf_a"), "{said}");
}

//! Where images come from, and that they are not needed without need.

use crate::common::{cifar, folder, run, run_folders, takd, text};
use std::fs;
use std::path::Path;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// `takd distill plane2` on CIFAR-10, off the network, with this hub cache.
fn train(out: &Path, cache: &Path, more: &[&str]) -> assert_cmd::Command {
    let mut command = takd(&["distill", "plane2", "--epochs", "1", "--offline", "--out"]);
    command.arg(out).args(more).env("HF_HUB_CACHE", cache).env_remove("HF_HOME");
    command
}

/// A hub cache that holds CIFAR-10.
fn fill(cache: &Path) {
    let repository = cache.join("datasets--uoft-cs--cifar10");
    cifar::write(&repository.join("snapshots").join(COMMIT).join("plain_text"));
    fs::create_dir(repository.join("refs")).expect("a folder");
    fs::write(repository.join("refs/main"), COMMIT).expect("a file");
}

#[test]
fn folder_that_is_named_and_not_there_is_an_error_although_the_cache_has_the_images() {
    let [out, cache] = [folder(), folder()];
    fill(cache.path());
    let message = text(&run(&mut train(out.path(), cache.path(), &["--data-dir", "/no/such/folder"]), 1).stderr);
    assert!(message.contains("/no/such/folder") && message.contains("--data-dir"), "{message}");
    // Of a preset the command knows nothing.
    assert!(!message.contains("--preset") && message.contains("--data shapes10"), "{message}");
    let runs = out.path().join("runs");
    assert!(!runs.exists() || run_folders(out.path()).is_empty());

    // Without a named folder the cache is taken, and that is said.
    let said = text(&run(&mut train(out.path(), cache.path(), &[]), 0).stderr);
    let origin = cache.path().display().to_string();
    assert!(said.contains("cifar10: 40 training and 20 test images") && said.contains(&origin), "{said}");
}

#[test]
fn finished_experiment_prints_its_table_within_a_second_when_its_images_are_gone() {
    let [out, data] = [folder(), folder()];
    cifar::write(&data.path().join("cifar10/plain_text"));
    let recipe = out.path().join("mine.toml");
    let cell = "[[cell]]\nname = \"small\"\ndata = \"cifar10\"\npaths = [\"plane2\", \"plane4 -> plane2\"]\n";
    fs::write(&recipe, format!("title = \"Mine\"\nlayout = \"paths\"\n{cell}")).expect("a file");
    let experiment = || {
        let mut command = takd(&["run"]);
        command.arg(&recipe).args(["--epochs", "1", "--data-dir"]).arg(data.path()).arg("--out").arg(out.path());
        command
    };
    let first = run(&mut experiment(), 0);
    let origin = data.path().join("cifar10/plain_text").display().to_string();
    assert!(text(&first.stderr).contains(&origin), "{}", text(&first.stderr));

    fs::remove_dir_all(data.path().join("cifar10")).expect("deleted");
    let again = run(&mut experiment(), 0);
    assert_eq!(text(&again.stdout), text(&first.stdout));
}

#[test]
fn limit_above_the_number_of_images_is_said_to_change_nothing() {
    let [out, data] = [folder(), folder()];
    cifar::write(&data.path().join("cifar10/plain_text"));
    let data = data.path().display().to_string();
    let said = text(&run(&mut train(out.path(), out.path(), &["--data-dir", &data, "--limit", "50"]), 0).stderr);
    assert!(said.contains("a limit of 50 changes nothing: there are 40 training images"), "{said}");
    assert_eq!(said.matches("changes nothing").count(), 1, "{said}");
}

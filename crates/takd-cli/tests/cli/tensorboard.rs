//! `takd runs tensorboard`.

use crate::common::{distill, folder, id_of, json, run, runs, text};
use std::fs;
use std::path::{Path, PathBuf};

/// The links below a folder, by what TensorBoard calls the runs.
fn shown(logdir: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for data in fs::read_dir(logdir).expect("a folder") {
        for run in fs::read_dir(data.expect("a folder").path()).expect("a folder") {
            let run = run.expect("a folder").path();
            let events = run.join("events.out.tfevents.takd");
            // Through the link.
            if fs::read(&events).is_ok_and(|bytes| !bytes.is_empty()) {
                names.push(run.strip_prefix(logdir).expect("below").display().to_string());
            }
        }
    }
    names.sort();
    names
}

fn train(out: &Path, path: &[&str], more: &[&str]) {
    let epochs: &[&str] = if more.contains(&"--epochs") { &[] } else { &["--epochs", "1"] };
    run(&mut distill(path, out, &[&["--quiet"], epochs, more].concat()), 0);
}

fn lay_out(out: &Path, more: &[&str]) -> PathBuf {
    run(runs(&["tensorboard"], out).args(more), 0);
    out.join("tensorboard")
}

#[test]
fn curves_are_called_by_network_teachers_and_seed_and_by_settings_where_those_are_alike() {
    let out = folder();
    train(out.path(), &["plane6", "plane4", "plane2"], &[]);
    let logdir = lay_out(out.path(), &[]);
    assert_eq!(
        shown(&logdir),
        ["shapes10/plane2 ← plane4 ← plane6, seed 31", "shapes10/plane4 ← plane6, seed 31", "shapes10/plane6, seed 31"]
    );
    // Others of the same path and seed.
    train(out.path(), &["plane6", "plane4"], &["--lambda", "0.25"]);
    train(out.path(), &["plane6"], &["--epochs", "2"]);
    lay_out(out.path(), &[]);
    assert_eq!(
        shown(&logdir),
        [
            "shapes10/plane2 ← plane4 ← plane6, seed 31",
            "shapes10/plane4 ← plane6, seed 31, λ 0.25",
            "shapes10/plane4 ← plane6, seed 31, λ 0.5",
            "shapes10/plane6, seed 31, 1 epoch",
            "shapes10/plane6, seed 31, 2 epochs",
        ]
    );
}

#[test]
fn links_stay_right_if_the_results_are_moved_and_go_with_their_runs_and_nothing_else_does() {
    let place = folder();
    let out = place.path().join("results");
    train(&out, &["plane4", "plane2"], &[]);
    let logdir = lay_out(&out, &[]);
    fs::create_dir(logdir.join("mine")).expect("a folder");
    fs::write(logdir.join("mine/events.out.tfevents.1"), "mine").expect("a file");
    fs::create_dir(logdir.join("shapes10/other")).expect("a folder");
    fs::write(logdir.join("shapes10/other/events.out.tfevents.takd"), "mine").expect("a file");

    let moved = place.path().join("moved");
    fs::rename(&out, &moved).expect("moved");
    let logdir = moved.join("tensorboard");
    let expected = ["shapes10/other", "shapes10/plane2 ← plane4, seed 31", "shapes10/plane4, seed 31"];
    assert_eq!(shown(&logdir), expected);
    run(&mut runs(&["rm", &id_of("plane2", &moved)], &moved), 0);
    lay_out(&moved, &[]);
    assert_eq!(shown(&logdir), ["shapes10/other", "shapes10/plane4, seed 31"]);
    assert!(!logdir.join(expected[1]).exists());
    assert_eq!(fs::read_to_string(logdir.join("mine/events.out.tfevents.1")).expect("it is there"), "mine");
    // No run's file was touched.
    run(&mut runs(&["verify"], &moved), 0);
}

#[test]
fn folder_of_the_users_choice_holds_the_runs_that_are_meant() {
    let [out, elsewhere] = [folder(), folder()];
    train(out.path(), &["plane4", "plane2"], &["--seeds", "1,2"]);
    let logdir = elsewhere.path().join("curves");
    let mut command = runs(&["tensorboard", "--seed", "2", "--network", "plane2", "--json"], out.path());
    let listed = json(&run(command.arg("--logdir").arg(&logdir), 0).stdout);
    assert_eq!(shown(&logdir), ["shapes10/plane2 ← plane4, seed 2"]);
    assert_eq!(listed[0]["name"], "shapes10/plane2 ← plane4, seed 2");
    assert!(Path::new(listed[0]["link"].as_str().expect("a path")).exists());

    // A file of somebody's in the place of a link is an error, and stays.
    let place = elsewhere.path().join("taken/shapes10/plane4, seed 1");
    fs::create_dir_all(&place).expect("a folder");
    fs::write(place.join("events.out.tfevents.takd"), "mine").expect("a file");
    let mut command = runs(&["tensorboard"], out.path());
    let refused = text(&run(command.arg("--logdir").arg(elsewhere.path().join("taken")), 1).stderr);
    assert!(refused.contains("cannot make the link") && refused.contains("plane4, seed 1"), "{refused}");
    assert_eq!(fs::read_to_string(place.join("events.out.tfevents.takd")).expect("it is there"), "mine");
}

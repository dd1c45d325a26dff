//! `takd reproduce-table1`.

use crate::common::{folder, program, run, tables, takd, text, without_seconds};
use assert_cmd::Command;
use std::path::Path;

/// The smallest experiment there is, in `out`.
fn small(out: &Path, more: &[&str]) -> Command {
    let mut command = takd(&["reproduce-table1", "--preset", "quick", "--cells", "plain/cifar10", "--epochs", "1"]);
    command.args(["--limit", "100", "--out"]).arg(out).args(more);
    command
}

/// The table without what it took.
fn results(json: &[u8]) -> serde_json::Value {
    without_seconds(crate::common::json(json))
}

#[test]
fn small_table_is_trained_once_and_printed() {
    let out = folder();
    let first = run(&mut small(out.path(), &["--json"]), 0);
    let report = results(&first.stdout);
    let paths = report["cells"][0]["paths"].as_array().expect("paths");
    assert_eq!(paths.len(), 5);
    for path in paths {
        let accuracy = &path["test_accuracy"]["mean"];
        assert!(accuracy.as_f64().is_some_and(|share| share > 0.0 && share < 1.0), "{}: {accuracy}", path["path"]);
    }
    assert!(text(&first.stderr).contains("run 5 of 5: plane10 → plane4 → plane2 on shapes10, seed 31"));

    // Finished runs are not trained again: no epoch is reported.
    let again = run(&mut small(out.path(), &[]), 0);
    let (table, progress) = (text(&again.stdout), text(&again.stderr));
    assert!(!progress.contains("epoch 1 of 1: loss"), "{progress}");
    for part in
        ["plain/cifar10", "plane2 / plane4 / plane10", "70.16", "Protocol \"sound\"", "drawn by code", "is not run"]
    {
        assert!(table.contains(part), "no {part} in\n{table}");
    }
    let [markdown] = tables(out.path(), "md").try_into().expect("one table is kept");
    let markdown = std::fs::read_to_string(markdown).expect("a table");
    assert!(markdown.contains("| plain/cifar10"), "{markdown}");
}

#[test]
fn what_does_not_exist_is_refused_with_the_list_of_what_does() {
    let cells = "plain/cifar10, plain/cifar100, resnet/cifar10, resnet/cifar100";
    let refused = [
        (["--cells", "plain/cifar11"], cells),
        (["--cells", "resnet/imagenet"], "cannot be run"),
        (["--protocol", "best"], "code, paper, sound"),
        (["--preset", "slow"], "full, quick"),
        (["--device", "tpu"], "auto, cpu, cuda, cuda-tf32, metal"),
        (["--lambda", "1.5"], "λ is a number from 0 to 1"),
        (["--temperature", "0"], "τ is a number above 0"),
        (["--epochs", "0"], "--epochs"),
        (["--data-dir", "data"], "built-in images"),
    ];
    for (flags, expected) in refused {
        // The preset only where it is not asked for otherwise.
        let preset: &[&str] = if flags[0] == "--data-dir" { &["--preset", "quick"] } else { &[] };
        let output = run(takd(&["reproduce-table1"]).args(preset).args(flags), 2);
        assert!(text(&output.stderr).contains(expected), "{flags:?}: {}", text(&output.stderr));
    }
}

#[test]
fn without_data_and_network_it_ends_with_what_was_sought_where_and_both_remedies() {
    let empty = folder();
    let folder = empty.path().display().to_string();
    // A folder that is named is the only place looked into.
    for (flags, place) in [(&["--data-dir", &folder][..], &*folder), (&[], "datasets--uoft-cs--cifar10")] {
        let mut command = takd(&["reproduce-table1", "--offline"]);
        command.args(flags).env("HF_HOME", empty.path()).env_remove("HF_HUB_CACHE").arg("--out").arg(empty.path());
        let message = text(&run(&mut command, 1).stderr);
        for part in ["cifar10", &folder, place, "--data-dir", "--preset quick"] {
            assert!(message.contains(part), "no {part} in\n{message}");
        }
    }
}

#[test]
fn folder_that_cannot_be_written_is_named() {
    let place = folder();
    let file = place.path().join("file");
    std::fs::write(&file, "").expect("a file");
    let message = text(&run(&mut small(&file, &[]), 1).stderr);
    assert!(message.contains(&file.display().to_string()), "{message}");
    // No run was at work, so that none goes on.
    assert!(!message.contains("goes on"), "{message}");
}

#[cfg(unix)]
#[test]
fn killed_or_stopped_experiment_goes_on_and_ends_in_the_same_table() {
    use std::io::{BufRead, BufReader};
    use std::process::Stdio;

    let [whole, broken] = [(); 2].map(|()| folder());
    let expected = run(&mut small(whole.path(), &["--json"]), 0);
    for (signal, status) in [("-TERM", Some(130)), ("-KILL", None)] {
        let mut child = std::process::Command::new(program())
            .args(["reproduce-table1", "--preset", "quick", "--cells", "plain/cifar10", "--epochs", "1"])
            .args(["--limit", "100", "--out"])
            .arg(broken.path())
            .stderr(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        let stderr = BufReader::new(child.stderr.take().expect("a pipe"));
        // The line that a run begins; what follows it is read too, so that the program is not stopped by a full pipe.
        let mut lines = stderr.lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.starts_with("run "))));
        let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
        assert!(kill.expect("kill starts").success());
        lines.for_each(drop);
        assert_eq!(child.wait().expect("it ends").code(), status);
    }
    let found = run(&mut small(broken.path(), &["--json"]), 0);
    assert_eq!(results(&found.stdout), results(&expected.stdout));
}

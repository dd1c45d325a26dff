//! Several runs at once in one process.

use crate::common::{assert_equal_runs, distill, folder, json, program, run, run_folders, runs, text, without_seconds};
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Six runs.
const PLAN: [&str; 11] =
    ["distill", "plane4", "plane2", "--data", "shapes10", "--limit", "100", "--epochs", "4", "--seeds", "1,2,3"];

/// Its folder, trained by one job with nothing in the way.
fn undisturbed(out: &Path) {
    run(crate::common::takd(&PLAN).args(["--jobs", "1", "--out"]).arg(out), 0);
}

fn assert_all_equal(found: &Path, expected: &Path) {
    let (found, expected) = (run_folders(found), run_folders(expected));
    assert_eq!((found.len(), expected.len()), (6, 6));
    found.iter().zip(&expected).for_each(|(found, expected)| assert_equal_runs(found, expected));
}

#[test]
fn two_jobs_print_what_one_does_and_name_the_run_in_every_line() {
    let [one, two] = [folder(), folder()];
    let train = |out: &Path, jobs: &str| {
        let flags = ["--epochs", "2", "--seeds", "1,2,3", "--json", "--jobs", jobs];
        let output = run(&mut distill(&["plane4", "plane2"], out, &flags), 0);
        (without_seconds(json(&output.stdout)), text(&output.stderr))
    };
    let (list, _) = train(one.path(), "1");
    let (same_list, progress) = train(two.path(), "2");
    assert_eq!(same_list, list);
    assert_all_equal(two.path(), one.path());
    let begin = |line: &str| line.trim_start().chars().take_while(|&c| c != ',' && c != ':').collect::<String>();
    let trained: BTreeSet<String> =
        progress.lines().filter(|line| line.contains("epoch 2 of 2: loss")).map(begin).collect();
    assert_eq!(trained.into_iter().collect::<Vec<_>>(), (1..=6).map(|run| format!("run {run}")).collect::<Vec<_>>());
    assert_eq!(progress.matches(": trained, ").count(), 6, "{progress}");
}

#[test]
fn every_job_is_saved_when_asked_to_stop_and_the_same_command_goes_on() {
    let [whole, broken] = [folder(), folder()];
    undisturbed(whole.path());
    let mut child = Command::new(program())
        .args(PLAN)
        .args(["--jobs", "3", "--out"])
        .arg(broken.path())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    // As many as there are jobs have begun.
    let begun = lines.by_ref().filter(|line| line.as_ref().is_ok_and(|line| line.starts_with("run "))).take(3);
    assert_eq!(begun.count(), 3);
    let kill = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(kill.expect("kill starts").success());
    let last = lines.last().expect("a line").expect("it is text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(last.contains("the same command goes on"), "{last}");
    for run in run_folders(broken.path()) {
        let finished = || std::fs::read_to_string(run.join("ending.json")).expect("it has ended").contains("finished");
        assert!(run.join("last.safetensors").exists() || finished(), "{run:?} is not saved");
    }
    run(crate::common::takd(&PLAN).args(["--jobs", "2", "--out"]).arg(broken.path()), 0);
    assert_all_equal(broken.path(), whole.path());
    run(&mut runs(&["verify"], broken.path()), 0);
}

#[test]
fn jobs_that_cannot_write_end_in_one_error_and_the_same_command_goes_on() {
    let [whole, out] = [folder(), folder()];
    undisturbed(whole.path());
    // Blocks of 512 bytes, or of 1024 as some shells have it: too few for a checkpoint.
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 64; exec \"$@\"", "sh"]).arg(program()).args(PLAN);
    let output = limited.args(["--jobs", "3", "--out"]).arg(out.path()).output().expect("there is a shell");
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert_eq!(message.matches("File too large").count(), 1, "{message}");
    run(crate::common::takd(&PLAN).args(["--jobs", "3", "--out"]).arg(out.path()), 0);
    assert_all_equal(out.path(), whole.path());
}

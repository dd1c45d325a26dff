//! Signals with which systems and clusters ask a program to end.

use crate::common::{assert_equal_runs, distill, folder, program, run, run_folders};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

const EPOCHS: &str = "60";

fn start(out: &Path) -> Child {
    let mut command = Command::new(program());
    command.args(["distill", "plane2", "--data", "shapes10", "--limit", "100", "--epochs", EPOCHS, "--out"]);
    command.arg(out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

#[test]
fn run_is_saved_on_every_signal_that_asks_to_end_and_the_same_command_goes_on() {
    let [whole, broken] = [folder(), folder()];
    run(&mut distill(&["plane2"], whole.path(), &["--epochs", EPOCHS, "--quiet"]), 0);
    for signal in ["HUP", "USR1", "USR2", "TERM", "INT"] {
        let mut child = start(broken.path());
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let begun = lines.find(|line| line.as_ref().is_ok_and(|line| line.starts_with("run "))).expect("it begins");
        let begun = begun.expect("a line");
        assert!(signal == "HUP" || begun.contains("going on after step"), "{signal}: {begun}");
        // Half an epoch would be lost, and would not be seen to go on.
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains(": loss"))), "{signal}: no epoch");
        let kill = Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status();
        assert!(kill.expect("kill starts").success());
        let last = lines.last().expect("a line").expect("it is text");
        assert_eq!(child.wait().expect("it ends").code(), Some(130), "{signal}");
        assert!(last.contains("the same command goes on"), "{signal}: {last}");
        assert!(run_folders(broken.path())[0].join("last.safetensors").exists(), "{signal}");
    }
    run(&mut distill(&["plane2"], broken.path(), &["--epochs", EPOCHS, "--quiet"]), 0);
    assert_equal_runs(&run_folders(broken.path())[0], &run_folders(whole.path())[0]);
}

#[test]
fn import_that_is_stopped_ends_with_130_and_leaves_no_run() {
    let [out, elsewhere] = [folder(), folder()];
    run(&mut distill(&["plane2"], elsewhere.path(), &["--epochs", "1", "--quiet"]), 0);
    let mut command = Command::new(program());
    command.arg("import").arg(run_folders(elsewhere.path())[0].join("model.safetensors"));
    command.args(["--data", "shapes10", "--out"]).arg(out.path()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.starts_with("drawing"))));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().expect("kill starts").success());
    let last = lines.last().expect("a line").expect("it is text");
    assert_eq!(child.wait().expect("it ends").code(), Some(130), "{last}");
    assert!(last.contains("stopped"), "{last}");
    let runs = out.path().join("runs");
    assert!(!runs.exists() || run_folders(out.path()).is_empty());
}

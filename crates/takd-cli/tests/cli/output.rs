//! What goes to standard output and standard error, read or not.

use crate::common::{damage, distill, folder, program, run, run_folders, text};
use std::io::pipe;
use std::path::Path;
use std::process::{Command, Stdio};

fn ls(out: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["runs", "ls", "--out"]).arg(out).stderr(Stdio::piped());
    command
}

#[test]
fn pipe_that_nobody_reads_ends_the_program_in_silence() {
    let out = folder();
    // Progress into such a pipe is lost, and nothing else.
    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let mut trained = Command::new(program());
    trained.args(["distill", "plane2", "--data", "shapes10", "--limit", "100", "--epochs", "1", "--out"]);
    let trained = trained.arg(out.path()).stderr(writer).output().expect("it starts");
    assert_eq!((trained.status.code(), text(&trained.stdout).contains("plane2")), (Some(0), true));

    let (reader, writer) = pipe().expect("a pipe");
    drop(reader);
    let output = ls(out.path()).stdout(writer).output().expect("it starts");
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[cfg(target_os = "linux")]
#[test]
fn output_that_cannot_be_written_is_an_error() {
    let out = folder();
    std::fs::create_dir(out.path().join("runs")).expect("a folder");
    let full = std::fs::File::options().write(true).open("/dev/full").expect("Linux has it");
    let output = ls(out.path()).stdout(full).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot write to the standard output: No space left"), "{output:?}");
}

#[test]
fn warnings_of_the_libraries_are_shown_even_when_quiet_and_more_of_them_on_demand() {
    let out = folder();
    let mut again = distill(&["plane2"], out.path(), &["--epochs", "1", "--quiet"]);
    run(&mut again, 0);
    let model = run_folders(out.path())[0].join("model.safetensors");
    damage(&model);
    let warned = text(&run(&mut again, 0).stderr);
    let expected = format!("{} is damaged", model.display());
    assert!(warned.trim_start().starts_with("WARN") && warned.contains(&expected), "{warned}");
    // It is repaired by now.
    assert_eq!(text(&run(&mut again, 0).stderr), "");

    damage(&model);
    assert_eq!(text(&run(again.env("TAKD_LOG", "error"), 0).stderr), "");
    damage(&model);
    let more = text(&run(again.env("TAKD_LOG", "takd_distill=info"), 0).stderr);
    assert!(more.contains("INFO") && more.contains("begins after 0 of 1 steps"), "{more}");
    let wrong = text(&run(again.env("TAKD_LOG", "takd_distill=loud"), 1).stderr);
    assert!(wrong.contains("TAKD_LOG is a level"), "{wrong}");
}

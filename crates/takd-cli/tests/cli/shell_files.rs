//! `takd completions` and `takd man`.

use crate::common::{folder, program, run, takd, text};
use std::io::pipe;
use std::process::{Command, Stdio};

#[test]
fn every_shell_has_completions_of_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(&mut takd(&["completions", shell]), 0).stdout);
        for command in ["reproduce-table1", "tensorboard", "completions", "--temperature"] {
            assert!(script.contains(command.trim_start_matches('-')), "{shell} does not complete {command}");
        }
        // Control characters of a script are its own.
        assert!(!script.contains(r"\u{"), "{shell}");
    }
    let refused = text(&run(&mut takd(&["completions", "tcsh"]), 2).stderr);
    assert!(refused.contains("bash") && refused.contains("zsh"), "{refused}");
}

#[cfg(unix)]
#[test]
fn bash_reads_its_completions() {
    let script = run(&mut takd(&["completions", "bash"]), 0).stdout;
    let place = folder();
    let path = place.path().join("takd");
    std::fs::write(&path, script).expect("a file");
    match Command::new("bash").arg("-n").arg(&path).output() {
        Ok(output) => assert!(output.status.success(), "{}", text(&output.stderr)),
        // Not every machine has it.
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound),
    }
}

#[test]
fn manual_has_a_page_for_each_command() {
    let page = text(&run(&mut takd(&["man"]), 0).stdout);
    assert!(page.contains(".TH takd 1") && page.contains("Exit status"), "{page}");
    let place = folder();
    let pages = place.path().join("made/man1");
    let said = text(&run(takd(&["man", "--out"]).arg(&pages), 0).stderr);
    for command in ["takd", "takd-distill", "takd-runs", "takd-runs-gc", "takd-data-check", "takd-man"] {
        let page =
            std::fs::read_to_string(pages.join(format!("{command}.1"))).unwrap_or_else(|_| panic!("no {command}.1"));
        assert!(page.contains(&format!(".TH {command} 1")), "{page}");
        assert!(command == "takd" || page.contains("Examples:"), "{page}");
    }
    let count = std::fs::read_dir(&pages).expect("a folder").count();
    assert!(said.starts_with(&format!("{count} pages in ")) && count > 30, "{said}");
}

#[test]
fn reader_that_has_seen_enough_is_no_error() {
    for command in [&["completions", "zsh"][..], &["man"]] {
        let (reader, writer) = pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(program()).args(command).stdout(writer).stderr(Stdio::piped()).output();
        let output = output.expect("it starts");
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
    }
}

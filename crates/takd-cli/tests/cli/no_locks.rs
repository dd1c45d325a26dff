//! A file system without locks, by a library that stands before the system's own.

use crate::common::{distill, folder, json, run, run_folders, runs, takd, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A library with whose `flock` no file can be locked; nothing on machines without a C compiler.
fn without_locks(place: &Path) -> Option<PathBuf> {
    let (source, library) = (place.join("no_locks.c"), place.join("no_locks.so"));
    fs::write(&source, "#include <errno.h>\nint flock(int file, int how) { errno = ENOLCK; return -1; }\n")
        .expect("a file");
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).status();
    built.is_ok_and(|status| status.success()).then_some(library)
}

#[test]
fn file_system_without_locks_is_named_with_its_remedy_and_no_run_is_called_damaged_for_it() {
    let place = folder();
    let Some(library) = without_locks(place.path()) else { return };
    let out = place.path().join("out");
    run(&mut distill(&["plane2"], &out, &["--epochs", "2", "--quiet"]), 0);
    let on_it = |command: &mut assert_cmd::Command, status| run(command.env("LD_PRELOAD", &library), status);
    let refused = text(&on_it(&mut distill(&["plane4"], &out, &["--epochs", "1"]), 1).stderr);
    assert!(refused.contains("has no file locks") && refused.contains("--out names another"), "{refused}");
    // What was made elsewhere can be looked at.
    fs::remove_file(
        run_folders(&out).iter().map(|run| run.join("ending.json")).find(|file| file.exists()).expect("one"),
    )
    .expect("deleted");
    let listed = on_it(&mut runs(&["ls", "--json"], &out), 0);
    let list = json(&listed.stdout);
    let states: Vec<&str> =
        list.as_array().expect("runs").iter().map(|run| run["state"].as_str().expect("a state")).collect();
    assert_eq!(states, ["unfinished", "unfinished"]);
    let told = text(&listed.stderr);
    assert_eq!(told.matches("whether a process works on the unfinished runs cannot be told").count(), 1, "{told}");
    let found = json(&on_it(takd(&["doctor", "--json", "--out"]).arg(&out), 1).stdout);
    assert_eq!(found["wrong"], 1, "{found}");
    let results = found["findings"].as_array().expect("findings").iter().find(|finding| finding["what"] == "results");
    assert!(results.expect("a finding")["found"].as_str().is_some_and(|found| found.contains("has no file locks")));
}

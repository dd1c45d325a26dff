//! What the tests of the built `takd` share.

// Not every test file needs all of it.
#![allow(dead_code)]

use assert_cmd::Command;
use std::path::{Path, PathBuf};
use std::process::Output;
use tempfile::TempDir;

pub fn takd(args: &[&str]) -> Command {
    let mut command = Command::cargo_bin("takd").expect("cargo builds the program for its tests");
    command.args(args);
    command
}

/// The program itself, for what has to be spawned.
pub fn program() -> &'static Path {
    Path::new(assert_cmd::cargo::cargo_bin!("takd"))
}

pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// Ends with `status`, or the test fails with what the program said.
pub fn run(command: &mut Command, status: i32) -> Output {
    let output = command.output().expect("the program starts");
    assert_eq!(output.status.code(), Some(status), "{command:?}: {}{}", text(&output.stdout), text(&output.stderr));
    output
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

pub fn json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes).expect("--json prints JSON")
}

/// A small training along a path, in `out`.
pub fn distill(path: &[&str], out: &Path, more: &[&str]) -> Command {
    let mut command = takd(&["distill"]);
    command.args(path).args(["--dataset", "shapes10", "--limit", "100", "--out"]).arg(out).args(more);
    command
}

/// `takd runs` in `out`.
pub fn runs(args: &[&str], out: &Path) -> Command {
    let mut command = takd(&["runs"]);
    command.args(args).arg("--out").arg(out);
    command
}

/// The runs' folders in `out`.
pub fn run_folders(out: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(out.join("runs")).expect("runs");
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder").path()).collect();
    folders.sort();
    folders
}

/// The id of the run of `network` in `out`.
pub fn id_of(network: &str, out: &Path) -> String {
    let list = json(&run(&mut runs(&["ls", "--json"], out), 0).stdout);
    let run = list.as_array().expect("an array").iter().find(|run| run["network"] == network);
    run.expect("a run of that network")["id"].as_str().expect("an id").to_owned()
}

/// Flips a bit in the midst of a file.
pub fn damage(path: &Path) {
    let mut bytes = std::fs::read(path).expect("a file");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).expect("the file is written");
}

/// Fails unless equal runs in two run folders have equal bytes; what a run took is its own.
pub fn assert_equal_runs(found: &Path, expected: &Path) {
    for name in ["config.toml", "metrics.jsonl", "model.safetensors"] {
        let [found, expected] = [found, expected].map(|folder| std::fs::read(folder.join(name)).expect(name));
        assert!(found == expected, "{name} differs");
    }
    let [found, expected] = [found, expected].map(|folder| {
        let mut result = json(&std::fs::read(folder.join("result.json")).expect("a result"));
        let result = result.as_object_mut().expect("an object");
        assert!(result.remove("seconds").is_some() && result.remove("checksum").is_some());
        result.clone()
    });
    assert_eq!(found, expected);
}

/// The text with what differs between machines and folders made alike, at its old width: ids, decimal numbers, seconds.
pub fn masked(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "FOLDER");
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words: Vec<&str> = text.split_inclusive(|c| !inside(c)).collect();
    let mut masked = String::new();
    for (place, word) in words.iter().enumerate() {
        let body = word.trim_end_matches(|c| !inside(c));
        let seconds = words.get(place + 1).is_some_and(|next| next.trim_end_matches(|c| !inside(c)) == "s");
        let hidden = if matches!(body.len(), 16 | 64) && body.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            "x".repeat(body.len())
        } else if body.parse::<f64>().is_ok() && (body.contains('.') || seconds) {
            body.replace(|c| c != '.', "#")
        } else {
            body.to_owned()
        };
        masked += &hidden;
        masked += &word[body.len()..];
    }
    masked
}

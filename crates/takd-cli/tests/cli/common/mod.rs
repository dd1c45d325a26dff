//! What the tests of the built `takd` share.

pub mod cifar;

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
    command.args(path).args(["--data", "shapes10", "--limit", "100", "--out"]).arg(out).args(more);
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
        let mut ending = json(&std::fs::read(folder.join("ending.json")).expect("an ending"));
        assert!(ending["ending"]["finished"]["seconds"].take().is_f64());
        assert!(ending.as_object_mut().expect("an object").remove("checksum").is_some());
        ending
    });
    assert_eq!(found, expected);
}

/// A report without what its runs took.
pub fn without_seconds(mut report: serde_json::Value) -> serde_json::Value {
    fn clear(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(fields) => {
                fields.remove("seconds");
                fields.values_mut().for_each(clear);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(clear),
            _ => {}
        }
    }
    clear(&mut report);
    report
}

/// The ids of the runs of a report, path by path.
pub fn ids(report: &serde_json::Value) -> Vec<String> {
    let cells = report["cells"].as_array().expect("cells").iter();
    let paths = cells.flat_map(|cell| cell["paths"].as_array().expect("paths"));
    let runs = paths.flat_map(|path| path["runs"].as_array().expect("runs"));
    runs.map(|run| run["run"].as_str().expect("an id").to_owned()).collect()
}

/// What `takd runs show` says of a run.
pub fn show(id: &str, out: &Path) -> serde_json::Value {
    json(&run(&mut runs(&["show", id, "--json"], out), 0).stdout)
}

/// The kept tables with this extension, sorted.
pub fn tables(out: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(out.join("tables")).expect("tables").map(|entry| entry.expect("a file").path());
    let mut tables: Vec<PathBuf> =
        entries.filter(|path| path.extension().is_some_and(|found| found == extension)).collect();
    tables.sort();
    tables
}

/// `config.toml` of the one run in `out`, to make others from.
pub fn config_text(out: &Path) -> String {
    std::fs::read_to_string(run_folders(out)[0].join("config.toml")).expect("a configuration")
}

/// A folder of a run with this configuration, whose id is its hash.
pub fn made_up_run(config: &str, out: &Path) -> PathBuf {
    let folder = out.join("runs").join(takd_store::RunId::of(config).as_str());
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("config.toml"), config).expect("a file");
    folder
}

/// `2026-11-26 14:05` as `####-##-## ##:##`.
fn without_dates(text: &str) -> String {
    const FORM: &[u8] = b"####-##-## ##:##";
    let mut bytes = text.as_bytes().to_vec();
    for start in 0..bytes.len().saturating_sub(FORM.len()) {
        let is_date = FORM.iter().zip(&bytes[start..]).all(|(form, byte)| match form {
            b'#' => byte.is_ascii_digit(),
            form => form == byte,
        });
        if is_date {
            bytes[start..start + FORM.len()].copy_from_slice(FORM);
        }
    }
    String::from_utf8(bytes).expect("only digits were replaced")
}

/// The text with what differs between machines and folders made alike, at its old width: ids, dates, decimal numbers, seconds.
pub fn masked(text: &str, folder: &Path) -> String {
    let text = text.replace(&folder.display().to_string(), "FOLDER");
    let text = text.replace(&program().display().to_string(), "takd");
    let text = without_dates(&text);
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '.';
    let words: Vec<&str> = text.split_inclusive(|c| !inside(c)).collect();
    let mut masked = String::new();
    for (place, word) in words.iter().enumerate() {
        let body = word.trim_end_matches(|c| !inside(c));
        let seconds = words.get(place + 1).is_some_and(|next| next.trim_end_matches(|c| !inside(c)) == "s");
        let hidden = if matches!(body.len(), 8 | 16 | 64) && body.bytes().all(|byte| byte.is_ascii_hexdigit()) {
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

//! Cargo, as the tasks run it. What it builds and where it puts it is read from its JSON messages, which no setting of colours,
//! target or target folder changes.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program that cargo has built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Program {
    /// Name of the target: `takd`, `bench_step`, or the file's name of an integration test.
    pub(crate) name: String,
    pub(crate) executable: PathBuf,
}

/// The workspace's folder.
pub(crate) fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// The cargo that runs this program, with `args`.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Whether cargo succeeds with `args` in the workspace's folder; what it says is dropped.
pub(crate) fn succeeds(args: &[&str]) -> bool {
    let mut command = cargo(args);
    command.current_dir(root()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The folder into which cargo builds.
pub(crate) fn target_folder() -> Result<PathBuf> {
    let mut command = cargo(&["metadata", "--no-deps", "--format-version", "1", "--manifest-path"]);
    let output = command.arg(root().join("Cargo.toml")).stderr(Stdio::inherit()).output();
    let output = output.context("cannot start cargo")?;
    if !output.status.success() {
        bail!("cargo metadata failed");
    }
    let metadata: Value = serde_json::from_slice(&output.stdout).context("cannot read the output of cargo metadata")?;
    let folder = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(folder.into())
}

/// Runs a cargo command that builds; the programs that it built or found up to date. Progress and warnings go to stderr.
pub(crate) fn build(mut command: Command) -> Result<Vec<Program>> {
    command.args(["--message-format", "json-render-diagnostics"]).stderr(Stdio::inherit());
    let output = command.output().context("cannot start cargo")?;
    if !output.status.success() {
        bail!("the build failed");
    }
    programs(&String::from_utf8_lossy(&output.stdout))
}

/// The programs that cargo's JSON messages name. Only a line that begins with `{` is a message, says cargo's documentation.
fn programs(messages: &str) -> Result<Vec<Program>> {
    let mut programs = Vec::new();
    for line in messages.lines().filter(|line| line.starts_with('{')) {
        let message: Value =
            serde_json::from_str(line).with_context(|| format!("cannot read cargo's message {line}"))?;
        if message["reason"] != "compiler-artifact" {
            continue;
        }
        if let (Some(name), Some(executable)) = (message["target"]["name"].as_str(), message["executable"].as_str()) {
            programs.push(Program { name: name.into(), executable: executable.into() });
        }
    }
    Ok(programs)
}

/// The program of that name among those that cargo has built.
pub(crate) fn find(programs: &[Program], name: &str) -> Result<PathBuf> {
    let program = programs.iter().find(|program| program.name == name);
    Ok(program.with_context(|| format!("cargo built no program {name}"))?.executable.clone())
}

/// Ends this process with the program's exit status. On Unix it becomes the program, so that signals reach it.
pub(crate) fn run_and_exit(program: &Path, command: &mut Command) -> Result<()> {
    let status = wait(command).with_context(|| format!("cannot start {}", program.display()))?;
    std::process::exit(status)
}

#[cfg(unix)]
fn wait(command: &mut Command) -> std::io::Result<i32> {
    use std::os::unix::process::CommandExt;
    Err(command.exec())
}

#[cfg(not(unix))]
fn wait(command: &mut Command) -> std::io::Result<i32> {
    Ok(command.status()?.code().unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::fs;

    #[test]
    fn programs_are_those_that_cargos_messages_name() {
        let messages = r#"
   Compiling takd-ops v0.1.0
{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"takd_ops"},"profile":{"test":false},"executable":null}
{"reason":"compiler-artifact","target":{"kind":["test"],"name":"golden"},"executable":"/t/release/deps/golden-01"}
{"reason":"build-script-executed","package_id":"x"}
{"reason":"compiler-artifact","target":{"kind":["bin"],"name":"takd"},"executable":"C:\\t\\takd.exe"}
{"reason":"build-finished","success":true}
"#;
        let program = |name: &str, path: &str| Program { name: name.into(), executable: path.into() };
        let found = programs(messages).unwrap();
        assert_eq!(found, [program("golden", "/t/release/deps/golden-01"), program("takd", r"C:\t\takd.exe")]);
        assert_eq!(find(&found, "takd").unwrap(), PathBuf::from(r"C:\t\takd.exe"));
        assert_eq!(find(&found, "bench_step").unwrap_err().to_string(), "cargo built no program bench_step");
        assert!(programs("{\"reason\":").unwrap_err().to_string().contains("cannot read cargo's message"));
    }

    /// The host's name among targets.
    fn host() -> String {
        let output = cargo(&["-vV"]).output().unwrap();
        let lines = String::from_utf8(output.stdout).unwrap();
        lines.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
    }

    #[test]
    fn programs_are_found_whatever_colours_target_and_target_folder_are_set() {
        let scratch = tempfile::tempdir().unwrap();
        let package = scratch.path().join("package");
        fs::create_dir_all(package.join("src")).unwrap();
        fs::create_dir_all(package.join(".cargo")).unwrap();
        fs::write(package.join("src/main.rs"), "fn main() {}").unwrap();
        let manifest = "[package]\nname = \"tiny\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n";
        fs::write(package.join("Cargo.toml"), manifest).unwrap();
        let config = format!("[build]\ntarget-dir = {:?}\n", scratch.path().join("configured"));
        fs::write(package.join(".cargo/config.toml"), config).unwrap();

        let elsewhere = scratch.path().join("elsewhere").into_os_string();
        let (host, always) = (host().into(), OsString::from("always"));
        let settings: &[(&str, &[(&str, &OsString)])] = &[
            ("configured", &[]),
            ("configured", &[("CARGO_TERM_COLOR", &always), ("CARGO_BUILD_TARGET", &host)]),
            ("elsewhere", &[("CARGO_TERM_PROGRESS_WHEN", &"never".into()), ("CARGO_TARGET_DIR", &elsewhere)]),
        ];
        for (folder, settings) in settings {
            for args in [&["build", "--offline"][..], &["test", "--offline", "--no-run"]] {
                let mut command = cargo(args);
                for name in ["CARGO_BUILD_TARGET", "CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"] {
                    command.env_remove(name);
                }
                command.current_dir(&package).envs(settings.iter().copied());
                let tiny = find(&build(command).unwrap(), "tiny").unwrap();
                assert!(tiny.starts_with(scratch.path().join(folder)), "{}", tiny.display());
                assert!(tiny.is_file(), "{}", tiny.display());
            }
        }
    }
}

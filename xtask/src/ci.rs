//! `cargo xtask ci`.

use anyhow::{Context, Result, bail};
use std::process::Command;
use std::time::Instant;

const STEPS: &[(&str, &[&str])] = &[
    ("format", &["fmt", "--all", "--check"]),
    ("clippy", &["clippy", "--workspace", "--all-targets", "--", "--deny", "warnings"]),
    ("tests and doc tests", &["test", "--workspace"]),
    ("documentation", &["doc", "--workspace", "--no-deps"]),
];

pub(crate) fn run() -> Result<()> {
    for (name, args) in STEPS {
        eprintln!("ci: {name}: cargo {}", args.join(" "));
        let start = Instant::now();
        let mut command = Command::new(crate::cargo());
        command.args(*args).current_dir(crate::root());
        if *name == "documentation" {
            command.env("RUSTDOCFLAGS", "--deny warnings");
        }
        if !command.status().context("cannot start cargo")?.success() {
            bail!("{name} failed; again alone: cargo {}", args.join(" "));
        }
        eprintln!("ci: {name}: {:.0} s", start.elapsed().as_secs_f64());
    }
    Ok(())
}

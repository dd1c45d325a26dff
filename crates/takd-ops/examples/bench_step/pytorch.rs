//! PyTorch in another process, spoken to in lines of JSON.

use crate::network::BATCH;
use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// The memory layouts that PyTorch computes in.
pub const LAYOUTS: [&str; 2] = ["contiguous_format", "channels_last"];

/// PyTorch in another process.
pub struct PyTorch {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

/// A network as PyTorch may run it.
#[derive(Clone, Copy)]
pub struct Variant {
    pub layout: &'static str,
    pub compile: bool,
}

impl Variant {
    pub fn name(self) -> String {
        format!("{}{}", self.layout, if self.compile { "+compile" } else { "" })
    }
}

impl PyTorch {
    pub fn start(python: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pytorch_step.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(rayon::current_num_threads().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("no pipes to {}", python.display())
        };
        Ok(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// What `steps` steps took; nothing, and its reason on stderr, where PyTorch could not.
    pub fn ask(&mut self, network: &str, mode: &str, variant: Variant, steps: usize) -> Result<Option<Value>> {
        let Variant { layout, compile } = variant;
        let request = json!({
            "model": network, "mode": mode, "layout": layout, "compile": compile, "batch": BATCH, "steps": steps
        });
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value = serde_json::from_str(&line).context("PyTorch's process ended, or said what is no JSON")?;
        if let Some(error) = answer.get("error") {
            eprintln!("{network} {mode} {}: {error}", variant.name());
            return Ok(None);
        }
        Ok(Some(answer))
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // The process is ours, and nothing is lost with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

//! PyTorch in another process, which talks in lines of JSON.

use crate::network::Images;
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

/// How PyTorch may run a network; `Graphs` is compiled too, and each step is then one CUDA graph.
#[derive(Clone, Copy, PartialEq)]
pub enum Made {
    Eager,
    Compiled,
    Graphs,
}

/// A network as PyTorch may run it.
#[derive(Clone, Copy)]
pub struct Variant {
    pub layout: &'static str,
    pub made: Made,
}

impl Variant {
    pub fn name(self) -> String {
        let made = match self.made {
            Made::Eager => "",
            Made::Compiled => "+compile",
            Made::Graphs => "+compile+graphs",
        };
        format!("{}{made}", self.layout)
    }
}

impl PyTorch {
    pub fn start(python: &Path, device: &str) -> Result<Self> {
        // The text, not the file: the program may have been taken to another machine.
        let script = include_str!("../../benches/pytorch_step.py");
        let mut child = Command::new(python)
            .args(["-c", script])
            .args([device, &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            bail!("no pipes to {}", python.display())
        };
        Ok(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// The times of `steps` steps; `None`, with the reason on stderr, if PyTorch could not run them.
    pub fn ask(&mut self, network: &str, mode: &str, variant: Variant, steps: usize) -> Result<Option<Value>> {
        let Variant { layout, made } = variant;
        let Images { batch, side, classes } = Images::of(network);
        let request = json!({
            "model": network,
            "mode": mode,
            "layout": layout,
            "compile": made != Made::Eager,
            "graphs": made == Made::Graphs,
            "batch": batch,
            "side": side,
            "classes": classes,
            "steps": steps,
        });
        writeln!(self.requests, "{request}")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        let answer: Value =
            serde_json::from_str(&line).context("PyTorch's process ended, or its answer is not JSON")?;
        if let Some(error) = answer.get("error") {
            eprintln!("{network} {mode} {}: {error}", variant.name());
            return Ok(None);
        }
        Ok(Some(answer))
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // The process was started here, and nothing is lost with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

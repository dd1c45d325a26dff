//! The most memory that a process had resident, ours and PyTorch's, each network and mode in a fresh process.

use crate::network::Task;
use crate::pytorch::{LAYOUTS, Made, PyTorch, Variant};
use crate::{Mode, Options};
use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde_json::{Value, json};
use std::process::Command;

const STEPS: usize = 5;

/// MiB.
#[derive(Clone, Copy)]
struct Peak {
    /// When the program and its libraries were loaded.
    start: f64,
    /// After the steps.
    peak: f64,
}

impl Peak {
    fn new(kib: &Value) -> Result<Self> {
        let mib = |i: usize| kib[i].as_f64().map(|kib| kib / 1024.0).context("a process told no peak of its memory");
        Ok(Self { start: mib(0)?, peak: mib(1)? })
    }

    fn growth(self) -> f64 {
        self.peak - self.start
    }
}

/// This process's most memory resident so far.
fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .context("--memory reads VmHWM of /proc/self/status, which only Linux has: it cannot measure on this system")
}

/// What a child of ours does: a few steps, then its memory, at the start and at most, on stdout.
pub fn child(network: &str, train: bool) -> Result<()> {
    let start = resident_kib()?;
    Task::new(network, train, &Device::Cpu)?.times(STEPS)?;
    println!("{}", json!([start, resident_kib()?]));
    Ok(())
}

fn ours(network: &str, mode: &str) -> Result<Peak> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = command.args(["--memory-child", "--mode", mode, network]).output()?;
    if !output.status.success() {
        bail!("{network} {mode}: {}", String::from_utf8_lossy(&output.stderr));
    }
    Peak::new(&serde_json::from_slice(&output.stdout)?)
}

pub fn compare(options: &Options) -> Result<()> {
    // Before any child says it less well.
    resident_kib()?;
    if !options.json {
        println!("MiB resident: when loaded, at most in {STEPS} steps, and the growth between them");
        let pytorch = if options.python.is_some() { "   PyTorch    peak  growth    ÷ peak ÷ growth" } else { "" };
        println!("network           loaded    peak  growth{pytorch}");
    }
    for network in &options.networks {
        for &train in options.mode.passes() {
            let mode = Mode::name(train);
            let ours = ours(network, mode)?;
            let mut theirs: Option<(Peak, &str)> = None;
            for layout in LAYOUTS {
                let Some(python) = &options.python else { break };
                let variant = Variant { layout, made: Made::Eager };
                if let Some(answer) = PyTorch::start(python, "cpu")?.ask(network, mode, variant, STEPS)? {
                    let peak = Peak::new(&answer["peak_kib"])?;
                    if theirs.is_none_or(|(lowest, _)| peak.peak < lowest.peak) {
                        theirs = Some((peak, layout));
                    }
                }
            }
            if options.json {
                let json = |peak: Peak| json!({"loaded_mib": peak.start, "peak_mib": peak.peak});
                let theirs = theirs.map(|(peak, layout)| json!({"layout": layout, "memory": json(peak)}));
                println!("{}", json!({"network": network, "mode": mode, "ours": json(ours), "pytorch": theirs}));
                continue;
            }
            print!("{network:17} {mode:5} {:7.0} {:7.0} {:7.0}", ours.start, ours.peak, ours.growth());
            if let Some((theirs, layout)) = theirs {
                let (peak, growth) = (theirs.peak / ours.peak, theirs.growth() / ours.growth());
                print!("   {:7.0} {:7.0} {:7.0}", theirs.start, theirs.peak, theirs.growth());
                print!("   {peak:7.2} {growth:8.2}  {layout}");
            }
            println!();
        }
    }
    Ok(())
}

//! Times training steps (forward, cross-entropy, backward, SGD) and evaluations of small networks at batch 128, of ResNets for
//! ImageNet at batch 32, in turns with PyTorch's if `--python` names an interpreter that has it; or compares their memory.
//!
//! ```text
//! cargo run --release -p takd-ops --example bench_step -- --help
//! ```
//!
//! It prints a line for each network and mode:
//!
//! - `ms`: the median of a step's times in a turn, the best of all turns, since the machine's other work only ever adds to
//!   it; `images/s` and `GFLOP/s` follow from it;
//! - GFLOP: multiplications and additions of the convolutions and linear layers as direct sums. A step of training counts
//!   three times a forward pass, less the gradient of the images. Winograd's algorithm does the same with fewer;
//! - `matmul`: GFLOP/s as a share of candle's own for the product of two 1024×1024 matrices;
//! - `fma`: GFLOP/s as a share of multiply-adds on registers alone, which no algorithm of direct sums can exceed;
//! - `copy`: the least bytes a second as a share of the rate at which large buffers are copied, reads and writes both
//!   counted. The least are each layer's inputs and output once per forward pass, and in a backward pass those once more
//!   with their gradients; a layer is a convolution with its normalisation, ReLU, pool and residual;
//! - `PyTorch`: `ms` of its best variant, and `ratio`, how many times as long as ours that is.
//!
//! Other work on the machine still distorts the ratio: PyTorch's threads wait for each other, ours take over each other's
//! work. A ratio is valid only if nothing else runs.
//!
//! With `--device cuda` the step is timed on a GPU, over many steps with one wait after them, and PyTorch also with CUDA
//! graphs; the rate of multiply-adds alone is not measured there.
//!
//! The machine's rates are the best of those measured in the turns of all networks so far. Threads are rayon's: set
//! `RAYON_NUM_THREADS`.

mod machine;
mod memory;
mod network;
mod profile;
mod pytorch;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::{Parser, ValueEnum};
use machine::Machine;
use network::{Images, Task, Work};
use pytorch::{LAYOUTS, Made, PyTorch, Variant};
use serde_json::{Map, json};
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

/// Times training steps and evaluations of small networks, PyTorch's in turns with them
///
/// The columns are explained at the top of the source.
#[derive(Parser)]
struct Options {
    /// plane2, plane4, plane10, resnet8, resnet14, … or imagenet-resnet14, 20, 26, 50
    #[arg(default_values = ["plane2", "plane4", "plane10", "resnet8", "resnet20", "resnet110"])]
    networks: Vec<String>,
    /// What is timed; one mode alone suits a profiler
    #[arg(long, default_value = "both")]
    mode: Mode,
    /// The device; `cuda` needs the feature of that name, with which `cargo xtask bench` builds it
    #[arg(long, default_value = "cpu", conflicts_with_all = ["memory", "profile"])]
    device: Kind,
    /// How many times each takes its turn
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// A Python that has PyTorch
    #[arg(long)]
    python: Option<PathBuf>,
    /// Compile PyTorch's networks too, besides running them eagerly; that takes minutes for resnet110
    #[arg(long)]
    compile: bool,
    /// Run PyTorch's networks eagerly only, even if --compile is given
    #[arg(long)]
    eager: bool,
    /// Peak memory of a few steps in fresh processes instead of time (Linux; PyTorch's eager)
    #[arg(long)]
    memory: bool,
    /// Print how the time of our steps is spent
    #[arg(long, conflicts_with_all = ["memory", "json", "python"])]
    profile: bool,
    /// Lines of JSON instead of a table
    #[arg(long)]
    json: bool,
    #[arg(long, hide = true)]
    memory_child: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    Cpu,
    Cuda,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }

    fn open(self) -> candle_core::Result<Device> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            #[cfg(feature = "cuda")]
            Self::Cuda => takd_ops::cuda_device(0),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => candle_core::bail!("--device cuda: the benchmark was built without the feature `cuda`"),
        }
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Mode {
    Train,
    Eval,
    Both,
}

impl Mode {
    fn passes(self) -> &'static [bool] {
        match self {
            Self::Train => &[true],
            Self::Eval => &[false],
            Self::Both => &[true, false],
        }
    }

    fn name(train: bool) -> &'static str {
        if train { "train" } else { "eval" }
    }
}

fn main() -> Result<()> {
    // candle's own threads spin while they wait; with one there are none besides ours.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    let options = Options::parse();
    // In the pool, as a training program should be: from outside it every parallel loop would wake one thread more than there
    // are cores.
    rayon::scope(|_| {
        if options.memory_child {
            return memory::child(&options.networks[0], options.mode.passes()[0]);
        }
        match &options {
            Options { memory: true, .. } => memory::compare(&options),
            Options { profile: true, .. } => profile::print(&options),
            _ => measure(&options),
        }
    })
}

/// A network in one mode: its own time and that of PyTorch's variants.
struct Timing<'a> {
    network: &'a str,
    mode: &'static str,
    work: Work,
    ms: f64,
    pytorch: Vec<(Variant, f64)>,
}

fn measure(options: &Options) -> Result<()> {
    let device = options.device.open()?;
    let mut machine = Machine::new(&device)?;
    let start = |python: &Path| PyTorch::start(python, options.device.name());
    let mut rival = options.python.as_deref().map(start).transpose()?;
    let mut variants = Vec::new();
    if rival.is_some() {
        for layout in LAYOUTS {
            variants.push(Variant { layout, made: Made::Eager });
            if options.compile && !options.eager {
                variants.push(Variant { layout, made: Made::Compiled });
                if device.is_cuda() {
                    variants.push(Variant { layout, made: Made::Graphs });
                }
            }
        }
    }
    if !options.json {
        let pytorch = if rival.is_some() { " PyTorch   ratio" } else { "" };
        println!("network           mode        ms  images/s  GFLOP/s  matmul   fma  copy {pytorch}");
    }
    let mut ratios: [Vec<f64>; 2] = Default::default();
    for network in &options.networks {
        for &train in options.mode.passes() {
            let task = Task::new(network, train, &device)?;
            let mode = Mode::name(train);
            let pytorch = variants.iter().map(|&variant| (variant, f64::INFINITY)).collect();
            let mut timing = Timing { network, mode, work: task.work()?, ms: f64::INFINITY, pytorch };
            // A quarter of a second a turn; its first step does not count: the caches are still another program's.
            let once = task.times(1)?[0];
            let steps = ((250.0 / once) as usize).clamp(2, 50);
            for round in 1..=options.rounds {
                progress(&format!("{network} {mode}: round {round} of {}", options.rounds));
                machine.measure()?;
                timing.ms = timing.ms.min(median(task.times(steps)?));
                if let Some(rival) = &mut rival {
                    for (variant, best) in &mut timing.pytorch {
                        if let Some(answer) = rival.ask(network, mode, *variant, steps)? {
                            let ms = answer["ms"].as_array().context("PyTorch reported no times")?;
                            *best = best.min(median(ms.iter().filter_map(|ms| ms.as_f64()).collect()));
                        }
                    }
                }
            }
            progress("");
            // Without those that PyTorch could not run.
            timing.pytorch.retain(|(_, ms)| ms.is_finite());
            if let Some((_, best)) = timing.pytorch_best() {
                ratios[usize::from(!train)].push(best / timing.ms);
            }
            timing.print(&machine, options.json);
        }
    }
    let means = ratios.map(|ratios| geometric_mean(&ratios));
    let Machine { matmul, fma, copy, .. } = machine;
    let place = if device.is_cpu() { format!("{} threads", rayon::current_num_threads()) } else { "the GPU".into() };
    if options.json {
        println!("{}", json!({"matmul_gflop_s": matmul, "fma_gflop_s": fma, "copy_gb_s": copy}));
        println!("{}", json!({"geometric_mean_ratio": {"train": means[0], "eval": means[1]}}));
        return Ok(());
    }
    for (train, mean) in [true, false].into_iter().zip(means) {
        if let Some(mean) = mean {
            println!("geometric mean of the ratios, {}: {mean:.2}", Mode::name(train));
        }
    }
    let fma = fma.map_or_else(String::new, |fma| format!("fma {fma:.0} GFLOP/s, "));
    println!("{place}: matmul {matmul:.0} GFLOP/s, {fma}copy {copy:.1} GB/s");
    Ok(())
}

impl Timing<'_> {
    fn pytorch_best(&self) -> Option<(Variant, f64)> {
        self.pytorch.iter().copied().min_by(|(_, a), (_, b)| a.total_cmp(b))
    }

    fn print(&self, machine: &Machine, as_json: bool) {
        let Self { network, mode, ms, .. } = self;
        let best = self.pytorch_best();
        let images = 1e3 * Images::of(network).batch as f64 / ms;
        let gflop = self.work.flop / ms / 1e6;
        let of_fma = machine.fma.map(|fma| gflop / fma);
        let shares = [Some(gflop / machine.matmul), of_fma, Some(self.work.bytes / ms / 1e6 / machine.copy)];
        if as_json {
            let variants: Map<_, _> = self.pytorch.iter().map(|(variant, ms)| (variant.name(), json!(ms))).collect();
            let line = json!({
                "network": network,
                "mode": mode,
                "ms": ms,
                "images_s": images,
                "gflop_s": gflop,
                "matmul_share": shares[0],
                "fma_share": shares[1],
                "copy_share": shares[2],
                "pytorch_best_ms": best.map(|(_, ms)| ms),
                "ratio": best.map(|(_, best)| best / ms),
                "pytorch_ms": variants,
            });
            println!("{line}");
            return;
        }
        let [matmul, fma, copy] =
            shares.map(|share| share.map_or_else(|| "–".into(), |share| format!("{:.0}%", 100.0 * share)));
        print!("{network:17} {mode:5} {ms:8.2} {images:9.0} {gflop:8.1} {matmul:>7} {fma:>5} {copy:>5}");
        if let Some((variant, best)) = best {
            print!(" {best:8.2} {:6.2}  {}", best / ms, variant.name());
        }
        println!();
    }
}

/// One line of a terminal, written over.
fn progress(text: &str) {
    if std::io::stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn geometric_mean(ratios: &[f64]) -> Option<f64> {
    let sum: f64 = ratios.iter().map(|ratio| ratio.ln()).sum();
    (!ratios.is_empty()).then(|| (sum / ratios.len() as f64).exp())
}

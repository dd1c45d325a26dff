//! Times training steps (forward, cross-entropy, backward, SGD) and evaluations of small networks, and PyTorch's in
//! turns with them where `--python` names an interpreter that has it. One JSON line a network and mode.
//!
//! ```text
//! cargo run --release -p takd-ops --example bench_step -- --help
//! ```

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, Module, VarBuilder, VarMap};
use clap::{Parser, ValueEnum};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, SgdParams, Then, global_avg_pool, sgd_step};

const BATCH: usize = 128;
const SGD: SgdParams = SgdParams { lr: 0.01, momentum: 0.9, nesterov: false, weight_decay: 1e-4 };

/// Times training steps and evaluations of small networks, PyTorch's in turns with them.
#[derive(Parser)]
struct Options {
    /// plane2, plane4, plane10, or resnet8, resnet14, …
    #[arg(default_values = ["plane2", "plane4", "plane10", "resnet8", "resnet20", "resnet110"])]
    networks: Vec<String>,
    /// What is timed: one alone suits a profiler
    #[arg(long, default_value = "both")]
    mode: Mode,
    /// How many times each takes its turn
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// A Python that has PyTorch
    #[arg(long)]
    python: Option<String>,
    /// PyTorch's networks compiled too, not only run eagerly
    #[arg(long)]
    compile: bool,
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
}

struct Block {
    first: ConvBn,
    second: ConvBn,
    projection: Option<ConvBn>,
}

enum Network {
    /// Layers, each with or without pool; fully connected layers.
    Plain(Vec<(ConvBn, bool)>, Vec<Linear>),
    Resnet(ConvBn, Vec<Block>, Linear),
}

fn conv_bn(c_in: usize, c_out: usize, kernel: usize, stride: usize, bias: bool, vb: &VarBuilder) -> Result<ConvBn> {
    let params = Conv2dParams { stride, padding: kernel / 2 };
    let new = if bias { Conv2d::new } else { Conv2d::no_bias };
    Ok(ConvBn { conv: new(c_in, c_out, kernel, params, &vb.pp("conv"))?, bn: BatchNorm::new(c_out, &vb.pp("bn"))? })
}

fn build(name: &str, vb: &VarBuilder) -> Result<Network> {
    if let Some(depth) = name.strip_prefix("resnet").and_then(|depth| depth.parse::<usize>().ok()) {
        let mut blocks = Vec::new();
        let mut channels = 16;
        for (stage, width) in [16, 32, 64].into_iter().enumerate() {
            for i in 0..(depth - 2) / 6 {
                let stride = if i == 0 && stage > 0 { 2 } else { 1 };
                let vb = vb.pp(format!("{stage}.{i}"));
                let projection = if stride == 2 {
                    Some(conv_bn(channels, width, 1, stride, false, &vb.pp("projection"))?)
                } else {
                    None
                };
                blocks.push(Block {
                    first: conv_bn(channels, width, 3, stride, false, &vb.pp("first"))?,
                    second: conv_bn(width, width, 3, 1, false, &vb.pp("second"))?,
                    projection,
                });
                channels = width;
            }
        }
        let fc = candle_nn::linear(64, 10, vb.pp("fc"))?;
        return Ok(Network::Resnet(conv_bn(3, 16, 3, 1, false, &vb.pp("stem"))?, blocks, fc));
    }
    let (groups, hidden): (&[&[usize]], _) = match name {
        "plane2" => (&[&[16], &[16]], None),
        "plane4" => (&[&[16, 16], &[32, 32]], None),
        "plane10" => (&[&[32, 32], &[64, 64], &[128, 128], &[256; 4]], Some(128)),
        _ => candle_core::bail!("no network {name}: plane2, plane4, plane10 or resnet8, resnet14, …"),
    };
    let (mut layers, mut channels, mut side) = (Vec::new(), 3, 32);
    for group in groups {
        for (i, &width) in group.iter().enumerate() {
            layers.push((conv_bn(channels, width, 3, 1, true, &vb.pp(layers.len()))?, i + 1 == group.len()));
            channels = width;
        }
        side /= 2;
    }
    let features = channels * side * side;
    let fc = match hidden {
        Some(hidden) => {
            vec![candle_nn::linear(features, hidden, vb.pp("fc1"))?, candle_nn::linear(hidden, 10, vb.pp("fc2"))?]
        }
        None => vec![candle_nn::linear(features, 10, vb.pp("fc"))?],
    };
    Ok(Network::Plain(layers, fc))
}

impl Network {
    fn forward(&self, images: &Tensor, train: bool) -> Result<Tensor> {
        let mut features = Features::new(images)?;
        match self {
            Self::Plain(layers, fc) => {
                for (layer, pool) in layers {
                    let then = if *pool { Then::ReluMaxPool } else { Then::Relu };
                    features = layer.forward_features(&features, then, train)?;
                }
                let mut flat = features.to_tensor()?.permute((0, 3, 1, 2))?.flatten_from(1)?;
                for (i, fc) in fc.iter().enumerate() {
                    flat = fc.forward(&if i == 0 { flat } else { flat.relu()? })?;
                }
                Ok(flat)
            }
            Self::Resnet(stem, blocks, fc) => {
                features = stem.forward_features(&features, Then::Relu, train)?;
                for block in blocks {
                    let shortcut = match &block.projection {
                        Some(projection) => projection.forward_features(&features, Then::Nothing, train)?,
                        None => features.clone(),
                    };
                    let hidden = block.first.forward_features(&features, Then::Relu, train)?;
                    features = block.second.forward_features(&hidden, Then::AddRelu(&shortcut), train)?;
                }
                fc.forward(&global_avg_pool(&features.to_tensor()?)?)
            }
        }
    }
}

struct Trainer {
    network: Network,
    vars: Vec<(Var, Var)>,
    images: Tensor,
    labels: Tensor,
}

impl Trainer {
    fn new(name: &str) -> Result<Self> {
        let varmap = VarMap::new();
        let network = build(name, &VarBuilder::from_varmap(&varmap, DType::F32, &Device::Cpu))?;
        let mut vars = Vec::new();
        for var in varmap.all_vars() {
            if var.dtype() == DType::F32 {
                vars.push((var.clone(), Var::from_tensor(&var.zeros_like()?)?));
            }
        }
        let images = Tensor::randn(0f32, 1., (BATCH, 32, 32, 3), &Device::Cpu)?;
        let labels = Tensor::from_iter((0..BATCH as u32).map(|i| i % 10), &Device::Cpu)?;
        Ok(Self { network, vars, images, labels })
    }

    fn step(&self, train: bool) -> Result<()> {
        let logits = self.network.forward(&self.images, train)?;
        if !train {
            return Ok(());
        }
        let grads = candle_nn::loss::cross_entropy(&logits, &self.labels)?.backward()?;
        for (var, momentum) in &self.vars {
            if let Some(grad) = grads.get(var) {
                sgd_step(var, grad, momentum, SGD)?;
            }
        }
        Ok(())
    }

    fn times(&self, train: bool, steps: usize) -> Result<Vec<f64>> {
        self.step(train)?;
        (0..steps)
            .map(|_| {
                let start = Instant::now();
                self.step(train)?;
                Ok(1000.0 * start.elapsed().as_secs_f64())
            })
            .collect()
    }
}

/// PyTorch in another process.
struct Rival {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Rival {
    fn start(python: &str) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pytorch_step.py");
        let mut child = Command::new(python)
            .arg(script)
            .arg(rayon::current_num_threads().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(requests), Some(answers)) = (child.stdin.take(), child.stdout.take()) else {
            candle_core::bail!("no pipes to {python}")
        };
        Ok(Self { child, requests, answers: BufReader::new(answers) })
    }

    /// Nothing where PyTorch could not.
    fn times(&mut self, name: &str, train: bool, layout: &str, compile: bool, steps: usize) -> Result<Vec<f64>> {
        let mode = if train { "train" } else { "eval" };
        writeln!(
            self.requests,
            r#"{{"model": "{name}", "mode": "{mode}", "layout": "{layout}", "compile": {compile}, "batch": {BATCH}, "steps": {steps}}}"#
        )?;
        let mut answer = String::new();
        self.answers.read_line(&mut answer)?;
        let numbers = answer.trim().strip_prefix(r#"{"ms": ["#).and_then(|rest| rest.strip_suffix("]}"));
        if numbers.is_none() {
            eprintln!("{name} {layout} compile={compile}: {}", answer.trim());
        }
        Ok(numbers.unwrap_or("").split(", ").filter_map(|number| number.parse().ok()).collect())
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        // The process is ours, and nothing is lost with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    if times.is_empty() { f64::NAN } else { times[times.len() / 2] }
}

fn main() -> Result<()> {
    // In the pool, as a training program should be: from outside it every parallel loop would wake a thread more than there
    // are cores.
    let options = Options::parse();
    rayon::scope(|_| measure(&options))
}

fn measure(options: &Options) -> Result<()> {
    let Options { networks, rounds, compile, .. } = options;
    let (rounds, compile) = (*rounds, *compile);
    let mut rival = options.python.as_deref().map(Rival::start).transpose()?;
    let (mut training, mut evaluation) = (Vec::new(), Vec::new());
    for name in networks {
        let trainer = Trainer::new(name)?;
        for &train in options.mode.passes() {
            let mut ours = Vec::new();
            let mut theirs: Vec<(&str, bool, Vec<f64>)> = Vec::new();
            if rival.is_some() {
                for layout in ["contiguous_format", "channels_last"] {
                    theirs.push((layout, false, Vec::new()));
                    if compile {
                        theirs.push((layout, true, Vec::new()));
                    }
                }
            }
            // A quarter of a second a turn; its first step, in the caches of whoever came before, does not count.
            let once = trainer.times(train, 2)?[1];
            let steps = ((250.0 / once) as usize).clamp(3, 50);
            for _ in 0..rounds {
                ours.extend(&trainer.times(train, 1 + steps)?[1..]);
                for (layout, compile, times) in &mut theirs {
                    if let Some(rival) = &mut rival {
                        times.extend(&rival.times(name, train, layout, *compile, 1 + steps)?[1..]);
                    }
                }
            }
            let ours = median(&mut ours);
            let theirs: Vec<_> = theirs.iter_mut().map(|(l, c, times)| (*l, *c, median(times))).collect();
            let best = theirs.iter().map(|(_, _, ms)| *ms).fold(f64::NAN, f64::min);
            let ratio = best / ours;
            if train { &mut training } else { &mut evaluation }.push(ratio);
            let mode = if train { "train" } else { "eval" };
            let details: Vec<_> = theirs
                .iter()
                .map(|(l, c, ms)| format!(r#", "{l}{}": {ms:.2}"#, if *c { "+compile" } else { "" }))
                .collect();
            println!(
                r#"{{"model": "{name}", "mode": "{mode}", "ms": {ours:.2}, "pytorch_best_ms": {best:.2}, "ratio": {ratio:.2}{}}}"#,
                details.concat()
            );
        }
    }
    for (mode, ratios) in [("train", training), ("eval", evaluation)] {
        if ratios.is_empty() {
            continue;
        }
        let mean = (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp();
        println!(r#"{{"mode": "{mode}", "geometric_mean_ratio": {mean:.3}}}"#);
    }
    Ok(())
}

//! Times the distillation loss, forward and backward: ours, candle's composite and PyTorch's, in turns.
//!
//! ```text
//! cargo run --release -p takd-loss --example bench_loss                                   # without PyTorch
//! cargo run --release -p takd-loss --example bench_loss -- --python venv/bin/python       # with it
//! cargo run --release -p takd-loss --example bench_loss -- --turns 3 128x10 256x1000      # these shapes
//! cargo run --release -p takd-loss --example bench_loss -- --dtype bf16                   # f32, f16 or bf16
//! ```
//!
//! One JSON line a shape:
//!
//! ```text
//! {"batch": 128, "classes": 10, "dtype": "f32", "threads": 2, "pytorch": "torch 2.15.0", "copy_gb_s": ..,
//!  "ours": {"ms": .., "gb_s": .., "copy_share": ..}, "ours_grad": {..}, "candle": {.., "ratio": ..}, "pytorch_eager": {..}}
//! ```
//!
//! - `ours`: `KdLoss::forward` and candle's `backward`, which adds the gradient to a tensor of zeros;
//! - `ours_grad`: `KdLoss::forward_and_grad`, which gives the same loss and gradient without autograd;
//! - `candle`: the loss as a chain of candle operations, and `backward`;
//! - `pytorch_eager`: PyTorch's composite and `backward`, in `benches/pytorch_kd_loss.py` with as many threads;
//! - `ratio`: how many times as long as `ours` it took; `ratio_to_grad`: as `ours_grad`;
//! - `gb_s`: bytes a second of the three passes that no loss can avoid: student read, teacher read, gradient written;
//! - `copy_gb_s`: bytes read and written a second when as many threads copy a logits tensor to memory already touched;
//! - `copy_share`: `gb_s` over `copy_gb_s`. A batch that fits in a cache is copied there too.
//!
//! Each contender has its turn in each of several rounds, a turn being one call to warm up and then calls for a quarter of a
//! second. A time is the best of the turns' medians: the machine's other work only ever adds to it. All of it runs inside
//! rayon's pool, as training does; its threads are set by `RAYON_NUM_THREADS`. Logits are N(0, 3²) from a fixed seed; τ = 4,
//! λ = 0.5.

use anyhow::{Context, Result, bail, ensure};
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use rand_distr::{Distribution, Normal, Uniform};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use takd_loss::{KdLoss, reference};

/// How long a contender's turn lasts.
const TURN: Duration = Duration::from_millis(250);

const SHAPES: [(usize, usize); 5] = [(128, 10), (128, 100), (256, 1000), (1024, 32_000), (512, 151_936)];

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let mut pytorch = options.python.as_deref().map(PyTorch::start).transpose()?;
    for &(batch, classes) in &options.shapes {
        let inputs = Inputs::new(batch, classes, &options.dtype)?;
        let mut best = [f64::INFINITY; 5];
        for _ in 0..options.turns {
            let mut keep = |contender: usize, seconds: Vec<f64>| best[contender] = best[contender].min(median(seconds));
            rayon::scope(|_| -> Result<()> {
                keep(0, time(|| inputs.ours())?);
                keep(1, time(|| inputs.ours_grad())?);
                keep(2, time(|| inputs.candle())?);
                keep(4, time(inputs.copy())?);
                Ok(())
            })?;
            if let Some(pytorch) = &mut pytorch {
                keep(3, pytorch.measure(&inputs)?);
            }
        }
        let [ours, ours_grad, candle, torch, copy] = best;
        let tensor_gb = (batch * classes * inputs.teacher.dtype().size_in_bytes()) as f64 / 1e9;
        let copy_gb_s = 2.0 * tensor_gb / copy;
        let line = |seconds: f64| {
            let gb_s = 3.0 * tensor_gb / seconds;
            json!({ "ms": short(seconds * 1e3), "gb_s": short(gb_s), "copy_share": short(gb_s / copy_gb_s) })
        };
        let rival = |seconds: f64| {
            let mut line = line(seconds);
            line["ratio"] = json!(short(seconds / ours));
            line["ratio_to_grad"] = json!(short(seconds / ours_grad));
            line
        };
        let line = json!({
            "batch": batch,
            "classes": classes,
            "dtype": options.dtype,
            "threads": rayon::current_num_threads(),
            "pytorch": pytorch.as_ref().map(|pytorch| pytorch.version.as_str()),
            "copy_gb_s": short(copy_gb_s),
            "ours": line(ours),
            "ours_grad": line(ours_grad),
            "candle": rival(candle),
            "pytorch_eager": pytorch.as_ref().map(|_| rival(torch)),
        });
        println!("{line}");
    }
    Ok(())
}

struct Options {
    python: Option<PathBuf>,
    turns: usize,
    dtype: String,
    shapes: Vec<(usize, usize)>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mut options = Options { python: None, turns: 5, dtype: "f32".into(), shapes: Vec::new() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("`{argument}` lacks its value"));
            match argument.as_str() {
                "--python" => options.python = Some(value()?.into()),
                "--turns" => options.turns = value()?.parse().context("--turns takes a number")?,
                "--dtype" => options.dtype = value()?,
                shape => {
                    let (batch, classes) =
                        shape.split_once('x').with_context(|| format!("`{shape}` is no shape such as 128x10"))?;
                    options.shapes.push((batch.parse()?, classes.parse()?));
                }
            }
        }
        if options.shapes.is_empty() {
            options.shapes = SHAPES.into();
        }
        Ok(options)
    }
}

struct Inputs {
    batch: usize,
    classes: usize,
    dtype: String,
    student: Var,
    teacher: Tensor,
    labels: Tensor,
}

impl Inputs {
    fn new(batch: usize, classes: usize, dtype: &str) -> Result<Inputs> {
        let to = match dtype {
            "f32" => DType::F32,
            "f16" => DType::F16,
            "bf16" => DType::BF16,
            other => bail!("`{other}` is none of f32, f16, bf16"),
        };
        let normal = Normal::new(0f32, 3.0)?;
        let logits = |name: &str| -> Result<Tensor> {
            // A large tensor repeats itself: random numbers are slow, and no kernel can tell.
            let mut rng = takd_rng::stream(0, name);
            let values: Vec<f32> = normal.sample_iter(&mut rng).take((batch * classes).min(1_000_003)).collect();
            let values: Vec<f32> = values.iter().cycle().take(batch * classes).copied().collect();
            Ok(Tensor::from_vec(values, (batch, classes), &Device::Cpu)?.to_dtype(to)?)
        };
        let mut rng = takd_rng::stream(0, "labels");
        let labels: Vec<u32> = Uniform::new(0, classes as u32)?.sample_iter(&mut rng).take(batch).collect();
        Ok(Inputs {
            batch,
            classes,
            dtype: dtype.into(),
            student: Var::from_tensor(&logits("student")?)?,
            teacher: logits("teacher")?,
            labels: Tensor::from_vec(labels, batch, &Device::Cpu)?,
        })
    }

    fn ours(&self) -> Result<GradStore> {
        Ok(LOSS.forward(&self.student, &self.teacher, &self.labels)?.backward()?)
    }

    fn ours_grad(&self) -> Result<(Tensor, Tensor)> {
        Ok(LOSS.forward_and_grad(&self.student, &self.teacher, &self.labels)?)
    }

    fn candle(&self) -> Result<GradStore> {
        Ok(reference::kd_loss(&LOSS, &self.student, &self.teacher, &self.labels, None)?.backward()?)
    }

    fn copy(&self) -> impl FnMut() -> Result<u8> + use<> {
        let from = vec![1u8; self.batch * self.classes * self.teacher.dtype().size_in_bytes()];
        let mut to = vec![2u8; from.len()];
        move || {
            let part = from.len().div_ceil(rayon::current_num_threads()).max(1 << 14);
            to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
            Ok(to[0])
        }
    }
}

const LOSS: KdLoss = KdLoss {
    temperature: 4.0,
    lambda: 0.5,
    reduction: takd_loss::Reduction::BatchMean,
    label_smoothing: 0.0,
    ignore_index: None,
};

/// Seconds of each call, after one that is not counted.
fn time<T>(mut run: impl FnMut() -> Result<T>) -> Result<Vec<f64>> {
    drop(run()?);
    let mut seconds = Vec::new();
    let turn = Instant::now();
    while seconds.is_empty() || turn.elapsed() < TURN {
        let start = Instant::now();
        drop(std::hint::black_box(run()?));
        seconds.push(start.elapsed().as_secs_f64());
    }
    Ok(seconds)
}

/// Three digits are more than a measurement is worth.
fn short(value: f64) -> f64 {
    format!("{value:.2e}").parse().expect("a number, written as one")
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// `benches/pytorch_kd_loss.py`, which answers a line with a line.
struct PyTorch {
    process: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    version: String,
}

impl PyTorch {
    fn start(python: &Path) -> Result<PyTorch> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pytorch_kd_loss.py");
        let mut process = Command::new(python)
            .arg(script)
            .args(["--threads", &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", python.display()))?;
        let requests = process.stdin.take().context("no way in")?;
        let answers = BufReader::new(process.stdout.take().context("no way out")?);
        let mut pytorch = PyTorch { process, requests, answers, version: String::new() };
        let ready = pytorch.line()?;
        pytorch.version = ready["ready"].as_str().context("PyTorch did not say its version")?.into();
        Ok(pytorch)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "PyTorch ended: is torch installed for this Python?");
        Ok(serde_json::from_str(&line)?)
    }

    fn measure(&mut self, inputs: &Inputs) -> Result<Vec<f64>> {
        let Inputs { batch, classes, dtype, .. } = inputs;
        let request = json!({
            "batch": batch, "classes": classes, "dtype": dtype, "seconds": TURN.as_secs_f64(),
            "temperature": LOSS.temperature, "lambda": LOSS.lambda,
        });
        writeln!(self.requests, "{request}")?;
        let answer = self.line()?;
        ensure!(answer.get("error").is_none(), "PyTorch: {}", answer["error"]);
        Ok(serde_json::from_value(answer["seconds"].clone())?)
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

//! Times the distillation loss, forward and backward: ours, candle's composite and PyTorch's, in turns.
//!
//! ```text
//! cargo run --release -p takd-loss --example bench_loss                                   # without PyTorch
//! cargo run --release -p takd-loss --example bench_loss -- --python venv/bin/python       # with it
//! cargo run --release -p takd-loss --example bench_loss -- --turns 3 128x10 256x1000      # these shapes
//! cargo run --release -p takd-loss --example bench_loss -- --dtype bf16                   # f32, f16 or bf16
//! cargo run --release -p takd-loss --features cuda --example bench_loss -- --device cuda  # on the first GPU
//! ```
//!
//! One JSON line a shape:
//!
//! ```text
//! {"batch": 128, "classes": 10, "dtype": "f32", "device": "cpu", "threads": 2, "pytorch": "torch 2.15.0", "copy_gb_s": ..,
//!  "ours": {"ms": .., "gb_s": .., "copy_share": ..}, "ours_grad": {..}, "ours_grad_kept": {..},
//!  "candle": {.., "ratio": ..}, "pytorch_eager": {..}}
//! ```
//!
//! - `ours`: `KdLoss::forward` and candle's `backward`, which adds the gradient to a tensor of zeros;
//! - `ours_grad`: `KdLoss::forward_and_grad`, which gives the same loss and gradient without autograd, in new memory;
//! - `ours_grad_kept`: `KdLoss::forward_and_grad_into`, which leaves the gradient in memory kept from call to call;
//! - `candle`: the loss as a chain of candle operations, and `backward`;
//! - `pytorch_eager`: PyTorch's composite and `backward`, in `benches/pytorch_kd_loss.py` with as many threads; on a GPU also
//!   `pytorch_compile`, `pytorch_cuda_graphs`, and if it is installed Liger-Kernel's kernels, `liger_kl_div` and `liger_jsd`;
//!   null for one that failed, which standard error tells of;
//! - `ratio`: how many times as long as `ours` it took; `ratio_to_grad`: as `ours_grad`;
//! - `gb_s`: bytes a second of the three passes that no loss can avoid: student read, teacher read, gradient written;
//! - `copy_gb_s`: bytes read and written a second when as many threads, or the GPU, copy a logits tensor to memory already
//!   touched;
//! - `copy_share`: `gb_s` over `copy_gb_s`. A batch that fits in a cache is copied there too.
//!
//! Each contender has its turn in each of several rounds, a turn being one call to warm up and then calls for a quarter of a
//! second. A time is the best of the turns' medians: the machine's other work only ever adds to it. On a GPU, 20 calls follow
//! each other before it is waited for, and their mean counts as one call's time. All of it runs inside rayon's pool, as
//! training does; its threads are set by `RAYON_NUM_THREADS`. Logits are N(0, 3²) from a fixed seed; τ = 4, λ = 0.5.

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
use takd_loss::{BadRows, KdLoss, Reduction, reference};

/// How long a contender's turn lasts.
const TURN: Duration = Duration::from_millis(250);

/// Calls that follow each other before a GPU is waited for, as in `benches/pytorch_kd_loss.py`.
const CALLS_A_WAIT: usize = 20;

const SHAPES: [(usize, usize); 5] = [(128, 10), (128, 100), (256, 1000), (1024, 32_000), (512, 151_936)];

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let device = match options.device.as_str() {
        "cpu" => Device::Cpu,
        "cuda" => cuda().context("no CUDA device answers; --features cuda builds for one")?,
        other => bail!("`{other}` is none of cpu, cuda"),
    };
    let mut pytorch = options.python.as_deref().map(|python| PyTorch::start(python, &options.device)).transpose()?;
    let rivals = pytorch.as_ref().map_or(Vec::new(), |pytorch| pytorch.contenders.clone());
    for &(batch, classes) in &options.shapes {
        let inputs = Inputs::new(batch, classes, &options.dtype, &device)?;
        let mut best = vec![f64::INFINITY; 5 + rivals.len()];
        for _ in 0..options.turns {
            let mut keep = |contender: usize, seconds: Vec<f64>| best[contender] = best[contender].min(median(seconds));
            rayon::scope(|_| -> Result<()> {
                keep(0, time(&device, || inputs.ours())?);
                keep(1, time(&device, || inputs.ours_grad())?);
                keep(2, time(&device, || inputs.ours_grad_kept())?);
                keep(3, time(&device, || inputs.candle())?);
                keep(4, time(&device, inputs.copy()?)?);
                Ok(())
            })?;
            if let Some(pytorch) = &mut pytorch {
                for (index, rival) in rivals.iter().enumerate() {
                    match pytorch.measure(rival, &inputs) {
                        Ok(seconds) => keep(5 + index, seconds),
                        Err(error) => eprintln!("[{batch}, {classes}] {rival}: {error:#}"),
                    }
                }
            }
        }
        let (ours, ours_grad, ours_grad_kept, candle, copy) = (best[0], best[1], best[2], best[3], best[4]);
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
        let mut line = json!({
            "batch": batch,
            "classes": classes,
            "dtype": options.dtype,
            "device": options.device,
            "threads": rayon::current_num_threads(),
            "pytorch": pytorch.as_ref().map(|pytorch| pytorch.version.as_str()),
            "copy_gb_s": short(copy_gb_s),
            "ours": line(ours),
            "ours_grad": line(ours_grad),
            "ours_grad_kept": line(ours_grad_kept),
            "candle": rival(candle),
        });
        for (name, seconds) in rivals.iter().zip(&best[5..]) {
            line[name] = if seconds.is_finite() { rival(*seconds) } else { Value::Null };
        }
        println!("{line}");
    }
    Ok(())
}

struct Options {
    python: Option<PathBuf>,
    turns: usize,
    dtype: String,
    device: String,
    shapes: Vec<(usize, usize)>,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Options> {
        let mut options =
            Options { python: None, turns: 5, dtype: "f32".into(), device: "cpu".into(), shapes: Vec::new() };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("`{argument}` lacks its value"));
            match argument.as_str() {
                "--python" => options.python = Some(value()?.into()),
                "--turns" => options.turns = value()?.parse().context("--turns takes a number")?,
                "--dtype" => options.dtype = value()?,
                "--device" => options.device = value()?,
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
    grad: Tensor,
}

impl Inputs {
    fn new(batch: usize, classes: usize, dtype: &str, device: &Device) -> Result<Inputs> {
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
            Ok(Tensor::from_vec(values, (batch, classes), device)?.to_dtype(to)?)
        };
        let mut rng = takd_rng::stream(0, "labels");
        let labels: Vec<u32> = Uniform::new(0, classes as u32)?.sample_iter(&mut rng).take(batch).collect();
        Ok(Inputs {
            batch,
            classes,
            dtype: dtype.into(),
            student: Var::from_tensor(&logits("student")?)?,
            teacher: logits("teacher")?,
            grad: Tensor::ones((batch, classes), to, device)?,
            labels: Tensor::from_vec(labels, batch, device)?,
        })
    }

    fn ours(&self) -> Result<GradStore> {
        Ok(LOSS.forward(&self.student, &self.teacher, &self.labels)?.backward()?)
    }

    fn ours_grad(&self) -> Result<(Tensor, Tensor)> {
        Ok(LOSS.forward_and_grad(&self.student, &self.teacher, &self.labels)?)
    }

    fn ours_grad_kept(&self) -> Result<Tensor> {
        Ok(LOSS.forward_and_grad_into(&self.student, &self.teacher, &self.labels, &self.grad)?)
    }

    fn candle(&self) -> Result<GradStore> {
        Ok(reference::kd_loss(&LOSS, &self.student, &self.teacher, &self.labels, None)?.backward()?)
    }

    fn copy(&self) -> Result<Box<dyn FnMut() -> Result<()>>> {
        let bytes = self.batch * self.classes * self.teacher.dtype().size_in_bytes();
        #[cfg(feature = "cuda")]
        if let Device::Cuda(device) = self.teacher.device().clone() {
            let (from, mut to) = (device.alloc_zeros::<u8>(bytes)?, device.alloc_zeros::<u8>(bytes)?);
            return Ok(Box::new(move || Ok(device.memcpy_dtod(&from, &mut to)?)));
        }
        let (from, mut to) = (vec![1u8; bytes], vec![2u8; bytes]);
        Ok(Box::new(move || {
            let part = bytes.div_ceil(rayon::current_num_threads()).max(1 << 14);
            to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
            std::hint::black_box(&to);
            Ok(())
        }))
    }
}

/// The time of a training loop's loss on a GPU, on which nothing waits.
const LOSS: KdLoss = KdLoss {
    temperature: 4.0,
    lambda: 0.5,
    reduction: Reduction::BatchMean,
    label_smoothing: 0.0,
    ignore_index: None,
    bad_rows: BadRows::Nan,
};

/// Seconds of each call, after some that are not counted.
fn time<T>(device: &Device, mut run: impl FnMut() -> Result<T>) -> Result<Vec<f64>> {
    let calls = if device.is_cpu() { 1 } else { CALLS_A_WAIT };
    let mut in_a_row = || -> Result<f64> {
        let start = Instant::now();
        for _ in 0..calls {
            drop(std::hint::black_box(run()?));
        }
        device.synchronize()?;
        Ok(start.elapsed().as_secs_f64() / calls as f64)
    };
    in_a_row()?;
    let mut seconds = Vec::new();
    let turn = Instant::now();
    while seconds.is_empty() || turn.elapsed() < TURN {
        seconds.push(in_a_row()?);
    }
    Ok(seconds)
}

/// The first NVIDIA GPU; it keeps freed memory for the next tensors, as PyTorch's does.
#[cfg(feature = "cuda")]
fn cuda() -> candle_core::Result<Device> {
    use candle_core::cuda_backend::cudarc::driver::{result, sys};
    let device = candle_core::CudaDevice::new_with_stream(0)?;
    // SAFETY: there is one stream. The pool is the device's, and the value 64 bits wide, as the attribute's is.
    unsafe {
        device.disable_event_tracking();
        if let Ok(pool) = result::device::get(0).and_then(|gpu| result::device::get_default_mem_pool(gpu)) {
            let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
            let mut kept = u64::MAX;
            let _ = sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut kept).cast());
        }
    }
    Ok(Device::Cuda(device))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> candle_core::Result<Device> {
    Device::new_cuda(0)
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
    contenders: Vec<String>,
}

impl PyTorch {
    fn start(python: &Path, device: &str) -> Result<PyTorch> {
        // The text, not the file: the program may have been taken to another machine.
        let script = include_str!("../benches/pytorch_kd_loss.py");
        let mut process = Command::new(python)
            .args(["-c", script])
            .args(["--device", device, "--threads", &rayon::current_num_threads().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("{} does not start", python.display()))?;
        let requests = process.stdin.take().context("no way in")?;
        let answers = BufReader::new(process.stdout.take().context("no way out")?);
        let mut pytorch = PyTorch { process, requests, answers, version: String::new(), contenders: Vec::new() };
        let ready = pytorch.line()?;
        pytorch.version = ready["ready"].as_str().context("PyTorch did not say its version")?.into();
        pytorch.contenders = serde_json::from_value(ready["contenders"].clone())?;
        Ok(pytorch)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        ensure!(self.answers.read_line(&mut line)? > 0, "PyTorch ended: is torch installed for this Python?");
        Ok(serde_json::from_str(&line)?)
    }

    fn measure(&mut self, contender: &str, inputs: &Inputs) -> Result<Vec<f64>> {
        let Inputs { batch, classes, dtype, .. } = inputs;
        let request = json!({
            "contender": contender, "batch": batch, "classes": classes, "dtype": dtype, "seconds": TURN.as_secs_f64(),
            "temperature": LOSS.temperature, "lambda": LOSS.lambda,
        });
        writeln!(self.requests, "{request}")?;
        let answer = self.line()?;
        ensure!(answer.get("error").is_none(), "{}", answer["error"]);
        Ok(serde_json::from_value(answer["seconds"].clone())?)
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

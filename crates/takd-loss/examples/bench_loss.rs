//! Times the distillation loss, forward and backward: ours, candle's composite, and a plain copy for scale.
//!
//! ```text
//! cargo run --release -p takd-loss --example bench_loss                    # every shape, JSON lines
//! cargo run --release -p takd-loss --example bench_loss -- 128x10 256x1000 # these shapes
//! cargo run --release -p takd-loss --example bench_loss -- serve           # one request a line, in turns with another
//! ```
//!
//! One JSON line a measurement: `{"what": "ours", "batch": 128, "classes": 10, "dtype": "f32", "seconds": [..]}`.
//!
//! `serve` speaks the protocol of `benches/pytorch_kd_loss.py`: it prints one line `{"ready": .., "threads": ..}`, then
//! answers each request line `{"what": "ours", "batch": 128, "classes": 10, "dtype": "f32", "repeats": 5}` with such a
//! line of measurement, or `{"error": ".."}`. It ends with its standard input. What may be asked for:
//!
//! - `ours`: `KdLoss::forward` and `backward`, through candle's autograd;
//! - `ours_grad`: `KdLoss::forward_and_grad`, the kernel alone;
//! - `candle`: the same loss as a chain of candle operations, and `backward`;
//! - `copy`: one copy of a logits tensor into memory already touched, by as many threads: reads and writes
//!   `2 · batch · classes` numbers, and is the measure of the machine's bandwidth.
//!
//! Threads are rayon's: set `RAYON_NUM_THREADS`. Logits are N(0, 3²) from a fixed seed; τ = 4, λ = 0.5.

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor, Var};
use rand_distr::{Distribution, Normal, Uniform};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::io::BufRead;
use std::time::Instant;
use takd_loss::{KdLoss, reference};

const SHAPES: [(usize, usize); 5] = [(128, 10), (128, 100), (256, 1000), (1024, 32_000), (512, 151_936)];
const WHATS: [&str; 4] = ["ours", "ours_grad", "candle", "copy"];

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments == ["serve"] {
        return serve();
    }
    let shapes = match arguments.is_empty() {
        true => SHAPES.into(),
        false => arguments.iter().map(|text| shape(text)).collect::<Result<Vec<_>>>()?,
    };
    for (batch, classes) in shapes {
        let inputs = Inputs::new(batch, classes, "f32")?;
        // About a quarter of a second each, in turns, so that a slow moment of the machine meets all of them.
        let repeats = (20_000_000 / (batch * classes)).clamp(1, 200);
        for _ in 0..3 {
            for what in WHATS {
                println!("{}", inputs.measure(what, repeats)?);
            }
        }
    }
    Ok(())
}

fn shape(text: &str) -> Result<(usize, usize)> {
    let (batch, classes) = text.split_once('x').with_context(|| format!("`{text}` is no shape such as 128x10"))?;
    Ok((batch.parse()?, classes.parse()?))
}

fn serve() -> Result<()> {
    println!("{}", json!({"ready": "takd-loss", "threads": rayon::current_num_threads(), "device": "cpu"}));
    let mut inputs: Option<Inputs> = None;
    for line in std::io::stdin().lock().lines() {
        match answer(&line?, &mut inputs) {
            Ok(answer) => println!("{answer}"),
            Err(error) => println!("{}", json!({"error": format!("{error:#}")})),
        }
    }
    Ok(())
}

fn answer(line: &str, inputs: &mut Option<Inputs>) -> Result<Value> {
    let request: Value = serde_json::from_str(line).context("the request is not JSON")?;
    let number = |key: &str| request[key].as_u64().with_context(|| format!("the request has no number `{key}`"));
    let (batch, classes) = (number("batch")? as usize, number("classes")? as usize);
    let dtype = request["dtype"].as_str().unwrap_or("f32");
    let fits = |inputs: &Inputs| (inputs.batch, inputs.classes, inputs.dtype.as_str()) == (batch, classes, dtype);
    if !inputs.as_ref().is_some_and(fits) {
        *inputs = None; // the old ones go before the new ones come
        *inputs = Some(Inputs::new(batch, classes, dtype)?);
    }
    let inputs = inputs.as_ref().context("no inputs")?;
    inputs.measure(request["what"].as_str().unwrap_or("ours"), request["repeats"].as_u64().unwrap_or(1) as usize)
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

    fn measure(&self, what: &str, repeats: usize) -> Result<Value> {
        let loss = KdLoss { temperature: 4.0, lambda: 0.5, ..KdLoss::default() };
        let (student, teacher, labels) = (self.student.as_tensor(), &self.teacher, &self.labels);
        let seconds = match what {
            "ours" => time(repeats, || Ok(loss.forward(student, teacher, labels)?.backward()?))?,
            "ours_grad" => time(repeats, || Ok(loss.forward_and_grad(student, teacher, labels)?))?,
            "candle" => time(repeats, || Ok(reference::kd_loss(&loss, student, teacher, labels, None)?.backward()?))?,
            "copy" => {
                let from = vec![1u8; self.batch * self.classes * teacher.dtype().size_in_bytes()];
                let mut to = vec![2u8; from.len()];
                time(repeats, || {
                    let part = from.len().div_ceil(rayon::current_num_threads()).max(1 << 14);
                    to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
                    Ok(std::hint::black_box(to.last().copied()))
                })?
            }
            other => bail!("`{other}` is none of {}", WHATS.join(", ")),
        };
        Ok(json!({
            "what": what,
            "batch": self.batch,
            "classes": self.classes,
            "dtype": self.dtype,
            "seconds": seconds,
        }))
    }
}

/// Seconds of each repeat, after one that is not counted.
fn time<T>(repeats: usize, mut run: impl FnMut() -> Result<T>) -> Result<Vec<f64>> {
    drop(run()?);
    (0..repeats)
        .map(|_| {
            let start = Instant::now();
            let result = run()?;
            drop(std::hint::black_box(result));
            Ok(start.elapsed().as_secs_f64())
        })
        .collect()
}

//! Times batches of images that stay in their files, decoded, cropped, scaled and normalised: ours and torchvision's, in turns.
//!
//! ```text
//! cargo run --release -p takd-datasets --example bench_data -- FOLDER                              # without PyTorch
//! cargo run --release -p takd-datasets --example bench_data -- --python venv/bin/python FOLDER     # with it
//! cargo run --release -p takd-datasets --example bench_data -- --turns 3 --side 64 --threads 1 FOLDER
//! ```
//!
//! FOLDER holds folders of classes, such as `imagenet/val`; all of its images are seen in every turn. One JSON line a view:
//!
//! ```text
//! {"view": "training", "images": 1000, "side": 224, "threads": 2, "pytorch": "torch …", "ours": {"images_s": ..},
//!  "pillow": {"images_s": .., "ratio": ..}, "io": {..}}
//! ```
//!
//! - `training`: a random resized crop and flip of each, in random order; `evaluation`: scaled to 8/7 of the side, the middle;
//! - `pillow`, `io`: torchvision's `ImageFolder` under a `DataLoader` with as many workers as we have threads, decoding by Pillow
//!   and by `torchvision.io`; see `benches/pytorch_data.py`;
//! - `ratio`: how many times as many images a second we make.
//!
//! Each contender has its turn in each of several rounds, the first of which is not counted. Images a second are the median's.

use anyhow::{Context, Result, bail};
use candle_core::Device;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Instant;
use takd_datasets::{
    Augmentation, BatchConfig, Dataset, DatasetRef, Normalization, Sources, batches_ahead, epoch_order, load,
};
use takd_rng::Streams;

const BATCH: usize = 64;

fn main() -> Result<()> {
    let options = Options::parse(std::env::args().skip(1))?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let data: DatasetRef = options.folder.to_str().context("the folder's name is not Unicode")?.parse()?;
    let data = data.scaled(format!("{}of{}", options.side, options.side * 8 / 7).parse()?);
    // No byte of them in memory, and all of them in one split.
    let sources = Sources { memory: Some(0), ..Sources::default() }.with(&data)?;
    let data = pool.install(|| load(&data.name, &sources, &mut |_| {}))?;
    let mut pytorch = options.python.is_some().then(|| PyTorch::start(&options)).transpose()?;
    for view in ["training", "evaluation"] {
        let mut rates = [const { Vec::new() }; 3];
        for turn in 0..=options.turns {
            let ours = pool.install(|| ours(&data, view, turn))?;
            let mut turns = vec![ours];
            if let Some(pytorch) = &mut pytorch {
                turns.push(pytorch.images_a_second("pillow", view)?);
                turns.push(pytorch.images_a_second("io", view)?);
            }
            // The first one starts workers and fills the system's cache of files.
            if turn > 0 {
                rates.iter_mut().zip(turns).for_each(|(rates, rate)| rates.push(rate));
            }
        }
        let [ours, pillow, io] = rates.map(median);
        let rival = |rate: Option<f64>| {
            rate.map_or(
                Value::Null,
                |rate| json!({ "images_s": rate.round(), "ratio": ours.map(|ours| ratio(ours, rate)) }),
            )
        };
        println!(
            "{}",
            json!({
                "view": view,
                "images": data.train.len() + data.test.len(),
                "side": options.side,
                "threads": options.threads,
                "pytorch": pytorch.as_ref().map(|pytorch| pytorch.version.as_str()),
                "ours": { "images_s": ours.map(f64::round) },
                "pillow": rival(pillow),
                "io": rival(io),
            })
        );
    }
    Ok(())
}

/// Images a second of an epoch.
fn ours(data: &Dataset, view: &str, epoch: usize) -> Result<f64> {
    let augmentation = if view == "training" { Augmentation::RESIZED_CROP_FLIP } else { Augmentation::NONE };
    let config = BatchConfig { batch_size: BATCH, augmentation, normalization: Normalization::IMAGENET };
    let streams = Streams::new(0, "bench");
    let (mut images, start) = (0, Instant::now());
    for split in [&data.train, &data.test] {
        let order = match view {
            "training" => epoch_order(split.len(), &streams, epoch),
            _ => (0..split.len() as u32).collect(),
        };
        let placed = split.placed_on(&Device::Cpu)?;
        std::thread::scope(|scope| -> Result<()> {
            for batch in batches_ahead(scope, &placed, &order, &config, &streams, epoch) {
                images += batch?.indices.len();
            }
            Ok(())
        })?;
    }
    Ok(images as f64 / start.elapsed().as_secs_f64())
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

fn ratio(ours: f64, theirs: f64) -> f64 {
    (100.0 * ours / theirs).round() / 100.0
}

struct Options {
    folder: PathBuf,
    python: Option<PathBuf>,
    turns: usize,
    side: usize,
    threads: usize,
}

impl Options {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut options = Self { folder: PathBuf::new(), python: None, turns: 5, side: 224, threads };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().with_context(|| format!("`{argument}` lacks its value"));
            match argument.as_str() {
                "--python" => options.python = Some(value()?.into()),
                "--turns" => options.turns = value()?.parse().context("--turns takes a number")?,
                "--side" => options.side = value()?.parse().context("--side takes a number")?,
                "--threads" => options.threads = value()?.parse().context("--threads takes a number")?,
                _ => options.folder = argument.into(),
            }
        }
        if options.folder.as_os_str().is_empty() {
            bail!("a folder of classes of images is needed, such as imagenet/val");
        }
        Ok(options)
    }
}

/// PyTorch at work in a process of its own.
struct PyTorch {
    version: String,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    process: Child,
}

impl PyTorch {
    fn start(options: &Options) -> Result<Self> {
        let python = options.python.as_deref().context("no Python")?;
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/pytorch_data.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg("--folder")
            .arg(&options.folder)
            .args(["--side", &options.side.to_string(), "--batch", &BATCH.to_string()])
            .args(["--workers", &options.threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", python.display()))?;
        let requests = process.stdin.take().context("no standard input")?;
        let answers = BufReader::new(process.stdout.take().context("no standard output")?);
        let mut pytorch = Self { version: String::new(), requests, answers, process };
        pytorch.version = pytorch.answer()?["ready"].as_str().context("PyTorch is not ready")?.to_owned();
        Ok(pytorch)
    }

    fn answer(&mut self) -> Result<Value> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        serde_json::from_str(&line).with_context(|| format!("PyTorch ended or answered `{}`", line.trim()))
    }

    fn images_a_second(&mut self, decoder: &str, view: &str) -> Result<f64> {
        writeln!(self.requests, "{}", json!({ "decoder": decoder, "view": view }))?;
        let answer = self.answer()?;
        let number = |key: &str| answer[key].as_f64().with_context(|| format!("PyTorch, {decoder}: {answer}"));
        Ok(number("images")? / number("seconds")?)
    }
}

impl Drop for PyTorch {
    fn drop(&mut self) {
        // Nothing can be done about a process that is gone already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

//! What teaching and the images' way to the network cost: an epoch taught by kept logits against one without a teacher, in
//! turns, and the share of a step that the training waits for its batch. One JSON line a network.
//!
//! ```text
//! cargo run --release -p takd-distill --example bench_epoch -- [--rounds 5] [--steps 20] [plane2 resnet20 …]
//! ```
//!
//! ```text
//! {"model": "plane2", "batch": 128, "steps": 20, "alone_ms": .., "taught_ms": .., "taught_ratio": .., "wait_share": ..}
//! ```
//!
//! - `alone_ms`, `taught_ms`: a step of [`takd_distill::train`], the median over the rounds of an epoch's mean; images drawn
//!   by code, protocol `sound` without augmentation, a teacher whose logits are kept already;
//! - `taught_ratio`: the median of the rounds' ratios of the two;
//! - `wait_share`: of a loop of the same steps with crop and flip, the time in which the next batch was not ready yet.

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Var};
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use takd_datasets::{Augmentation, BatchConfig, Dataset, Drawn, Known, Sources, batches_ahead, epoch_order, load};
use takd_distill::{
    DataConfig, DeviceType, Distillation, Event, KlReduction, NUMERICS, Protocol, Retry, RunConfig, RunSettings, Runs,
    Session, Training, train,
};
use takd_models::{ModelSpec, Network};
use takd_ops::{Compute, SgdParams, SgdUpdate, sgd_step};
use takd_rng::Streams;
use takd_store::{RunId, Start};

const BATCH: usize = 128;

fn main() -> Result<()> {
    // In the pool, where training belongs.
    rayon::scope(|_| measure())
}

fn measure() -> Result<()> {
    let (mut rounds, mut steps, mut models) = (5, 20, Vec::new());
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let mut number = || args.next().and_then(|text| text.parse().ok()).filter(|&number| number > 0);
        match arg.as_str() {
            "--rounds" => rounds = number().context("--rounds takes a number above 0")?,
            "--steps" => steps = number().context("--steps takes a number above 0")?,
            name if name.starts_with('-') => bail!("unknown option {name}; there are: --rounds, --steps"),
            name => models.push(name.parse::<ModelSpec>()?),
        }
    }
    if models.is_empty() {
        let names = ["plane2", "plane4", "plane10", "resnet8", "resnet20", "resnet110"];
        models = names.iter().map(|name| name.parse()).collect::<Result<_, _>>()?;
    }
    // A tenth is held out.
    let sources = Sources { drawn: Drawn { train: steps * BATCH * 10 / 9, test: 10, seed: 0 }, ..Sources::default() };
    let data = load(&Known::Shapes10.into(), &sources, &mut |_| {})?;
    let folder = tempfile::tempdir()?;
    let store = Runs::open(folder.path())?;
    let teacher = config("plane2".parse()?, 0, None, &data)?;
    epoch(&teacher, &data, &store)?;

    for model in models {
        let (mut alone, mut taught) = (Vec::new(), Vec::new());
        // The first round warms up.
        for round in 0..=rounds {
            let time = |teacher| epoch(&config(model, round as u64 + 1, teacher, &data)?, &data, &store);
            let teacher = Some(teacher.id());
            let (without, with) = match round % 2 {
                0 => (time(None)?, time(teacher)?),
                _ => {
                    let with = time(teacher)?;
                    (time(None)?, with)
                }
            };
            if round > 0 {
                alone.push(without);
                taught.push(with);
            }
        }
        let ratio = median(taught.iter().zip(&alone).map(|(taught, alone)| taught / alone).collect());
        let line = serde_json::json!({
            "model": model.to_string(),
            "batch": BATCH,
            "steps": steps,
            "alone_ms": 1e3 * median(alone),
            "taught_ms": 1e3 * median(taught),
            "taught_ratio": ratio,
            "wait_share": wait_share(model, &data)?,
        });
        println!("{line}");
    }
    Ok(())
}

fn config(model: ModelSpec, seed: u64, teacher: Option<RunId>, data: &Dataset) -> Result<RunConfig> {
    let training = Protocol::Sound.training(model.family(), 1);
    let distillation = teacher.map(|teacher| Distillation {
        teachers: vec![teacher],
        lambda: 0.5,
        temperature: 5.0,
        kl_reduction: KlReduction::BatchMean,
        top_k: None,
    });
    Ok(RunConfig::new(RunSettings {
        numerics: NUMERICS,
        device: DeviceType::Cpu,
        model,
        seed,
        data: DataConfig::of(&data.card, None),
        training: Training { augmentation: Augmentation::NONE, batch_size: BATCH, ..training },
        imported: None,
        distillation,
    })?)
}

/// Seconds of a step of a run's first epoch, but for its very first.
fn epoch(config: &RunConfig, data: &Dataset, store: &Runs) -> Result<f64> {
    let (mut first, mut last, mut steps) = (None, Instant::now(), 0);
    let start = Start::now(Vec::new(), "bench_epoch".into());
    let session = Session { compute: Compute::cpu(), start, retry: Retry::Never };
    train(config, data, store, &session, &mut |event| {
        if let Event::Step { done, .. } = event {
            (last, steps) = (Instant::now(), done);
            first.get_or_insert(last);
        }
        ControlFlow::Continue(())
    })?;
    let first = first.context("a run has steps")?;
    Ok((last - first).as_secs_f64() / (steps - 1).max(1) as f64)
}

/// The share of the time of an epoch's steps in which the next batch was waited for.
fn wait_share(model: ModelSpec, data: &Dataset) -> Result<f64> {
    let (network, parameters) = Network::random(model, data.card.classes(), 0, &Device::Cpu)?;
    let buffer = |(_, var): (String, Var)| Ok((Var::zeros(var.shape(), DType::F32, &Device::Cpu)?, var));
    let trained = parameters.trainable().into_iter().map(buffer).collect::<Result<Vec<_>>>()?;
    let sgd = SgdParams { lr: 0.01, momentum: 0.9, nesterov: true };
    let images = data.train.placed_on(&Device::Cpu)?;
    let streams = Streams::new(0, &model.to_string());
    let order = epoch_order(data.train.len(), &streams, 0);
    let augmentation = Augmentation::CROP_FLIP;
    let batch = BatchConfig { batch_size: BATCH, augmentation, normalization: data.card.normalization };
    std::thread::scope(|scope| {
        let mut batches = batches_ahead(scope, &images, &order, &batch, &streams, 0);
        let mut step = || -> Result<Option<Duration>> {
            let asked = Instant::now();
            let Some(batch) = batches.next().transpose()? else { return Ok(None) };
            let waited = asked.elapsed();
            let logits = network.forward_t(&batch.images, true)?;
            let grads = takd_ops::backward(&takd_loss::cross_entropy(&logits, &batch.labels)?)?;
            let mut updates = Vec::new();
            for (momentum_buffer, param) in &trained {
                let grad = grads.get(param).context("every parameter has a gradient")?;
                updates.push(SgdUpdate { param, grad, momentum_buffer, weight_decay: 1e-4 });
            }
            sgd_step(&updates, sgd)?;
            Ok(Some(waited))
        };
        // The first batch cannot be made ahead of anything.
        step()?;
        let (started, mut waited) = (Instant::now(), Duration::ZERO);
        while let Some(time) = step()? {
            waited += time;
        }
        Ok(waited.as_secs_f64() / started.elapsed().as_secs_f64())
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

//! Times batches of 128 images of 32x32 from 50 000, and how long training waits for them: made when asked for, and made ahead.
//! Training is a consumer that has a fixed piece of parallel work to do after each batch, which keeps all cores busy for
//! 5 or 17 ms when nothing else runs. One JSON line a measurement; times are medians, `work_ms` is the work alone, as measured,
//! `step_ms` work and waiting together.
//!
//! ```text
//! cargo run --release -p takd-datasets --example bench_batches -- [--steps 300]
//! ```

use candle_core::Device;
use rand::Rng;
use rayon::prelude::*;
use std::{hint::black_box, thread, time::Instant};
use takd_datasets::{
    Augmentation, Batch, BatchConfig, Images, Normalization, Result, batches, batches_ahead, epoch_order,
};
use takd_rng::Streams;

const BATCH: usize = 128;
const IMAGES: usize = 50_000;
/// Batches made ahead and on demand take turns of so many steps.
const TURN: usize = 50;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut steps = 300;
    while let Some(argument) = arguments.next() {
        if argument == "--steps" {
            steps = arguments.next().and_then(|n| n.parse().ok()).unwrap_or(steps);
        }
    }
    let mut pixels = vec![0; IMAGES * 32 * 32 * 3];
    takd_rng::stream(0, "pixels").fill_bytes(&mut pixels);
    let images = Images::new(pixels, vec![0; IMAGES], 32, 32)?;
    let images = images.placed_on(&Device::Cpu)?;
    let threads = rayon::current_num_threads();

    let streams = Streams::new(0, "bench");
    let mut shuffles: Vec<f64> = (0..20).map(|epoch| timed(|| epoch_order(IMAGES, &streams, epoch)).1).collect();
    println!(r#"{{"images": {IMAGES}, "shuffle_us": {:.0}}}"#, 1e6 * median(&mut shuffles));
    let order = epoch_order(IMAGES, &streams, 0);
    for (name, augmentation) in [("none", Augmentation::NONE), ("crop+flip", Augmentation::CROP_FLIP)] {
        let config = BatchConfig { batch_size: BATCH, augmentation, normalization: Normalization::PUBLISHED_CODE };
        let made = || batches(&images, &order, &config, &streams, 0);
        let by_pool = making(made().take(steps))?;
        let by_one = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
            Ok(pool) => pool.install(|| making(made().take(steps)))?,
            Err(error) => return Err(candle_core::Error::wrap(error).into()),
        };
        println!(
            r#"{{"augmentation": "{name}", "threads": {threads}, "batch_us": {by_pool:.0}, "batch_us_1_thread": {by_one:.0}}}"#
        );

        for work_ms in [5.0, 17.0] {
            let rounds = calibrated(work_ms);
            let (mut alone, mut on_demand, mut ahead) = (Vec::new(), Steps::default(), Steps::default());
            for _ in 0..steps.div_ceil(TURN) {
                alone.extend((0..TURN).map(|_| timed(|| work(rounds)).1));
                on_demand.take(made(), rounds)?;
                thread::scope(|scope| ahead.take(batches_ahead(scope, &images, &order, &config, &streams, 0), rounds))?;
            }
            let alone_ms = 1e3 * median(&mut alone);
            for (how, mut steps) in [("on demand", on_demand), ("ahead", ahead)] {
                let (wait_us, step_ms) = (1e6 * median(&mut steps.waits), 1e3 * median(&mut steps.steps));
                println!(
                    r#"{{"augmentation": "{name}", "threads": {threads}, "made": "{how}", "work_ms": {alone_ms:.2}, "step_ms": {step_ms:.2}, "wait_us": {wait_us:.1}, "wait_percent": {:.2}, "longest_wait_us": {:.0}}}"#,
                    wait_us / step_ms / 10.0,
                    1e6 * steps.waits.iter().copied().fold(0.0, f64::max),
                );
            }
        }
    }
    Ok(())
}

/// Microseconds a batch, each dropped before the next is made.
fn making(mut batches: impl Iterator<Item = Result<Batch>>) -> Result<f64> {
    let mut times = Vec::new();
    while let (Some(batch), seconds) = timed(|| batches.next()) {
        drop(batch?);
        times.push(1e6 * seconds);
    }
    Ok(median(&mut times))
}

/// Seconds waited for each batch, and seconds from asking for it to having worked on it.
#[derive(Default)]
struct Steps {
    waits: Vec<f64>,
    steps: Vec<f64>,
}

impl Steps {
    fn take(&mut self, mut batches: impl Iterator<Item = Result<Batch>>, rounds: usize) -> Result<()> {
        for step in 0..=TURN {
            let start = Instant::now();
            let (batch, wait) = timed(|| batches.next());
            let _batch = batch.transpose()?;
            work(rounds);
            // The first batch of a turn cannot have been made ahead.
            if step > 0 {
                self.waits.push(wait);
                self.steps.push(start.elapsed().as_secs_f64());
            }
        }
        Ok(())
    }
}

/// As training does: one parallel loop after another, each over in a fraction of a millisecond.
fn work(rounds: usize) {
    for _ in 0..rounds {
        (0..4 * rayon::current_num_threads() as u64).into_par_iter().for_each(|seed| {
            black_box((0..100_000).fold(seed, |sum, i| black_box(sum.wrapping_mul(31) ^ i)));
        });
    }
}

/// The rounds of work that take so long at best.
fn calibrated(ms: f64) -> usize {
    let round_ms = (0..100).map(|_| 1e3 * timed(|| work(1)).1).fold(f64::INFINITY, f64::min);
    (ms / round_ms).round().max(1.0) as usize
}

fn timed<T>(run: impl FnOnce() -> T) -> (T, f64) {
    let start = Instant::now();
    let result = run();
    (result, start.elapsed().as_secs_f64())
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    if times.is_empty() { f64::NAN } else { times[times.len() / 2] }
}

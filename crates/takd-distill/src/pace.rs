//! How fast a network is here: a short measurement, from which the time of a training is estimated.

use crate::Result;
use crate::optimizer::Optimizer;
use crate::protocol::Protocol;
use candle_core::{DType, Tensor};
use candle_nn::ModuleT;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use takd_loss::KdLoss;
use takd_models::{Family, ModelSpec, Network};
use takd_ops::Compute;

/// Seconds that a network takes for an image.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// In training: forward, backward, update.
    pub train_s: f64,
    /// In evaluation, or as a teacher that looks at it.
    pub forward_s: f64,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PaceOf {
    /// The network.
    pub model: ModelSpec,
    /// Its classes.
    pub classes: usize,
    /// Height and width of its images.
    pub side: usize,
    /// Images a step.
    pub batch_size: usize,
}

/// The most numbers of activations that a measured step keeps: a GiB.
const MOST_NUMBERS: usize = 1 << 28;

/// Measures for about `budget`, or as long as two steps and two passes take if that is longer. Call it from within a rayon
/// pool, as [`train`](crate::train). Logits from a file take no time.
///
/// # Errors
/// If a tensor cannot be computed.
pub fn measure(of: PaceOf, compute: &Compute, budget: Duration) -> Result<Pace> {
    let PaceOf { model, classes, side, batch_size } = of;
    if model.family() == Family::Logits {
        return Ok(Pace { train_s: 0.0, forward_s: 0.0 });
    }
    // What an image takes is the same in a smaller batch, which does not fill the memory.
    let batch_size = batch_size.min(MOST_NUMBERS / model.activation_count(classes, side)).max(2);
    let Compute { device, precision } = compute;
    let (network, parameters) = Network::random(model, classes, 0, device)?;
    let network = network.with_precision(*precision);
    let frozen = network.frozen();
    let optimizer = Optimizer::new(&parameters, &Protocol::Sound.training(model.family(), 1))?;
    let images = Tensor::zeros((batch_size, side, side, 3), DType::F32, device)?.permute((0, 3, 1, 2))?;
    let labels = Tensor::zeros(batch_size, DType::U32, device)?;
    let step = || -> Result<()> {
        let loss = KdLoss::default().cross_entropy(&network.forward_t(&images, true)?, &labels)?;
        // Reading waits for a GPU.
        optimizer.step(&takd_ops::backward(&loss)?, 0.0)?.verdict.to_scalar::<u32>()?;
        Ok(())
    };
    let forward = || -> Result<()> {
        frozen.forward_t(&images, false)?.sum_all()?.to_scalar::<f32>()?;
        Ok(())
    };
    let (train_s, forward_s) = (seconds(step, budget / 2)?, seconds(forward, budget / 2)?);
    Ok(Pace { train_s: train_s / batch_size as f64, forward_s: forward_s / batch_size as f64 })
}

/// The seconds that a network takes for a single image: the shortest in about `budget`. Call it from within a rayon pool.
///
/// # Errors
/// If a tensor cannot be computed.
pub fn latency(model: ModelSpec, classes: usize, side: usize, compute: &Compute, budget: Duration) -> Result<f64> {
    let (network, _) = Network::random(model, classes, 0, &compute.device)?;
    let frozen = network.with_precision(compute.precision).frozen();
    let image = Tensor::zeros((1, side, side, 3), DType::F32, &compute.device)?.permute((0, 3, 1, 2))?;
    let forward = || -> Result<()> {
        // Reading waits for a GPU.
        frozen.forward_t(&image, false)?.sum_all()?.to_scalar::<f32>()?;
        Ok(())
    };
    seconds(forward, budget)
}

/// The shortest time that `work` takes, after a first time that warms up.
fn seconds(mut work: impl FnMut() -> Result<()>, budget: Duration) -> Result<f64> {
    work()?;
    let (begun, mut shortest) = (Instant::now(), f64::INFINITY);
    loop {
        let start = Instant::now();
        work()?;
        shortest = shortest.min(start.elapsed().as_secs_f64());
        if begun.elapsed() >= budget {
            return Ok(shortest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use takd_models::ModelName;

    #[test]
    fn logits_from_a_file_take_no_time() {
        let of = PaceOf { model: ModelName::LOGITS.spec(10), classes: 10, side: 32, batch_size: 128 };
        let pace = measure(of, &Compute::cpu(), Duration::ZERO).unwrap();
        assert_eq!(pace, Pace { train_s: 0.0, forward_s: 0.0 });
    }
}

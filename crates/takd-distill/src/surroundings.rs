//! Computes the loss around a trained network.

use crate::config::RunConfig;
use crate::error::repaired;
use crate::event::Pass;
use crate::landscape::{self, Landscape, Plane};
use crate::network_file::{MODEL, NetworkFile};
use crate::optimizer::restore;
use crate::runs::Runs;
use crate::train::check;
use crate::view::{PlacedData, View};
use crate::{Error, Result};
use candle_core::{Device, Tensor, Var};
use rand_distr::{Distribution, StandardNormal};
use std::ops::ControlFlow;
use takd_datasets::Dataset;
use takd_models::Family;
use takd_ops::Compute;
use takd_rng::Streams;

/// The landscape around the network of a finished run, as it is kept in the run's folder or else computed and kept there.
///
/// Two directions are drawn from N(0, 1) and scaled filter by filter to the length of the network's own filters, the rows of
/// fully connected layers likewise; biases and normalisation stay as they are (Li et al. 2018, arXiv 1712.09913, section 4). The
/// network is evaluated as it would be for use, on the first training images without augmentation. `watch` hears how many of
/// the points are done, of how many, and may break it off.
///
/// # Errors
/// [`Error::Config`] if the plane makes no sense or `data` is not the run's; [`Error::Unfinished`] if the run is not finished;
/// [`Error::NoNetwork`] if it is logits from a file;
/// [`Error::Stopped`] if `watch` breaks off; if a file cannot be read or written.
pub fn landscape(
    config: &RunConfig,
    data: &Dataset,
    runs: &Runs,
    compute: &Compute,
    plane: Plane,
    watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Landscape> {
    plane.check().map_err(Error::Config)?;
    check(config, data, compute)?;
    let plane = plane.within(data.train.len());
    let id = config.id();
    if config.model.family() == Family::Logits {
        return Err(Error::NoNetwork(id));
    }
    let path = runs.dir(&id).join(landscape::file(&plane));
    let result = runs.finished(&id)?.ok_or_else(|| Error::unfinished(&id, runs.dir(&id)))?;
    if let Some(kept) = repaired(landscape::read(&path, &id))?.flatten().filter(|kept| kept.plane == plane) {
        return Ok(kept);
    }
    let placed = PlacedData::new(data, compute)?;
    let of = NetworkFile {
        path: &runs.dir(&id).join(MODEL),
        run: &id,
        epoch: result.epoch,
        model: config.model,
        classes: placed.classes(),
    };
    let landscape = losses(&of, &placed, config, plane, watch)?;
    // Somebody else at work on a finished run mends it, or computes the same.
    if let Some(claim) = runs.claim(&id)? {
        landscape::save(&claim, &landscape)?;
    }
    Ok(landscape)
}

fn losses(
    of: &NetworkFile<'_>,
    placed: &PlacedData<'_>,
    config: &RunConfig,
    plane: Plane,
    watch: &mut dyn FnMut(usize, usize) -> ControlFlow<()>,
) -> Result<Landscape> {
    let (network, parameters) = of.read(&placed.compute.device)?;
    let network = network.frozen().with_precision(placed.compute.precision);
    let weights: Vec<Moved> = parameters
        .trainable()
        .into_iter()
        .filter(|(_, var)| var.rank() > 1)
        .map(|(name, var)| Moved::new(&name, var, plane.seed, config))
        .collect::<Result<_>>()?;
    let view = View { images: &placed.train, normalization: config.normalization(&placed.data.card) };
    let order: Vec<u32> = (0..plane.images as u32).collect();
    let steps = plane.steps();
    let mut losses = Vec::with_capacity(plane.points * plane.points);
    for &y in &steps {
        for &x in &steps {
            weights.iter().try_for_each(|weight| weight.go_to(x, y))?;
            losses.push(match view.evaluate(&network, &order, Pass::HeldOut, &mut |_| ControlFlow::Continue(())) {
                Ok((evaluation, _)) => Some(evaluation.loss).filter(|loss| loss.is_finite()),
                Err(Error::NotFinite(_)) => None,
                Err(error) => return Err(error),
            });
            if watch(losses.len(), plane.points * plane.points).is_break() {
                return Err(Error::Stopped);
            }
        }
    }
    Ok(Landscape { plane, losses })
}

/// A layer's weights, which are moved about.
struct Moved {
    var: Var,
    center: Vec<f32>,
    /// As long as the weights, filter by filter.
    directions: [Vec<f32>; 2],
}

impl Moved {
    fn new(name: &str, var: Var, seed: u64, config: &RunConfig) -> Result<Self> {
        let center = var.flatten_all()?.to_vec1::<f32>()?;
        let filter = center.len() / var.dims()[0];
        let streams = Streams::new(seed, &config.model.to_string());
        let direction = |axis: &str| {
            let mut rng = streams.stream(&format!("landscape/{axis}/{name}"));
            let mut drawn: Vec<f32> = (0..center.len()).map(|_| StandardNormal.sample(&mut rng)).collect();
            for (drawn, own) in drawn.chunks_mut(filter).zip(center.chunks(filter)) {
                let scale = (length(own) / length(drawn).max(f64::MIN_POSITIVE)) as f32;
                drawn.iter_mut().for_each(|value| *value *= scale);
            }
            drawn
        };
        let directions = [direction("first"), direction("second")];
        Ok(Self { var, center, directions })
    }

    fn go_to(&self, x: f64, y: f64) -> Result<()> {
        let (x, y) = (x as f32, y as f32);
        let [first, second] = &self.directions;
        let moved =
            self.center.iter().zip(first).zip(second).map(|((center, first), second)| center + x * first + y * second);
        Ok(restore(&self.var, &Tensor::from_vec(moved.collect::<Vec<f32>>(), self.var.shape(), &Device::Cpu)?)?)
    }
}

fn length(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

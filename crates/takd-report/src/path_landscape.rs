//! The loss around the networks of a path.

use crate::statistics::Summary;
use serde::Serialize;
use takd_distill::Landscape;
use takd_store::RunId;

/// The loss around the networks of a path.
#[derive(Clone, Debug, Serialize)]
pub struct PathLandscape {
    /// The path.
    pub path: String,
    /// The mean loss of the networks themselves on the images that were looked at, nats.
    pub loss: Option<Summary>,
    /// By how much the loss rises on average within half the reach of the plane, nats: the less, the flatter.
    pub rise_within_half: Option<Summary>,
    /// The same within the whole reach.
    pub rise: Option<Summary>,
    /// One for each seed that was looked at.
    pub seeds: Vec<SeedLandscape>,
}

/// The loss around a network.
#[derive(Clone, Debug, Serialize)]
pub struct SeedLandscape {
    /// Its seed.
    pub seed: u64,
    /// Its run.
    pub run: RunId,
    /// What was found.
    pub landscape: Landscape,
}

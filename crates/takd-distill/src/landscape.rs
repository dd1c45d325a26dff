//! The loss around a trained network, on a plane of two random directions (Figure 7 of arXiv 1902.03393).

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::path::Path;
use takd_store::{Claim, RunId, seal};

/// The most bytes that a kept landscape may have.
const AT_MOST: u64 = 1 << 26;

/// The most points of a side: a million evaluations are nobody's intention.
const MOST_POINTS: usize = 501;

/// What of a network's surroundings is looked at, and by which images.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plane {
    /// Points of a side, an odd number, so that one is the network itself: 3 to 501.
    pub points: usize,
    /// How far the outermost points are, in multiples of the weights' own length: above 0.
    pub reach: f64,
    /// How many training images, the first ones, the loss is a mean over; 1 or more.
    pub images: usize,
    /// What the two directions are drawn from. The same for two networks of one kind gives both the same draw, so that they
    /// can be compared.
    pub seed: u64,
}

/// The loss of a network and of its neighbours on a plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Landscape {
    /// What was looked at.
    pub plane: Plane,
    /// Mean cross-entropy in nats at each point, row by row, the first direction along a row; nothing where it is no finite
    /// number.
    pub losses: Vec<Option<f64>>,
}

/// What stands in the file.
#[derive(Serialize, Deserialize)]
struct Written {
    run: RunId,
    #[serde(flatten)]
    landscape: Landscape,
}

impl Default for Plane {
    /// 21 points a side, up to the weights' own length, by 1 000 images.
    fn default() -> Self {
        Self { points: 21, reach: 1.0, images: 1_000, seed: 0 }
    }
}

impl Plane {
    /// The same with no more images than there are.
    pub(crate) fn within(self, images: usize) -> Self {
        Self { images: self.images.min(images), ..self }
    }

    /// Whether the plane makes sense.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn check(&self) -> std::result::Result<(), String> {
        let Self { points, reach, images, .. } = self;
        if !(3..=MOST_POINTS).contains(points) || points % 2 == 0 {
            Err(format!("{points} points a side are not an odd number from 3 to {MOST_POINTS}"))
        } else if !(reach.is_finite() && *reach > 0.0) {
            Err(format!("a reach of {reach} is not a finite number above 0"))
        } else if *images == 0 {
            Err("there are no images to measure the loss with".into())
        } else {
            Ok(())
        }
    }

    /// Where the points of a side lie, in multiples of the weights' own length.
    pub fn steps(&self) -> Vec<f64> {
        let half = (self.points / 2) as f64;
        (0..self.points).map(|point| (point as f64 - half) / half * self.reach).collect()
    }
}

impl Landscape {
    /// The loss of the network itself.
    pub fn center(&self) -> Option<f64> {
        self.losses.get(self.losses.len() / 2).copied().flatten()
    }

    /// By how much the loss rises on average over the points within `radius` of the network: the smaller, the flatter.
    /// Nothing if a point among them has no finite loss.
    pub fn rise(&self, radius: f64) -> Option<f64> {
        let (steps, center) = (self.plane.steps(), self.center()?);
        let (mut sum, mut count) = (0.0, 0usize);
        for (row, y) in self.losses.chunks(self.plane.points).zip(&steps) {
            for (loss, x) in row.iter().zip(&steps) {
                // A little more, for the outermost point on an axis lies at the radius but for rounding.
                if x.hypot(*y) <= radius * (1.0 + 1e-9) {
                    sum += (*loss)? - center;
                    count += 1;
                }
            }
        }
        Some(sum / count as f64)
    }
}

/// The name of the file that keeps a plane of a run.
pub(crate) fn file(plane: &Plane) -> String {
    let Plane { points, reach, images, seed } = plane;
    format!("landscape-{points}-{reach}-{images}-{seed}.json")
}

/// Keeps the landscape of a run.
pub(crate) fn save(claim: &Claim, landscape: &Landscape) -> Result<()> {
    let written = Written { run: claim.id().clone(), landscape: landscape.clone() };
    Ok(claim.write(&file(&landscape.plane), &seal::to_json(&written)?)?)
}

/// Whether a file of this name holds a landscape.
pub(crate) fn is_landscape(name: &str) -> bool {
    let parts = name.strip_prefix("landscape-").and_then(|name| name.strip_suffix(".json"));
    parts.is_some_and(|parts| parts.split('-').count() >= 4 && parts.split('-').all(|part| part.parse::<f64>().is_ok()))
}

/// What a file says of the surroundings of a run's network, if there is one.
pub(crate) fn read(path: &Path, run: &RunId) -> Result<Option<Landscape>> {
    let Some(bytes) = takd_store::read_file(path, AT_MOST)? else { return Ok(None) };
    let Written { run: found, landscape } = seal::from_json(path, &bytes)?;
    if found != *run {
        return Err(Error::damaged(path, format!("it belongs to run {found}")));
    }
    if landscape.plane.check().is_err() || landscape.losses.len() != landscape.plane.points.pow(2) {
        return Err(Error::damaged(path, "its losses are not those of its plane"));
    }
    Ok(Some(landscape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rise_is_the_mean_over_a_disc_less_the_loss_in_its_center() {
        let plane = Plane { points: 5, reach: 1.0, images: 1, seed: 0 };
        let steps = plane.steps();
        assert_eq!(steps, [-1.0, -0.5, 0.0, 0.5, 1.0]);
        let bowl = steps.iter().flat_map(|y| steps.iter().map(move |x| Some(2.0 + x * x + y * y)));
        let mut landscape = Landscape { plane, losses: bowl.collect() };
        assert_eq!(landscape.center(), Some(2.0));
        // The center, four points at 0.5, four at √0.5.
        assert_eq!(landscape.rise(0.75), Some((4.0 * 0.25 + 4.0 * 0.5) / 9.0));
        landscape.losses[0] = None;
        assert!(landscape.rise(1.0).is_some());
        assert_eq!(landscape.rise(1.5), None);
    }

    #[test]
    fn planes_without_sense_are_refused() {
        let good = Plane::default();
        assert_eq!(good.check(), Ok(()));
        let bad = [
            Plane { points: 20, ..good },
            Plane { points: 1, ..good },
            Plane { points: 503, ..good },
            Plane { reach: 0.0, ..good },
            Plane { reach: f64::NAN, ..good },
            Plane { images: 0, ..good },
        ];
        assert!(bad.iter().all(|plane| plane.check().is_err()));
    }

    #[test]
    fn only_names_that_are_given_here_are_landscapes() {
        assert!(is_landscape(&file(&Plane::default())));
        assert!(is_landscape(&file(&Plane { reach: 0.25, seed: u64::MAX, ..Plane::default() })));
        for other in ["landscape.json", "landscape-mine.json", "landscape-21-1-1000.json", "landscape-21-1-1000-0.png"]
        {
            assert!(!is_landscape(other), "{other}");
        }
    }
}

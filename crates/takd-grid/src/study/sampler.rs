//! Which point a trial tries.

use super::setting::Value;
use super::space::{Dimension, Point, Space, Values};
use rand::{Rng, RngExt};
use takd_rng::stream;
use tpe::density_estimation::DefaultEstimatorBuilder;
use tpe::{TpeOptimizer, TpeOptimizerBuilder};

/// How trials choose their points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sampler {
    /// A tree-structured Parzen estimator (Bergstra et al., 2011), each setting by itself: from the density of the best
    /// tenth of the trials, 24 candidates are drawn, and the one is tried that is likeliest among those rather than among the others.
    /// The first [`RANDOM_BEFORE`] trials are drawn at random.
    #[default]
    Tpe,
    /// At random, all values alike.
    Random,
    /// Every point once, in their order.
    Grid,
}

/// So many results the estimator needs.
pub const RANDOM_BEFORE: usize = 8;

/// How often a point is drawn anew that was tried before.
const REDRAWN: usize = 32;

impl Sampler {
    /// Every sampler.
    pub const ALL: &'static [Self] = &[Self::Tpe, Self::Random, Self::Grid];

    /// The name as recipes have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tpe => "tpe",
            Self::Random => "random",
            Self::Grid => "grid",
        }
    }

    /// The point that trial `number` (from 0) tries, by the study's seed, the points of all trials before it, and how the first
    /// of those rank whose results may be known: 0 is the best.
    pub(super) fn propose(self, space: &Space, seed: u64, number: usize, before: &[Point], ranks: &[usize]) -> Point {
        let mut rng = stream(seed, &format!("study/trial {number}"));
        let mut optimizers = match self {
            Self::Grid => return space.point_at(number),
            Self::Tpe if ranks.len() >= RANDOM_BEFORE => Some(optimizers(space, before, ranks)),
            Self::Tpe | Self::Random => None,
        };
        for _ in 0..REDRAWN {
            let point = match &mut optimizers {
                Some(optimizers) => asked(space, optimizers, &mut rng),
                None => drawn(space, &mut rng),
            };
            if !before.contains(&point) {
                return point;
            }
        }
        // Where the estimator would go was tried: of what is left, any.
        let Some(points) = space.points() else { return drawn(space, &mut rng) };
        let begin = rng.random_range(0..points);
        let all = (0..points).map(|place| space.point_at((begin + place) % points));
        all.into_iter().find(|point| !before.contains(point)).unwrap_or_else(|| space.point_at(begin))
    }
}

/// A point at random.
fn drawn(space: &Space, rng: &mut impl Rng) -> Point {
    let place = |dimension: &Dimension, rng: &mut _| {
        let (start, end) = dimension.places();
        dimension.at(start + uniform(rng) * (end - start))
    };
    Point(space.dimensions().iter().map(|dimension| (dimension.setting, place(dimension, rng))).collect())
}

fn uniform(rng: &mut impl Rng) -> f64 {
    rng.random_range(0.0..1.0)
}

/// An estimator for each setting, told of the ranks.
fn optimizers(space: &Space, points: &[Point], ranks: &[usize]) -> Vec<TpeOptimizer<DefaultEstimatorBuilder>> {
    let optimizer = |(place, dimension): (usize, &Dimension)| {
        let (start, end) = dimension.places();
        let range = tpe::range(start, end).expect("a dimension has a value at least");
        let estimator = if dimension.is_ordered() { tpe::parzen_estimator() } else { tpe::histogram_estimator() };
        let built = TpeOptimizerBuilder::new().build(estimator, range);
        let mut optimizer = built.expect("the settings are the crate's own");
        for (point, &rank) in points.iter().zip(ranks) {
            // A value at the very end of a range is a hair inside it.
            let at = dimension.place_of(&point.0[place].1).clamp(start, end.next_down());
            optimizer.tell(at, rank as f64).expect("it is inside the range, and a rank is a number");
        }
        optimizer
    };
    space.dimensions().iter().enumerate().map(optimizer).collect()
}

fn asked(space: &Space, optimizers: &mut [TpeOptimizer<DefaultEstimatorBuilder>], rng: &mut impl Rng) -> Point {
    let each = space.dimensions().iter().zip(optimizers);
    let value = |(dimension, optimizer): (&Dimension, &mut TpeOptimizer<DefaultEstimatorBuilder>)| {
        let at = optimizer.ask(rng).unwrap_or_else(|_| dimension.places().0);
        (dimension.setting, dimension.at(at))
    };
    Point(each.map(value).collect())
}

/// Settings on the line on which the estimator looks at them: the values of a list stand one after the other.
impl Dimension {
    /// Where the line begins and ends.
    fn places(&self) -> (f64, f64) {
        match self.values {
            Values::Listed(ref values) => (0.0, values.len() as f64),
            Values::Range { from, to, log: false } => (from, to),
            Values::Range { from, to, log: true } => (from.ln(), to.ln()),
        }
    }

    /// The value at a place.
    fn at(&self, place: f64) -> Value {
        match self.values {
            Values::Listed(ref values) => values[(place.max(0.0) as usize).min(values.len() - 1)].clone(),
            Values::Range { log: false, from, to } => Value::Number(place.clamp(from, to)),
            Values::Range { log: true, from, to } => Value::Number(place.exp().clamp(from, to)),
        }
    }

    /// The place of a value.
    fn place_of(&self, value: &Value) -> f64 {
        match (&self.values, value) {
            (Values::Listed(values), value) => {
                values.iter().position(|own| own == value).map_or(0.0, |place| place as f64 + 0.5)
            }
            (Values::Range { log: true, .. }, Value::Number(number)) => number.ln(),
            (Values::Range { .. }, Value::Number(number)) => *number,
            (Values::Range { .. }, _) => 0.0,
        }
    }

    /// Whether neighbours are alike, as those of numbers are.
    fn is_ordered(&self) -> bool {
        match &self.values {
            Values::Listed(values) => values.iter().all(|value| matches!(value, Value::Number(_))),
            Values::Range { .. } => true,
        }
    }
}

//! Studies: which settings are best for a step of a path, found by trials.
//!
//! ```text
//! Search (what, how) ─▶ Study ──scores of the runs so far──▶ Progress: trials, runs that are wanted now, the winner at the end
//! ```
//!
//! Trial k is a pure function of the study's seed, k and the results of the trials before its *window*: a number of trials
//! that are tried at once. So one worker and sixteen find the same, and a study that was broken off goes on, from the results
//! alone. A trial ends at the last of its *rungs*, or at an earlier one if [`Pruning`] says so; what it is at a rung is what a run of
//! so many epochs is, so that going on trains only what is new.
//!
//! ```
//! use takd_grid::study::{Dimension, Pruning, Sampler, Search, Setting, Space, Study};
//!
//! let lambda = Dimension::stepped(Setting::Lambda, 0.05, 1.0, 0.05)?;
//! let space = Space::new(vec![lambda])?;
//! let search = Search { trials: 12, window: 4, sampler: Sampler::Random, pruning: Pruning::Halving, ..Search::of(space) };
//! let study = Study::new(&search, 9)?;
//! // A made-up objective: λ = 0.3 is best.
//! let progress = study.look(|point, epochs| Some(epochs as f64 - (point.number(Setting::Lambda)? - 0.3).abs()));
//! assert_eq!(progress.trials.len(), 12);
//! assert!(progress.winner.is_some());
//! # Ok::<(), takd_grid::study::SearchError>(())
//! ```
//!
//! Invariant: knows scores, not what they are scores of; random numbers come from the study's seed alone.

mod error;
mod pruning;
mod sampler;
mod setting;
mod space;

pub use error::SearchError;
pub use pruning::Pruning;
pub use sampler::{RANDOM_BEFORE, Sampler};
use takd_distill::{Evaluation, Protocol};

pub use setting::{MOST_TRIALS, MOST_VALUES, Setting, Value};
pub use space::{Dimension, Point, Space, Values};

/// What is searched, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// Which settings, and their values.
    pub space: Space,
    /// How many trials, 1 to [`MOST_TRIALS`]. A space with fewer points has each tried once.
    pub trials: usize,
    /// How many of them are tried at once, 1 or more.
    pub window: usize,
    /// How they choose their points.
    pub sampler: Sampler,
    /// How they end early.
    pub pruning: Pruning,
    /// What a trial is to be best in.
    pub objective: Objective,
    /// The epochs of a trial that does not end early; the network's own if it is absent.
    pub epochs: Option<usize>,
    /// The seeds of a trial's runs, whose mean score counts; none if the seed itself is searched.
    pub seeds: Vec<u64>,
    /// Decides the points, together with the results.
    pub seed: u64,
}

/// What a trial is to be best in, as the image that the protocol chooses by say it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Objective {
    /// The share of them that the network gets right.
    #[default]
    Accuracy,
    /// The cross-entropy, the less the better.
    Loss,
}

impl Objective {
    /// Every objective.
    pub const ALL: &'static [Self] = &[Self::Accuracy, Self::Loss];

    /// The name as recipes have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Loss => "loss",
        }
    }

    /// The score of a network that did so: more is better.
    pub fn score(self, evaluation: &Evaluation) -> f64 {
        match self {
            Self::Accuracy => evaluation.accuracy,
            Self::Loss => -evaluation.loss,
        }
    }
}

/// The seed of the trials' runs, unless a search sets its own: none that experiments are likely to have.
const TRIAL_SEED: u64 = 1000;

impl Search {
    /// A search of this space as it is usually done: 40 trials of a Parzen estimator, 8 at once, with successive halving.
    pub fn of(space: Space) -> Self {
        Self {
            space,
            trials: 40,
            window: 8,
            sampler: Sampler::default(),
            pruning: Pruning::default(),
            objective: Objective::default(),
            epochs: None,
            seeds: vec![TRIAL_SEED],
            seed: 0,
        }
    }

    /// The search of λ and τ that is usual under a protocol, over the paper's values: λ from 0.05 to 1 by 0.05; τ 1, 2, 5, 10, 15 or 20.
    /// Under `sound` as [`Search::of`] says; under the others 120 whole trials, with the published code's seeds 20, 31 and 55
    /// among what is searched.
    pub fn usual(protocol: Protocol) -> Self {
        let listed = |setting, numbers: &[f64]| {
            Dimension::listed(setting, numbers.iter().map(|number| Value::Number(*number)).collect())
        };
        let lambda = Dimension::stepped(Setting::Lambda, 0.05, 1.0, 0.05);
        let temperature = listed(Setting::Temperature, &[1.0, 2.0, 5.0, 10.0, 15.0, 20.0]);
        let seed = listed(Setting::Seed, &[20.0, 31.0, 55.0]);
        let space = |dimensions: Vec<Result<Dimension, SearchError>>| {
            let dimensions = dimensions.into_iter().collect::<Result<_, _>>();
            dimensions.and_then(Space::new).expect("the paper's values are values")
        };
        match protocol {
            Protocol::Sound => Self::of(space(vec![lambda, temperature])),
            Protocol::Code | Protocol::Paper => Self {
                trials: 120,
                pruning: Pruning::None,
                seeds: Vec::new(),
                ..Self::of(space(vec![lambda, temperature, seed]))
            },
        }
    }
}

/// A search of settings for one network that is trained for so many epochs.
#[derive(Clone, Debug, PartialEq)]
pub struct Study<'s> {
    search: &'s Search,
    trials: usize,
    rungs: Vec<usize>,
}

/// How far a study has come.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    /// The trials whose points are known.
    pub trials: Vec<Trial>,
    /// What is to be trained now: a trial, by its number, and the epochs after which it is looked at.
    pub wanted: Vec<(usize, usize)>,
    /// The best trial of those that were trained to the end, by its number; nothing before the study's end, or if all diverged.
    pub winner: Option<usize>,
}

/// A point that is tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    /// What is tried.
    pub point: Point,
    /// Its score at each rung that it has come to; negative infinity where it diverged.
    pub scores: Vec<f64>,
    /// Whether it goes on no further.
    pub ended: bool,
}

impl Trial {
    fn last(&self) -> f64 {
        self.scores.last().copied().unwrap_or(f64::NEG_INFINITY)
    }
}

impl<'s> Study<'s> {
    /// A study of a network that is trained for so many epochs, 1 or more.
    ///
    /// # Errors
    /// If there are no trials, or too many, or it is a grid of too many points.
    pub fn new(search: &'s Search, epochs: usize) -> Result<Self, SearchError> {
        let Search { ref space, trials, window, sampler, pruning, .. } = *search;
        if trials == 0 || window == 0 {
            return Err(SearchError::NoTrials);
        }
        if trials > MOST_TRIALS {
            return Err(SearchError::TooManyTrials(trials));
        }
        let points = space.points();
        if sampler == Sampler::Grid {
            match points {
                None => return Err(SearchError::EndlessGrid),
                Some(points) if points > trials => return Err(SearchError::LargeGrid { points, trials }),
                Some(_) => {}
            }
        }
        let trials = trials.min(points.unwrap_or(usize::MAX));
        Ok(Self { search, trials, rungs: pruning.rungs(epochs, window) })
    }

    /// How many trials it has.
    pub fn trials(&self) -> usize {
        self.trials
    }

    /// The epochs after which its trials are looked at, the full number last.
    pub fn rungs(&self) -> &[usize] {
        &self.rungs
    }

    /// The epochs that are likely still to be trained beside the runs that are wanted now, for each of a trial's seeds.
    pub fn epochs_left(&self, progress: &Progress) -> f64 {
        let Search { window, pruning, .. } = *self.search;
        let Progress { trials, wanted, .. } = progress;
        let unknown = self.trials - trials.len();
        let (windows, rest) = (unknown / window, unknown % window);
        let mut left = windows as f64 * self.expected(window, 0) + self.expected(rest, 0);
        if let Some(rung) = wanted.first().and_then(|(_, epochs)| self.rungs.iter().position(|own| own == epochs)) {
            // Of the present window those count that are at this rung, or on the way to it.
            let first = (trials.len() - 1) / window * window;
            let alive = trials[first..].iter().filter(|trial| trial.scores.len() >= rung && !trial.ended).count();
            left += self.expected(pruning.likely_kept(alive), rung + 1);
        }
        left
    }

    /// The epochs that so many trials are likely to train from a rung on.
    fn expected(&self, mut trials: usize, rung: usize) -> f64 {
        let mut epochs = 0;
        for place in rung..self.rungs.len() {
            let before = place.checked_sub(1).map_or(0, |before| self.rungs[before]);
            epochs += trials * (self.rungs[place] - before);
            trials = self.search.pruning.likely_kept(trials);
        }
        epochs as f64
    }

    /// How far it has come, by the scores of the runs so far: more is better, negative infinity is what diverged, and nothing is
    /// what is not trained yet. What is not a number counts as diverged.
    pub fn look(&self, mut score: impl FnMut(&Point, usize) -> Option<f64>) -> Progress {
        let Search { ref space, window, sampler, pruning, seed, .. } = *self.search;
        let mut trials: Vec<Trial> = Vec::with_capacity(self.trials);
        while trials.len() < self.trials {
            let first = trials.len();
            let ranks = ranks(&trials);
            let mut points: Vec<Point> = trials.iter().map(|trial| trial.point.clone()).collect();
            for number in first..self.trials.min(first + window) {
                let point = sampler.propose(space, seed, number, &points, &ranks);
                points.push(point.clone());
                trials.push(Trial { point, scores: Vec::new(), ended: false });
            }
            let mut alive: Vec<usize> = (first..trials.len()).collect();
            for (rung, &epochs) in self.rungs.iter().enumerate() {
                let mut wanted = Vec::new();
                for &number in &alive {
                    match score(&trials[number].point, epochs) {
                        Some(score) if score.is_nan() => trials[number].scores.push(f64::NEG_INFINITY),
                        Some(score) => trials[number].scores.push(score),
                        None => wanted.push((number, epochs)),
                    }
                }
                if !wanted.is_empty() {
                    return Progress { trials, wanted, winner: None };
                }
                let here: Vec<(usize, f64)> = alive.iter().map(|&number| (number, trials[number].last())).collect();
                let earlier: Vec<f64> =
                    trials[..first].iter().filter_map(|trial| trial.scores.get(rung).copied()).collect();
                let kept = if rung + 1 == self.rungs.len() { Vec::new() } else { pruning.keep(&here, &earlier) };
                for &number in &alive {
                    trials[number].ended = !kept.contains(&number);
                }
                alive = kept;
            }
        }
        let is_whole = |number: &usize| trials[*number].scores.len() == self.rungs.len();
        let finite = |number: &usize| trials[*number].last() > f64::NEG_INFINITY;
        let whole = (0..trials.len()).rev().filter(|number| is_whole(number) && finite(number));
        // The earlier of equals.
        let winner = whole.max_by(|&a, &b| trials[a].last().total_cmp(&trials[b].last()));
        Progress { trials, wanted: Vec::new(), winner }
    }
}

/// How trials that have ended rank, 0 is the best: those that came to a later rung before others, then by their score there. Scores of
/// different rungs are not comparable; that a trial was let go on is.
fn ranks(trials: &[Trial]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..trials.len()).collect();
    let key = |number: usize| {
        let trial: &Trial = &trials[number];
        let diverged = trial.last() == f64::NEG_INFINITY;
        (if diverged { 0 } else { trial.scores.len() }, trial.last())
    };
    order.sort_by(|&a, &b| {
        let ((rung_a, score_a), (rung_b, score_b)) = (key(a), key(b));
        rung_b.cmp(&rung_a).then(score_b.total_cmp(&score_a)).then(a.cmp(&b))
    });
    let mut ranks = vec![0; trials.len()];
    for (rank, number) in order.into_iter().enumerate() {
        ranks[number] = rank;
    }
    ranks
}

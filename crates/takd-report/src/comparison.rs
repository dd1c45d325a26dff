//! Whether one network is better than another, and how surely.
//!
//! Two things make a difference of test accuracies uncertain, and they are shown apart. Another seed gives other networks:
//! students of one seed share initial weights and order of images, so that their difference is taken seed by seed, and its
//! mean has an interval by Student's t. And other test images would be classified differently: over the images, the
//! difference is the mean of what each image adds, whose standard error is that of a paired comparison; for a single seed its
//! variance is McNemar's (Psychometrika 12, 1947).

use crate::run::{RunReport, RunState};
use crate::statistics::{Interval, Summary, normal_quantile, t_quantile, t_two_sided};
use serde::Serialize;
use std::collections::{HashMap, HashSet};
use std::fmt;
use takd_distill::Runs;
use takd_store::RunId;

/// The share of comparisons without a difference in which one may be seen all the same.
const LEVEL: f64 = 0.05;

/// The most seeds that are worth an estimate.
const MOST_SEEDS: usize = 1000;

/// Differences of accuracies that are as small as this are the same but for rounding.
const ROUNDING: f64 = 8.0 * f64::EPSILON;

/// How much better some runs are than others: test accuracy less the others', seed by seed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The seeds for which both have a result, and which are compared.
    pub seeds: Vec<u64>,
    /// The seeds for which one of them diverged, or has no teacher because that diverged.
    pub diverged: Vec<u64>,
    /// The differences over the seeds.
    pub test_accuracy: Summary,
    /// How sure the test images make the mean difference, if it is known which of them each network gets right.
    pub over_images: Option<OverImages>,
    /// What it comes to.
    pub verdict: Verdict,
}

/// The mean difference of networks as an estimate for other test images of the same kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct OverImages {
    /// Number of test images.
    pub images: usize,
    /// The standard error of the mean difference.
    pub standard_error: f64,
    /// The confidence interval of the mean difference, 95 %.
    pub interval_95: Interval,
}

/// Whether the first of two is better than the second, over the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "is", rename_all = "kebab-case")]
pub enum Verdict {
    /// It is better: the interval lies above 0.
    Holds,
    /// It is worse: the interval lies below 0.
    DoesNotHold,
    /// The two are equal for every seed.
    Equal,
    /// 0 lies in the interval.
    Undecided {
        /// How many more seeds would decide it, if mean and deviation stay as they are; nothing if more than a thousand.
        more_seeds: Option<usize>,
    },
    /// Nothing is known of the spread: there is a single seed, or all differences are the same.
    Unknown,
}

impl Comparison {
    /// Of the runs of two paths, or of any other two sets with a run a seed. Nothing if no seed has a result in both.
    ///
    /// `runs` is where it is read which test images each network gets right.
    ///
    /// ```
    /// # use takd_report::Comparison;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let folder = tempfile::tempdir()?;
    /// let runs = takd_distill::Runs::open(folder.path())?;
    /// // Without a result nothing can be said.
    /// assert_eq!(Comparison::of(&[], &[], &runs), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(better: &[RunReport], worse: &[RunReport], runs: &Runs) -> Option<Self> {
        Comparer::new(runs).compare(better, worse, LEVEL)
    }
}

/// Makes comparisons, and remembers which test images each run gets right.
pub(crate) struct Comparer<'a> {
    runs: &'a Runs,
    correct: HashMap<RunId, Option<Vec<bool>>>,
}

impl<'a> Comparer<'a> {
    pub(crate) fn new(runs: &'a Runs) -> Self {
        Self { runs, correct: HashMap::new() }
    }

    /// Of two sets of runs, at the usual level.
    pub(crate) fn pair(&mut self, better: &[RunReport], worse: &[RunReport]) -> Option<Comparison> {
        self.compare(better, worse, LEVEL)
    }

    /// The best of several, and how much better it is than each other one, corrected for all pairs that could have come out as the
    /// largest difference (Holm, Scandinavian Journal of Statistics 6, 1979). Sets without a result are left out; places are
    /// those in `sets`. Nothing without a seed that all others have.
    pub(crate) fn best_of(&mut self, sets: &[&[RunReport]]) -> Option<(usize, Vec<(usize, Comparison)>)> {
        let best = best(sets)?;
        let with_result: Vec<usize> =
            (0..sets.len()).filter(|&place| sets[place].iter().any(|run| accuracy(run).is_some())).collect();
        let p = |one: usize, other: usize| {
            let (_, differences) = paired(sets[one], sets[other]);
            Summary::of(&differences).and_then(|summary| p_value(&summary)).unwrap_or(1.0)
        };
        let mut all = Vec::new();
        for (at, &one) in with_result.iter().enumerate() {
            all.extend(with_result[at + 1..].iter().map(|&other| p(one, other)));
        }
        let level = holm_level(&all);
        let others = with_result.into_iter().filter(|&place| place != best);
        let others = others.filter_map(|place| {
            let level = level(p(best, place));
            Some((place, self.compare(sets[best], sets[place], level)?))
        });
        Some((best, others.collect()))
    }

    fn compare(&mut self, better: &[RunReport], worse: &[RunReport], level: f64) -> Option<Comparison> {
        let (pairs, differences) = paired(better, worse);
        let test_accuracy = Summary::of(&differences)?;
        let mut diverged: Vec<u64> =
            better.iter().chain(worse).filter(|run| is_lost(run)).map(|run| run.seed).collect();
        diverged.sort_unstable();
        diverged.dedup();
        Some(Comparison {
            seeds: pairs.iter().map(|(run, _)| run.seed).collect(),
            diverged,
            over_images: self.over_images(&pairs, test_accuracy.mean),
            verdict: verdict(&test_accuracy, level),
            test_accuracy,
        })
    }

    /// Of each image, the mean over the seeds of how much more often the first gets it right.
    fn over_images(&mut self, pairs: &[(&RunReport, &RunReport)], mean: f64) -> Option<OverImages> {
        let mut sums: Vec<i32> = Vec::new();
        for (better, worse) in pairs {
            for (run, sign) in [(better, 1), (worse, -1)] {
                let correct = self.correct(&run.run)?;
                if sums.is_empty() {
                    sums = vec![0; correct.len()];
                }
                if sums.len() != correct.len() {
                    return None;
                }
                for (sum, &correct) in sums.iter_mut().zip(correct) {
                    *sum += sign * i32::from(correct);
                }
            }
        }
        let (images, seeds) = (sums.len() as f64, pairs.len() as f64);
        if sums.is_empty() {
            return None;
        }
        let squares: f64 = sums.iter().map(|&sum| (f64::from(sum) / seeds - mean).powi(2)).sum();
        let standard_error = (squares / images / images).sqrt();
        let half = normal_quantile(LEVEL) * standard_error;
        let interval_95 = Interval { low: mean - half, high: mean + half };
        Some(OverImages { images: sums.len(), standard_error, interval_95 })
    }

    fn correct(&mut self, run: &RunId) -> Option<&[bool]> {
        if !self.correct.contains_key(run) {
            // A damaged file is what verification finds; here it is as none.
            let read = self.runs.correct(run).ok().flatten();
            self.correct.insert(run.clone(), read);
        }
        self.correct.get(run)?.as_deref()
    }
}

impl Comparison {
    /// The verdict, and whether it is one for these test images alone: `holds`; `holds for these images`, if 0 lies in the interval
    /// over the images; `undecided: about 4 more seeds would decide it`.
    pub fn in_words(&self) -> String {
        let decided = matches!(self.verdict, Verdict::Holds | Verdict::DoesNotHold);
        let by_chance = self.over_images.is_some_and(|images| images.may_be_chance());
        if decided && by_chance { format!("{} for these images", self.verdict) } else { self.verdict.to_string() }
    }
}

impl OverImages {
    /// Whether the difference may be one of these test images alone.
    pub fn may_be_chance(&self) -> bool {
        self.interval_95.low <= 0.0 && 0.0 <= self.interval_95.high
    }
}

impl fmt::Display for Verdict {
    /// `undecided: about 4 more seeds would decide it`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds => f.write_str("holds"),
            Self::DoesNotHold => f.write_str("does not hold"),
            Self::Equal => f.write_str("equal"),
            Self::Undecided { more_seeds: Some(1) } => f.write_str("undecided: about 1 more seed would decide it"),
            Self::Undecided { more_seeds: Some(more) } => {
                write!(f, "undecided: about {more} more seeds would decide it")
            }
            Self::Undecided { more_seeds: None } => write!(f, "undecided: {MOST_SEEDS} more seeds would not decide it"),
            Self::Unknown => f.write_str("unknown: more seeds are needed"),
        }
    }
}

/// The mean accuracy of each set that has a result, over the seeds that all of these have; nothing without such a seed. What
/// is chosen by its mean is chosen by these, as some sets may have seeds that are easier than others.
pub(crate) fn common_means(sets: &[&[RunReport]]) -> Option<Vec<Option<f64>>> {
    let results = |set: &[RunReport]| -> HashMap<u64, f64> {
        set.iter().filter_map(|run| Some((run.seed, accuracy(run)?))).collect()
    };
    let results: Vec<HashMap<u64, f64>> = sets.iter().map(|set| results(set)).collect();
    let with_result = || results.iter().filter(|set| !set.is_empty());
    let mut common: Vec<u64> = with_result().next()?.keys().copied().collect();
    common.retain(|seed| with_result().all(|set| set.contains_key(seed)));
    common.sort_unstable();
    let mean = |set: &HashMap<u64, f64>| {
        let sum: f64 = common.iter().filter_map(|seed| set.get(seed)).sum();
        (!set.is_empty()).then(|| sum / common.len() as f64)
    };
    (!common.is_empty()).then(|| results.iter().map(mean).collect())
}

/// The place of the best by [`common_means`], the first of equals.
pub(crate) fn best(sets: &[&[RunReport]]) -> Option<usize> {
    let means = common_means(sets)?;
    let means = means.iter().enumerate().filter_map(|(place, mean)| Some((place, (*mean)?)));
    means.reduce(|best, other| if other.1 > best.1 { other } else { best }).map(|(place, _)| place)
}

/// The pairs of runs of one seed that both have a result, and the differences of their accuracies; a pair that is that of several seeds,
/// as of two networks that were trained elsewhere, gives one difference.
fn paired<'a>(better: &'a [RunReport], worse: &'a [RunReport]) -> (Vec<(&'a RunReport, &'a RunReport)>, Vec<f64>) {
    let others: HashMap<u64, (&RunReport, f64)> =
        worse.iter().filter_map(|run| Some((run.seed, (run, accuracy(run)?)))).collect();
    let (mut pairs, mut differences, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for run in better {
        let (Some(&(other, worse)), Some(own)) = (others.get(&run.seed), accuracy(run)) else { continue };
        pairs.push((run, other));
        if seen.insert((&run.run, &other.run)) {
            differences.push(own - worse);
        }
    }
    (pairs, differences)
}

fn accuracy(run: &RunReport) -> Option<f64> {
    Some(run.state.measurements()?.test_accuracy)
}

fn is_lost(run: &RunReport) -> bool {
    matches!(run.state, RunState::Diverged { .. } | RunState::NoTeacher)
}

/// What differences come to, with an interval that misses the truth as often as `level` says.
fn verdict(differences: &Summary, level: f64) -> Verdict {
    let Summary { n, mean, standard_deviation, .. } = *differences;
    let Some(deviation) = standard_deviation else { return Verdict::Unknown };
    if deviation <= ROUNDING {
        return if mean.abs() <= ROUNDING { Verdict::Equal } else { Verdict::Unknown };
    }
    let decides = |n: usize| {
        let half = t_quantile(n as f64 - 1.0, level).map(|quantile| quantile * deviation / (n as f64).sqrt());
        half.is_some_and(|half| half < mean.abs())
    };
    if decides(n) {
        return if mean > 0.0 { Verdict::Holds } else { Verdict::DoesNotHold };
    }
    // The half width falls as the seeds grow, so that their number can be searched for by halving.
    let more: Vec<usize> = (1..=MOST_SEEDS).collect();
    let place = more.partition_point(|&more| !decides(n + more));
    Verdict::Undecided { more_seeds: more.get(place).copied() }
}

/// How likely a mean at least as far from 0 is, if there is no difference; nothing if nothing is known of the spread.
fn p_value(differences: &Summary) -> Option<f64> {
    let deviation = differences.standard_deviation.filter(|deviation| *deviation > ROUNDING)?;
    let standard_error = deviation / (differences.n as f64).sqrt();
    t_two_sided(differences.mean / standard_error, differences.n as f64 - 1.0)
}

/// Holm's step down: the level at which a comparison of this p-value is decided, given those of all comparisons.
fn holm_level(all: &[f64]) -> impl Fn(f64) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let step = move |place: usize| LEVEL / (count - place) as f64;
    // The first that is not decided, and with it all after it.
    let failed = sorted.iter().enumerate().position(|(place, &p)| p > step(place)).unwrap_or(count);
    let last = if failed < count { step(failed) } else { LEVEL };
    move |p| {
        let place = sorted.partition_point(|&other| other < p);
        if place < failed { step(place) } else { last }
    }
}

#[cfg(test)]
mod tests;

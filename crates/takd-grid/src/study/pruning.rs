//! Which trials go on, and which end early.

/// How trials end early.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pruning {
    /// None does.
    None,
    /// Successive halving (Jamieson and Talwalkar, 2016) within a window: at each rung the best third goes on.
    #[default]
    Halving,
    /// At each rung those go on that are not below the median of the trials of earlier windows there.
    Median,
}

/// From one rung to the next a trial is trained so many times as long.
const FACTOR: usize = 3;

impl Pruning {
    /// Every pruning.
    pub const ALL: &'static [Self] = &[Self::None, Self::Halving, Self::Median];

    /// The name as recipes have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Halving => "halving",
            Self::Median => "median",
        }
    }

    /// The epochs after which trials of `epochs` are looked at, the last `epochs` itself. Each rung has a third of the next one's
    /// epochs, and there are no more rungs than leave one trial of a window.
    pub fn rungs(self, epochs: usize, window: usize) -> Vec<usize> {
        let mut rungs = vec![epochs];
        let (mut left, mut least) = (window, epochs as f64);
        while self != Self::None && left > 1 && least >= FACTOR as f64 {
            (left, least) = (left.div_ceil(FACTOR), least / FACTOR as f64);
            rungs.push(least.round() as usize);
        }
        rungs.reverse();
        rungs
    }

    /// How many of so many trials are likely to go on from one rung to the next.
    pub(super) fn likely_kept(self, trials: usize) -> usize {
        match self {
            Self::None => trials,
            Self::Halving => trials.div_ceil(FACTOR),
            Self::Median => trials.div_ceil(2),
        }
    }

    /// Of the trials of a window that are at a rung, with their scores there, those that go on to the next. `earlier` are the scores
    /// at this rung of the trials of earlier windows.
    pub(super) fn keep(self, alive: &[(usize, f64)], earlier: &[f64]) -> Vec<usize> {
        let mut kept: Vec<(usize, f64)> = match self {
            Self::None => alive.to_vec(),
            Self::Halving => {
                let mut best = alive.to_vec();
                // The earlier of equals first.
                best.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
                best.truncate(alive.len().div_ceil(FACTOR));
                best
            }
            Self::Median => {
                let least = median(earlier).unwrap_or(f64::NEG_INFINITY);
                alive.iter().copied().filter(|(_, score)| *score >= least).collect()
            }
        };
        // What has diverged would do so again.
        kept.retain(|(_, score)| *score > f64::NEG_INFINITY);
        let mut kept: Vec<usize> = kept.into_iter().map(|(number, _)| number).collect();
        kept.sort_unstable();
        kept
    }
}

/// The lower of the two in the midst, where there are two.
fn median(scores: &[f64]) -> Option<f64> {
    let mut scores = scores.to_vec();
    scores.sort_by(f64::total_cmp);
    scores.get(scores.len().checked_sub(1)? / 2).copied()
}

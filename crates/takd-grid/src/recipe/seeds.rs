//! Seeds as people write them.

/// The most seeds of an experiment.
pub const MAX_SEEDS: usize = 1000;
/// The largest seed, so that each fits the integers of TOML.
pub const MAX_SEED: u64 = i64::MAX as u64;

/// Why a text or a list is not a list of seeds.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedsError {
    /// There are none.
    #[error("there is no seed")]
    None,
    /// A part of the text is neither a seed nor a range.
    #[error("`{0}` is not a seed; seeds are whole numbers of 0 or more such as `20,31,55`, or a range such as `1..5`")]
    NotASeed(String),
    /// A seed is larger than [`MAX_SEED`].
    #[error("seed {0} is larger than {MAX_SEED}")]
    TooLarge(u64),
    /// A range that ends before it begins.
    #[error("the range {first}..{last} is empty; write {last}..{first}")]
    Falling {
        /// Where it begins.
        first: u64,
        /// Where it ends.
        last: u64,
    },
    /// A seed stands twice.
    #[error("seed {0} stands twice")]
    Twice(u64),
    /// There are more than [`MAX_SEEDS`].
    #[error("{0} seeds; at most {MAX_SEEDS}")]
    TooMany(u64),
}

/// Reads seeds such as `31`, `20,31,55` or `1..5`, which is 1, 2, 3, 4 and 5.
///
/// ```
/// use takd_grid::recipe::parse_seeds;
///
/// assert_eq!(parse_seeds("20, 1..3")?, [20, 1, 2, 3]);
/// assert!(parse_seeds("5..1").is_err());
/// # Ok::<(), takd_grid::recipe::SeedsError>(())
/// ```
///
/// # Errors
/// If there is no seed, one stands twice or is too large, or there are more than [`MAX_SEEDS`].
pub fn parse_seeds(text: &str) -> Result<Vec<u64>, SeedsError> {
    if text.trim().is_empty() {
        return Err(SeedsError::None);
    }
    let mut seeds = Vec::new();
    for part in text.split(',') {
        let part = part.trim();
        let seed = |text: &str| text.trim().parse::<u64>().map_err(|_| SeedsError::NotASeed(part.to_owned()));
        let (first, last) = match part.split_once("..") {
            Some((first, last)) => (seed(first)?, seed(last.strip_prefix('=').unwrap_or(last))?),
            None => (seed(part)?, seed(part)?),
        };
        if last < first {
            return Err(SeedsError::Falling { first, last });
        }
        let total = (last - first).saturating_add(1).saturating_add(seeds.len() as u64);
        if total > MAX_SEEDS as u64 {
            return Err(SeedsError::TooMany(total));
        }
        seeds.extend(first..=last);
    }
    check_seeds(&seeds)?;
    Ok(seeds)
}

/// Checks a list of seeds.
pub(super) fn check_seeds(seeds: &[u64]) -> Result<(), SeedsError> {
    if seeds.is_empty() {
        return Err(SeedsError::None);
    }
    if seeds.len() > MAX_SEEDS {
        return Err(SeedsError::TooMany(seeds.len() as u64));
    }
    if let Some(&seed) = seeds.iter().find(|&&seed| seed > MAX_SEED) {
        return Err(SeedsError::TooLarge(seed));
    }
    match seeds.iter().enumerate().find(|&(place, seed)| seeds[..place].contains(seed)) {
        Some((_, &seed)) => Err(SeedsError::Twice(seed)),
        None => Ok(()),
    }
}

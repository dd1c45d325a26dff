//! A rectangle at a random place of an image.

use rand::{Rng, RngExt};
use std::ops::Range;

/// The rows and columns of a rectangle of `size` rows and columns whose middle is any pixel of an image of `(height, width)`, as far
/// as it lies inside.
pub(super) fn patch(
    (height, width): (usize, usize),
    size: (usize, usize),
    rng: &mut impl Rng,
) -> (Range<usize>, Range<usize>) {
    let mut range = |of: usize, length: usize| {
        let middle = rng.random_range(0..of);
        middle.saturating_sub(length / 2)..(middle + length.div_ceil(2)).min(of)
    };
    (range(height, size.0), range(width, size.1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn patches_have_their_size_or_end_at_the_border(
            height in 1usize..20, width in 1usize..20, rows in 0usize..25, columns in 0usize..25, seed: u64,
        ) {
            let found = patch((height, width), (rows, columns), &mut takd_rng::stream(seed, "patch"));
            for (range, of, length) in [(found.0, height, rows), (found.1, width, columns)] {
                prop_assert!(range.start <= range.end && range.end <= of && range.len() <= length);
                prop_assert!(range.len() == length || range.start == 0 || range.end == of);
                // The middle lies inside.
                prop_assert!(range.len() >= length.div_ceil(2).min(1));
            }
        }
    }
}

//! Random colours: red, green and blue, each from 0 to 1.

use rand::{Rng, RngExt};

pub(super) type Rgb = [f32; 3];

/// The colours near which shapes and backgrounds are drawn: a hint at the class, and no more than that.
pub(super) const PALETTE: [Rgb; 10] = [
    [0.8, 0.3, 0.3],
    [0.3, 0.7, 0.3],
    [0.3, 0.3, 0.8],
    [0.8, 0.7, 0.3],
    [0.7, 0.3, 0.7],
    [0.3, 0.7, 0.7],
    [0.8, 0.5, 0.3],
    [0.7, 0.7, 0.7],
    [0.35, 0.35, 0.35],
    [0.5, 0.6, 0.3],
];

/// How far each channel may be from the palette's colour.
const SCATTER: f32 = 0.36;

/// A colour near `wanted`.
pub(super) fn near(rng: &mut impl Rng, wanted: Rgb) -> Rgb {
    wanted.map(|value| (value + uniform(rng, -SCATTER, SCATTER)).clamp(0.0, 1.0))
}

/// A colour near `wanted` and more than `contrast` from another.
pub(super) fn apart(rng: &mut impl Rng, wanted: Rgb, from: Rgb, contrast: f32) -> Rgb {
    loop {
        let drawn = near(rng, wanted);
        if distance(drawn, from) > contrast {
            return drawn;
        }
    }
}

pub(super) fn uniform(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

fn distance(a: Rgb, b: Rgb) -> f32 {
    // The square root is exact by IEEE 754, so the same everywhere.
    (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f32>().sqrt()
}

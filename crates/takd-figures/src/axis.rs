//! Axes: which numbers stand at them, and where.

/// The values that an axis shows, and the pixels that they stand at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// The pixel of the low end.
    pub(crate) start: f64,
    /// The pixel of the high end.
    pub(crate) end: f64,
}

impl Scale {
    /// From the least to the greatest of some values, and a little more at both ends. Values that are not finite do not count.
    pub(crate) fn around(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Self {
        // What is beyond has no place in a figure.
        const FARTHEST: f64 = 1e100;
        let values = values.filter(|value| value.abs() < FARTHEST);
        let (low, high) =
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
        if low > high {
            return Self { low: 0.0, high: 1.0, start, end };
        }
        // Of values that are all the same, their neighbourhood.
        let nothing = low.abs().max(high.abs()) * 1e-9;
        let spread = if high - low > nothing { high - low } else { low.abs().max(1.0) * 0.1 };
        let more = 0.06 * spread;
        Self { low: low - more, high: high + more, start, end }
    }

    /// Where a value stands; what lies beyond stands at the end.
    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.start + share.clamp(0.0, 1.0) * (self.end - self.start)
    }

    /// Round numbers within it: about so many.
    pub(crate) fn ticks(&self, about: usize) -> Vec<f64> {
        let rough = (self.high - self.low) / about.max(1) as f64;
        let magnitude = 10f64.powf(rough.log10().floor());
        let steps = [1.0, 2.0, 2.5, 5.0, 10.0];
        let step = steps.into_iter().map(|step| step * magnitude).find(|step| *step >= rough * 0.999);
        let step = step.unwrap_or(10.0 * magnitude);
        let first = (self.low / step).ceil();
        let count = ((self.high / step).floor() - first).max(-1.0) as usize + 1;
        (0..count.min(50)).map(|place| (first + place as f64) * step).collect()
    }

    /// Powers of ten within it, if it shows logarithms.
    pub(crate) fn decades(&self) -> Vec<f64> {
        let (first, last) = (self.low.ceil() as i32, self.high.floor() as i32);
        (first..=last).map(f64::from).collect()
    }
}

/// The ticks as they are written: with as many places as the finest needs.
pub(crate) fn labels(ticks: &[f64]) -> Vec<String> {
    let step = ticks.windows(2).map(|pair| pair[1] - pair[0]).fold(f64::INFINITY, f64::min);
    let largest = ticks.iter().fold(0.0_f64, |largest, tick| largest.max(tick.abs()));
    if largest >= 1e6 || (largest > 0.0 && largest < 1e-4) {
        return ticks.iter().map(|tick| format!("{tick:.1e}")).collect();
    }
    let places = (0..8).find(|&places| {
        let factor = 10f64.powi(places);
        !step.is_finite() || (step * factor - (step * factor).round()).abs() < 1e-6
    });
    let places = places.unwrap_or(8) as usize;
    ticks.iter().map(|tick| format!("{:.places$}", tick + 0.0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    #[test]
    fn ticks_are_round_numbers_and_their_labels_have_no_place_too_many() {
        let scale = |low, high| Scale { low, high, start: 0.0, end: 1.0 };
        assert_eq!(labels(&scale(68.2, 74.1).ticks(6)), ["69", "70", "71", "72", "73", "74"]);
        assert_eq!(labels(&scale(0.0, 1.0).ticks(4)), ["0.00", "0.25", "0.50", "0.75", "1.00"]);
        assert_eq!(labels(&scale(-0.02, 0.02).ticks(4)), ["-0.02", "-0.01", "0.00", "0.01", "0.02"]);
        assert_eq!(labels(&scale(0.0, 3e6).ticks(3)), ["0.0e0", "1.0e6", "2.0e6", "3.0e6"]);
    }

    proptest! {
        #[test]
        fn few_ticks_lie_within_the_axis(low in -1e12f64..1e12, spread in 1e-6f64..1e12, about in 1usize..12) {
            let scale = Scale::around([low, low + spread].into_iter(), 0.0, 100.0);
            let ticks = scale.ticks(about);
            prop_assert!(ticks.len() <= about + 3, "{ticks:?}");
            prop_assert!(ticks.iter().all(|tick| (-1e-6..=100.0 + 1e-6).contains(&scale.at(*tick))), "{ticks:?}");
        }
    }
}

//! One tensor as it is stored: 32-bit floats, or fewer bits.

use crate::WeightPrecision;
use half::f16;

/// The largest 8-bit weight; -128 is not used, so that a weight and its negative are stored alike.
const MOST: f32 = 127.0;

/// A tensor's shape and its numbers in their stored form.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub shape: Vec<usize>,
    pub values: Values,
}

/// Numbers in the order of the tensor's memory, the last dimension first.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    F32(Vec<f32>),
    F16(Vec<f16>),
    /// `weights[channel, …] * scale[channel]`.
    Int8 {
        weights: Vec<i8>,
        scale: Vec<f32>,
    },
    /// The number of batches that a batch normalisation has seen.
    Counter(i64),
}

impl Stored {
    /// The tensor as 32-bit floats; nothing for a counter.
    pub(crate) fn floats(&self) -> Vec<f32> {
        match &self.values {
            Values::F32(values) => values.clone(),
            Values::F16(values) => values.iter().map(|value| value.to_f32()).collect(),
            Values::Int8 { weights, scale } => {
                let channels = weights.chunks(self.channel_size()).zip(scale);
                channels.flat_map(|(channel, scale)| channel.iter().map(move |&w| f32::from(w) * scale)).collect()
            }
            Values::Counter(_) => Vec::new(),
        }
    }

    /// Numbers of one output channel, the first dimension; at least 1.
    pub(crate) fn channel_size(&self) -> usize {
        self.shape.iter().skip(1).product::<usize>().max(1)
    }

    /// The precision of a weight; nothing for a counter.
    pub(crate) fn precision(&self) -> Option<WeightPrecision> {
        match self.values {
            Values::F32(_) => Some(WeightPrecision::F32),
            Values::F16(_) => Some(WeightPrecision::F16),
            Values::Int8 { .. } => Some(WeightPrecision::Int8),
            Values::Counter(_) => None,
        }
    }

    /// The same weight in another precision; a number that is too large for it is infinite.
    pub(crate) fn rounded_to(&self, precision: WeightPrecision) -> Self {
        if self.precision() == Some(precision) {
            return self.clone();
        }
        let floats = self.floats();
        let values = match precision {
            WeightPrecision::F32 => Values::F32(floats),
            WeightPrecision::F16 => Values::F16(floats.into_iter().map(f16::from_f32).collect()),
            WeightPrecision::Int8 => quantised(&floats, self.channel_size()),
        };
        Self { shape: self.shape.clone(), values }
    }

    /// The first number that is not finite, if there is one.
    pub(crate) fn not_finite(&self) -> Option<f32> {
        let values = match &self.values {
            Values::F32(values) => values,
            Values::Int8 { scale, .. } => scale,
            Values::F16(values) => return values.iter().find(|value| !value.is_finite()).map(|value| value.to_f32()),
            Values::Counter(_) => return None,
        };
        values.iter().copied().find(|value| !value.is_finite())
    }
}

/// Symmetric quantisation for each output channel: the largest weight becomes ±127.
fn quantised(floats: &[f32], channel_size: usize) -> Values {
    let (mut weights, mut all_scales) = (Vec::with_capacity(floats.len()), Vec::new());
    for channel in floats.chunks(channel_size) {
        let scale = channel.iter().fold(0f32, |largest, weight| largest.max(weight.abs())) / MOST;
        // Of a channel of zeros, or of numbers next to nothing, all weights are 0.
        let scale = if scale.is_normal() { scale } else { 1.0 };
        weights.extend(channel.iter().map(|weight| (weight / scale).round().clamp(-MOST, MOST) as i8));
        all_scales.push(scale);
    }
    Values::Int8 { weights, scale: all_scales }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn weight(floats: Vec<f32>, channels: usize) -> Stored {
        Stored { shape: vec![channels, floats.len() / channels], values: Values::F32(floats) }
    }

    proptest! {
        #[test]
        fn eight_bits_are_off_by_at_most_half_a_step_of_the_channel(
            floats in prop::collection::vec(-1e3f32..1e3, 24), channels in prop::sample::select(vec![1usize, 2, 3, 4])
        ) {
            let stored = weight(floats.clone(), channels).rounded_to(WeightPrecision::Int8);
            let Values::Int8 { scale, .. } = &stored.values else { unreachable!() };
            for (index, (found, expected)) in stored.floats().iter().zip(&floats).enumerate() {
                let step = scale[index / (24 / channels)];
                prop_assert!((found - expected).abs() <= 0.5001 * step, "{found} for {expected}, step {step}");
            }
        }

        #[test]
        fn what_is_rounded_is_not_rounded_again(floats in prop::collection::vec(-1e3f32..1e3, 12)) {
            let half = weight(floats, 3).rounded_to(WeightPrecision::F16);
            let again = half.rounded_to(WeightPrecision::F32).rounded_to(WeightPrecision::F16);
            prop_assert_eq!(half, again);
        }
    }

    #[test]
    fn channels_of_nothing_stay_nothing() {
        for value in [0.0, 1e-45, f32::MIN_POSITIVE] {
            let floats = weight(vec![value, -value], 2).rounded_to(WeightPrecision::Int8).floats();
            assert!(floats.iter().all(|found| found.abs() <= f32::MIN_POSITIVE), "{value}: {floats:?}");
        }
    }

    #[test]
    fn weight_too_large_for_half_precision_is_not_finite() {
        assert_eq!(weight(vec![1.0, 1e5], 1).rounded_to(WeightPrecision::F16).not_finite(), Some(f32::INFINITY));
        assert_eq!(weight(vec![1.0, 6e4], 1).rounded_to(WeightPrecision::F16).not_finite(), None);
    }
}

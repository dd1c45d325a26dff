//! Numbers that may wait to be normalised until they are read.

use super::buffer::Buffer;
use super::channels::{Panels, Pixels, Repeated};
use super::normalize::{normalize, normalize_pixels};
use crate::activation::Activation;
use pulp::Arch;
use std::sync::Arc;

/// The numbers of features, which may still have to be computed from the output of the convolution before them.
#[derive(Debug)]
pub(crate) enum Values {
    Stored(Buffer),
    /// `activation(scale · y + shift)`: computed when it is read, which costs less than another pass over memory.
    Unnormalized {
        y: Arc<Buffer>,
        scale: Repeated,
        shift: Repeated,
        activation: Activation,
    },
}

impl Values {
    /// Writes some pixels from `start` on to `to`.
    pub(crate) fn read_pixels(&self, arch: Arch, start: usize, pixels: Pixels, to: &mut [f32]) {
        match self {
            Self::Stored(values) => {
                let Pixels { count, step, to: panels, first } = pixels;
                for c in (0..panels.channels).step_by(Panels::CHANNELS) {
                    let channels = Panels::CHANNELS.min(panels.channels - c);
                    for pixel in 0..count {
                        let to = &mut to[panels.at(first + pixel, c)..][..channels];
                        to.copy_from_slice(&values[start + pixel * step + c..][..channels]);
                    }
                }
            }
            Self::Unnormalized { y, scale, shift, activation } => {
                normalize_pixels(arch, &y[start..], [scale, shift], *activation, pixels, to);
            }
        }
    }

    /// Writes the numbers from `start` (the first channel of a pixel) on to `to`.
    pub(crate) fn read(&self, arch: Arch, start: usize, to: &mut [f32]) {
        match self {
            Self::Stored(values) => to.copy_from_slice(&values[start..start + to.len()]),
            Self::Unnormalized { y, scale, shift, activation } => {
                normalize(arch, &y[start..start + to.len()], [scale, shift], *activation, to);
            }
        }
    }
}

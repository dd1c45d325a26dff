//! Numbers that may wait to be normalised until they are read.

use super::buffer::Buffer;
use super::channels::Repeated;
use super::normalize::normalize;
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

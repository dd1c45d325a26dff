//! What a convolution leaves.

use crate::cuda::Buffer;

/// Numbers that each of some blocks left.
pub(super) struct OfBlocks {
    pub numbers: Buffer,
    pub blocks: usize,
}

/// A convolution's output, and in training the moments of the outputs of each block.
pub(super) struct Output {
    pub y: Buffer,
    pub moments: Option<OfBlocks>,
}

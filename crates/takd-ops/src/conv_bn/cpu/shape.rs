//! A convolution's shape, and by which tiles it is done.

use crate::Conv2dParams;
use crate::conv_bn::layer::Mode;

/// Pixels of output that a group has at least, if that many images are not too large together.
const GROUP_PIXELS: usize = 256;

/// The same with tiles of 2×2 and of 4×4, and the channels from which on they are worth it.
const TILED_PIXELS: [usize; 2] = [384, 768];
const TILED_CHANNELS: usize = 16;

/// The channels from which on the forward pass in training takes tiles, of 2×2: the ReLU after it cuts at exactly 0, so
/// that as long as the direct sum costs little more, its smaller error is worth more.
const TILED_TRAIN_CHANNELS: usize = 32;

/// Numbers of a transformed kernel from which on 2×2 is faster than 4×4: it is read again and again from memory.
const WIDE_KERNEL: usize = 1 << 20;

/// What a plan is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// Height, width, channels.
    pub input: [usize; 3],
    pub c_out: usize,
    pub kernel: (usize, usize),
    pub params: Conv2dParams,
    pub mode: Mode,
}

/// The side of the tiles that each convolution of a layer is done by, 2 or 4; `None` if it is done directly.
pub(super) struct TileSizes {
    pub forward: Option<usize>,
    pub backward: Option<usize>,
    pub weights: Option<usize>,
}

impl TileSizes {
    pub(super) fn new(shape: &Shape, [out_h, out_w]: [usize; 2], [block_in, block_out]: [usize; 2]) -> Self {
        let Shape { input: [height, width, c_in], c_out, kernel, params, mode } = *shape;
        let possible = kernel == (3, 3)
            && params.stride == 1
            && c_in.min(c_out) >= TILED_CHANNELS
            && c_in.is_multiple_of(block_in)
            && c_out.is_multiple_of(block_out);
        let largest = if 36 * c_in * c_out < WIDE_KERNEL { 4 } else { 2 };
        let size = |largest: usize, height: usize, width: usize| {
            let fits = |size: &usize| possible && height.is_multiple_of(*size) && width.is_multiple_of(*size);
            [4, 2].into_iter().filter(|&size| size <= largest).find(fits)
        };
        match mode {
            Mode::Train => Self {
                forward: if c_in.min(c_out) < TILED_TRAIN_CHANNELS { None } else { size(2, out_h, out_w) },
                // The input's gradient goes on through the layers below, and its error with it; the weights' ends here.
                backward: size(2, height, width),
                weights: size(largest, out_h, out_w),
            },
            Mode::Eval => Self { forward: size(largest, out_h, out_w), backward: None, weights: None },
        }
    }

    /// Pixels of output that a group has at least.
    pub(super) fn group_pixels(&self) -> usize {
        match [self.forward, self.backward, self.weights].into_iter().flatten().max() {
            None => GROUP_PIXELS,
            Some(size) => TILED_PIXELS[size / 2 - 1],
        }
    }
}

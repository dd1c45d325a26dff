//! Everything about one convolution that does not depend on the numbers: sizes, tables of offsets, and whether it is done
//! directly or by tiles ([`super::winograd`]).
//!
//! A group of images is worked on at a time, small enough for the second-level cache, from padded copies unless tiles can read
//! the images themselves:
//!
//! ```text
//! input   [images][height + 2·padding][width + 2·padding][c_in]
//! d_out   [images][lo + height' + hi][lo + width' + hi][c_out, rounded up to a channel block]
//! ```
//!
//! In such a copy the `k · c_in` numbers under one row of the kernel are neighbours, so that any c_in does. A table gives
//! each pixel's offset, so that a register tile takes any `MR` pixels; if they are in rows of known distance, as for images of
//! three colours, one pointer serves several.

use super::direct::{Sweep, WeightSums};
use super::pointwise::is_pointwise;
use super::shape::{Shape, TileSizes};
use super::tables::{GradCopy, table};
use super::tile::{RUN, SLACK, Window, channel_block};
use super::winograd::{Tiles, Winograd};
use crate::Conv2dParams;
use crate::conv_bn::layer::{ConvBn, Mode, ThenKind};
use crate::cpu::arch;
use candle_core::{Result, bail};
use pulp::Arch;
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers of input that a group of several images has at most.
const GROUP_LEN: usize = 1 << 20;

/// Everything about one convolution that does not depend on the numbers.
#[derive(Debug)]
pub(super) struct Plan {
    pub arch: Arch,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    pub kernel: (usize, usize),
    pub padding: usize,
    pub out_h: usize,
    pub out_w: usize,
    /// Images of a group.
    pub group: usize,
    /// Padded height and width of the input copy.
    padded: (usize, usize),
    /// Rows and columns of zeros before the gradient of the output, and its height and width with those around it.
    pub lo: usize,
    pub d_size: (usize, usize),
    /// c_out rounded up to a channel block.
    pub d_channels: usize,
    pub block_out: usize,
    pub block_in: usize,
    pub forward: Sweep,
    /// One for each remainder of row and column by the stride.
    pub backward: Vec<Sweep>,
    /// Offset of each output pixel in the copy of the output's gradient.
    d_from: Vec<u32>,
    /// What replaces the forward sweep, the backward sweeps and the sum of the weights' gradient if it can.
    pub tiled: Tiled,
    /// Rows and columns from one application of the kernel to the next.
    pub stride: usize,
    /// Whether all three convolutions are matrix products.
    pub pointwise: bool,
}

/// The convolutions done by tiles.
#[derive(Debug)]
pub(super) struct Tiled {
    pub forward: Option<Winograd>,
    pub backward: Option<Winograd>,
    pub weights: Option<Winograd>,
}

/// How a convolution can read its input.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Reads {
    /// Padded copies only.
    Padded,
    /// The images themselves too.
    Plain,
}

/// A shape, and the kind of vector that its plan is for.
type Key = (Discriminant<Arch>, Shape);

/// The plans made so far: their tables cost more than some layers' convolutions.
static PLANS: Mutex<Vec<(Key, Arc<Plan>)>> = Mutex::new(Vec::new());

/// How many of them are kept, those asked for last; a network has few kinds of layers.
const PLANS_KEPT: usize = 64;

/// Frees the plans.
pub(crate) fn release_plans() {
    PLANS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Plan {
    /// The plan of a layer for inputs of these dimensions and the widest vectors: a new one, or one made before.
    pub(super) fn of(layer: &ConvBn, dims: [usize; 4], mode: Mode) -> Result<Arc<Self>> {
        layer.output_size(dims)?;
        let [_, height, width, c_in] = dims;
        let (c_out, _, k_h, k_w) = layer.conv.weight.dims4()?;
        let params = layer.conv.params;
        match Self::shared(Shape { input: [height, width, c_in], c_out, kernel: (k_h, k_w), params, mode }) {
            Some(plan) => Ok(plan),
            None => bail!("ConvBn: input {dims:?} and weight {:?} are too large", layer.conv.weight.dims()),
        }
    }

    fn shared(shape: Shape) -> Option<Arc<Self>> {
        let arch = arch();
        let key = (discriminant(&arch), shape);
        let plans = || PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = plans();
        let plan = match kept.iter().position(|(of, _)| *of == key) {
            Some(index) => kept.remove(index).1,
            None => {
                drop(kept);
                let plan = Arc::new(Self::new(arch, shape)?);
                kept = plans();
                if kept.len() == PLANS_KEPT {
                    kept.remove(0);
                }
                plan
            }
        };
        kept.push((key, plan.clone()));
        Some(plan)
    }

    /// `None` if the kernel does not fit the padded input, or an image has more numbers than the tables count.
    fn new(arch: Arch, shape: Shape) -> Option<Self> {
        let Shape { input: [height, width, c_in], c_out, kernel, params, mode } = shape;
        let (kernel_h, kernel_w) = kernel;
        let Conv2dParams { stride, padding } = params;
        let (out_h, out_w) = (params.outputs(height, kernel_h)?, params.outputs(width, kernel_w)?);
        let padded = (height + 2 * padding, width + 2 * padding);
        let (block_out, block_in) = (channel_block(arch, c_out), channel_block(arch, c_in));
        let sizes = TileSizes::new(&shape, [out_h, out_w], [block_in, block_out]);
        let image_len = padded.0.checked_mul(padded.1)?.checked_mul(c_in)?;
        let group = sizes.group_pixels().div_ceil(out_h.checked_mul(out_w)?).min(GROUP_LEN / image_len).max(1);
        let d_channels = c_out.next_multiple_of(block_out);
        let lo = kernel_h.max(kernel_w).div_ceil(stride).saturating_sub(1);
        let hi = |size: usize, out: usize| ((size + padding).saturating_sub(1) / stride + 1).saturating_sub(out);
        let d_size = (lo + out_h + hi(height, out_h), lo + out_w + hi(width, out_w));
        for (rows, columns, channels) in [(padded.0, padded.1, c_in), (d_size.0, d_size.1, d_channels)] {
            let numbers = group.checked_mul(rows)?.checked_mul(columns)?.checked_mul(channels)?;
            u32::try_from(numbers).ok()?;
        }

        let (rows, columns): (Vec<_>, Vec<_>) = ((0..out_h).collect(), (0..out_w).collect());
        let window = Window { segments: kernel_h, stride: padded.1 * c_in, length: kernel_w * c_in };
        let forward = Sweep {
            from: table(group, &rows, &columns, |n, y, x| ((n * padded.0 + y * stride) * padded.1 + x * stride) * c_in),
            to: table(group, &rows, &columns, |n, y, x| ((n * out_h + y) * out_w + x) * c_out),
            window,
            steps: window.steps(),
            weights: 0,
            taps: ((0..kernel_h).collect(), (0..kernel_w).collect()),
            pixels: out_h * out_w,
            distance: out_w.is_multiple_of(RUN).then_some(stride * c_in),
        };
        let copy = GradCopy { group, lo, size: d_size, channels: d_channels };
        // Evaluation has no use for these: its gradients, rarely asked for, come from the reference.
        let (d_from, backward) = match mode {
            Mode::Train => (copy.table(&rows, &columns), copy.backward_sweeps(&shape, block_in)),
            Mode::Eval => (Vec::new(), Vec::new()),
        };
        let (in_row, d_row) = (padded.1 * c_in, d_size.1 * d_channels);
        let tiled_forward = sizes.forward.map(|size| {
            let from = Tiles::of(&forward.from, size, out_w, in_row);
            let to = Tiles::of(&forward.to, size, out_w, out_w * c_out);
            Winograd::new(size, from, to, [out_h / size, out_w / size], [c_in, c_out], block_out)
        });
        let tiled_backward = sizes.backward.map(|size| {
            let from = Tiles::of(&backward[0].from, size, width, d_row);
            let to = Tiles::of(&backward[0].to, size, width, width * c_in);
            Winograd::new(size, from, to, [height / size, width / size], [c_out, c_in], block_in)
        });
        let tiled_weights = sizes.weights.map(|size| {
            let from = Tiles::of(&forward.from, size, out_w, in_row);
            let to = Tiles::of(&d_from, size, out_w, d_row);
            Winograd::new(size, from, to, [out_h / size, out_w / size], [c_in, c_out], block_out)
        });
        Some(Self {
            arch,
            height,
            width,
            c_in,
            c_out,
            kernel,
            padding,
            out_h,
            out_w,
            group,
            padded,
            lo,
            d_size,
            d_channels,
            block_out,
            block_in,
            forward,
            backward,
            d_from,
            tiled: Tiled { forward: tiled_forward, backward: tiled_backward, weights: tiled_weights },
            stride,
            pointwise: is_pointwise(&shape, [block_in, block_out]),
        })
    }

    /// Numbers in the padded copy of a group's input; a tile may read a few past the last window.
    pub(super) fn input_len(&self) -> usize {
        self.group * self.padded.0 * self.padded.1 * self.c_in + SLACK
    }

    /// Numbers in the padded copy of the gradient of a group's output.
    pub(super) fn d_len(&self) -> usize {
        self.group * self.d_size.0 * self.d_size.1 * self.d_channels
    }

    /// Numbers of one image's input and output.
    pub(super) fn image_lens(&self) -> (usize, usize) {
        (self.height * self.width * self.c_in, self.out_h * self.out_w * self.c_out)
    }

    /// Numbers of one image's padded copies: of the input, of the output's gradient.
    pub(super) fn copy_lens(&self) -> (usize, usize) {
        (self.padded.0 * self.padded.1 * self.c_in, self.d_size.0 * self.d_size.1 * self.d_channels)
    }

    /// Zeroes the border of an image's padded copy.
    pub(super) fn clear_border(&self, copy: &mut [f32]) {
        let length = self.padded.1 * self.c_in;
        let (left, inside) = (self.padding * self.c_in, self.width * self.c_in);
        for (y, copy) in copy.chunks_exact_mut(length).take(self.padded.0).enumerate() {
            if (self.padding..self.padding + self.height).contains(&y) {
                copy[..left].fill(0.0);
                copy[left + inside..].fill(0.0);
            } else {
                copy.fill(0.0);
            }
        }
    }

    /// Where in an image's padded copy row `y` of the image is.
    pub(super) fn inside(&self, y: usize) -> std::ops::Range<usize> {
        let start = ((self.padding + y) * self.padded.1 + self.padding) * self.c_in;
        start..start + self.width * self.c_in
    }

    /// Whether the convolutions are done as matrix products if this follows.
    pub(super) fn is_pointwise(&self, then: ThenKind) -> bool {
        self.pointwise && !matches!(then, ThenKind::ReluMaxPool(_))
    }

    /// How the forward pass can read its input.
    pub(super) fn forward_reads(&self) -> Reads {
        if self.tiled.forward.is_some() { Reads::Plain } else { Reads::Padded }
    }

    /// How the weights' gradient can read its input.
    pub(super) fn weights_reads(&self) -> Reads {
        if self.tiled.weights.is_some() { Reads::Plain } else { Reads::Padded }
    }

    /// Whether [`Plan::forward_mapped`] is possible.
    pub(super) fn maps_forward(&self) -> bool {
        self.tiled.forward.is_some()
    }

    /// Numbers of working memory that the tiles need.
    pub(super) fn room(&self) -> usize {
        let Tiled { forward, backward, weights } = &self.tiled;
        [forward, backward, weights].into_iter().flatten().map(Winograd::room).max().unwrap_or(0)
    }

    /// Numbers of a sum of weight gradients, `[k][k · c_in][c_out, rounded up]`, or as the tiles need it.
    pub(super) fn d_weight_len(&self) -> usize {
        match &self.tiled.weights {
            Some(winograd) => winograd.sums_len(),
            None => self.kernel.0 * self.kernel.1 * self.c_in * self.d_channels,
        }
    }

    /// The sums of the weights' gradient if it is done directly.
    pub(super) fn weight_sums(&self) -> WeightSums<'_> {
        let Self { forward, d_from, d_channels, block_out, .. } = self;
        WeightSums { forward, d_from, d_channels: *d_channels, block: *block_out }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Conv2dParams = Conv2dParams { stride: 1, padding: 1 };

    fn shape(input: [usize; 3], c_out: usize, params: Conv2dParams, mode: Mode) -> Shape {
        Shape { input, c_out, kernel: (3, 3), params, mode }
    }

    #[test]
    fn no_more_plans_are_kept_than_the_limit() {
        for width in 3..3 + PLANS_KEPT + 6 {
            let plan = Plan::shared(shape([4, width, 2], 3, SAME, Mode::Eval));
            assert_eq!(plan.map(|plan| (plan.out_h, plan.out_w)), Some((4, width)));
            assert!(PLANS.lock().unwrap_or_else(PoisonError::into_inner).len() <= PLANS_KEPT);
        }
    }

    #[test]
    fn only_equal_shapes_share_a_plan() {
        let plan = |channels: usize, params: Conv2dParams, mode: Mode| {
            Plan::shared(shape([6, 6, channels], 5, params, mode)).expect("a plan that fits")
        };
        // Other tests may push a plan out between two calls, but hardly again and again.
        assert!((0..10).any(|_| Arc::ptr_eq(&plan(2, SAME, Mode::Train), &plan(2, SAME, Mode::Train))));
        let half = Conv2dParams { stride: 2, padding: 1 };
        let [train, eval] = [Mode::Train, Mode::Eval];
        let kinds = [plan(2, SAME, train), plan(2, SAME, eval), plan(2, half, train), plan(3, SAME, train)];
        for (i, one) in kinds.iter().enumerate() {
            assert!(kinds[..i].iter().all(|other| !Arc::ptr_eq(one, other)));
        }
        assert_eq!(
            kinds.map(|plan| (plan.out_w, plan.c_in, plan.backward.len())),
            [(6, 2, 1), (6, 2, 0), (3, 2, 4), (6, 3, 1)]
        );
    }
}

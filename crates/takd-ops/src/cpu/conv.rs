//! Convolution over channels-last images: forward, gradient of the input, gradient of the weights; directly, or by
//! tiles ([`super::winograd`]) where they fit and pay.
//!
//! A group of images is worked on at a time, small enough for the second-level cache, from padded copies but where tiles
//! can read the images themselves:
//!
//! ```text
//! input   [images][height + 2·padding][width + 2·padding][c_in]
//! d_out   [images][lo + height' + hi][lo + width' + hi][c_out, rounded up to a channel block]
//! ```
//!
//! In such a copy the `k · c_in` numbers under one row of the kernel are neighbours, so that any c_in does. A table gives
//! each pixel's offset, so that a register tile takes any `MR` pixels; where they stand in rows of known distance, as
//! for images of three colours, one pointer serves several.

use super::buffer::Buffer;
use super::channels::Map;
use super::sweep::{Blocks, Sweep, d_weight_tiles, sweep};
use super::tile::{RUN, SLACK, Window, channel_block, with_outer_tile};
use super::winograd::{AddTo, Image, Mapped, Source, Store, Tiles, Winograd};
use crate::Conv2dParams;
use pulp::{Arch, Simd, WithSimd};
use std::mem::{Discriminant, discriminant};
use std::sync::{Arc, Mutex, PoisonError};

/// Numbers of input that a group of several images has at most.
const GROUP_LEN: usize = 1 << 20;

/// Pixels of output a group has at least, but for that.
const GROUP_PIXELS: usize = 256;

/// The same where tiles of 2×2 and of 4×4 are taken, and the channels from which on they are worth it.
const TILED_PIXELS: [usize; 2] = [384, 768];
const TILED_CHANNELS: usize = 16;

/// The channels from which on the forward pass in training takes tiles, of 2×2: the ReLU after it cuts at exactly 0, so
/// that where the direct sum costs little more, its smaller error is worth more.
const TILED_TRAIN_CHANNELS: usize = 32;

/// Numbers of a transformed kernel from which on 2×2 beats 4×4: it is read again and again from memory.
const WIDE_KERNEL: usize = 1 << 20;

/// Everything about one convolution that does not depend on the numbers.
#[derive(Debug)]
pub(crate) struct Plan {
    arch: Arch,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub c_out: usize,
    kernel: (usize, usize),
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
    block_out: usize,
    block_in: usize,
    pub(super) forward: Sweep,
    /// One for each remainder of row and column by the stride.
    backward: Vec<Sweep>,
    /// Offset of each output pixel in the copy of the output's gradient.
    pub(super) d_from: Vec<u32>,
    /// What takes the place of the forward sweep, the backward sweeps and the sum of the weights' gradient where it can.
    tiled_forward: Option<Winograd>,
    tiled_backward: Option<Winograd>,
    tiled_weights: Option<Winograd>,
}

/// What a plan is made from, and for which kind of vector.
type Key = (Discriminant<Arch>, [usize; 3], [usize; 3], Conv2dParams, bool);

/// The plans made so far: their tables cost more than some layers' convolutions.
static PLANS: Mutex<Vec<(Key, Arc<Plan>)>> = Mutex::new(Vec::new());

/// How many of them are kept, those asked for last; a network has few kinds of layers.
const PLANS_KEPT: usize = 64;

/// Frees the plans.
pub(crate) fn release_plans() {
    PLANS.lock().unwrap_or_else(PoisonError::into_inner).clear();
}

impl Plan {
    /// [`Plan::new`] for the widest vectors, or the same as last time.
    pub(crate) fn shared(
        input: [usize; 3],
        kernel: [usize; 3],
        params: Conv2dParams,
        train: bool,
    ) -> Option<Arc<Self>> {
        let arch = super::arch();
        let key = (discriminant(&arch), input, kernel, params, train);
        let plans = || PLANS.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kept = plans();
        let plan = match kept.iter().position(|(of, _)| *of == key) {
            Some(index) => kept.remove(index).1,
            None => {
                drop(kept);
                let plan = Arc::new(Self::new(arch, input, kernel, params, train)?);
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

    /// `None` where the kernel does not fit the padded input, or an image has more numbers than the tables count.
    fn new(
        arch: Arch,
        [height, width, c_in]: [usize; 3],
        [c_out, kernel_h, kernel_w]: [usize; 3],
        params: Conv2dParams,
        train: bool,
    ) -> Option<Self> {
        let Conv2dParams { stride, padding } = params;
        let (out_h, out_w) = (params.places(height, kernel_h)?, params.places(width, kernel_w)?);
        let padded = (height + 2 * padding, width + 2 * padding);
        let (block_out, block_in) = (channel_block(arch, c_out), channel_block(arch, c_in));
        let tileable = (kernel_h, kernel_w, stride) == (3, 3, 1)
            && c_in.min(c_out) >= TILED_CHANNELS
            && c_in.is_multiple_of(block_in)
            && c_out.is_multiple_of(block_out);
        let largest = if 36 * c_in * c_out < WIDE_KERNEL { 4 } else { 2 };
        let size = |largest: usize, height: usize, width: usize| {
            let fits = |size: &usize| tileable && height.is_multiple_of(*size) && width.is_multiple_of(*size);
            [4, 2].into_iter().filter(|&size| size <= largest).find(fits)
        };
        let forward_size = match train {
            true if c_in.min(c_out) < TILED_TRAIN_CHANNELS => None,
            true => size(2, out_h, out_w),
            false => size(largest, out_h, out_w),
        };
        let (backward_size, weights_size) = match train {
            // The input's gradient goes on through the layers below, and its error with it; the weights' ends here.
            true => (size(2, height, width), size(largest, out_h, out_w)),
            false => (None, None),
        };
        let group_pixels = match [forward_size, backward_size, weights_size].iter().flatten().max() {
            None => GROUP_PIXELS,
            Some(size) => TILED_PIXELS[size / 2 - 1],
        };
        let image_len = padded.0.checked_mul(padded.1)?.checked_mul(c_in)?;
        let group = group_pixels.div_ceil(out_h.checked_mul(out_w)?).min(GROUP_LEN / image_len).max(1);
        let d_channels = c_out.next_multiple_of(block_out);
        let lo = kernel_h.max(kernel_w).div_ceil(stride).saturating_sub(1);
        let hi = |size: usize, out: usize| ((size + padding).saturating_sub(1) / stride + 1).saturating_sub(out);
        let d_size = (lo + out_h + hi(height, out_h), lo + out_w + hi(width, out_w));
        for (rows, columns, channels) in [(padded.0, padded.1, c_in), (d_size.0, d_size.1, d_channels)] {
            let numbers = group.checked_mul(rows)?.checked_mul(columns)?.checked_mul(channels)?;
            u32::try_from(numbers).ok()?;
        }

        let table = |of: &dyn Fn(usize, usize, usize) -> usize, rows: &[usize], columns: &[usize]| {
            let mut offsets = Vec::with_capacity(group * rows.len() * columns.len());
            for image in 0..group {
                for &y in rows {
                    offsets.extend(columns.iter().map(|&x| of(image, y, x) as u32));
                }
            }
            offsets
        };
        let (rows, columns): (Vec<_>, Vec<_>) = ((0..out_h).collect(), (0..out_w).collect());
        let window = Window { segments: kernel_h, stride: padded.1 * c_in, length: kernel_w * c_in };
        let forward = Sweep {
            from: table(&|n, y, x| ((n * padded.0 + y * stride) * padded.1 + x * stride) * c_in, &rows, &columns),
            to: table(&|n, y, x| ((n * out_h + y) * out_w + x) * c_out, &rows, &columns),
            window,
            steps: window.steps(),
            weights: 0,
            taps: ((0..kernel_h).collect(), (0..kernel_w).collect()),
            pixels: out_h * out_w,
            distance: out_w.is_multiple_of(RUN).then_some(stride * c_in),
        };
        let d_rows = if train { &rows[..] } else { &[] };
        let d_from = table(&|n, y, x| ((n * d_size.0 + lo + y) * d_size.1 + lo + x) * d_channels, d_rows, &columns);

        // Padded row p of the input got a share of output row q − t under kernel row r + stride·t, where p = stride·q + r.
        let mut backward = Vec::new();
        let mut weights = 0;
        // Evaluation has no use for it: its gradients, rarely asked for, come from the reference.
        for r_y in 0..if train { stride } else { 0 } {
            for r_x in 0..stride {
                let taps = |r: usize, kernel: usize| (r..kernel).step_by(stride).rev().collect::<Vec<_>>();
                let (taps_y, taps_x) = (taps(r_y, kernel_h), taps(r_x, kernel_w));
                let of = |size: usize, r: usize| (0..size).filter(|i| (i + padding) % stride == r).collect::<Vec<_>>();
                let (rows, columns) = (of(height, r_y), of(width, r_x));
                let (before_y, before_x) = (taps_y.len().saturating_sub(1), taps_x.len().saturating_sub(1));
                let from = |n: usize, y: usize, x: usize| {
                    let (q_y, q_x) = ((y + padding) / stride, (x + padding) / stride);
                    ((n * d_size.0 + lo + q_y - before_y) * d_size.1 + lo + q_x - before_x) * d_channels
                };
                let window =
                    Window { segments: taps_y.len(), stride: d_size.1 * d_channels, length: taps_x.len() * d_channels };
                let here = weights;
                weights += c_in.next_multiple_of(block_in) * window.segments * window.length;
                backward.push(Sweep {
                    from: table(&from, &rows, &columns),
                    to: table(&|n, y, x| ((n * height + y) * width + x) * c_in, &rows, &columns),
                    window,
                    steps: window.steps(),
                    weights: here,
                    pixels: rows.len() * columns.len(),
                    distance: columns.len().is_multiple_of(RUN).then_some(d_channels),
                    taps: (taps_y, taps_x),
                });
            }
        }
        let (in_row, d_row) = (padded.1 * c_in, d_size.1 * d_channels);
        let tiled_forward = forward_size.map(|size| {
            let from = Tiles::of(&forward.from, size, out_w, in_row);
            let to = Tiles::of(&forward.to, size, out_w, out_w * c_out);
            Winograd::new(size, (from, to), [out_h / size, out_w / size], [c_in, c_out], block_out)
        });
        let tiled_backward = backward_size.map(|size| {
            let from = Tiles::of(&backward[0].from, size, width, d_row);
            let to = Tiles::of(&backward[0].to, size, width, width * c_in);
            Winograd::new(size, (from, to), [height / size, width / size], [c_out, c_in], block_in)
        });
        let tiled_weights = weights_size.map(|size| {
            let from = Tiles::of(&forward.from, size, out_w, in_row);
            let to = Tiles::of(&d_from, size, out_w, d_row);
            Winograd::new(size, (from, to), [out_h / size, out_w / size], [c_in, c_out], block_out)
        });
        Some(Self {
            arch,
            height,
            width,
            c_in,
            c_out,
            kernel: (kernel_h, kernel_w),
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
            tiled_forward,
            tiled_backward,
            tiled_weights,
        })
    }

    /// Numbers in the padded copy of a group's input; a tile may read a few past the last window.
    pub(crate) fn input_len(&self) -> usize {
        self.group * self.padded.0 * self.padded.1 * self.c_in + SLACK
    }

    /// Numbers in the padded copy of the gradient of a group's output.
    pub(crate) fn d_len(&self) -> usize {
        self.group * self.d_size.0 * self.d_size.1 * self.d_channels
    }

    /// Numbers of one image's input and output.
    pub(crate) fn image_lens(&self) -> (usize, usize) {
        (self.height * self.width * self.c_in, self.out_h * self.out_w * self.c_out)
    }

    /// Zeroes the border of an image's padded copy.
    pub(crate) fn clear_border(&self, copy: &mut [f32]) {
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
    pub(crate) fn inside(&self, y: usize) -> std::ops::Range<usize> {
        let start = ((self.padding + y) * self.padded.1 + self.padding) * self.c_in;
        start..start + self.width * self.c_in
    }

    /// Numbers of one image's padded copies: of the input, of the output's gradient.
    pub(crate) fn copy_lens(&self) -> (usize, usize) {
        (self.padded.0 * self.padded.1 * self.c_in, self.d_size.0 * self.d_size.1 * self.d_channels)
    }

    fn weight_index(&self, o: usize, i: usize, y: usize, x: usize) -> usize {
        ((o * self.c_in + i) * self.kernel.0 + y) * self.kernel.1 + x
    }

    /// `[c_out, c_in, k, k]` as `[block][k][k][c_in][channels of the block]`, zeros after the last channel.
    pub(crate) fn pack_forward(&self, weight: &[f32]) -> Buffer {
        if let Some(winograd) = &self.tiled_forward {
            return winograd.pack(self.arch, |i, o, tap| weight[(o * self.c_in + i) * 9 + tap]);
        }
        let (k_h, k_w) = self.kernel;
        let mut packed = Buffer::zeros(k_h * k_w * self.c_in * self.d_channels);
        let mut rows = packed.chunks_exact_mut(self.block_out);
        for block in (0..self.c_out).step_by(self.block_out) {
            for y in 0..k_h {
                for x in 0..k_w {
                    for (i, row) in (0..self.c_in).zip(&mut rows) {
                        for (o, packed) in (block..self.c_out).zip(row) {
                            *packed = weight[self.weight_index(o, i, y, x)];
                        }
                    }
                }
            }
        }
        packed
    }

    /// The same turned around for the gradient of the input: for each sweep `[block of c_in][taps][c_out][channels]`.
    pub(crate) fn pack_backward(&self, weight: &[f32]) -> Buffer {
        if let Some(winograd) = &self.tiled_backward {
            return winograd.pack(self.arch, |o, i, tap| weight[(o * self.c_in + i) * 9 + 8 - tap]);
        }
        let channels = self.c_in.next_multiple_of(self.block_in);
        let taps: usize = self.backward.iter().map(|sweep| sweep.taps.0.len() * sweep.taps.1.len()).sum();
        let mut packed = Buffer::zeros(taps * self.d_channels * channels);
        let mut rows = packed.chunks_exact_mut(self.block_in);
        for sweep in &self.backward {
            for block in (0..self.c_in).step_by(self.block_in) {
                for &y in &sweep.taps.0 {
                    for &x in &sweep.taps.1 {
                        for (o, row) in (0..self.d_channels).zip(&mut rows) {
                            if o < self.c_out {
                                for (i, packed) in (block..self.c_in).zip(row) {
                                    *packed = weight[self.weight_index(o, i, y, x)];
                                }
                            }
                        }
                    }
                }
            }
        }
        packed
    }

    /// Whether the forward pass takes tiles: then it can read [`Input::Plain`], and [`Plan::forward_mapped`].
    pub(crate) fn tiles_forward(&self) -> bool {
        self.tiled_forward.is_some()
    }

    /// Whether the weights' gradient does: then it can read [`Input::Plain`].
    pub(crate) fn tiles_weights(&self) -> bool {
        self.tiled_weights.is_some()
    }

    /// Where `images ≤ group` images are read from.
    #[inline(always)]
    fn checked(&self, images: usize, input: Input) -> Source {
        assert!(images <= self.group);
        match input {
            Input::Padded(input) => {
                assert!(input.len() >= self.input_len());
                Source::Padded(input.as_ptr())
            }
            Input::Plain(input) => {
                assert!(input.len() >= images * self.image_lens().0);
                let Self { height, width, padding, .. } = *self;
                Source::Plain(input.as_ptr(), Image { height, width, padding })
            }
        }
    }

    #[inline(always)]
    fn padded(source: Source) -> *const f32 {
        match source {
            Source::Padded(source) => source,
            Source::Plain(..) => unreachable!("a sweep reads padded copies alone"),
        }
    }

    /// The convolution of `images ≤ group` images: `output` is theirs, `[images, height', width', c_out]`.
    #[inline(always)]
    pub(crate) fn forward<S: Simd>(
        &self,
        simd: S,
        images: usize,
        input: Input,
        packed: &[f32],
        output: &mut [f32],
        room: &mut [f32],
    ) {
        let blocks = Blocks { channels: self.c_out, block: self.block_out, add: false };
        let source = self.checked(images, input);
        assert!(output.len() >= images * self.image_lens().1);
        if let Some(winograd) = &self.tiled_forward {
            let to = output.as_mut_ptr();
            // SAFETY: the tables' offsets stay within the lengths just checked.
            return unsafe { winograd.convolve(simd, images, source, packed, to, Store, room) };
        }
        assert!(packed.len() >= self.d_channels * self.forward.window.segments * self.forward.window.length);
        let input = Self::padded(source);
        // SAFETY: the tables' offsets stay within the lengths just checked.
        unsafe { sweep(simd, &self.forward, images, input, packed.as_ptr(), output.as_mut_ptr(), blocks) }
    }

    /// The convolution of `images ≤ group` images and, in the same go, `map` with coefficients per channel; its old
    /// numbers are those of `old`, or else the output's.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn forward_mapped<S: Simd, M: Map<2, 1>>(
        &self,
        simd: S,
        images: usize,
        input: Input,
        packed: &[f32],
        mapped: Mapped<M>,
        output: &mut [f32],
        room: &mut [f32],
    ) {
        let source = self.checked(images, input);
        assert!(output.len() >= images * self.image_lens().1);
        assert!(mapped.old.is_none_or(|old| old.len() >= output.len()));
        let Some(winograd) = &self.tiled_forward else { unreachable!("tiles alone are mapped") };
        let to = output.as_mut_ptr();
        // SAFETY: the tables' offsets stay within the lengths just checked, and `old` is as long as the output.
        unsafe { winograd.convolve(simd, images, source, packed, to, mapped, room) }
    }

    /// The gradient of the input from the padded copy of that of the output, stored into or added to `d_input`.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn backward<S: Simd>(
        &self,
        simd: S,
        images: usize,
        d_output: &[f32],
        packed: &[f32],
        d_input: &mut [f32],
        add: bool,
        room: &mut [f32],
    ) {
        let blocks = Blocks { channels: self.c_in, block: self.block_in, add };
        assert!(d_output.len() >= self.d_len() && images <= self.group);
        assert!(d_input.len() >= images * self.image_lens().0);
        if let Some(winograd) = &self.tiled_backward {
            let (from, to) = (Source::Padded(d_output.as_ptr()), d_input.as_mut_ptr());
            // SAFETY: the tables' offsets stay within the lengths just checked.
            return unsafe {
                match add {
                    true => winograd.convolve(simd, images, from, packed, to, AddTo, room),
                    false => winograd.convolve(simd, images, from, packed, to, Store, room),
                }
            };
        }
        for one in &self.backward {
            let len = self.c_in.next_multiple_of(self.block_in) * one.window.segments * one.window.length;
            let packed = &packed[one.weights..one.weights + len];
            // SAFETY: the tables' offsets stay within the lengths just checked.
            unsafe { sweep(simd, one, images, d_output.as_ptr(), packed.as_ptr(), d_input.as_mut_ptr(), blocks) }
        }
    }

    /// Numbers of room the tiles need.
    pub(crate) fn room(&self) -> usize {
        let all = [&self.tiled_forward, &self.tiled_backward, &self.tiled_weights];
        all.into_iter().flatten().map(Winograd::room).max().unwrap_or(0)
    }

    /// Numbers of a sum of weight gradients, `[k][k · c_in][c_out, rounded up]`, or as the tiles need it.
    pub(crate) fn d_weight_len(&self) -> usize {
        if let Some(winograd) = &self.tiled_weights {
            return winograd.sums_len();
        }
        self.kernel.0 * self.kernel.1 * self.c_in * self.d_channels
    }

    /// Adds the weight gradient of `images` images to `sums`.
    #[inline(always)]
    pub(crate) fn d_weight<S: Simd>(
        &self,
        simd: S,
        images: usize,
        input: Input,
        d_output: &[f32],
        sums: &mut [f32],
        room: &mut [f32],
    ) {
        let source = self.checked(images, input);
        assert!(d_output.len() >= self.d_len());
        assert!(sums.len() >= self.d_weight_len());
        if let Some(winograd) = &self.tiled_weights {
            // SAFETY: the tables' offsets stay within the lengths just checked.
            return unsafe { winograd.correlate(simd, images, source, d_output.as_ptr(), sums, room) };
        }
        let (rows, input) = (self.forward.window.length, Self::padded(source));
        // SAFETY: the tables' offsets stay within the lengths just checked.
        unsafe { with_outer_tile!(simd: S, self.block_out, rows, d_weight_tiles(self, images, input, d_output, sums)) };
    }

    /// Adds up the sums in their order, as `[c_out, c_in, k, k]`.
    pub(crate) fn unpack_d_weight(&self, sums: &[impl std::ops::Deref<Target = [f32]> + Sync]) -> Vec<f32> {
        if let Some(winograd) = &self.tiled_weights {
            return winograd.unpack(self.arch, sums);
        }
        let mut d_weight = vec![0.0; self.c_out * self.c_in * self.kernel.0 * self.kernel.1];
        for sums in sums {
            for (index, row) in sums.chunks_exact(self.d_channels).enumerate().take(d_weight.len() / self.c_out.max(1))
            {
                let (tap, i) = (index / self.c_in, index % self.c_in);
                let (y, x) = (tap / self.kernel.1, tap % self.kernel.1);
                for (o, value) in row[..self.c_out].iter().enumerate() {
                    d_weight[self.weight_index(o, i, y, x)] += value;
                }
            }
        }
        d_weight
    }

    pub(crate) fn dispatch<W: WithSimd>(&self, work: W) -> W::Output {
        self.arch.dispatch(work)
    }
}

/// The images of a group, of which a convolution reads.
#[derive(Clone, Copy)]
pub(crate) enum Input<'a> {
    /// Padded copies.
    Padded(&'a [f32]),
    /// As they are; tiles alone can do with that.
    Plain(&'a [f32]),
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAME: Conv2dParams = Conv2dParams { stride: 1, padding: 1 };

    #[test]
    fn no_more_plans_are_kept_than_the_limit() {
        for width in 3..3 + PLANS_KEPT + 6 {
            let plan = Plan::shared([4, width, 2], [3, 3, 3], SAME, false);
            assert_eq!(plan.map(|plan| (plan.out_h, plan.out_w)), Some((4, width)));
            assert!(PLANS.lock().unwrap_or_else(PoisonError::into_inner).len() <= PLANS_KEPT);
        }
    }

    #[test]
    fn a_plan_is_shared_by_what_asks_for_the_same_alone() {
        let plan = |channels: usize, params: Conv2dParams, train: bool| {
            Plan::shared([6, 6, channels], [5, 3, 3], params, train).expect("a plan that fits")
        };
        // Other tests may push a plan out between two calls, but hardly again and again.
        assert!((0..10).any(|_| Arc::ptr_eq(&plan(2, SAME, true), &plan(2, SAME, true))));
        let half = Conv2dParams { stride: 2, padding: 1 };
        let kinds = [plan(2, SAME, true), plan(2, SAME, false), plan(2, half, true), plan(3, SAME, true)];
        for (i, one) in kinds.iter().enumerate() {
            assert!(kinds[..i].iter().all(|other| !Arc::ptr_eq(one, other)));
        }
        assert_eq!(
            kinds.map(|plan| (plan.out_w, plan.c_in, plan.backward.len())),
            [(6, 2, 1), (6, 2, 0), (3, 2, 4), (6, 3, 1)]
        );
    }
}

//! The three convolutions of a layer over a group of images, directly or by tiles: forward, the gradient of the input, the
//! gradient of the weights.

use super::direct::{self, Blocks};
use super::epilogue::{AddTo, Mapped, Store};
use super::plan::Plan;
use super::winograd::{Image, Source};
use crate::conv_bn::layer::Write;
use crate::cpu::Map;

/// The images of a group, as a convolution reads them.
#[derive(Clone, Copy)]
pub(super) enum Input<'a> {
    /// Padded copies.
    Padded(&'a [f32]),
    /// As they are, which only tiles can read.
    Plain(&'a [f32]),
}

impl Plan {
    /// Where `images ≤ group` images are read from.
    fn source(&self, images: usize, input: Input) -> Source {
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

    /// The same for a sweep.
    fn padded_source(&self, images: usize, input: Input) -> *const f32 {
        match self.source(images, input) {
            Source::Padded(source) => source,
            Source::Plain(..) => unreachable!("a sweep reads padded copies only"),
        }
    }

    /// The convolution of `images ≤ group` images into `output`, `[images, height', width', c_out]`.
    pub(super) fn forward(&self, images: usize, input: Input, packed: &[f32], output: &mut [f32], room: &mut [f32]) {
        assert!(output.len() >= images * self.image_lens().1);
        let to = output.as_mut_ptr();
        if let Some(winograd) = &self.tiled.forward {
            let source = self.source(images, input);
            // SAFETY: the tables' offsets stay within the lengths just checked.
            return unsafe { winograd.convolve(self.arch, images, source, packed, to, Store, room) };
        }
        assert!(packed.len() >= self.d_channels * self.forward.window.segments * self.forward.window.length);
        let blocks = Blocks { channels: self.c_out, block: self.block_out, write: Write::Store };
        let input = self.padded_source(images, input);
        // SAFETY: the tables' offsets stay within the lengths just checked.
        unsafe { direct::sweep(self.arch, &self.forward, images, input, packed.as_ptr(), to, blocks) }
    }

    /// The convolution of `images ≤ group` images and, in the same pass, `map` with coefficients per channel; its old
    /// numbers are those of `old`, or else the output's. By tiles only: [`Plan::maps_forward`].
    pub(super) fn forward_mapped<M: Map<2, 1>>(
        &self,
        images: usize,
        input: Input,
        packed: &[f32],
        mapped: Mapped<M>,
        output: &mut [f32],
        room: &mut [f32],
    ) {
        let source = self.source(images, input);
        assert!(output.len() >= images * self.image_lens().1);
        assert!(mapped.old.is_none_or(|old| old.len() >= output.len()));
        let Some(winograd) = &self.tiled.forward else { unreachable!("only tiles are mapped") };
        let to = output.as_mut_ptr();
        // SAFETY: the tables' offsets stay within the lengths just checked, and `old` is as long as the output.
        unsafe { winograd.convolve(self.arch, images, source, packed, to, mapped, room) }
    }

    /// The gradient of the input from the padded copy of that of the output.
    pub(super) fn backward(
        &self,
        images: usize,
        d_output: &[f32],
        packed: &[f32],
        d_input: &mut [f32],
        write: Write,
        room: &mut [f32],
    ) {
        assert!(d_output.len() >= self.d_len() && images <= self.group);
        assert!(d_input.len() >= images * self.image_lens().0);
        let (from, to) = (d_output.as_ptr(), d_input.as_mut_ptr());
        if let Some(winograd) = &self.tiled.backward {
            let from = Source::Padded(from);
            // SAFETY: the tables' offsets stay within the lengths just checked.
            return unsafe {
                match write {
                    Write::Add => winograd.convolve(self.arch, images, from, packed, to, AddTo, room),
                    Write::Store => winograd.convolve(self.arch, images, from, packed, to, Store, room),
                }
            };
        }
        let blocks = Blocks { channels: self.c_in, block: self.block_in, write };
        for sweep in &self.backward {
            let len = self.c_in.next_multiple_of(self.block_in) * sweep.window.segments * sweep.window.length;
            let packed = &packed[sweep.weights..sweep.weights + len];
            // SAFETY: the tables' offsets stay within the lengths just checked.
            unsafe { direct::sweep(self.arch, sweep, images, from, packed.as_ptr(), to, blocks) }
        }
    }

    /// Adds the weight gradient of `images` images to `sums`.
    pub(super) fn d_weight(&self, images: usize, input: Input, d_output: &[f32], sums: &mut [f32], room: &mut [f32]) {
        assert!(d_output.len() >= self.d_len());
        assert!(sums.len() >= self.d_weight_len());
        let gradient = d_output.as_ptr();
        if let Some(winograd) = &self.tiled.weights {
            let source = self.source(images, input);
            // SAFETY: the tables' offsets stay within the lengths just checked.
            return unsafe { winograd.correlate(self.arch, images, source, gradient, sums, room) };
        }
        let input = self.padded_source(images, input);
        // SAFETY: the tables' offsets stay within the lengths just checked.
        unsafe { direct::d_weight(self.arch, self.weight_sums(), images, input, gradient, sums.as_mut_ptr()) };
    }
}

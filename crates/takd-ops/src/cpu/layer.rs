//! Convolution, batch normalisation and what follows, forward and backward, fused so that memory is walked as seldom as
//! can be.
//!
//! ```text
//! forward   1  per group of images: read the input, into a padded copy where need be, convolve, store y, sum its moments
//!           2  per image: scale · y + shift, ReLU, …, stored; left to the reader where it is no more than that;
//!              in evaluation, whose statistics are known before, on the way of y to memory where tiles do not pool
//! backward  1  per group: the gradient through ReLU (and pool), dz; its sums per channel
//!           2  per group: d_y from dz, y and the sums into a padded copy; from that the gradients of weights and input
//! ```
//!
//! Sums run over fixed chunks of the batch and are added in their order: results do not depend on the threads. Here is what
//! both passes share.

use super::buffer::Buffer;
use super::conv::{Input, Plan};
use super::norm::{Activation, Data};
use candle_core::{Result, bail};
use pulp::{Simd, WithSimd};
use std::cell::RefCell;
use std::sync::Arc;

/// What follows the normalisation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Follow {
    Activation(Activation),
    ReluMaxPool,
    AddRelu,
}

impl Follow {
    /// What the gradient that comes has still to go through, one number at a time.
    pub(super) fn pending(self) -> Activation {
        match self {
            Self::Activation(activation) => activation,
            // The pool's gradient goes through both, the sum's has been masked.
            Self::ReluMaxPool | Self::AddRelu => Activation::Identity,
        }
    }

    /// Height and width of what follows an output of these.
    fn size(self, height: usize, width: usize) -> (usize, usize) {
        match self {
            Self::ReluMaxPool => (height / 2, width / 2),
            _ => (height, width),
        }
    }

    /// Dimensions of what follows an output of these.
    pub(crate) fn dims(self, [batch, out_h, out_w, channels]: [usize; 4]) -> Result<[usize; 4]> {
        let (height, width) = self.size(out_h, out_w);
        if height * width == 0 {
            bail!("ConvBn: {out_h}×{out_w} has no 2×2 block to pool")
        }
        Ok([batch, height, width, channels])
    }
}

/// Room of one thread.
#[derive(Default)]
pub(super) struct Scratch {
    pub input: Vec<f32>,
    pub d_output: Vec<f32>,
    pub output: Vec<f32>,
    pub rows: Vec<f32>,
    pub tiles: Vec<f32>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// How many of `images` a part has, where they are cut into as few as can be, all about equally long, of at most `most`.
pub(super) fn part(images: usize, most: usize) -> usize {
    images.div_ceil(images.div_ceil(most).max(1))
}

/// At least `len` numbers of room.
pub(super) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Runs `work` on this thread's room, in the widest vectors the processor has.
pub(super) fn vectorised<T>(plan: &Plan, work: impl for<'a> Work<'a, T>) -> T {
    struct Task<'a, W, T>(W, &'a mut Scratch, std::marker::PhantomData<T>);
    impl<'a, T, W: Work<'a, T>> WithSimd for Task<'a, W, T> {
        type Output = T;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> T {
            self.0.run(simd, self.1)
        }
    }
    SCRATCH.with_borrow_mut(|scratch| plan.dispatch(Task(work, scratch, std::marker::PhantomData)))
}

/// A piece of work that is compiled for each kind of vector.
pub(super) trait Work<'a, T> {
    fn run<S: Simd>(self, simd: S, scratch: &'a mut Scratch) -> T;
}

/// A group's input, read into its padded copy unless it can be read as it is.
#[inline(always)]
pub(super) fn read_input<'a, S: Simd>(
    simd: S,
    plan: &Plan,
    plain: bool,
    input: &'a Data,
    (first_image, images): (usize, usize),
    copy: &'a mut [f32],
) -> Input<'a> {
    let (image_len, _) = plan.image_lens();
    if let (true, Data::Dense(input)) = (plain, input) {
        return Input::Plain(&input[first_image * image_len..(first_image + images) * image_len]);
    }
    let (copy_len, _) = plan.copy_lens();
    let row_len = plan.width * plan.c_in;
    for image in 0..images {
        let start = (first_image + image) * image_len;
        let copy = &mut copy[image * copy_len..(image + 1) * copy_len];
        plan.clear_border(copy);
        for y in 0..plan.height {
            input.read(simd, start + y * row_len, &mut copy[plan.inside(y)]);
        }
    }
    Input::Padded(copy)
}

/// Height and width of what follows.
pub(super) fn followed(plan: &Plan, follow: Follow) -> (usize, usize) {
    follow.size(plan.out_h, plan.out_w)
}

/// A buffer shared by those that read it.
pub(crate) type Shared = Arc<Buffer>;

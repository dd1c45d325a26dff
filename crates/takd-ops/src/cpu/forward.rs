//! A layer's forward pass, in training and in evaluation.

use super::buffer::Buffer;
use super::channels::Repeated;
use super::conv::Plan;
use super::layer::{Follow, Scratch, Work, followed, part, read_input, room, vectorised};
use super::norm::{Activation, Affine, AffineAddRelu, AffineRelu, Data, Moments, add_relu, normalise, relu_max_pool};
use super::winograd::Mapped;
use pulp::Simd;
use rayon::prelude::*;

/// `y`, the convolution's output without bias, and its moments.
pub(crate) fn convolve(plan: &Plan, input: &Data, weight: &[f32], batch: usize) -> (Buffer, Moments) {
    let packed = plan.pack_forward(weight);
    let (_, out_len) = plan.image_lens();
    let mut y = Buffer::any(batch * out_len);
    let images = part(batch, plan.group);
    let moments: Vec<Moments> = y
        .par_chunks_mut(images * out_len)
        .enumerate()
        .map(|(group, y)| vectorised(plan, Convolve { plan, input, packed: &packed, first: group * images, y }))
        .collect();
    let moments = moments[1..].iter().fold(moments[0].clone(), Moments::merge);
    (y, moments)
}

struct Convolve<'b> {
    plan: &'b Plan,
    input: &'b Data,
    packed: &'b [f32],
    first: usize,
    y: &'b mut [f32],
}

impl Work<'_, Moments> for Convolve<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, scratch: &mut Scratch) -> Moments {
        let Self { plan, input, packed, first, y } = self;
        let images = y.len() / plan.image_lens().1;
        let copy = room(&mut scratch.input, plan.input_len());
        let input = read_input(simd, plan, plan.tiles_forward(), input, (first, images), copy);
        plan.forward(simd, images, input, packed, y, room(&mut scratch.tiles, plan.room()));
        Moments::of(simd, y, plan.c_out)
    }
}

/// An image's rows: normalised, and what follows.
#[inline(always)]
fn finish_image<S: Simd>(
    simd: S,
    plan: &Plan,
    y: &[f32],
    scale_shift: [&Repeated; 2],
    follow: Follow,
    residual: Option<(&Data, usize)>,
    output: &mut [f32],
) {
    let c = plan.c_out;
    let row_len = plan.out_w * c;
    match follow {
        Follow::Activation(activation) => normalise(simd, y, scale_shift, activation, output),
        Follow::AddRelu => {
            for (row, (y, output)) in y.chunks(row_len).zip(output.chunks_mut(row_len)).enumerate() {
                if let Some((residual, start)) = residual {
                    residual.read(simd, start + row * row_len, output);
                }
                add_relu(simd, y, scale_shift, output);
            }
        }
        Follow::ReluMaxPool => {
            for (rows, output) in y.chunks(2 * row_len).zip(output.chunks_exact_mut(plan.out_w / 2 * c)) {
                let (top, bottom) = rows.split_at(row_len);
                relu_max_pool([top, bottom], c, scale_shift, output);
            }
        }
    }
}

/// What follows the convolution, stored.
pub(crate) fn finish(
    plan: &Plan,
    y: &[f32],
    scale_shift: [&Repeated; 2],
    follow: Follow,
    residual: Option<&Data>,
    batch: usize,
) -> Buffer {
    let (h, w) = followed(plan, follow);
    let (y_len, len) = (plan.image_lens().1, h * w * plan.c_out);
    let mut output = Buffer::any(batch * len);
    output.par_chunks_mut(len).zip(y.par_chunks(y_len)).enumerate().for_each(|(image, (output, y))| {
        let residual = residual.map(|residual| (residual, image * len));
        vectorised(plan, Finish { plan, y, scale_shift, follow, residual, output });
    });
    output
}

struct Finish<'b> {
    plan: &'b Plan,
    y: &'b [f32],
    scale_shift: [&'b Repeated; 2],
    follow: Follow,
    residual: Option<(&'b Data, usize)>,
    output: &'b mut [f32],
}

impl Work<'_, ()> for Finish<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, _: &mut Scratch) {
        let Self { plan, y, scale_shift, follow, residual, output } = self;
        finish_image(simd, plan, y, scale_shift, follow, residual, output);
    }
}

/// Convolution and what follows in one go, for evaluation: `shift` is added per channel.
pub(crate) fn convolve_finish(
    plan: &Plan,
    input: &Data,
    weight: &[f32],
    scale_shift: [&Repeated; 2],
    follow: Follow,
    residual: Option<&Data>,
    batch: usize,
) -> Buffer {
    let packed = plan.pack_forward(weight);
    let (h, w) = followed(plan, follow);
    let len = h * w * plan.c_out;
    let mut output = Buffer::any(batch * len);
    let images = part(batch, plan.group);
    output.par_chunks_mut(images * len).enumerate().for_each(|(group, output)| {
        let first = group * images;
        vectorised(plan, ConvolveFinish { plan, input, packed: &packed, first, scale_shift, follow, residual, output });
    });
    output
}

struct ConvolveFinish<'b> {
    plan: &'b Plan,
    input: &'b Data,
    packed: &'b [f32],
    first: usize,
    scale_shift: [&'b Repeated; 2],
    follow: Follow,
    residual: Option<&'b Data>,
    output: &'b mut [f32],
}

impl Work<'_, ()> for ConvolveFinish<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, scratch: &mut Scratch) {
        let Self { plan, input, packed, first, scale_shift, follow, residual, output } = self;
        let y_len = plan.image_lens().1;
        let (h, w) = followed(plan, follow);
        let len = h * w * plan.c_out;
        let images = output.len() / len;
        let copy = room(&mut scratch.input, plan.input_len());
        let tiles = room(&mut scratch.tiles, plan.room());
        let input = read_input(simd, plan, plan.tiles_forward(), input, (first, images), copy);
        if plan.tiles_forward() && follow != Follow::ReluMaxPool {
            let start = first * len;
            let old = match residual {
                Some(Data::Dense(residual)) => Some(&residual[start..start + output.len()]),
                Some(residual) => {
                    residual.read(simd, start, output);
                    None
                }
                None => None,
            };
            macro_rules! forward {
                ($map:expr) => {{
                    let mapped = Mapped { map: $map, coefficients: scale_shift, old };
                    plan.forward_mapped(simd, images, input, packed, mapped, output, tiles)
                }};
            }
            return match follow {
                Follow::AddRelu => forward!(AffineAddRelu),
                Follow::Activation(Activation::Relu) => forward!(AffineRelu),
                _ => forward!(Affine),
            };
        }
        let y = room(&mut scratch.output, plan.group * y_len);
        plan.forward(simd, images, input, packed, y, tiles);
        for (image, (y, output)) in y.chunks(y_len).zip(output.chunks_mut(len)).enumerate() {
            let residual = residual.map(|residual| (residual, (first + image) * len));
            finish_image(simd, plan, y, scale_shift, follow, residual, output);
        }
    }
}

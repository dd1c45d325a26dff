//! A layer's backward pass after training's forward pass.

use super::buffer::Buffer;
use super::channels::{Repeated, Sums};
use super::conv::Plan;
use super::layer::{Follow, Scratch, Work, followed, part, read_input, room, vectorised};
use super::norm::{Activation, Data, add_grads, mask, relu_max_pool_grad, through};
use pulp::Simd;
use rayon::prelude::*;

/// Numbers all sums of weight gradients may have together, and the chunks of the batch they are made of.
const D_WEIGHT_LEN: usize = 1 << 21;
const CHUNKS: std::ops::RangeInclusive<usize> = 4..=16;

/// What a layer's backward pass needs of its forward pass in training.
pub(crate) struct Trained<'a> {
    pub plan: &'a Plan,
    pub batch: usize,
    pub input: &'a Data,
    pub y: &'a [f32],
    /// γ / σ and β − mean · γ / σ.
    pub scale_shift: [&'a Repeated; 2],
    pub mean: &'a [f32],
    pub inv_std: &'a [f32],
    pub gamma: &'a [f32],
    pub follow: Follow,
    /// What the layer gave, where [`Follow::AddRelu`].
    pub output: &'a Data,
}

/// The gradients of γ and β.
pub(crate) struct NormGrads {
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// The gradient of a convolution's output that is still to be computed from what a normalisation got.
struct DY {
    by_dz: Repeated,
    by_y: Repeated,
    constant: Repeated,
}

impl Trained<'_> {
    /// Step 1: gradients of γ and β. With [`Follow::AddRelu`] `grad` becomes the gradient before the ReLU.
    pub(crate) fn norm_grads(&self, grad: &mut [f32]) -> NormGrads {
        let Self { plan, follow, output, .. } = *self;
        let c = plan.c_out;
        let (h, w) = followed(plan, follow);
        let mean = Repeated::new(self.mean.iter().copied());
        let images = part(self.batch, plan.group);
        let sums: Vec<[Vec<f64>; 2]> = grad
            .par_chunks_mut(images * h * w * c)
            .enumerate()
            .map(|(group, grad)| {
                if let (Follow::AddRelu, Data::Dense(output)) = (follow, output) {
                    let start = group * images * h * w * c;
                    vectorised(plan, Mask(grad, &output[start..start + grad.len()]));
                }
                vectorised(plan, Sum { layer: self, grad, first: group * images, mean: &mean })
            })
            .collect();
        let total =
            |which: usize| -> Vec<f64> { (0..c).map(|c| sums.iter().map(|sums| sums[which][c]).sum()).collect() };
        let (beta, gamma) = (total(0), total(1));
        let gamma = gamma.iter().zip(self.inv_std).map(|(sum, &inv_std)| (sum * f64::from(inv_std)) as f32).collect();
        NormGrads { gamma, beta: beta.iter().map(|&sum| sum as f32).collect() }
    }

    /// Step 2: the gradient of the weights, as `[c_out, c_in, k, k]`, and of the input, stored into or added to
    /// `d_input`.
    pub(crate) fn conv_grads(
        &self,
        grad: &[f32],
        norm: &NormGrads,
        weight: &[f32],
        d_input: Option<(&mut Buffer, bool)>,
    ) -> Vec<f32> {
        let plan = self.plan;
        let count = (self.batch * plan.out_h * plan.out_w) as f32;
        let channels = 0..plan.c_out;
        // d_y = γ/σ · (dz − Σdz/n − x̂ · Σ(dz·x̂)/n), x̂ = (y − mean)/σ, as one affine map of dz and y.
        let by_y = |c: usize| -self.gamma[c] * self.inv_std[c] * self.inv_std[c] * norm.gamma[c] / count;
        let constant = |c: usize| -self.gamma[c] * self.inv_std[c] * norm.beta[c] / count - by_y(c) * self.mean[c];
        let d_y = DY {
            by_dz: Repeated::new(channels.clone().map(|c| self.gamma[c] * self.inv_std[c])),
            by_y: Repeated::new(channels.clone().map(by_y)),
            constant: Repeated::new(channels.map(constant)),
        };

        let add = d_input.as_ref().is_some_and(|(_, add)| *add);
        let chunks = (D_WEIGHT_LEN / plan.d_weight_len().max(1)).clamp(*CHUNKS.start(), *CHUNKS.end());
        let chunk_images = self.batch.div_ceil(chunks);
        let chunk_count = self.batch.div_ceil(chunk_images);
        let packed = if d_input.is_some() { plan.pack_backward(weight) } else { Buffer::any(0) };
        let d_inputs: Vec<Option<&mut [f32]>> = match d_input {
            Some((d_input, _)) => d_input.chunks_mut(chunk_images * plan.image_lens().0).map(Some).collect(),
            None => (0..chunk_count).map(|_| None).collect(),
        };
        let sums: Vec<Buffer> = d_inputs
            .into_par_iter()
            .enumerate()
            .map(|(chunk, d_input)| {
                let first = chunk * chunk_images;
                let images = chunk_images.min(self.batch - first);
                let mut sums = Buffer::zeros(plan.d_weight_len());
                let back = Back {
                    layer: self,
                    grad,
                    d_y: &d_y,
                    packed: &packed,
                    first,
                    images,
                    d_input,
                    add,
                    sums: &mut sums,
                };
                vectorised(plan, back);
                sums
            })
            .collect();
        plan.unpack_d_weight(&sums)
    }

    /// Hands on the gradient in front of the ReLU and pool of an image, two rows of it and of y at a time.
    #[inline(always)]
    fn each_pair<S: Simd>(&self, simd: S, y: &[f32], grad: &[f32], rows: &mut Vec<f32>, each: &mut impl EachPair) {
        let Self { plan, scale_shift, .. } = *self;
        let c = plan.c_out;
        let (row_len, pooled_len) = (plan.out_w * c, plan.out_w / 2 * c);
        let dz = room(rows, 2 * row_len);
        for (pair, y) in y.chunks(2 * row_len).enumerate() {
            if y.len() < 2 * row_len {
                // A last odd row is in no block, nor is a last odd column.
                dz[..row_len].fill(0.0);
            } else {
                let (d_top, d_bottom) = dz.split_at_mut(row_len);
                d_top[2 * pooled_len..].fill(0.0);
                d_bottom[2 * pooled_len..].fill(0.0);
                let (top, bottom) = y.split_at(row_len);
                let grad = &grad[pair * pooled_len..(pair + 1) * pooled_len];
                relu_max_pool_grad(grad, [top, bottom], c, scale_shift, [d_top, d_bottom]);
            }
            each.pair(simd, 2 * pair, &dz[..y.len()], y);
        }
    }

    /// The convolution's output for an image.
    fn y_of(&self, image: usize) -> &[f32] {
        let len = self.plan.image_lens().1;
        &self.y[image * len..(image + 1) * len]
    }
}

/// What happens to two rows of dz and of y. A trait, since a closure need not be compiled for the vectors around it.
trait EachPair {
    fn pair<S: Simd>(&mut self, simd: S, row: usize, dz: &[f32], y: &[f32]);
}

struct Mask<'b>(&'b mut [f32], &'b [f32]);

impl Work<'_, ()> for Mask<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, _: S, _: &mut Scratch) {
        mask(self.0, self.1);
    }
}

struct Sum<'b> {
    layer: &'b Trained<'b>,
    grad: &'b [f32],
    first: usize,
    mean: &'b Repeated,
}

impl Work<'_, [Vec<f64>; 2]> for Sum<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, scratch: &mut Scratch) -> [Vec<f64>; 2] {
        let Self { layer, grad, first, mean } = self;
        let (plan, [scale, shift]) = (layer.plan, layer.scale_shift);
        let (h, w) = followed(plan, layer.follow);
        let mut sums = PairSums { sums: Sums::new(plan.c_out), coefficients: [scale, shift, mean] };
        for (image, grad) in grad.chunks(h * w * plan.c_out).enumerate() {
            let y = layer.y_of(first + image);
            match layer.follow {
                Follow::ReluMaxPool => layer.each_pair(simd, y, grad, &mut scratch.rows, &mut sums),
                follow => add_grads(simd, &mut sums.sums, sums.coefficients, follow.pending(), [grad, y]),
            }
        }
        sums.sums.finish()
    }
}

struct PairSums<'b> {
    sums: Sums,
    coefficients: [&'b Repeated; 3],
}

impl EachPair for PairSums<'_> {
    #[inline(always)]
    fn pair<S: Simd>(&mut self, simd: S, _: usize, dz: &[f32], y: &[f32]) {
        add_grads(simd, &mut self.sums, self.coefficients, Activation::Identity, [dz, y]);
    }
}

struct Back<'b> {
    layer: &'b Trained<'b>,
    grad: &'b [f32],
    d_y: &'b DY,
    packed: &'b [f32],
    first: usize,
    images: usize,
    d_input: Option<&'b mut [f32]>,
    add: bool,
    sums: &'b mut [f32],
}

impl Work<'_, ()> for Back<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, simd: S, scratch: &mut Scratch) {
        let Self { layer, grad, d_y, packed, first, images, mut d_input, add, sums } = self;
        let plan = layer.plan;
        let Scratch { input: copy, d_output, rows, tiles, .. } = scratch;
        let tiles = room(tiles, plan.room());
        let copy = room(copy, plan.input_len());
        let d_output = room(d_output, plan.d_len());
        let (h, w) = followed(plan, layer.follow);
        let grad_len = h * w * plan.c_out;
        let (in_len, _) = plan.image_lens();
        let at_once = part(images, plan.group);
        for start in (0..images).step_by(at_once) {
            let images = at_once.min(images - start);
            let input = read_input(simd, plan, plan.tiles_weights(), layer.input, (first + start, images), copy);
            for image in 0..images {
                let index = first + start + image;
                let grad = &grad[index * grad_len..(index + 1) * grad_len];
                copy_d_output(simd, layer, index, grad, d_y, rows, &mut d_output[image * plan.copy_lens().1..]);
            }
            plan.d_weight(simd, images, input, d_output, sums, tiles);
            if let Some(d_input) = &mut d_input {
                plan.backward(simd, images, d_output, packed, &mut d_input[start * in_len..], add, tiles);
            }
        }
    }
}

/// Computes the gradient of an image's convolution output into its padded copy.
#[inline(always)]
fn copy_d_output<S: Simd>(
    simd: S,
    layer: &Trained<'_>,
    image: usize,
    grad: &[f32],
    d_y: &DY,
    rows: &mut Vec<f32>,
    copy: &mut [f32],
) {
    let plan = layer.plan;
    let (line, row_len) = (plan.d_size.1 * plan.d_channels, plan.out_w * plan.c_out);
    copy[..plan.lo * line].fill(0.0);
    copy[(plan.lo + plan.out_h) * line..plan.d_size.0 * line].fill(0.0);
    let narrow = vec![0.0; if plan.c_out == plan.d_channels { 0 } else { row_len }];
    let mut copy = CopyRow { layer, d_y, narrow, copy };
    let y = layer.y_of(image);
    match layer.follow {
        Follow::ReluMaxPool => layer.each_pair(simd, y, grad, rows, &mut copy),
        follow => {
            for (row, (y, grad)) in y.chunks(row_len).zip(grad.chunks(row_len)).enumerate() {
                copy.row(simd, row, follow.pending(), [grad, y]);
            }
        }
    }
}

struct CopyRow<'b> {
    layer: &'b Trained<'b>,
    d_y: &'b DY,
    /// A row before its channels are filled up to whole blocks.
    narrow: Vec<f32>,
    copy: &'b mut [f32],
}

impl EachPair for CopyRow<'_> {
    #[inline(always)]
    fn pair<S: Simd>(&mut self, simd: S, row: usize, dz: &[f32], y: &[f32]) {
        let row_len = self.layer.plan.out_w * self.layer.plan.c_out;
        for (i, (dz, y)) in dz.chunks(row_len).zip(y.chunks(row_len)).enumerate() {
            self.row(simd, row + i, Activation::Identity, [dz, y]);
        }
    }
}

impl CopyRow<'_> {
    #[inline(always)]
    fn row<S: Simd>(&mut self, simd: S, index: usize, pending: Activation, grad_y: [&[f32]; 2]) {
        let Self { layer, d_y, narrow, copy } = self;
        let plan = layer.plan;
        let (c, padded_c) = (plan.c_out, plan.d_channels);
        let line = plan.d_size.1 * padded_c;
        let inside = plan.lo * padded_c..(plan.lo + plan.out_w) * padded_c;
        let copy = &mut copy[(plan.lo + index) * line..(plan.lo + index + 1) * line];
        copy[..inside.start].fill(0.0);
        copy[inside.end..].fill(0.0);
        let copy = &mut copy[inside];
        let coefficients = [&d_y.by_dz, &d_y.by_y, &d_y.constant];
        if c == padded_c {
            through(simd, layer.scale_shift, coefficients, pending, grad_y, copy);
        } else {
            through(simd, layer.scale_shift, coefficients, pending, grad_y, narrow);
            for (pixel, narrow) in copy.chunks_exact_mut(padded_c).zip(narrow.chunks_exact(c)) {
                pixel[..c].copy_from_slice(narrow);
                pixel[c..].fill(0.0);
            }
        }
    }
}

//! A layer's backward pass over slices, after a forward pass in training.

use super::epilogue::Store;
use super::forward::{Images, Rows, part, pixels_at_once, read_input, read_pixels};
use super::gradients::{add_grads, mask, through, through_pixels};
use super::plan::Plan;
use super::pointwise::{Product, WeightProduct, rows_at_once};
use super::pool::{relu_max_pool_grad, relu_max_pool_three_grad};
use super::scratch::{Scratch, room, with_scratch};
use crate::activation::Activation;
use crate::conv_bn::layer::{MaxPool, ThenKind, Write};
use crate::cpu::{Buffer, Pixels, Repeated, Sums, Values};
use rayon::prelude::*;

/// Numbers that all sums of weight gradients may have together, and how many parts of the batch they are made of.
const D_WEIGHT_LEN: usize = 1 << 21;
const CHUNKS: std::ops::RangeInclusive<usize> = 4..=16;

/// What a layer's backward pass needs of its forward pass in training.
pub(super) struct Trained<'a> {
    pub plan: &'a Plan,
    pub batch: usize,
    pub input: &'a Values,
    pub y: &'a [f32],
    /// γ / σ and β − mean · γ / σ.
    pub scale_shift: [&'a Repeated; 2],
    pub mean: &'a [f32],
    pub inv_std: &'a [f32],
    pub gamma: &'a [f32],
    pub then: ThenKind,
    /// The layer's output, read for [`ThenKind::AddRelu`].
    pub output: &'a Values,
}

/// The gradients of γ and β.
pub(super) struct NormGrads {
    pub gamma: Vec<f32>,
    pub beta: Vec<f32>,
}

/// The gradient of the input, which is stored or added to what has come for it.
pub(super) struct InputGrad {
    pub grad: Buffer,
    pub write: Write,
}

/// The gradient of a convolution's output as a map of dz and y: its coefficients per channel.
struct OutputGrad {
    by_dz: Repeated,
    by_y: Repeated,
    constant: Repeated,
}

impl Trained<'_> {
    /// Step 1: gradients of γ and β. With [`ThenKind::AddRelu`] `grad` becomes the gradient before the ReLU.
    pub(super) fn norm_grads(&self, grad: &mut [f32]) -> NormGrads {
        let Self { plan, then, output, .. } = *self;
        let c = plan.c_out;
        let (h, w) = then.size(plan.out_h, plan.out_w);
        let mean = Repeated::new(self.mean.iter().copied());
        let images = part(self.batch, plan.group);
        let sums: Vec<[Vec<f64>; 2]> = grad
            .par_chunks_mut(images * h * w * c)
            .enumerate()
            .map(|(group, grad)| {
                if let (ThenKind::AddRelu, Values::Stored(output)) = (then, output) {
                    let start = group * images * h * w * c;
                    mask(plan.arch, grad, &output[start..start + grad.len()]);
                }
                with_scratch(|scratch| self.norm_sums(grad, group * images, &mean, &mut scratch.rows))
            })
            .collect();
        let total =
            |which: usize| -> Vec<f64> { (0..c).map(|c| sums.iter().map(|sums| sums[which][c]).sum()).collect() };
        let (beta, gamma) = (total(0), total(1));
        let gamma = gamma.iter().zip(self.inv_std).map(|(sum, &inv_std)| (sum * f64::from(inv_std)) as f32).collect();
        NormGrads { gamma, beta: beta.iter().map(|&sum| sum as f32).collect() }
    }

    /// `Σ dz` and `Σ dz · (y − mean)` per channel, of the images from `first` on that `grad` has.
    fn norm_sums(&self, grad: &[f32], first: usize, mean: &Repeated, rows: &mut Vec<f32>) -> [Vec<f64>; 2] {
        let Self { plan, then, scale_shift: [scale, shift], .. } = *self;
        let (h, w) = then.size(plan.out_h, plan.out_w);
        let mut sums = Sums::new(plan.c_out);
        let coefficients = [scale, shift, mean];
        for (image, grad) in grad.chunks(h * w * plan.c_out).enumerate() {
            let y = self.y_of(first + image);
            match then {
                ThenKind::ReluMaxPool(pool) => self.each_part(pool, y, grad, rows, |_, dz, y| {
                    add_grads(plan.arch, &mut sums, coefficients, Activation::Identity, [dz, y]);
                }),
                _ => add_grads(plan.arch, &mut sums, coefficients, pending(then), [grad, y]),
            }
        }
        sums.finish()
    }

    /// Step 2: the gradient of the weights, as `[c_out, c_in, k, k]`, and that of the input.
    pub(super) fn conv_grads(
        &self,
        grad: &[f32],
        norm: &NormGrads,
        weight: &[f32],
        d_input: &mut Option<InputGrad>,
    ) -> Vec<f32> {
        let plan = self.plan;
        let d_y = self.output_grad(norm);
        let (d_input, write) = match d_input {
            Some(InputGrad { grad, write }) => (Some(grad), *write),
            None => (None, Write::Store),
        };
        let chunks = (D_WEIGHT_LEN / plan.d_weight_len().max(1)).clamp(*CHUNKS.start(), *CHUNKS.end());
        let chunk_images = self.batch.div_ceil(chunks);
        let chunk_count = self.batch.div_ceil(chunk_images);
        let packed = if d_input.is_some() { plan.pack_backward(weight) } else { Buffer::any(0) };
        let d_inputs: Vec<Option<&mut [f32]>> = match d_input {
            Some(grad) => grad.chunks_mut(chunk_images * plan.image_lens().0).map(Some).collect(),
            None => (0..chunk_count).map(|_| None).collect(),
        };
        let pass = ConvGrads { layer: self, grad, d_y: &d_y, packed: &packed, write };
        let sums: Vec<Buffer> = d_inputs
            .into_par_iter()
            .enumerate()
            .map(|(chunk, d_input)| {
                let first = chunk * chunk_images;
                let images = Images { first, count: chunk_images.min(self.batch - first) };
                let mut sums = Buffer::zeros(plan.d_weight_len());
                with_scratch(|scratch| match plan.is_pointwise(self.then) {
                    true => pass.pointwise_chunk(images, d_input, &mut sums, scratch),
                    false => pass.chunk(images, d_input, &mut sums, scratch),
                });
                sums
            })
            .collect();
        plan.unpack_d_weight(&sums)
    }

    /// d_y = γ/σ · (dz − Σdz/n − x̂ · Σ(dz·x̂)/n) with x̂ = (y − mean)/σ, as one affine map of dz and y.
    fn output_grad(&self, norm: &NormGrads) -> OutputGrad {
        let plan = self.plan;
        let count = (self.batch * plan.out_h * plan.out_w) as f32;
        let channels = 0..plan.c_out;
        let by_y = |c: usize| -self.gamma[c] * self.inv_std[c] * self.inv_std[c] * norm.gamma[c] / count;
        let constant = |c: usize| -self.gamma[c] * self.inv_std[c] * norm.beta[c] / count - by_y(c) * self.mean[c];
        OutputGrad {
            by_dz: Repeated::new(channels.clone().map(|c| self.gamma[c] * self.inv_std[c])),
            by_y: Repeated::new(channels.clone().map(by_y)),
            constant: Repeated::new(channels.map(constant)),
        }
    }

    /// Takes the gradient of an image back through pool and ReLU, some rows at a time: `each` gets the number of the first row,
    /// their dz and their y.
    fn each_part(
        &self,
        pool: MaxPool,
        y: &[f32],
        grad: &[f32],
        rows: &mut Vec<f32>,
        mut each: impl FnMut(usize, &[f32], &[f32]),
    ) {
        let Self { plan, scale_shift, .. } = *self;
        let c = plan.c_out;
        if pool == MaxPool::Three {
            // Each row is in windows above and below.
            let dz = room(rows, y.len());
            relu_max_pool_three_grad(plan.arch, grad, y, [plan.out_w, c], scale_shift, dz);
            return each(0, dz, y);
        }
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
                relu_max_pool_grad(plan.arch, grad, [top, bottom], c, scale_shift, [d_top, d_bottom]);
            }
            each(2 * pair, &dz[..y.len()], y);
        }
    }

    /// The convolution's output for an image.
    fn y_of(&self, image: usize) -> &[f32] {
        let len = self.plan.image_lens().1;
        &self.y[image * len..(image + 1) * len]
    }
}

/// What the gradient still has to go through, one number at a time: that of the pool has gone through both, that of the
/// sum has been masked.
fn pending(then: ThenKind) -> Activation {
    match then {
        ThenKind::Activation(activation) => activation,
        ThenKind::ReluMaxPool(_) | ThenKind::AddRelu => Activation::Identity,
    }
}

struct ConvGrads<'a> {
    layer: &'a Trained<'a>,
    grad: &'a [f32],
    d_y: &'a OutputGrad,
    packed: &'a [f32],
    write: Write,
}

impl ConvGrads<'_> {
    /// Adds the weight gradient of some images to `sums`, and gives `d_input` theirs.
    fn chunk(&self, images: Images, mut d_input: Option<&mut [f32]>, sums: &mut [f32], scratch: &mut Scratch) {
        let plan = self.layer.plan;
        let Scratch { input: copy, d_output, rows, tiles, .. } = scratch;
        let tiles = room(tiles, plan.room());
        let copy = room(copy, plan.input_len());
        let d_output = room(d_output, plan.d_len());
        let (in_len, _) = plan.image_lens();
        let at_once = part(images.count, plan.group);
        for start in (0..images.count).step_by(at_once) {
            let group = Images { first: images.first + start, count: at_once.min(images.count - start) };
            let input = read_input(plan, plan.weights_reads(), self.layer.input, group, copy);
            for image in 0..group.count {
                self.copy_d_output(group.first + image, rows, &mut d_output[image * plan.copy_lens().1..]);
            }
            plan.d_weight(group.count, input, d_output, sums, tiles);
            if let Some(d_input) = &mut d_input {
                plan.backward(group.count, d_output, self.packed, &mut d_input[start * in_len..], self.write, tiles);
            }
        }
    }

    /// The same if the convolutions are matrix products.
    fn pointwise_chunk(
        &self,
        images: Images,
        mut d_input: Option<&mut [f32]>,
        sums: &mut [f32],
        scratch: &mut Scratch,
    ) {
        let Trained { plan, then, input, y, scale_shift, .. } = *self.layer;
        let Plan { arch, c_in, c_out, out_h, out_w, width, stride, .. } = *plan;
        let (rows, most) = (images.count * out_h, rows_at_once(out_w));
        let copied = [c_in, c_out].map(|channels| pixels_at_once(plan, channels));
        let copy = room(&mut scratch.input, copied[0].len());
        let d_output = room(&mut scratch.d_output, copied[1].len());
        let apart = room(&mut scratch.output, if stride == 1 { 0 } else { copied[0].pixels * c_in });
        if let (Some(d_input), true, Write::Store) = (&mut d_input, stride > 1, self.write) {
            // No window reaches the pixels between.
            d_input.fill(0.0);
        }
        for start in (0..rows).step_by(most) {
            let some = Rows { first: images.first * out_h + start, count: most.min(rows - start) };
            let count = some.count * out_w;
            read_pixels(plan, input, some, copy);
            let numbers = some.first * out_w * c_out..(some.first + some.count) * out_w * c_out;
            let d_y = self.d_y;
            let coefficients = [&d_y.by_dz, &d_y.by_y, &d_y.constant];
            let grad_y = [&self.grad[numbers.clone()], &y[numbers]];
            let to = Pixels { count, step: c_out, to: copied[1], first: 0 };
            through_pixels(arch, scale_shift, coefficients, pending(then), grad_y, to, d_output);
            WeightProduct { pixels: [copy, d_output], copied, count, block: plan.block_out }.add_to(arch, sums);
            let Some(d_input) = &mut d_input else { continue };
            let (packed, block, write) = (self.packed, plan.block_in, self.write);
            let product = Product { pixels: d_output, copied: copied[1], count, packed, channels: c_in, block, write };
            if stride == 1 {
                product.compute(arch, &mut d_input[start * out_w * c_in..][..count * c_in], Store);
                continue;
            }
            Product { write: Write::Store, ..product }.compute(arch, apart, Store);
            for (index, grad) in apart[..count * c_in].chunks_exact(c_in).enumerate() {
                let (row, x) = (start + index / out_w, index % out_w);
                let (image, y) = (row / out_h, row % out_h);
                let at = ((image * plan.height + y * stride) * width + x * stride) * c_in;
                d_input[at..at + c_in].iter_mut().zip(grad).for_each(|(sum, grad)| *sum += grad);
            }
        }
    }

    /// Computes the gradient of an image's convolution output into its padded copy.
    fn copy_d_output(&self, image: usize, rows: &mut Vec<f32>, copy: &mut [f32]) {
        let Trained { plan, then, .. } = *self.layer;
        let (line, row_len) = (plan.d_size.1 * plan.d_channels, plan.out_w * plan.c_out);
        let (h, w) = then.size(plan.out_h, plan.out_w);
        let grad_len = h * w * plan.c_out;
        let grad = &self.grad[image * grad_len..(image + 1) * grad_len];
        copy[..plan.lo * line].fill(0.0);
        copy[(plan.lo + plan.out_h) * line..plan.d_size.0 * line].fill(0.0);
        let mut narrow = vec![0.0; if plan.c_out == plan.d_channels { 0 } else { row_len }];
        let y = self.layer.y_of(image);
        match then {
            ThenKind::ReluMaxPool(pool) => self.layer.each_part(pool, y, grad, rows, |first, dz, y| {
                for (i, (dz, y)) in dz.chunks(row_len).zip(y.chunks(row_len)).enumerate() {
                    self.copy_row(first + i, Activation::Identity, [dz, y], &mut narrow, copy);
                }
            }),
            _ => {
                for (row, (y, grad)) in y.chunks(row_len).zip(grad.chunks(row_len)).enumerate() {
                    self.copy_row(row, pending(then), [grad, y], &mut narrow, copy);
                }
            }
        }
    }

    /// The same for one row; `narrow` has room for it before its channels are filled up to whole blocks.
    fn copy_row(&self, row: usize, pending: Activation, grad_y: [&[f32]; 2], narrow: &mut [f32], copy: &mut [f32]) {
        let Trained { plan, scale_shift, .. } = *self.layer;
        let d_y = self.d_y;
        let (c, padded_c) = (plan.c_out, plan.d_channels);
        let line = plan.d_size.1 * padded_c;
        let inside = plan.lo * padded_c..(plan.lo + plan.out_w) * padded_c;
        let copy = &mut copy[(plan.lo + row) * line..(plan.lo + row + 1) * line];
        copy[..inside.start].fill(0.0);
        copy[inside.end..].fill(0.0);
        let copy = &mut copy[inside];
        let coefficients = [&d_y.by_dz, &d_y.by_y, &d_y.constant];
        if c == padded_c {
            through(plan.arch, scale_shift, coefficients, pending, grad_y, copy);
        } else {
            through(plan.arch, scale_shift, coefficients, pending, grad_y, narrow);
            for (pixel, narrow) in copy.chunks_exact_mut(padded_c).zip(narrow.chunks_exact(c)) {
                pixel[..c].copy_from_slice(narrow);
                pixel[c..].fill(0.0);
            }
        }
    }
}

//! A layer's forward pass over slices.

use super::convolution::Input;
use super::epilogue::{Mapped, Store};
use super::moments::Moments;
use super::plan::{Plan, Reads};
use super::pointwise::{Product, rows_at_once};
use super::pool::relu_max_pool;
use super::scratch::{Scratch, room, with_scratch};
use crate::activation::Activation;
use crate::conv_bn::layer::{ThenKind, Write};
use crate::cpu::{Affine, AffineAddRelu, AffineRelu, Buffer, Panels, Pixels, Repeated, Values, add_relu, normalize};
use rayon::prelude::*;

/// How many of `images` a part has if they are cut into as few parts as possible of at most `most`, all about equally long.
pub(super) fn part(images: usize, most: usize) -> usize {
    images.div_ceil(images.div_ceil(most).max(1))
}

/// Some images that lie one after the other in a batch.
#[derive(Clone, Copy)]
pub(super) struct Images {
    pub first: usize,
    pub count: usize,
}

/// The input of some images, copied into `copy` with padding unless it can be read as it is.
pub(super) fn read_input<'a>(
    plan: &Plan,
    reads: Reads,
    input: &'a Values,
    images: Images,
    copy: &'a mut [f32],
) -> Input<'a> {
    let (image_len, _) = plan.image_lens();
    if let (Reads::Plain, Values::Stored(input)) = (reads, input) {
        return Input::Plain(&input[images.first * image_len..][..images.count * image_len]);
    }
    let (copy_len, _) = plan.copy_lens();
    let row_len = plan.width * plan.c_in;
    for image in 0..images.count {
        let start = (images.first + image) * image_len;
        let copy = &mut copy[image * copy_len..(image + 1) * copy_len];
        plan.clear_border(copy);
        for y in 0..plan.height {
            input.read(plan.arch, start + y * row_len, &mut copy[plan.inside(y)]);
        }
    }
    Input::Padded(copy)
}

/// Some rows of the output of a batch, counted from its first image on.
#[derive(Clone, Copy)]
pub(super) struct Rows {
    pub first: usize,
    pub count: usize,
}

/// Copies the pixels of the input that each pixel of some rows of the output is made of, in a convolution that is a matrix
/// product.
pub(super) fn read_pixels(plan: &Plan, input: &Values, rows: Rows, copy: &mut [f32]) {
    let Plan { height, width, c_in, out_h, out_w, stride, .. } = *plan;
    // If every pixel is taken, rows that follow one another are one.
    let (count, at_once) = if stride == 1 { (1, rows.count) } else { (rows.count, 1) };
    let to = pixels_at_once(plan, c_in);
    for row in 0..count {
        let (image, y) = ((rows.first + row) / out_h, (rows.first + row) % out_h);
        let start = (image * height + y * stride) * width * c_in;
        let pixels = Pixels { count: at_once * out_w, step: stride * c_in, to, first: row * out_w };
        input.read_pixels(plan.arch, start, pixels, copy);
    }
}

/// The rows of part `part` of a batch that is worked on by rows, whose output has `len` numbers.
fn rows_of(plan: &Plan, part: usize, len: usize) -> Rows {
    Rows { first: part * rows_at_once(plan.out_w), count: len / (plan.out_w * plan.c_out) }
}

/// The product that some rows of the output are, from a copy of their pixels.
fn product<'a>(plan: &Plan, rows: Rows, copy: &'a [f32], packed: &'a [f32]) -> Product<'a> {
    let Plan { c_in, c_out, out_w, block_out, .. } = *plan;
    let count = rows.count * out_w;
    let copied = pixels_at_once(plan, c_in);
    Product { pixels: copy, copied, count, packed, channels: c_out, block: block_out, write: Write::Store }
}

/// The copies of as many pixels as are worked on at once.
pub(super) fn pixels_at_once(plan: &Plan, channels: usize) -> Panels {
    Panels { pixels: rows_at_once(plan.out_w) * plan.out_w, channels }
}

fn convolve_pointwise(plan: &Plan, input: &Values, weight: &[f32], batch: usize) -> (Buffer, Moments) {
    let packed = plan.pack_forward(weight);
    let mut y = Buffer::any(batch * plan.image_lens().1);
    let moments: Vec<Moments> = y
        .par_chunks_mut(rows_at_once(plan.out_w) * plan.out_w * plan.c_out)
        .enumerate()
        .map(|(part, y)| {
            let rows = rows_of(plan, part, y.len());
            with_scratch(|scratch| {
                let copy = room(&mut scratch.input, pixels_at_once(plan, plan.c_in).len());
                read_pixels(plan, input, rows, copy);
                product(plan, rows, copy, &packed).compute(plan.arch, y, Store);
            });
            Moments::of(plan.arch, y, plan.c_out)
        })
        .collect();
    (y, merged(&moments))
}

fn merged(moments: &[Moments]) -> Moments {
    moments[1..].iter().fold(moments[0].clone(), Moments::merge)
}

/// `y`, the convolution's output without bias, and its moments.
pub(super) fn convolve(plan: &Plan, input: &Values, weight: &[f32], then: ThenKind, batch: usize) -> (Buffer, Moments) {
    if plan.is_pointwise(then) {
        return convolve_pointwise(plan, input, weight, batch);
    }
    let packed = plan.pack_forward(weight);
    let (_, out_len) = plan.image_lens();
    let mut y = Buffer::any(batch * out_len);
    let images = part(batch, plan.group);
    let moments: Vec<Moments> = y
        .par_chunks_mut(images * out_len)
        .enumerate()
        .map(|(group, y)| {
            let images = Images { first: group * images, count: y.len() / out_len };
            with_scratch(|scratch| {
                let copy = room(&mut scratch.input, plan.input_len());
                let input = read_input(plan, plan.forward_reads(), input, images, copy);
                plan.forward(images.count, input, &packed, y, room(&mut scratch.tiles, plan.room()));
            });
            Moments::of(plan.arch, y, plan.c_out)
        })
        .collect();
    (y, merged(&moments))
}

/// Where the numbers of an image's residual start.
#[derive(Clone, Copy)]
struct Residual<'a> {
    values: &'a Values,
    start: usize,
}

/// Normalises an image's output, and what follows.
fn finish_image(
    plan: &Plan,
    y: &[f32],
    scale_shift: [&Repeated; 2],
    then: ThenKind,
    residual: Option<Residual>,
    output: &mut [f32],
) {
    let arch = plan.arch;
    let row_len = plan.out_w * plan.c_out;
    match then {
        ThenKind::Activation(activation) => normalize(arch, y, scale_shift, activation, output),
        ThenKind::AddRelu => {
            for (row, (y, output)) in y.chunks(row_len).zip(output.chunks_mut(row_len)).enumerate() {
                if let Some(Residual { values, start }) = residual {
                    values.read(arch, start + row * row_len, output);
                }
                add_relu(arch, y, scale_shift, output);
            }
        }
        ThenKind::ReluMaxPool(pool) => relu_max_pool(arch, pool, y, [plan.out_w, plan.c_out], scale_shift, output),
    }
}

/// What follows the convolution, stored.
pub(super) fn finish(
    plan: &Plan,
    y: &[f32],
    scale_shift: [&Repeated; 2],
    then: ThenKind,
    residual: Option<&Values>,
    batch: usize,
) -> Buffer {
    let (h, w) = then.size(plan.out_h, plan.out_w);
    let (y_len, len) = (plan.image_lens().1, h * w * plan.c_out);
    let mut output = Buffer::any(batch * len);
    output.par_chunks_mut(len).zip(y.par_chunks(y_len)).enumerate().for_each(|(image, (output, y))| {
        let residual = residual.map(|values| Residual { values, start: image * len });
        finish_image(plan, y, scale_shift, then, residual, output);
    });
    output
}

/// Convolution and what follows in one pass, for evaluation: `scale_shift` includes the bias.
pub(super) fn convolve_finish(
    plan: &Plan,
    input: &Values,
    weight: &[f32],
    scale_shift: [&Repeated; 2],
    then: ThenKind,
    residual: Option<&Values>,
    batch: usize,
) -> Buffer {
    let packed = plan.pack_forward(weight);
    let (h, w) = then.size(plan.out_h, plan.out_w);
    let len = h * w * plan.c_out;
    let mut output = Buffer::any(batch * len);
    if plan.is_pointwise(then) {
        let rows_len = rows_at_once(plan.out_w) * plan.out_w * plan.c_out;
        let pass = ConvolveFinish { plan, input, packed: &packed, scale_shift, then, residual, len };
        output.par_chunks_mut(rows_len).enumerate().for_each(|(part, output)| {
            with_scratch(|scratch| pass.rows(rows_of(plan, part, output.len()), output, scratch));
        });
        return output;
    }
    let images = part(batch, plan.group);
    let pass = ConvolveFinish { plan, input, packed: &packed, scale_shift, then, residual, len };
    output.par_chunks_mut(images * len).enumerate().for_each(|(group, output)| {
        let images = Images { first: group * images, count: output.len() / len };
        with_scratch(|scratch| pass.group(images, output, scratch));
    });
    output
}

struct ConvolveFinish<'a> {
    plan: &'a Plan,
    input: &'a Values,
    packed: &'a [f32],
    scale_shift: [&'a Repeated; 2],
    then: ThenKind,
    residual: Option<&'a Values>,
    /// Numbers of an image's result.
    len: usize,
}

impl ConvolveFinish<'_> {
    fn rows(&self, rows: Rows, output: &mut [f32], scratch: &mut Scratch) {
        let Self { plan, packed, scale_shift, then, residual, .. } = *self;
        let copy = room(&mut scratch.input, pixels_at_once(plan, plan.c_in).len());
        read_pixels(plan, self.input, rows, copy);
        let product = product(plan, rows, copy, packed);
        let start = rows.first * plan.out_w * plan.c_out;
        let old = residual.map(|residual| match residual {
            Values::Stored(residual) => &residual[start..start + output.len()],
            // The target holds parts of the sums on the way.
            residual => {
                let old = room(&mut scratch.output, output.len());
                residual.read(plan.arch, start, old);
                &*old
            }
        });
        macro_rules! compute {
            ($map:expr) => {
                product.compute(plan.arch, output, Mapped { map: $map, coefficients: scale_shift, old })
            };
        }
        match then {
            ThenKind::AddRelu => compute!(AffineAddRelu),
            ThenKind::Activation(Activation::Relu) => compute!(AffineRelu),
            _ => compute!(Affine),
        }
    }

    fn group(&self, images: Images, output: &mut [f32], scratch: &mut Scratch) {
        let Self { plan, packed, scale_shift, then, residual, len, .. } = *self;
        let y_len = plan.image_lens().1;
        let copy = room(&mut scratch.input, plan.input_len());
        let tiles = room(&mut scratch.tiles, plan.room());
        let input = read_input(plan, plan.forward_reads(), self.input, images, copy);
        if plan.maps_forward() && !matches!(then, ThenKind::ReluMaxPool(_)) {
            let start = images.first * len;
            let old = match residual {
                Some(Values::Stored(residual)) => Some(&residual[start..start + output.len()]),
                Some(residual) => {
                    residual.read(plan.arch, start, output);
                    None
                }
                None => None,
            };
            macro_rules! forward {
                ($map:expr) => {{
                    let mapped = Mapped { map: $map, coefficients: scale_shift, old };
                    plan.forward_mapped(images.count, input, packed, mapped, output, tiles)
                }};
            }
            return match then {
                ThenKind::AddRelu => forward!(AffineAddRelu),
                ThenKind::Activation(Activation::Relu) => forward!(AffineRelu),
                _ => forward!(Affine),
            };
        }
        let y = room(&mut scratch.output, plan.group * y_len);
        plan.forward(images.count, input, packed, y, tiles);
        for (image, (y, output)) in y.chunks(y_len).zip(output.chunks_mut(len)).enumerate() {
            let residual = residual.map(|values| Residual { values, start: (images.first + image) * len });
            finish_image(plan, y, scale_shift, then, residual, output);
        }
    }
}

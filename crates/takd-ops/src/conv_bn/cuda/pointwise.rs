//! Wide 1×1 convolutions of stride 1, which are matrix products: a row of the matrix is a pixel. cuBLAS does them several times
//! as fast as `conv.cu`, but reads plain numbers: what is still to be normalised is written first, and again in the backward
//! pass, which costs less memory than keeping it.

use super::norm::{moments, normalized_values};
use super::output::{OfBlocks, Output};
use super::shape::Shape;
use crate::conv_bn::layer::{Mode, Write};
use crate::cuda::{Buffer, Gpu, Matrix, ValuesAt, multiply};
use candle_core::Result;

/// Channels on each side from which a product is worth a pass over the inputs and one over the outputs.
const WIDE: usize = 64;

/// Whether the convolution is done here.
pub(super) fn is_product(shape: &Shape) -> bool {
    let Shape { c_in, c_out, k_h, k_w, stride, padding, .. } = *shape;
    [k_h, k_w, stride, padding] == [1, 1, 1, 0] && c_in.min(c_out) >= WIDE
}

pub(super) fn forward(gpu: &Gpu, shape: &Shape, input: ValuesAt, weight: u64, mode: Mode) -> Result<Output> {
    let y = gpu.buffer(shape.output_len())?;
    let input = Input::read(gpu, shape, input)?;
    multiply(gpu, shape.precision, input.matrix, weights(shape, weight).transpose(), &y, 0.0)?;
    let moments: Option<OfBlocks> = match mode {
        Mode::Train => Some(moments(gpu, &y, shape)?),
        Mode::Eval => None,
    };
    Ok(Output { y, moments })
}

/// The gradient by the input, into `d_input`, from that by the output.
pub(super) fn backward(
    gpu: &Gpu,
    shape: &Shape,
    grad: &Buffer,
    weight: u64,
    d_input: &Buffer,
    write: Write,
) -> Result<()> {
    let kept = match write {
        Write::Store => 0.0,
        Write::Add => 1.0,
    };
    multiply(gpu, shape.precision, outputs(gpu, shape, grad), weights(shape, weight), d_input, kept)
}

/// The gradient by the weights, `[c_out, c_in, 1, 1]`.
pub(super) fn filter(gpu: &Gpu, shape: &Shape, input: ValuesAt, grad: &Buffer) -> Result<Buffer> {
    let d_weight = gpu.buffer(shape.weights())?;
    let input = Input::read(gpu, shape, input)?;
    multiply(gpu, shape.precision, outputs(gpu, shape, grad).transpose(), input.matrix, &d_weight, 0.0)?;
    Ok(d_weight)
}

/// The layer's input, `[pixels, c_in]`.
struct Input {
    matrix: Matrix,
    /// Holds the numbers if they were written here; freed in the stream's order, so after the product.
    _written: Option<Buffer>,
}

impl Input {
    fn read(gpu: &Gpu, shape: &Shape, values: ValuesAt) -> Result<Self> {
        let (rows, columns) = (shape.pixels(), shape.c_in);
        let (at, written) = match values.as_stored() {
            Some(at) => (at, None),
            None => {
                let written = normalized_values(gpu, values, rows * columns, columns)?;
                (gpu.address(&written), Some(written))
            }
        };
        Ok(Self { matrix: Matrix { at, rows, columns, transposed: false }, _written: written })
    }
}

/// `[pixels, c_out]`.
fn outputs(gpu: &Gpu, shape: &Shape, numbers: &Buffer) -> Matrix {
    Matrix { at: gpu.address(numbers), rows: shape.pixels(), columns: shape.c_out, transposed: false }
}

/// `[c_out, c_in]`.
fn weights(shape: &Shape, at: u64) -> Matrix {
    Matrix { at, rows: shape.c_out, columns: shape.c_in, transposed: false }
}

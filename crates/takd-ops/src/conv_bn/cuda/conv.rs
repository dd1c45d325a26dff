//! Runs `conv.cu` and `filter.cu`, or if the convolution is a matrix product, that.

use super::output::{OfBlocks, Output};
use super::pointwise::{self, is_product};
use super::shape::Shape;
use super::tile::{ConvTile, FilterTile};
use crate::conv_bn::layer::{Mode, Write};
use crate::cuda::{Arg, Buffer, Gpu, Source, ValuesAt};
use candle_core::Result;

const CONV: Source = Source {
    name: "conv",
    text: concat!(include_str!("../../cuda/common.cu"), include_str!("tile.cu"), include_str!("conv.cu")),
    contract: true,
};
const FILTER: Source = Source {
    name: "filter",
    text: concat!(include_str!("../../cuda/common.cu"), include_str!("tile.cu"), include_str!("filter.cu")),
    contract: true,
};

pub(super) fn forward(gpu: &Gpu, shape: &Shape, input: ValuesAt, weight: u64, mode: Mode) -> Result<Output> {
    if is_product(shape) {
        return pointwise::forward(gpu, shape, input, weight, mode);
    }
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, stride, padding, .. } = *shape;
    let tile = chosen(ConvTile::new(shape, [out_h, out_w, c_out], stride, gpu.processors()?))?;
    let y = gpu.buffer(shape.output_len())?;
    let blocks = tile.pixels.count(batch, [out_h, out_w]);
    let moments = match mode {
        Mode::Train => Some(OfBlocks { numbers: gpu.buffer(3 * blocks * c_out)?, blocks }),
        Mode::Eval => None,
    };
    let args = [
        Arg::Struct(input),
        Arg::Address(weight),
        Arg::Address(gpu.address(&y)),
        Arg::Address(moments.as_ref().map_or(0, |moments| gpu.address(&moments.numbers))),
    ];
    let flags = [0, 0].map(Arg::I32);
    let sizes =
        [batch, height, width, c_in, out_h, out_w, c_out, padding, padding, 1].map(|size| Arg::I32(size as i32));
    let grid = Grid { stride, channels: c_out, blocks };
    launch_conv(gpu, shape, tile, grid, &[&args[..], &flags, &sizes].concat())?;
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
    if is_product(shape) {
        return pointwise::backward(gpu, shape, grad, weight, d_input, write);
    }
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, k_h, k_w, stride, padding, .. } = *shape;
    let tile = chosen(ConvTile::new(shape, [height, width, c_in], 1, gpu.processors()?))?;
    let args = [
        Arg::Struct(ValuesAt::stored(gpu, grad)),
        Arg::Address(weight),
        Arg::Address(gpu.address(d_input)),
        Arg::Address(0),
    ];
    let flags = [i32::from(write == Write::Add), 1].map(Arg::I32);
    // Each output reached `padding` beyond its place; the gradient comes back from as far on the other side.
    let paddings = [k_h, k_w].map(|kernel| Arg::I32(kernel as i32 - 1 - padding as i32));
    let sizes = [batch, out_h, out_w, c_out, height, width, c_in].map(|size| Arg::I32(size as i32));
    let args = [&args[..], &flags, &sizes, &paddings, &[Arg::I32(stride as i32)]].concat();
    let grid = Grid { stride: 1, channels: c_in, blocks: tile.pixels.count(batch, [height, width]) };
    launch_conv(gpu, shape, tile, grid, &args)
}

/// What the launches of a convolution and of its gradient differ in.
struct Grid {
    stride: usize,
    /// Channels of the result.
    channels: usize,
    /// Tiles of its pixels.
    blocks: usize,
}

fn launch_conv(
    gpu: &Gpu,
    shape: &Shape,
    tile: ConvTile,
    Grid { stride, channels, blocks }: Grid,
    args: &[Arg<ValuesAt>],
) -> Result<()> {
    let function = gpu.function(&CONV, &tile.macros(shape, stride), "conv")?;
    let grid = (blocks as u32, channels.div_ceil(tile.block_c) as u32, 1);
    // SAFETY: the arguments are the kernel's, in its order and of its types; the buffers have the sizes that it is told.
    unsafe { gpu.launch(&function, grid, (tile.threads() as u32, 1, 1), args) }
}

/// The gradient by the weights, `[c_out, c_in, k_h, k_w]`.
pub(super) fn filter(gpu: &Gpu, shape: &Shape, input: ValuesAt, grad: &Buffer) -> Result<Buffer> {
    if is_product(shape) {
        return pointwise::filter(gpu, shape, input, grad);
    }
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, padding, .. } = *shape;
    let tile = chosen(FilterTile::new(shape))?;
    let [along_y, along_z] = tile.grid(shape);
    let tiles = tile.pixels.count(batch, [out_h, out_w]);
    // Two blocks a processor; more would only leave more to add up. So `parts` has at most some MB more than the weights: many
    // weights take many blocks along y and z, and few along x.
    let blocks = (2 * gpu.processors()?).div_ceil(along_y * along_z).clamp(1, tiles);
    let parts = gpu.buffer(blocks * shape.weights())?;
    let args = [Arg::Struct(input), Arg::Address(gpu.address(grad)), Arg::Address(gpu.address(&parts))];
    let sizes = [batch, height, width, c_in, out_h, out_w, c_out, padding].map(|size| Arg::I32(size as i32));
    let macros = tile.macros(shape);
    let function = gpu.function(&FILTER, &macros, "filter_parts")?;
    let grid = (blocks as u32, along_y as u32, along_z as u32);
    // SAFETY: as in `launch_conv`; `parts` has the weights of `blocks` blocks.
    unsafe { gpu.launch(&function, grid, (tile.threads() as u32, 1, 1), &[&args[..], &sizes].concat()) }?;

    let count = shape.weights();
    let d_weight = gpu.buffer(count)?;
    let args: [Arg; 4] = [
        Arg::Address(gpu.address(&parts)),
        Arg::I32(blocks as i32),
        Arg::I32(count as i32),
        Arg::Address(gpu.address(&d_weight)),
    ];
    let function = gpu.function(&FILTER, &macros, "filter_sum")?;
    // SAFETY: `parts` has `blocks` times `count` numbers, `d_weight` `count`.
    unsafe { gpu.launch(&function, (count.div_ceil(32) as u32, 1, 1), (32, 8, 1), &args) }?;
    Ok(d_weight)
}

fn chosen<T>(tile: Option<T>) -> Result<T> {
    tile.ok_or_else(|| candle_core::Error::Msg("ConvBn: no tile of this convolution fits a block's memory".into()))
}

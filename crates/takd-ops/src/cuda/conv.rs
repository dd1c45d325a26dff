//! Runs `conv.cu` and `filter.cu`.

use super::gpu::{Arg, Gpu, Macros, Source};
use super::node::{Activation, Buffer};
use crate::Precision;
use candle_core::Result;

const CONV: Source = Source {
    name: "conv",
    text: concat!(include_str!("kernels/common.cu"), include_str!("kernels/tile.cu"), include_str!("kernels/conv.cu")),
    contract: true,
};
const FILTER: Source = Source {
    name: "filter",
    text: concat!(
        include_str!("kernels/common.cu"),
        include_str!("kernels/tile.cu"),
        include_str!("kernels/filter.cu")
    ),
    contract: true,
};

/// What of the kernels' macros are constants there.
const RUN: usize = 4;
const CHUNK: usize = 8;
const SIDE: usize = 16;
const WARP: usize = 32;

/// Shared memory that every block may have.
const SHARED_BYTES: usize = 48 << 10;

/// A convolution's sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub out_h: usize,
    pub out_w: usize,
    pub c_out: usize,
    pub k_h: usize,
    pub k_w: usize,
    pub stride: usize,
    pub padding: usize,
    pub precision: Precision,
}

impl Shape {
    pub(super) fn pixels(&self) -> usize {
        self.batch * self.out_h * self.out_w
    }

    /// Numbers of the output.
    pub(super) fn output_len(&self) -> usize {
        self.pixels() * self.c_out
    }

    fn weights(&self) -> usize {
        self.c_out * self.c_in * self.k_h * self.k_w
    }

    /// Whether the kernels have room for it and numbers small enough.
    pub(crate) fn fits(&self) -> bool {
        let Self { height, width, c_in, c_out, k_h, k_w, stride, .. } = *self;
        let small = [self.batch * height * width * c_in, self.output_len(), self.weights()];
        small.into_iter().all(|count| i32::try_from(count).is_ok())
            && c_in.max(c_out) <= SIDE * usize::from(u16::MAX)
            // A thread has that many sums for the gradient of the weights, and as many registers.
            && k_h * k_w <= 25
            && Tile::of_conv(self, [self.out_h, self.out_w, c_out], stride, 1).is_some()
            && Tile::of_conv(self, [height, width, c_in], 1, 1).is_some()
            && Tile::of_filter(self).is_some()
    }
}

/// How a block's outputs lie.
#[derive(Clone, Copy, Debug)]
struct Tile {
    images: usize,
    height: usize,
    width: usize,
    /// Channels of a block and of a thread.
    block_c: usize,
    thread_c: usize,
}

impl Tile {
    /// `pixels` outputs of an image of this size, or of several images where one has not as many.
    fn new(pixels: usize, [height, width]: [usize; 2], (block_c, thread_c): (usize, usize)) -> Self {
        let width = width.next_power_of_two().clamp(RUN, pixels.min(32));
        let height = height.next_power_of_two().min(pixels / width);
        Self { images: pixels / width / height, height, width, block_c, thread_c }
    }

    /// Numbers a channel of what the tile sees, as the kernels lay it out.
    fn patch(&self, [k_h, k_w]: [usize; 2], stride: usize) -> usize {
        let span = ((RUN - 1) * stride + k_w).next_multiple_of(4);
        self.images * ((self.height - 1) * stride + k_h) * ((self.width - RUN) * stride + span)
    }

    /// How many tiles an output of these sizes has.
    fn count(&self, batch: usize, [height, width]: [usize; 2]) -> usize {
        width.div_ceil(self.width) * height.div_ceil(self.height) * batch.div_ceil(self.images)
    }

    fn pixels(&self) -> usize {
        self.images * self.height * self.width
    }

    /// Threads of a convolution's block; in TF32 a warp takes as many pixels as it has threads.
    fn threads(&self, precision: Precision) -> usize {
        match precision {
            Precision::F32 => self.pixels() / RUN * self.block_c / self.thread_c,
            Precision::Tf32 => self.pixels(),
        }
    }

    /// For a convolution to `[height, width, channels]`: the most that a thread can take while each of the device's
    /// `processors` has enough to do; nothing where no tile fits a block's memory.
    fn of_conv(shape: &Shape, [height, width, channels]: [usize; 3], stride: usize, processors: usize) -> Option<Self> {
        const KINDS: [(usize, usize, usize); 9] = [
            (256, 64, 8),
            (256, 32, 8),
            (256, 16, 8),
            (128, 64, 8),
            (128, 32, 8),
            (128, 32, 4),
            (128, 16, 4),
            (64, 32, 4),
            (64, 16, 4),
        ];
        let (kernel, widest) = ([shape.k_h, shape.k_w], channels.next_power_of_two().clamp(16, 64));
        let tiles = KINDS.into_iter().filter(|&(_, block_c, _)| block_c <= widest);
        let tiles = tiles.map(|(pixels, block_c, thread_c)| Self::new(pixels, [height, width], (block_c, thread_c)));
        let tiles: Vec<Self> = tiles
            .filter(|tile| {
                // Both as the wider of the precisions lays them out.
                let weights = shape.k_h * shape.k_w * (tile.block_c + 8);
                let patch = tile.patch(kernel, stride).next_multiple_of(32) + 8;
                let parts = (tile.pixels() / WARP).max(1) * (tile.block_c + 1);
                size_of::<f32>() * (CHUNK * (patch + weights) + parts) <= SHARED_BYTES
            })
            .collect();
        let enough = |tile: &Self| {
            let blocks = tile.count(shape.batch, [height, width]) * channels.div_ceil(tile.block_c);
            2 * blocks >= 3 * processors && blocks * tile.threads(shape.precision) >= 6 * WARP * processors
        };
        tiles.iter().copied().find(enough).or(tiles.last().copied())
    }

    /// For the gradient of the weights.
    fn of_filter(shape: &Shape) -> Option<Self> {
        let tiles = [128, 64, 32, 16].map(|pixels| Self::new(pixels, [shape.out_h, shape.out_w], (SIDE, 2)));
        tiles.into_iter().find(|tile| {
            let patch = tile.patch([shape.k_h, shape.k_w], shape.stride).next_multiple_of(32) + 4;
            let grads = tile.pixels() + 4;
            let sums = SIDE * SIDE * shape.k_h * shape.k_w;
            size_of::<f32>() * (SIDE * (patch + grads)).max(sums) <= SHARED_BYTES
        })
    }

    fn macros(&self, shape: &Shape, stride: usize) -> [(&'static str, usize); 7] {
        [
            ("PRECISION", shape.precision as usize),
            ("K_H", shape.k_h),
            ("K_W", shape.k_w),
            ("STRIDE", stride),
            ("TILE_N", self.images),
            ("TILE_H", self.height),
            ("TILE_W", self.width),
        ]
    }
}

/// `y`, and where `moments` says so, of each of the blocks named by the last number, the moments of its outputs.
pub(super) fn forward(
    gpu: &Gpu,
    shape: &Shape,
    input: Activation,
    weight: u64,
    moments: bool,
) -> Result<(Buffer, Option<(Buffer, usize)>)> {
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, stride, padding, .. } = *shape;
    let tile = chosen(Tile::of_conv(shape, [out_h, out_w, c_out], stride, gpu.processors()?))?;
    let y = gpu.buffer(shape.output_len())?;
    let blocks = tile.count(batch, [out_h, out_w]);
    let moments = if moments { Some((gpu.buffer(3 * blocks * c_out)?, blocks)) } else { None };
    let args = [
        Arg::Struct(input),
        Arg::Address(weight),
        Arg::Address(gpu.address(&y)),
        Arg::Address(moments.as_ref().map_or(0, |(moments, _)| gpu.address(moments))),
    ];
    let flags = [0, 0].map(Arg::I32);
    let sizes =
        [batch, height, width, c_in, out_h, out_w, c_out, padding, padding, 1].map(|size| Arg::I32(size as i32));
    launch_conv(gpu, shape, tile, (stride, c_out, blocks), &[&args[..], &flags, &sizes].concat())?;
    Ok((y, moments))
}

/// The gradient by the input of that by the output: written to `d_input`, or added where `add` says so.
pub(super) fn backward(
    gpu: &Gpu,
    shape: &Shape,
    grad: &Buffer,
    weight: u64,
    (d_input, add): (&Buffer, bool),
) -> Result<()> {
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, k_h, k_w, stride, padding, .. } = *shape;
    let tile = chosen(Tile::of_conv(shape, [height, width, c_in], 1, gpu.processors()?))?;
    let args = [
        Arg::Struct(Activation::of(gpu, grad)),
        Arg::Address(weight),
        Arg::Address(gpu.address(d_input)),
        Arg::Address(0),
    ];
    let flags = [i32::from(add), 1].map(Arg::I32);
    // Each output reached `padding` beyond its place; the gradient comes back from as far on the other side.
    let paddings = [k_h, k_w].map(|kernel| Arg::I32(kernel as i32 - 1 - padding as i32));
    let sizes = [batch, out_h, out_w, c_out, height, width, c_in].map(|size| Arg::I32(size as i32));
    let args = [&args[..], &flags, &sizes, &paddings, &[Arg::I32(stride as i32)]].concat();
    launch_conv(gpu, shape, tile, (1, c_in, tile.count(batch, [height, width])), &args)
}

fn launch_conv(
    gpu: &Gpu,
    shape: &Shape,
    tile: Tile,
    (stride, channels, blocks): (usize, usize, usize),
    args: &[Arg<Activation>],
) -> Result<()> {
    let macros: Vec<_> = tile
        .macros(shape, stride)
        .into_iter()
        .chain([("BLOCK_C", tile.block_c), ("THREAD_C", tile.thread_c)])
        .collect();
    let function = gpu.function(&CONV, &macros, "conv")?;
    let grid = (blocks as u32, channels.div_ceil(tile.block_c) as u32, 1);
    // SAFETY: the arguments are the kernel's, in its order and of its types; the buffers have the sizes that it is told.
    unsafe { gpu.launch(&function, grid, (tile.threads(shape.precision) as u32, 1, 1), args) }
}

/// The gradient by the weights, `[c_out, c_in, k_h, k_w]`.
pub(super) fn filter(gpu: &Gpu, shape: &Shape, input: Activation, grad: &Buffer) -> Result<Buffer> {
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, padding, .. } = *shape;
    let tile = chosen(Tile::of_filter(shape))?;
    let pairs = [c_out.div_ceil(SIDE), c_in.div_ceil(SIDE)];
    let tiles = tile.count(batch, [out_h, out_w]);
    // Two blocks a processor; more would only leave more to add up.
    let blocks = (2 * gpu.processors()?).div_ceil(pairs[0] * pairs[1]).clamp(1, tiles);
    let parts = gpu.buffer(blocks * shape.weights())?;
    let args = [Arg::Struct(input), Arg::Address(gpu.address(grad)), Arg::Address(gpu.address(&parts))];
    let sizes = [batch, height, width, c_in, out_h, out_w, c_out, padding].map(|size| Arg::I32(size as i32));
    let macros: Macros = &tile.macros(shape, shape.stride);
    let function = gpu.function(&FILTER, macros, "filter_parts")?;
    let grid = (blocks as u32, pairs[0] as u32, pairs[1] as u32);
    let threads = match shape.precision {
        Precision::F32 => (tile.pixels() / RUN).min(4) * 2 * WARP,
        Precision::Tf32 => (tile.pixels() / 8).min(8) * WARP,
    };
    // SAFETY: as in `launch_conv`; `parts` has the weights of `blocks` blocks.
    unsafe { gpu.launch(&function, grid, (threads as u32, 1, 1), &[&args[..], &sizes].concat()) }?;

    let count = shape.weights();
    let d_weight = gpu.buffer(count)?;
    let args: [Arg; 4] = [
        Arg::Address(gpu.address(&parts)),
        Arg::I32(blocks as i32),
        Arg::I32(count as i32),
        Arg::Address(gpu.address(&d_weight)),
    ];
    let function = gpu.function(&FILTER, macros, "filter_sum")?;
    // SAFETY: `parts` has `blocks` times `count` numbers, `d_weight` `count`.
    unsafe { gpu.launch(&function, (count.div_ceil(32) as u32, 1, 1), (32, 8, 1), &args) }?;
    Ok(d_weight)
}

fn chosen(tile: Option<Tile>) -> Result<Tile> {
    tile.ok_or_else(|| candle_core::Error::Msg("ConvBn: no tile of this convolution fits a block's memory".into()))
}

//! How a convolution is divided into blocks.

use super::shape::Shape;
use crate::Precision;

// As in the kernels.
pub(super) const RUN: usize = 4;
pub(super) const SIDE: usize = 16;
pub(super) const WARP: usize = 32;
const CHUNK: usize = 8;

/// Shared memory that every block may have.
const SHARED_BYTES: usize = 48 << 10;

/// Whether a convolution is small enough for the kernels, in numbers and in a block's memory.
pub(super) fn fits(shape: &Shape) -> bool {
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, k_h, k_w, stride, .. } = *shape;
    let small = [batch * height * width * c_in, shape.output_len(), shape.weights()];
    small.into_iter().all(|count| i32::try_from(count).is_ok())
            && c_in.max(c_out) <= SIDE * usize::from(u16::MAX)
            // A thread has that many sums for the gradient of the weights, and as many registers.
            && k_h * k_w <= 25
            && Tile::of_conv(shape, [out_h, out_w, c_out], stride, 1).is_some()
            && Tile::of_conv(shape, [height, width, c_in], 1, 1).is_some()
            && Tile::of_filter(shape).is_some()
}

/// A block's outputs: some pixels of one image or of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    images: usize,
    height: usize,
    width: usize,
    /// Channels of a block and of a thread.
    pub block_c: usize,
    pub thread_c: usize,
}

impl Tile {
    /// `pixels` outputs of an image of this size, or of several images if one has fewer.
    fn new(pixels: usize, [height, width]: [usize; 2], (block_c, thread_c): (usize, usize)) -> Self {
        let width = width.next_power_of_two().clamp(RUN, pixels.min(32));
        let height = height.next_power_of_two().min(pixels / width);
        Self { images: pixels / width / height, height, width, block_c, thread_c }
    }

    /// Numbers per channel of what the tile sees, as the kernels lay it out.
    fn patch(&self, [k_h, k_w]: [usize; 2], stride: usize) -> usize {
        let span = ((RUN - 1) * stride + k_w).next_multiple_of(4);
        self.images * ((self.height - 1) * stride + k_h) * ((self.width - RUN) * stride + span)
    }

    /// How many tiles an output of these sizes has.
    pub(super) fn count(&self, batch: usize, [height, width]: [usize; 2]) -> usize {
        width.div_ceil(self.width) * height.div_ceil(self.height) * batch.div_ceil(self.images)
    }

    pub(super) fn pixels(&self) -> usize {
        self.images * self.height * self.width
    }

    /// Threads of a convolution's block; in TF32 a warp has as many pixels as threads.
    pub(super) fn threads(&self, precision: Precision) -> usize {
        match precision {
            Precision::F32 => self.pixels() / RUN * self.block_c / self.thread_c,
            Precision::Tf32 => self.pixels(),
        }
    }

    /// For a convolution to `[height, width, channels]`: the tile that gives a thread the most while each of the device's
    /// `processors` still has enough to do; `None` if no tile fits a block's memory.
    pub(super) fn of_conv(
        shape: &Shape,
        [height, width, channels]: [usize; 3],
        stride: usize,
        processors: usize,
    ) -> Option<Self> {
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
                // Both as laid out for the precision that needs more.
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
    pub(super) fn of_filter(shape: &Shape) -> Option<Self> {
        let tiles = [128, 64, 32, 16].map(|pixels| Self::new(pixels, [shape.out_h, shape.out_w], (SIDE, 2)));
        tiles.into_iter().find(|tile| {
            let patch = tile.patch([shape.k_h, shape.k_w], shape.stride).next_multiple_of(32) + 4;
            let grads = tile.pixels() + 4;
            let sums = SIDE * SIDE * shape.k_h * shape.k_w;
            size_of::<f32>() * (SIDE * (patch + grads)).max(sums) <= SHARED_BYTES
        })
    }

    pub(super) fn macros(&self, shape: &Shape, stride: usize) -> [(&'static str, usize); 7] {
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

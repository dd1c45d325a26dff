//! How a convolution is divided into blocks.

use super::shape::Shape;
use crate::Precision;

// As in the kernels.
pub(super) const RUN: usize = 4;
const WARP: usize = 32;

/// Shared memory that every block may have.
const SHARED_BYTES: usize = 48 << 10;

/// Input channels that a block reads at once: as many as a product on tensor cores takes, or if the kernel has so many taps that
/// their weights do not fit beside what the block sees, half of them.
const CHUNKS: [usize; 2] = [8, 4];

/// Taps of a kernel that a block sums the gradient of the weights for: a thread has four sums for each, or in TF32 eight, and
/// as many registers.
const MOST_TAPS: usize = 25;

/// Channels of outputs and inputs whose products a block sums for that gradient.
const SIDES: [usize; 2] = [16, 16];
/// The same for a large kernel over images, whose three channels would leave most of sixteen empty.
const SIDES_OF_IMAGES: [usize; 2] = [64, 4];

/// Whether a convolution is small enough for the kernels, in numbers and in a block's memory.
pub(super) fn fits(shape: &Shape) -> bool {
    let Shape { batch, height, width, c_in, out_h, out_w, c_out, stride, .. } = *shape;
    let small = [batch * height * width * c_in, shape.output_len(), shape.weights()];
    // Blocks along a grid's y and z.
    let most = usize::from(u16::MAX);
    small.into_iter().all(|count| i32::try_from(count).is_ok())
        && c_in.max(c_out) <= SIDES[0] * most
        && ConvTile::new(shape, [out_h, out_w, c_out], stride, 1).is_some()
        && ConvTile::new(shape, [height, width, c_in], 1, 1).is_some()
        && FilterTile::new(shape).is_some_and(|tile| tile.grid(shape).into_iter().all(|blocks| blocks <= most))
}

/// A block's outputs: some pixels of one image or of several.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tile {
    images: usize,
    height: usize,
    width: usize,
}

impl Tile {
    /// `pixels` outputs of an image of this size, or of several images if one has fewer.
    fn new(pixels: usize, [height, width]: [usize; 2]) -> Self {
        let width = width.next_power_of_two().clamp(RUN, pixels.min(32));
        let height = height.next_power_of_two().min(pixels / width);
        Self { images: pixels / width / height, height, width }
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

    fn pixels(&self) -> usize {
        self.images * self.height * self.width
    }

    /// What `tile.cu` takes.
    fn macros(
        &self,
        [k_h, k_w]: [usize; 2],
        stride: usize,
        precision: Precision,
    ) -> impl Iterator<Item = (&'static str, usize)> {
        [
            ("PRECISION", precision as usize),
            ("K_H", k_h),
            ("K_W", k_w),
            ("STRIDE", stride),
            ("TILE_N", self.images),
            ("TILE_H", self.height),
            ("TILE_W", self.width),
        ]
        .into_iter()
    }
}

/// A block of a convolution.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConvTile {
    pub pixels: Tile,
    /// Channels of a block's outputs, and of a thread's.
    pub block_c: usize,
    thread_c: usize,
    chunk: usize,
    /// The layer's, but f32 if the chunk is too small for a product on tensor cores.
    precision: Precision,
}

impl ConvTile {
    /// For a convolution to `[height, width, channels]`: the tile that gives a thread the most while each of the device's
    /// `processors` still has enough to do; `None` if no tile fits a block's memory.
    pub(super) fn new(
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
        let kinds = || KINDS.into_iter().filter(|&(_, block_c, _)| block_c <= widest);
        let tiles = CHUNKS.into_iter().map(|chunk| {
            let precision = if chunk == CHUNKS[0] { shape.precision } else { Precision::F32 };
            let tiles = kinds().map(|(pixels, block_c, thread_c)| Self {
                pixels: Tile::new(pixels, [height, width]),
                block_c,
                thread_c,
                chunk,
                precision,
            });
            tiles.filter(|tile| tile.shared_bytes(kernel, stride) <= SHARED_BYTES).collect::<Vec<_>>()
        });
        let tiles = tiles.into_iter().find(|tiles| !tiles.is_empty())?;
        let enough = |tile: &Self| {
            let blocks = tile.pixels.count(shape.batch, [height, width]) * channels.div_ceil(tile.block_c);
            2 * blocks >= 3 * processors && blocks * tile.threads() >= 6 * WARP * processors
        };
        tiles.iter().copied().find(enough).or(tiles.last().copied())
    }

    /// A block's shared memory, as laid out for the precision that needs more.
    fn shared_bytes(&self, kernel: [usize; 2], stride: usize) -> usize {
        let weights = kernel[0] * kernel[1] * (self.block_c + 8);
        let patch = self.pixels.patch(kernel, stride).next_multiple_of(32) + 8;
        let parts = (self.pixels.pixels() / WARP).max(1) * (self.block_c + 1);
        size_of::<f32>() * (self.chunk * (patch + weights) + parts)
    }

    /// Threads of a block; in TF32 a warp has as many pixels as threads.
    pub(super) fn threads(&self) -> usize {
        match self.precision {
            Precision::F32 => self.pixels.pixels() / RUN * self.block_c / self.thread_c,
            Precision::Tf32 => self.pixels.pixels(),
        }
    }

    pub(super) fn macros(&self, shape: &Shape, stride: usize) -> Vec<(&'static str, usize)> {
        let own = [("BLOCK_C", self.block_c), ("THREAD_C", self.thread_c), ("CHUNK", self.chunk)];
        self.pixels.macros([shape.k_h, shape.k_w], stride, self.precision).chain(own).collect()
    }
}

/// A block of the gradient of the weights.
#[derive(Clone, Copy, Debug)]
pub(super) struct FilterTile {
    /// Pixels of the output that it takes at once.
    pub pixels: Tile,
    sides: [usize; 2],
    /// Rows of the kernel.
    rows: usize,
    /// The layer's, but f32 if the sides are not those of a product on tensor cores.
    precision: Precision,
}

impl FilterTile {
    /// `None` if no tile fits a block's memory.
    pub(super) fn new(shape: &Shape) -> Option<Self> {
        let Shape { c_in, k_h, k_w, .. } = *shape;
        let most_rows = (MOST_TAPS / k_w).min(k_h);
        if most_rows == 0 {
            return None;
        }
        let (sides, precision) = if most_rows < k_h && c_in <= SIDES_OF_IMAGES[1] {
            (SIDES_OF_IMAGES, Precision::F32)
        } else {
            (SIDES, shape.precision)
        };
        let rows = k_h.div_ceil(k_h.div_ceil(most_rows));
        let tiles = [128, 64, 32, 16].map(|pixels| Tile::new(pixels, [shape.out_h, shape.out_w]));
        let tile = tiles.into_iter().find(|tile| {
            let patch = tile.patch([rows, k_w], shape.stride).next_multiple_of(32) + 4;
            let grads = tile.pixels() + 4;
            let sums = sides[0] * sides[1] * rows * k_w;
            size_of::<f32>() * (sides[1] * patch + sides[0] * grads).max(sums) <= SHARED_BYTES
        })?;
        Some(Self { pixels: tile, sides, rows, precision })
    }

    /// Blocks that all channels take, those of the outputs and those of the inputs with the groups of the kernel's rows.
    pub(super) fn grid(&self, shape: &Shape) -> [usize; 2] {
        let [side_out, side_in] = self.sides;
        [shape.c_out.div_ceil(side_out), shape.c_in.div_ceil(side_in) * shape.k_h.div_ceil(self.rows)]
    }

    pub(super) fn threads(&self) -> usize {
        match self.precision {
            Precision::F32 => (self.pixels.pixels() / RUN).min(4) * 2 * WARP,
            Precision::Tf32 => (self.pixels.pixels() / 8).min(8) * WARP,
        }
    }

    pub(super) fn macros(&self, shape: &Shape) -> Vec<(&'static str, usize)> {
        let [side_out, side_in] = self.sides;
        let own = [("SIDE_OUT", side_out), ("SIDE_IN", side_in), ("KERNEL_H", shape.k_h)];
        self.pixels.macros([self.rows, shape.k_w], shape.stride, self.precision).chain(own).collect()
    }
}

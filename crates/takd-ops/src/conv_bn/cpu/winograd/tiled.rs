//! A convolution by tiles.

use super::kernels::{Taps, pack, unpack};
use super::products::{ROUND, Sizes, multiply, outer_products};
use super::tiles::{Source, TileGroup, Tiles, gather, spread_gradients, transform_patches};
use super::transforms::{Four, Two};
use crate::conv_bn::cpu::epilogue::Epilogue;
use crate::conv_bn::cpu::tile::SLACK;
use crate::cpu::Buffer;
use pulp::Arch;

/// Room of patches and products at a time, in numbers: together they should stay in the second-level cache.
const BLOCK_LEN: usize = 200_000;

/// Tiles at a time: enough that the kernels, read once for all of them, cost little; multiples of [`ROUND`] are whole register
/// tiles.
const TILES: std::ops::RangeInclusive<usize> = 24..=48;

/// One convolution by tiles, or the sum of the weights' gradient.
#[derive(Debug)]
pub(in crate::conv_bn::cpu) struct Winograd {
    /// M.
    size: usize,
    /// The patches, and the tiles of outputs or of their gradients.
    from: Tiles,
    to: Tiles,
    /// Tiles of one image, and from left to right.
    tiles: usize,
    columns: usize,
    /// Channels of both, and how many of the latter are worked on at once.
    channels: [usize; 2],
    block: usize,
    /// Offsets of rows of so many numbers.
    rows: [Vec<u32>; 2],
}

/// Calls `$run::<Tile, M, N>($arguments)` for tiles of size `$size`.
macro_rules! with_size {
    ($size:expr, $run:ident($($argument:expr),* $(,)?)) => {
        match $size {
            2 => $run::<Two, 2, 4>($($argument),*),
            _ => $run::<Four, 4, 6>($($argument),*),
        }
    };
}

impl Winograd {
    /// `rows` by `columns` tiles of an image, of `size` 2 or 4; the channels are whole blocks.
    pub(in crate::conv_bn::cpu) fn new(
        size: usize,
        from: Tiles,
        to: Tiles,
        [rows, columns]: [usize; 2],
        channels: [usize; 2],
        block: usize,
    ) -> Self {
        let tiles = rows * columns;
        let rows = channels.map(|channels| (0..*TILES.end()).map(|row| (row * channels) as u32).collect());
        Self { size, from, to, tiles, columns, channels, block, rows }
    }

    /// N².
    fn points(&self) -> usize {
        (self.size + 2) * (self.size + 2)
    }

    /// How many of `tiles` are worked on at a time, in parts that are as equal as possible.
    fn tiles_at_once(&self, tiles: usize) -> usize {
        let most = BLOCK_LEN / (self.points() * self.channels.iter().sum::<usize>()) / ROUND * ROUND;
        let parts = tiles.div_ceil(most.clamp(*TILES.start(), *TILES.end()));
        tiles.div_ceil(parts.max(1)).next_multiple_of(ROUND).min(*TILES.end())
    }

    /// Numbers from one of the N² matrices to the next: a line more than it holds, which sums may read, and so that not all
    /// of them fall on the same lines of the cache.
    fn matrix(tiles: usize, channels: usize) -> usize {
        tiles * channels + SLACK
    }

    /// Numbers of working memory that [`Winograd::convolve`] and [`Winograd::correlate`] need.
    pub(in crate::conv_bn::cpu) fn room(&self) -> usize {
        self.points() * self.channels.map(|channels| Self::matrix(*TILES.end(), channels)).iter().sum::<usize>()
    }

    /// Numbers of a sum of transformed weight gradients, `[N²][c_from][c_to]`.
    pub(in crate::conv_bn::cpu) fn sums_len(&self) -> usize {
        self.points() * self.channels.iter().product::<usize>()
    }

    /// The kernels for [`Winograd::convolve`].
    pub(in crate::conv_bn::cpu) fn pack(&self, arch: Arch, taps: Taps) -> Buffer {
        with_size!(self.size, pack(arch, taps, self.channels, self.block))
    }

    /// Adds up the sums of [`Winograd::correlate`] in their order and transforms them back, as `[c_to, c_from, 3, 3]`.
    pub(in crate::conv_bn::cpu) fn unpack(&self, arch: Arch, sums: &[Buffer]) -> Vec<f32> {
        with_size!(self.size, unpack(arch, sums, self.channels))
    }

    /// The convolution of `images` images, through `epilogue` into `target`.
    ///
    /// # Safety
    /// `images` images can be read at `source`; the table's offsets for them lie within `target`, and `epilogue` may
    /// read as much of whatever it has.
    #[allow(clippy::too_many_arguments)]
    pub(in crate::conv_bn::cpu) unsafe fn convolve(
        &self,
        arch: Arch,
        images: usize,
        source: Source,
        packed: &[f32],
        target: *mut f32,
        epilogue: impl Epilogue,
        room: &mut [f32],
    ) {
        let sizes = self.sizes(images);
        let ([c_from, c_to], [patches_step, products_step]) = (sizes.channels, sizes.steps);
        let (patches, products) = room.split_at_mut(sizes.points * patches_step);
        assert!(sizes.tiles.is_multiple_of(ROUND));
        assert!(packed.len() >= sizes.points * c_from * c_to && products.len() >= sizes.points * products_step);
        let (patches, products) = (patches.as_mut_ptr(), products.as_mut_ptr());
        for (part, to) in self.to.at[..images * self.tiles].chunks(sizes.tiles).enumerate() {
            let group = self.group(part * sizes.tiles, to);
            let sizes = Sizes { tiles: to.len(), ..sizes };
            // SAFETY: the caller's for source and target; so many tiles have room in the matrices.
            unsafe {
                with_size!(self.size, transform_patches(arch, group, source, patches, patches_step));
                multiply(arch, sizes, patches, packed.as_ptr(), products);
                with_size!(self.size, gather(arch, group, products, products_step, target, epilogue));
            }
        }
    }

    /// Adds the transformed weight gradient of `images` images to `sums`.
    ///
    /// # Safety
    /// `images` images can be read at `source`; the table's offsets for them lie within `gradient`.
    pub(in crate::conv_bn::cpu) unsafe fn correlate(
        &self,
        arch: Arch,
        images: usize,
        source: Source,
        gradient: *const f32,
        sums: &mut [f32],
        room: &mut [f32],
    ) {
        let sizes = self.sizes(images);
        let [patches_step, spread_step] = sizes.steps;
        let (patches, spread) = room.split_at_mut(sizes.points * patches_step);
        assert!(sums.len() >= self.sums_len() && spread.len() >= sizes.points * spread_step);
        let (patches, spread) = (patches.as_mut_ptr(), spread.as_mut_ptr());
        for (part, to) in self.to.at[..images * self.tiles].chunks(sizes.tiles).enumerate() {
            let group = self.group(part * sizes.tiles, to);
            let rows = self.rows.each_ref().map(|rows| &rows[..to.len()]);
            // SAFETY: the caller's for source and gradient; so many tiles have room in the matrices.
            unsafe {
                with_size!(self.size, transform_patches(arch, group, source, patches, patches_step));
                with_size!(self.size, spread_gradients(arch, group, gradient, spread, spread_step));
                outer_products(arch, sizes, rows, patches, spread, sums.as_mut_ptr());
            }
        }
    }

    /// The sizes of the matrices for as many tiles of so many images as are worked on at a time.
    fn sizes(&self, images: usize) -> Sizes {
        let tiles = self.tiles_at_once(images * self.tiles);
        let steps = self.channels.map(|channels| Self::matrix(tiles, channels));
        Sizes { points: self.points(), tiles, channels: self.channels, block: self.block, steps }
    }

    /// The tiles from `first` on, whose numbers of the target are at `to`.
    fn group<'a>(&'a self, first: usize, to: &'a [u32]) -> TileGroup<'a> {
        let Self { from, tiles, columns, channels, .. } = self;
        let (tiles, columns, channels) = (*tiles, *columns, *channels);
        TileGroup { first, from, to, to_row: self.to.row, tiles, columns, channels }
    }
}

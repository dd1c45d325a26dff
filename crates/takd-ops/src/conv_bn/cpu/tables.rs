//! Tables of offsets into images and padded copies.

use super::direct::Sweep;
use super::shape::Shape;
use super::tile::{RUN, Window};
use crate::Conv2dParams;

/// The offset that `of` gives for each image, row and column.
pub(super) fn table(
    images: usize,
    rows: &[usize],
    columns: &[usize],
    of: impl Fn(usize, usize, usize) -> usize,
) -> Vec<u32> {
    let mut offsets = Vec::with_capacity(images * rows.len() * columns.len());
    for image in 0..images {
        for &y in rows {
            offsets.extend(columns.iter().map(|&x| of(image, y, x) as u32));
        }
    }
    offsets
}

/// The padded copy of the gradient of a group's output.
pub(super) struct GradCopy {
    pub group: usize,
    /// Rows and columns of zeros before the gradient.
    pub lo: usize,
    pub size: (usize, usize),
    pub channels: usize,
}

impl GradCopy {
    /// Offset of each output pixel.
    pub(super) fn table(&self, rows: &[usize], columns: &[usize]) -> Vec<u32> {
        let Self { group, lo, size, channels } = *self;
        table(group, rows, columns, |n, y, x| ((n * size.0 + lo + y) * size.1 + lo + x) * channels)
    }

    /// The gradient of the input: padded row p of the input got a share of output row q − t under kernel row r + stride·t, with
    /// p = stride·q + r.
    pub(super) fn backward_sweeps(&self, shape: &Shape, block_in: usize) -> Vec<Sweep> {
        let Self { group, lo, size, channels } = *self;
        let Shape { input: [height, width, c_in], kernel, params: Conv2dParams { stride, padding }, .. } = *shape;
        let mut sweeps = Vec::new();
        let mut weights = 0;
        for (r_y, r_x) in (0..stride).flat_map(|r_y| (0..stride).map(move |r_x| (r_y, r_x))) {
            let taps = |r: usize, kernel: usize| (r..kernel).step_by(stride).rev().collect::<Vec<_>>();
            let (taps_y, taps_x) = (taps(r_y, kernel.0), taps(r_x, kernel.1));
            let of = |size: usize, r: usize| (0..size).filter(|i| (i + padding) % stride == r).collect::<Vec<_>>();
            let (rows, columns) = (of(height, r_y), of(width, r_x));
            let (before_y, before_x) = (taps_y.len().saturating_sub(1), taps_x.len().saturating_sub(1));
            let from = |n: usize, y: usize, x: usize| {
                let (q_y, q_x) = ((y + padding) / stride, (x + padding) / stride);
                ((n * size.0 + lo + q_y - before_y) * size.1 + lo + q_x - before_x) * channels
            };
            let window = Window { segments: taps_y.len(), stride: size.1 * channels, length: taps_x.len() * channels };
            let here = weights;
            weights += c_in.next_multiple_of(block_in) * window.segments * window.length;
            sweeps.push(Sweep {
                from: table(group, &rows, &columns, from),
                to: table(group, &rows, &columns, |n, y, x| ((n * height + y) * width + x) * c_in),
                window,
                steps: window.steps(),
                weights: here,
                pixels: rows.len() * columns.len(),
                distance: columns.len().is_multiple_of(RUN).then_some(channels),
                taps: (taps_y, taps_x),
            });
        }
        sweeps
    }
}

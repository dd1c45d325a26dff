//! Scaling with antialiasing, bit for bit as Pillow does it.
//!
//! The crates that scale images round other numbers, and differ from Pillow by up to three levels. Who compares results with
//! PyTorch's needs the same pixels.

use std::ops::Range;

/// Bits behind the point of a weight, as Pillow has them for bytes: a sum of weighted bytes fits into 32 bits.
const POINT: u32 = 32 - 8 - 2;

/// Channels of a pixel.
const CHANNELS: usize = 3;

/// Which of a line's pixels a pixel of the result is made of, and how much of each.
struct Share {
    of: Range<usize>,
    weights: Vec<i32>,
}

/// A part of an image, in its rows and columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) top: usize,
    pub(crate) left: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
}

impl Part {
    /// All of an image.
    pub(crate) fn all(height: usize, width: usize) -> Self {
        Self { top: 0, left: 0, height, width }
    }
}

/// A part of an image that is `width` wide, scaled to `to` rows and columns; of that the part `seen`, `[height, width, 3]`.
///
/// A pixel of the result is the mean of those that it covers, weighted by a triangle twice as wide (Pillow's `BILINEAR`): first along
/// rows, then along columns, each time rounded to a byte.
pub(crate) fn scaled(pixels: &[u8], width: usize, part: Part, to: (usize, usize), seen: Part) -> Vec<u8> {
    let columns = shares(part.width, to.1, seen.left..seen.left + seen.width);
    let rows = shares(part.height, to.0, seen.top..seen.top + seen.height);
    // Only the rows that are read below.
    let first = rows.first().map_or(0, |share| share.of.start);
    let end = rows.last().map_or(0, |share| share.of.end);
    let mut narrow = Vec::with_capacity((end - first) * seen.width * CHANNELS);
    for y in part.top + first..part.top + end {
        let row = &pixels[(y * width + part.left) * CHANNELS..][..part.width * CHANNELS];
        let row = row.as_chunks::<CHANNELS>().0;
        for Share { of, weights } in &columns {
            let mut sums = [1 << (POINT - 1); CHANNELS];
            for (pixel, weight) in row[of.clone()].iter().zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += i32::from(*value) * weight;
                }
            }
            narrow.extend(sums.map(byte));
        }
    }
    let line = seen.width * CHANNELS;
    let mut scaled = Vec::with_capacity(seen.height * line);
    let mut sums = vec![0i32; line];
    for Share { of, weights } in &rows {
        sums.fill(1 << (POINT - 1));
        for (y, weight) in of.clone().zip(weights) {
            for (sum, value) in sums.iter_mut().zip(&narrow[(y - first) * line..][..line]) {
                *sum += i32::from(*value) * weight;
            }
        }
        scaled.extend(sums.iter().map(|&sum| byte(sum)));
    }
    scaled
}

fn byte(sum: i32) -> u8 {
    (sum >> POINT).clamp(0, 255) as u8
}

/// What some of `to` pixels of a line take of `from`.
fn shares(from: usize, to: usize, seen: Range<usize>) -> Vec<Share> {
    let scale = from as f64 / to as f64;
    // Enlarging, a pixel reaches to its neighbours; reducing, over all that it covers.
    let reach = scale.max(1.0);
    let share = |place: usize| {
        let center = (place as f64 + 0.5) * scale;
        let first = (center - reach + 0.5).max(0.0) as usize;
        let end = ((center + reach + 0.5) as usize).min(from);
        let weight = |at: usize| (1.0 - ((at as f64 - center + 0.5) / reach).abs()).max(0.0);
        let weights: Vec<f64> = (first..end).map(weight).collect();
        let sum: f64 = weights.iter().sum();
        let whole = |weight: &f64| (0.5 + weight / sum * f64::from(1 << POINT)) as i32;
        Share { of: first..end, weights: weights.iter().map(whole).collect() }
    };
    seen.map(share).collect()
}

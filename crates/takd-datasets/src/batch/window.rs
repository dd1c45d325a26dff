//! Which part of an image is seen, and how its bytes become numbers.

use super::types::Augmentation;
use rand::{Rng, RngExt};

/// Which part of the padded image is seen: its top left corner in the image's own rows and columns, which may be negative, and
/// whether it is mirrored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Window {
    pub top: isize,
    pub left: isize,
    pub mirrored: bool,
}

impl Window {
    /// A window for this augmentation; `random` is asked for its stream only if there is something to draw.
    pub(super) fn draw<R: Rng>(augmentation: Augmentation, random: impl FnOnce() -> R) -> Self {
        match augmentation {
            Augmentation::None => Self { top: 0, left: 0, mirrored: false },
            Augmentation::CropFlip { padding } => {
                let mut rng = random();
                let mut offset = || rng.random_range(0..=2 * padding) as isize - padding as isize;
                Self { top: offset(), left: offset(), mirrored: rng.random() }
            }
        }
    }

    /// Writes the normalised window of an image of this width into `values`, both `[height, width, 3]`.
    ///
    /// Which columns lie outside the image is the same for every row, so it is not computed for each pixel.
    pub(super) fn fill(self, image: &[u8], width: usize, table: &Table, values: &mut [f32]) {
        let black = normalised(&[0; 3], table);
        // The image's columns that are seen, and how many columns of black are written left and right of them.
        let column = |x: isize| x.clamp(0, width as isize) as usize;
        let seen = column(self.left)..column(self.left + width as isize);
        let outside = width - seen.len();
        let (left, right) = if (self.left < 0) != self.mirrored { (outside, 0) } else { (0, outside) };
        let pixels = image.as_chunks::<3>().0;
        let height = pixels.len() / width;
        for (y, row) in values.as_chunks_mut::<3>().0.chunks_exact_mut(width).enumerate() {
            let Some(y) = y.checked_add_signed(self.top).filter(|&y| y < height) else {
                row.fill(black);
                continue;
            };
            let source = &pixels[y * width..][seen.clone()];
            row[..left].fill(black);
            row[width - right..].fill(black);
            let row = row[left..width - right].iter_mut();
            if self.mirrored {
                row.zip(source.iter().rev()).for_each(|(pixel, bytes)| *pixel = normalised(bytes, table));
            } else {
                row.zip(source).for_each(|(pixel, bytes)| *pixel = normalised(bytes, table));
            }
        }
    }
}

/// For each channel, what each of the 256 values of a byte becomes.
pub(super) type Table = [[f32; 256]; 3];

/// One look-up for each byte in place of two divisions.
#[inline]
fn normalised(bytes: &[u8; 3], table: &Table) -> [f32; 3] {
    [table[0][bytes[0] as usize], table[1][bytes[1] as usize], table[2][bytes[2] as usize]]
}

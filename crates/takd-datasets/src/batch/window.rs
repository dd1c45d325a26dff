//! Which part of an image is seen, and how its bytes become numbers.

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
    /// All of an image.
    pub(super) const ALL: Self = Self { top: 0, left: 0, mirrored: false };

    /// A window of the old size in an image with so many pixels added on every side.
    pub(super) fn padded(padding: usize, rng: &mut impl Rng) -> Self {
        let mut offset = || rng.random_range(0..=2 * padding) as isize - padding as isize;
        Self { top: offset(), left: offset(), mirrored: rng.random() }
    }

    /// Writes the window of an image of this width into `values`, both `[height, width, 3]`, each pixel as `value` makes it.
    ///
    /// Which columns lie outside the image is the same for every row, so it is not computed for each pixel.
    pub(super) fn fill<T: Copy>(
        self,
        image: &[u8],
        width: usize,
        value: impl Fn(&[u8; 3]) -> [T; 3],
        values: &mut [T],
    ) {
        let black = value(&[0; 3]);
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
                row.zip(source.iter().rev()).for_each(|(pixel, bytes)| *pixel = value(bytes));
            } else {
                row.zip(source).for_each(|(pixel, bytes)| *pixel = value(bytes));
            }
        }
    }
}

/// For each channel, what each of the 256 values of a byte becomes.
pub(super) type Table = [[f32; 256]; 3];

/// One look-up for each byte in place of two divisions.
#[inline]
pub(super) fn normalised(bytes: &[u8; 3], table: &Table) -> [f32; 3] {
    [table[0][bytes[0] as usize], table[1][bytes[1] as usize], table[2][bytes[2] as usize]]
}

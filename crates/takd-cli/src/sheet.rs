//! A picture of rows of images, each with a few words.

use anyhow::Result;
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

/// Images of a row, at most.
pub(crate) const COLUMNS: usize = 10;
/// At most so many rows.
pub(crate) const ROWS: usize = 100;
/// Rows and columns of a letter.
const LETTER: usize = 8;
/// Letters of a row's words.
const LETTERS: usize = 24;
/// Pixels between images.
const GAP: usize = 4;
/// Images are shown at least so large.
const SHOWN: usize = 64;

/// White paper.
struct Sheet {
    pixels: Vec<u8>,
    width: usize,
}

impl Sheet {
    fn put(&mut self, x: usize, y: usize, pixel: [u8; 3]) {
        self.pixels[3 * (y * self.width + x)..][..3].copy_from_slice(&pixel);
    }
}

/// Words, and images as pixels `[side, side, 3]`.
pub(crate) struct Row {
    pub(crate) words: String,
    pub(crate) images: Vec<Vec<u8>>,
}

/// The rows as a PNG file.
pub(crate) fn png(rows: &[Row], side: usize) -> Result<Vec<u8>> {
    let rows = &rows[..rows.len().min(ROWS)];
    let columns = rows.iter().map(|row| row.images.len()).max().unwrap_or(0).clamp(1, COLUMNS);
    let factor = SHOWN.div_ceil(side).max(1);
    let cell = side * factor;
    let margin = GAP + LETTERS * LETTER + GAP;
    let (width, height) = (margin + columns * (cell + GAP), GAP + rows.len() * (cell + GAP));
    let mut sheet = Sheet { pixels: vec![255; 3 * width * height], width };
    for (place, Row { words, images }) in rows.iter().enumerate() {
        let top = GAP + place * (cell + GAP);
        for (place, letter) in words.chars().take(LETTERS).enumerate() {
            write(&mut sheet, letter, GAP + place * LETTER, top + (cell - LETTER) / 2);
        }
        for (column, image) in images.iter().take(COLUMNS).enumerate() {
            let left = margin + column * (cell + GAP);
            let pixels = image.as_chunks::<3>().0;
            for (y, x) in (0..cell).flat_map(|y| (0..cell).map(move |x| (y, x))) {
                sheet.put(left + x, top + y, pixels[y / factor * side + x / factor]);
            }
        }
    }
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&sheet.pixels, width as u32, height as u32, ExtendedColorType::Rgb8)?;
    Ok(file)
}

/// A letter in black; a box for one that the font does not have.
fn write(sheet: &mut Sheet, letter: char, left: usize, top: usize) {
    let box_ = [0xff, 0x81, 0x81, 0x81, 0x81, 0x81, 0xff, 0];
    let rows = BASIC_FONTS.get(letter).or_else(|| LATIN_FONTS.get(letter)).unwrap_or(box_);
    for (y, row) in rows.into_iter().enumerate() {
        for x in (0..LETTER).filter(|x| row >> x & 1 == 1) {
            sheet.put(left + x, top + y, [0; 3]);
        }
    }
}

//! A picture of some images of each class, with the classes' names.

use anyhow::Result;
use font8x8::{BASIC_FONTS, LATIN_FONTS, UnicodeFonts};
use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};
use takd_datasets::Dataset;

/// Images of a class.
const COLUMNS: usize = 10;
/// At most so many classes.
const ROWS: usize = 100;
/// Rows and columns of a letter.
const LETTER: usize = 8;
/// Letters of a class's name.
const LETTERS: usize = 20;
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

/// The first training images of each class, a class a row, as a PNG file.
pub(super) fn png(data: &Dataset) -> Result<Vec<u8>> {
    let (images, side) = (&data.train, data.train.height());
    let factor = SHOWN.div_ceil(side).max(1);
    let (cell, rows) = (side * factor, data.card.classes().min(ROWS));
    let margin = GAP + LETTERS * LETTER + GAP;
    let (width, height) = (margin + COLUMNS * (cell + GAP), GAP + rows * (cell + GAP));
    let mut sheet = Sheet { pixels: vec![255; 3 * width * height], width };
    for class in 0..rows {
        let top = GAP + class * (cell + GAP);
        for (place, letter) in data.card.class_names[class].chars().take(LETTERS).enumerate() {
            write(&mut sheet, letter, GAP + place * LETTER, top + (cell - LETTER) / 2);
        }
        let of_class = (0..images.len()).filter(|&index| images.labels()[index] as usize == class);
        for (column, index) in of_class.take(COLUMNS).enumerate() {
            let left = margin + column * (cell + GAP);
            let image = images.image(index)?;
            let pixels = image.as_chunks::<3>().0;
            for (y, x) in (0..cell).flat_map(|y| (0..cell).map(move |x| (y, x))) {
                sheet.put(left + x, top + y, pixels[y / factor * images.width() + x / factor]);
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

//! Decoding one image as it stands in a file: PNG or JPEG, strictly.
//!
//! What is incomplete or damaged is an error. Most decoders fill the missing part of a cut JPEG with grey, which would be
//! trained on.

use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader};
use std::io::Cursor;
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// Rows and columns of every image of the data sets that come from files.
pub(crate) const SIDE: usize = 32;

/// Decodes a PNG or JPEG, told apart by its own first bytes, into `[32, 32, 3]`; else says what is wrong with it.
pub(crate) fn decode(bytes: &[u8], pixels: &mut [u8]) -> Result<(), String> {
    match bytes {
        [0x89, b'P', b'N', b'G', ..] => decode_png(bytes, pixels),
        [0xff, 0xd8, 0xff, ..] => decode_jpeg(bytes, pixels),
        _ => Err(format!(
            "its image is neither PNG nor JPEG ({} bytes, beginning {:02x?})",
            bytes.len(),
            &bytes[..bytes.len().min(4)]
        )),
    }
}

fn decode_png(bytes: &[u8], pixels: &mut [u8]) -> Result<(), String> {
    let decoder = ImageReader::with_format(Cursor::new(bytes), ImageFormat::Png).into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    check_size(width as usize, height as usize)?;
    if decoder.color_type() == ColorType::Rgb8 {
        decoder.read_image(pixels).map_err(undecodable)
    } else {
        let image = DynamicImage::from_decoder(decoder).map_err(undecodable)?;
        pixels.copy_from_slice(image.to_rgb8().as_raw());
        Ok(())
    }
}

/// By zune-jpeg itself: the `image` crate decodes with it too, but never strictly.
fn decode_jpeg(bytes: &[u8], pixels: &mut [u8]) -> Result<(), String> {
    let bytes = with_ones_at_end(bytes).ok_or("its image is a JPEG that is cut off: its end mark is missing")?;
    let options = DecoderOptions::default().set_strict_mode(true).jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(&bytes), options);
    decoder.decode_headers().map_err(undecodable)?;
    let (width, height) = decoder.dimensions().unwrap_or_default();
    check_size(width, height)?;
    decoder.decode_into(pixels).map_err(undecodable)
}

/// A JPEG with some bits of one between its data and its end mark; `None` if it has no such mark behind the beginning of its last
/// scan.
///
/// The decoder goes on with zeros where data end too early, which may be read as pixels. No Huffman code consists of ones alone
/// (ITU-T T.81, annex C), so it fails at them. In a whole image all pixels come before them.
fn with_ones_at_end(bytes: &[u8]) -> Option<Vec<u8>> {
    const START_OF_SCAN: [u8; 2] = [0xff, 0xda];
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    /// Within a scan, 0xff is written as these two bytes. So many are longer than a code and its value.
    const ONES: [[u8; 2]; 16] = [[0xff, 0]; 16];
    let last = |mark: [u8; 2]| bytes.windows(2).rposition(|window| window == mark);
    let end = last(END_OF_IMAGE)?;
    (Some(end) > last(START_OF_SCAN)).then(|| [&bytes[..end], ONES.as_flattened(), &END_OF_IMAGE].concat())
}

/// Before any pixel is unpacked: a few bytes can claim an image of any size.
fn check_size(width: usize, height: usize) -> Result<(), String> {
    if (width, height) == (SIDE, SIDE) {
        Ok(())
    } else {
        Err(format!("its image is {width}x{height}, not {SIDE}x{SIDE}"))
    }
}

fn undecodable(error: impl std::fmt::Display) -> String {
    format!("its image cannot be decoded: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};

    const BYTES: usize = SIDE * SIDE * 3;

    /// Smooth, so that a JPEG of it is near it.
    fn smooth() -> Vec<u8> {
        (0..BYTES).map(|i| (i / 96 * 4 + i % 3 * 40) as u8).collect()
    }

    fn noisy() -> Vec<u8> {
        (0..BYTES).map(|i| (i * i * 31 % 251) as u8).collect()
    }

    fn jpeg(pixels: &[u8], color: ExtendedColorType) -> Vec<u8> {
        let mut file = Vec::new();
        JpegEncoder::new_with_quality(&mut file, 92).write_image(pixels, SIDE as u32, SIDE as u32, color).unwrap();
        file
    }

    fn png(pixels: &[u8], color: ExtendedColorType) -> Vec<u8> {
        let mut file = Vec::new();
        PngEncoder::new(&mut file).write_image(pixels, SIDE as u32, SIDE as u32, color).unwrap();
        file
    }

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, String> {
        let mut pixels = vec![0; BYTES];
        decode(bytes, &mut pixels)?;
        Ok(pixels)
    }

    #[test]
    fn whole_images_are_decoded_as_the_image_crate_does() {
        let grey: Vec<u8> = smooth().iter().step_by(3).copied().collect();
        for file in [
            jpeg(&smooth(), ExtendedColorType::Rgb8),
            jpeg(&noisy(), ExtendedColorType::Rgb8),
            jpeg(&grey, ExtendedColorType::L8),
            png(&noisy(), ExtendedColorType::Rgb8),
            png(&grey, ExtendedColorType::L8),
        ] {
            assert!(decoded(&file).unwrap() == image::load_from_memory(&file).unwrap().to_rgb8().into_raw());
        }
    }

    #[test]
    fn jpeg_that_is_cut_anywhere_is_refused() {
        let file = jpeg(&noisy(), ExtendedColorType::Rgb8);
        for end in 0..file.len() {
            assert!(decoded(&file[..end]).is_err(), "cut to {end} of {} bytes", file.len());
        }
    }

    #[test]
    fn jpeg_that_is_cut_and_closed_with_an_end_mark_is_refused() {
        let file = jpeg(&noisy(), ExtendedColorType::Rgb8);
        // The last bytes but the mark may hold nothing but padding.
        for end in 0..file.len() - 4 {
            let closed = [&file[..end], &[0xff, 0xd9]].concat();
            assert!(decoded(&closed).is_err(), "cut to {end} of {} bytes", file.len());
        }
    }

    #[test]
    fn bytes_behind_the_end_mark_do_no_harm() {
        let file = jpeg(&noisy(), ExtendedColorType::Rgb8);
        assert!(decoded(&[&file[..], &[0; 10]].concat()).unwrap() == decoded(&file).unwrap());
    }

    #[test]
    fn png_whose_pixels_are_cut_is_refused() {
        let file = png(&noisy(), ExtendedColorType::Rgb8);
        // The last chunk, of 12 bytes, holds no pixels, nor does the checksum before it.
        for end in 0..file.len() - 16 {
            assert!(decoded(&file[..end]).is_err(), "cut to {end} of {} bytes", file.len());
        }
    }
}

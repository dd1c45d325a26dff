//! One image: decoded strictly, turned upright, cut to a square and scaled.
//!
//! What is incomplete or damaged is an error. Most decoders fill the missing part of a cut JPEG with grey, which would be
//! trained on.

use crate::{
    Fit,
    guard::guarded,
    resample::{self, Part},
};
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits, metadata::Orientation};
use std::{borrow::Cow, io::Cursor};
use zune_jpeg::{
    JpegDecoder,
    zune_core::{bytestream::ZCursor, colorspace::ColorSpace, options::DecoderOptions},
};

/// The most pixels of an image: as many as of 10 000 x 10 000.
const MAX_PIXELS: usize = 100_000_000;

/// The most bytes that decoding an image takes: its pixels with four channels of 16 bits.
const MAX_DECODED: u64 = 8 * MAX_PIXELS as u64;

/// An image in memory, `[height, width, 3]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) pixels: Vec<u8>,
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// How it is to be turned to stand upright, as its EXIF data say.
    orientation: Orientation,
}

/// The bytes of an image whose size is known already.
pub(crate) struct Opened<'a> {
    /// Rows and columns, once it stands upright.
    pub(crate) size: (usize, usize),
    decoder: Decoder<'a>,
    orientation: Orientation,
}

enum Decoder<'a> {
    Jpeg(Box<JpegDecoder<ZCursor<Vec<u8>>>>),
    Other(Box<dyn ImageDecoder + 'a>),
}

impl<'a> Opened<'a> {
    /// Reads the header of a JPEG, PNG, WebP, GIF, TIFF or BMP, told apart by its own bytes; else says what is wrong with it.
    /// Of a GIF or TIFF with several pictures the first one is taken.
    pub(crate) fn new(bytes: &'a [u8]) -> Result<Self, String> {
        let (decoder, (width, height), orientation) = match image::guess_format(bytes) {
            Ok(ImageFormat::Jpeg) => guarded(|| open_jpeg(bytes), undecodable)?,
            Ok(
                format @ (ImageFormat::Png
                | ImageFormat::WebP
                | ImageFormat::Gif
                | ImageFormat::Tiff
                | ImageFormat::Bmp),
            ) => guarded(|| open_other(bytes, format), undecodable)?,
            _ => {
                let first = &bytes[..bytes.len().min(4)];
                return Err(format!(
                    "its image is neither JPEG, PNG, WebP, GIF, TIFF nor BMP ({} bytes, beginning {first:02x?})",
                    bytes.len()
                ));
            }
        };
        // Before any pixel is unpacked: a few bytes can claim an image of any size.
        if width == 0 || height == 0 || width.checked_mul(height).is_none_or(|pixels| pixels > MAX_PIXELS) {
            return Err(format!("its image is {width}x{height}: 1 to {MAX_PIXELS} pixels are read"));
        }
        let size = if is_sideways(orientation) { (width, height) } else { (height, width) };
        Ok(Self { size, decoder, orientation })
    }

    /// Whether it lies on its side, on its head or mirrored as it is stored.
    pub(crate) fn is_turned(&self) -> bool {
        self.orientation != Orientation::NoTransforms
    }

    /// Decodes it.
    pub(crate) fn decode(self) -> Result<Picture, String> {
        guarded(|| self.decode_unguarded(), undecodable)
    }

    fn decode_unguarded(self) -> Result<Picture, String> {
        let (height, width) = if is_sideways(self.orientation) { (self.size.1, self.size.0) } else { self.size };
        let mut pixels = Vec::new();
        match self.decoder {
            Decoder::Jpeg(mut decoder) => {
                pixels.resize(height * width * 3, 0);
                decoder.decode_into(&mut pixels).map_err(undecodable)?;
            }
            Decoder::Other(decoder) if decoder.color_type() == ColorType::Rgb8 => {
                pixels.resize(height * width * 3, 0);
                decoder.read_image_boxed(&mut pixels).map_err(undecodable)?;
            }
            Decoder::Other(decoder) => {
                pixels = DynamicImage::from_decoder(decoder).map_err(undecodable)?.into_rgb8().into_raw();
            }
        }
        Ok(Picture { pixels, height, width, orientation: self.orientation })
    }
}

impl Picture {
    /// An image whose pixels are known.
    pub(crate) fn new(pixels: Vec<u8>, height: usize, width: usize) -> Self {
        Self { pixels, height, width, orientation: Orientation::NoTransforms }
    }

    /// The image turned upright.
    pub(crate) fn upright(self) -> Self {
        if self.orientation == Orientation::NoTransforms {
            return self;
        }
        let (height, width, orientation) = (self.height as u32, self.width as u32, self.orientation);
        let Some(image) = image::RgbImage::from_raw(width, height, self.pixels) else {
            unreachable!("an image has three bytes for each of its pixels")
        };
        let mut image = DynamicImage::ImageRgb8(image);
        image.apply_orientation(orientation);
        let (height, width) = (image.height() as usize, image.width() as usize);
        Self::new(image.into_rgb8().into_raw(), height, width)
    }

    /// The square that `fit` makes of it, upright.
    ///
    /// The same as torchvision's `Resize` and `CenterCrop` of an image of Pillow's, bit for bit, where `fit` is of a larger image;
    /// else as [`Self::square`].
    pub(crate) fn fitted(self, fit: Fit) -> Self {
        let side = fit.side();
        let Some(shorter) = fit.shorter() else { return self.square(side) };
        let picture = self.upright();
        let longer = |of: usize, least: usize| if of == least { shorter } else { shorter * of / least };
        let least = picture.height.min(picture.width);
        let to = (longer(picture.height, least), longer(picture.width, least));
        let middle = |of: usize| ((of - side) as f64 / 2.0).round_ties_even() as usize;
        let seen = Part { top: middle(to.0), left: middle(to.1), height: side, width: side };
        picture.scaled(Part::all(picture.height, picture.width), to, seen)
    }

    /// A part of it scaled to `to` rows and columns; of that the part `seen`.
    pub(crate) fn scaled(&self, part: Part, to: (usize, usize), seen: Part) -> Self {
        Self::new(resample::scaled(&self.pixels, self.width, part, to, seen), seen.height, seen.width)
    }

    /// The square in its middle, scaled to `side` x `side` and upright.
    ///
    /// The same as Pillow's `crop` and `resize(…, BILINEAR)`, bit for bit. Where rows or columns left over cannot be halved, one more is cut
    /// off at the right or the bottom.
    fn square(self, side: usize) -> Self {
        let edge = self.height.min(self.width);
        if edge == side && self.height == self.width {
            return self.upright();
        }
        let (top, left) = ((self.height - edge) / 2, (self.width - edge) / 2);
        let part = Part { top, left, height: edge, width: edge };
        let orientation = self.orientation;
        Self { orientation, ..self.scaled(part, (side, side), Part::all(side, side)) }.upright()
    }
}

fn open_other(bytes: &[u8], format: ImageFormat) -> Result<(Decoder<'_>, (usize, usize), Orientation), String> {
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_DECODED);
    let bytes = if format == ImageFormat::Png { without_packed_notes(bytes) } else { Cow::Borrowed(bytes) };
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits);
    let mut decoder = reader.into_decoder().map_err(undecodable)?;
    let (width, height) = decoder.dimensions();
    let orientation = decoder.orientation().map_err(undecodable)?;
    Ok((Decoder::Other(Box::new(decoder)), (width as usize, height as usize), orientation))
}

/// A PNG without colour profile and texts, which may be packed: a few bytes of them can unpack to a gigabyte, and nothing of them is
/// looked at (PNG, third edition, sections 11.3.2 and 11.3.3).
fn without_packed_notes(bytes: &[u8]) -> Cow<'_, [u8]> {
    const SIGNATURE: usize = 8;
    /// A chunk's length and name before its data, and a checksum behind.
    const FRAME: usize = 12;
    let mut chunks = Vec::new();
    let mut at = SIGNATURE;
    while let Some(&[a, b, c, d, name @ ..]) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let size = (u32::from_be_bytes([a, b, c, d]) as usize).saturating_add(FRAME);
        let end = at.saturating_add(size).min(bytes.len());
        chunks.push((name, at..end));
        at = end;
    }
    let is_note = |name: &[u8; 4]| [b"iCCP", b"zTXt", b"iTXt"].contains(&name);
    if !chunks.iter().any(|(name, _)| is_note(name)) {
        return Cow::Borrowed(bytes);
    }
    let mut kept = bytes[..SIGNATURE].to_vec();
    for (_, place) in chunks.into_iter().filter(|(name, _)| !is_note(name)) {
        kept.extend_from_slice(&bytes[place]);
    }
    // What was cut within a chunk's length or name stays so.
    kept.extend_from_slice(&bytes[at.min(bytes.len())..]);
    Cow::Owned(kept)
}

/// By zune-jpeg itself: the `image` crate decodes with it too, but never strictly.
fn open_jpeg(bytes: &[u8]) -> Result<(Decoder<'_>, (usize, usize), Orientation), String> {
    let bytes = with_ones_at_end(bytes).ok_or("its image is a JPEG that is cut off: its end mark is missing")?;
    let options = DecoderOptions::default()
        .set_strict_mode(true)
        .set_max_width(u16::MAX.into())
        .set_max_height(u16::MAX.into())
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(undecodable)?;
    let size = decoder.dimensions().unwrap_or_default();
    let orientation = decoder.exif().and_then(|exif| Orientation::from_exif_chunk(exif));
    Ok((Decoder::Jpeg(Box::new(decoder)), size, orientation.unwrap_or(Orientation::NoTransforms)))
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

/// Whether rows become columns when the image is turned upright.
fn is_sideways(orientation: Orientation) -> bool {
    use Orientation::{Rotate90, Rotate90FlipH, Rotate270, Rotate270FlipH};
    matches!(orientation, Rotate90 | Rotate270 | Rotate90FlipH | Rotate270FlipH)
}

fn undecodable(error: impl std::fmt::Display) -> String {
    format!("its image cannot be decoded: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};

    const SIDE: usize = 32;
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
        Ok(Opened::new(bytes)?.decode()?.pixels)
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

    fn written(name: &str) -> Vec<u8> {
        std::fs::read(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/written").join(name)).unwrap()
    }

    #[test]
    fn every_form_of_a_picture_is_what_pillow_makes_of_it() {
        for (name, tolerance) in [
            ("rgb.png", 0),
            ("grey.png", 0),
            ("palette.png", 0),
            ("alpha.png", 0),
            ("bits.png", 0),
            ("lossless.webp", 0),
            ("first.gif", 0),
            ("first.tiff", 0),
            ("rgb.bmp", 0),
            // Other arithmetic of the cosine transform and the colours.
            ("baseline.jpg", 2),
            ("progressive.jpg", 2),
            ("grey.jpg", 2),
            ("lossy.webp", 2),
            ("cmyk.jpg", 3),
            // Other ways to fill in the colours between.
            ("subsampled.jpg", 40),
        ] {
            let picture = Opened::new(&written(&format!("pictures/{name}"))).unwrap().decode().unwrap().upright();
            assert_eq!((picture.height, picture.width), (24, 40), "{name}");
            let worst = difference(&picture.pixels, &written(&format!("pictures/{name}.rgb")));
            assert!(worst <= tolerance, "{name}: {worst}");
        }
    }

    #[test]
    fn pictures_stand_upright_as_their_exif_data_say() {
        for orientation in 2..=8 {
            let name = format!("turned{orientation}.jpg");
            let bytes = written(&format!("pictures/{name}"));
            let opened = Opened::new(&bytes).unwrap();
            let size = opened.size;
            assert!(opened.is_turned());
            let picture = opened.decode().unwrap().upright();
            assert_eq!((picture.height, picture.width), size);
            let worst = difference(&picture.pixels, &written(&format!("pictures/{name}.rgb")));
            assert!(worst <= 2, "{name}: {worst}");
        }
    }

    #[test]
    fn scaled_pictures_are_pillows() {
        for side in [5, 8, 17, 24, 32, 64] {
            let picture = Opened::new(&written("pictures/rgb.png")).unwrap().decode().unwrap().square(side);
            assert_eq!(difference(&picture.pixels, &written(&format!("pictures/scaled{side}.rgb"))), 0, "{side}");
        }
    }

    #[test]
    fn views_are_torchvisions() {
        let picture = || Opened::new(&written("pictures/rgb.png")).unwrap().decode().unwrap();
        for fit in ["14of16", "16of21", "28of32", "5of6"] {
            let found = picture().fitted(fit.parse().unwrap());
            assert_eq!(difference(&found.pixels, &written(&format!("views/fit{fit}.rgb"))), 0, "{fit}");
        }
        let part = Part { top: 3, left: 5, height: 13, width: 17 };
        let found = picture().scaled(part, (12, 12), Part::all(12, 12));
        assert_eq!(difference(&found.pixels, &written("views/part.rgb")), 0);
    }

    #[test]
    fn profiles_and_texts_of_a_png_are_not_unpacked() {
        let file = png(&noisy(), ExtendedColorType::Rgb8);
        let (head, rest) = file.split_at(8 + 25);
        let chunk = |name: &[u8; 4], data: &[u8]| {
            let size = (data.len() as u32).to_be_bytes();
            [&size[..], name, data, &[0; 4]].concat()
        };
        // What is said to be packed is not, and the checksums are wrong: who looked at them would say so.
        for name in [b"iCCP", b"zTXt", b"iTXt"] {
            let noted = [head, &chunk(name, b"a note\0\0not packed"), rest].concat();
            assert!(without_packed_notes(&noted) == file);
            assert!(decoded(&noted).unwrap() == noisy());
            for end in 0..noted.len() - 16 {
                assert!(decoded(&noted[..end]).is_err(), "cut to {end} of {} bytes", noted.len());
            }
        }
        assert!(matches!(without_packed_notes(&file), Cow::Borrowed(_)));
    }

    #[test]
    fn every_form_that_is_cut_is_refused() {
        for name in [
            "rgb.png",
            "progressive.jpg",
            "cmyk.jpg",
            "lossless.webp",
            "lossy.webp",
            "first.gif",
            "first.tiff",
            "rgb.bmp",
        ] {
            let whole = written(&format!("pictures/{name}"));
            // Behind the middle, a file of several pictures may have the whole of the first one.
            for share in 0..=3 {
                let cut = &whole[..whole.len() * share / 8];
                assert!(decoded(cut).is_err(), "{name}, {share} eighths");
            }
        }
    }

    fn difference(found: &[u8], expected: &[u8]) -> u8 {
        assert_eq!(found.len(), expected.len());
        found.iter().zip(expected).map(|(a, b)| a.abs_diff(*b)).max().unwrap_or(0)
    }
}

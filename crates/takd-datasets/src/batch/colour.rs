//! Operations on the colours of an image, as Pillow's `ImageEnhance` and `ImageOps` do them, bit for bit.

/// What is blended with an image to make it less or more of what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Property {
    /// Against black.
    Brightness,
    /// Against its own mean grey.
    Contrast,
    /// Against the image in grey.
    Saturation,
    /// Against the image smoothed.
    Sharpness,
}

/// Changes a property of an image `[height, width, 3]` by a factor: 1 leaves it as it is, 0 takes all of it away.
pub(super) fn enhance(pixels: &mut [u8], width: usize, property: Property, factor: f32) {
    match property {
        Property::Brightness => blend(pixels, factor, |_| [0; 3]),
        Property::Contrast => {
            let all = pixels.as_chunks::<3>().0;
            let sum: u64 = all.iter().map(|pixel| u64::from(grey(pixel))).sum();
            let mean = (sum as f64 / all.len().max(1) as f64 + 0.5) as u8;
            blend(pixels, factor, |_| [mean; 3]);
        }
        Property::Saturation => blend(pixels, factor, |(_, pixel)| [grey(pixel); 3]),
        Property::Sharpness => {
            let smooth = smoothed(pixels, width);
            let smooth = smooth.as_chunks::<3>().0;
            blend(pixels, factor, |(place, _)| smooth[place]);
        }
    }
}

/// Luminance, as Pillow computes it (ITU-R 601-2).
fn grey([red, green, blue]: &[u8; 3]) -> u8 {
    let sum = u32::from(*red) * 19595 + u32::from(*green) * 38470 + u32::from(*blue) * 7471;
    ((sum + 0x8000) >> 16) as u8
}

/// Each pixel `factor` of the way from another to itself, and beyond.
fn blend(pixels: &mut [u8], factor: f32, other: impl Fn((usize, &[u8; 3])) -> [u8; 3]) {
    for (place, pixel) in pixels.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        let other = other((place, pixel));
        for (value, other) in pixel.iter_mut().zip(other) {
            // A conversion to an integer rounds towards 0 and stays within its range.
            *value = (f32::from(other) + factor * (f32::from(*value) - f32::from(other))) as u8;
        }
    }
}

/// The mean of each pixel and its neighbours, itself counted five times; those of the border stay.
fn smoothed(pixels: &[u8], width: usize) -> Vec<u8> {
    let mut smooth = pixels.to_vec();
    let line = width * 3;
    let height = pixels.len() / line;
    for y in 1..height.saturating_sub(1) {
        for x in 3..line.saturating_sub(3) {
            let at = y * line + x;
            let mut sum = 4 * u32::from(pixels[at]);
            for row in [at - line, at, at + line] {
                sum += u32::from(pixels[row - 3]) + u32::from(pixels[row]) + u32::from(pixels[row + 3]);
            }
            smooth[at] = ((2 * sum + 13) / 26) as u8;
        }
    }
    smooth
}

/// Only the `bits` highest bits of each value, 0 to 8.
pub(super) fn posterize(pixels: &mut [u8], bits: u32) {
    let mask = !(0xffu32 >> bits) as u8;
    pixels.iter_mut().for_each(|value| *value &= mask);
}

/// Values from `threshold` on are inverted.
pub(super) fn solarize(pixels: &mut [u8], threshold: f64) {
    pixels.iter_mut().filter(|value| f64::from(**value) >= threshold).for_each(|value| *value = 255 - *value);
}

/// The values of each channel stretched to 0 to 255.
pub(super) fn autocontrast(pixels: &mut [u8]) {
    look_up(pixels, |histogram| {
        let used = |count: &u32| *count > 0;
        let low = histogram.iter().position(used).unwrap_or(0);
        let high = histogram.iter().rposition(used).unwrap_or(0);
        (low < high).then(|| {
            let scale = 255.0 / (high - low) as f64;
            let offset = -(low as f64) * scale;
            std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
        })
    });
}

/// The values of each channel changed so that all are about equally frequent.
pub(super) fn equalize(pixels: &mut [u8]) {
    look_up(pixels, |histogram| {
        let used: Vec<u32> = histogram.iter().copied().filter(|&count| count > 0).collect();
        let (_, others) = used.split_last()?;
        let step = others.iter().sum::<u32>() / 255;
        (!others.is_empty() && step > 0).then(|| {
            let mut sum = step / 2;
            std::array::from_fn(|value| {
                let place = (sum / step).min(255) as u8;
                sum += histogram[value];
                place
            })
        })
    });
}

/// Each channel's values replaced by those of a table made from its histogram, if one is made.
fn look_up(pixels: &mut [u8], table: impl Fn(&[u32; 256]) -> Option<[u8; 256]>) {
    let pixels = pixels.as_chunks_mut::<3>().0;
    for channel in 0..3 {
        let mut histogram = [0; 256];
        pixels.iter().for_each(|pixel| histogram[usize::from(pixel[channel])] += 1);
        if let Some(table) = table(&histogram) {
            pixels.iter_mut().for_each(|pixel| pixel[channel] = table[usize::from(pixel[channel])]);
        }
    }
}

//! One image file on its own, as a network is given the images of a data set.

use crate::{Error, Fit, Result, picture::Opened, regular_file, stored::MAX_IMAGE_FILE};
use std::path::Path;

/// The pixels `[side, side, 3]` that [`Fit`] makes of an image file, upright: those that a data set scaled by `fit` has of it.
///
/// # Errors
/// If the file is missing, no regular file, too large, no image, or damaged. The error names it.
pub fn read_image(path: &Path, fit: Fit) -> Result<Vec<u8>> {
    decode_image(&regular_file::read_unchanged(path, MAX_IMAGE_FILE, None)?, path, fit)
}

/// [`read_image`] for bytes that were read already; `path` is for errors.
///
/// # Errors
/// If the bytes are no image or damaged.
pub fn decode_image(bytes: &[u8], path: &Path, fit: Fit) -> Result<Vec<u8>> {
    let picture = Opened::new(bytes).and_then(Opened::decode).map(|picture| picture.fitted(fit));
    let picture = picture.map_err(|problem| Error::Picture { path: path.into(), problem })?;
    Ok(picture.pixels)
}

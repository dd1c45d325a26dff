//! One stored image decoded, as it is or scaled.

use crate::{
    Error, Fit, Result,
    picture::{Opened, Picture},
    stored::Stored,
};

/// The largest size at which images are kept as they are, without being asked for.
const MAX_OWN_SIDE: usize = 64;

/// What size the images are to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Size {
    /// They must have so many rows and columns.
    Exactly(usize),
    /// The one size that all of them have, if it is square and small.
    Own,
    /// That size, once an image has given it.
    AsOthers(usize),
    /// They are scaled.
    Scaled(Fit),
}

/// How images were before they were decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Rows and columns.
    pub(crate) smallest: (usize, usize),
    pub(crate) largest: (usize, usize),
    /// How many were turned upright.
    pub(crate) turned: usize,
}

impl Seen {
    pub(crate) fn and(self, other: Self) -> Self {
        let area = |&(height, width): &(usize, usize)| height * width;
        Self {
            smallest: std::cmp::min_by_key(self.smallest, other.smallest, area),
            largest: std::cmp::max_by_key(self.largest, other.largest, area),
            turned: self.turned + other.turned,
        }
    }
}

/// Why an image was not decoded.
pub(crate) enum Problem {
    Error(Error),
    /// It has not the size that all are to have, if all are to be kept as they are.
    NotOneSize,
}

/// The pixels of an image that was decoded before, `[side, side, 3]`.
pub(crate) fn again(image: &Stored, fit: Fit) -> Result<Vec<u8>> {
    match decode_one(image, Size::Scaled(fit)) {
        Ok((picture, _)) => Ok(picture.pixels),
        Err(Problem::Error(error)) => Err(error),
        Err(Problem::NotOneSize) => unreachable!("images of any size can be scaled"),
    }
}

/// An image as it came, upright.
pub(crate) fn whole(image: &Stored) -> Result<Picture> {
    let problem = |problem| image.data.error(problem);
    match image.data.planes() {
        Some(picture) => Ok(picture),
        None => {
            let bytes = image.data.encoded()?.unwrap_or_default();
            Ok(Opened::new(&bytes).map_err(problem)?.decode().map_err(problem)?.upright())
        }
    }
}

/// One image, and how it was before.
pub(crate) fn decode_one(image: &Stored, size: Size) -> Result<(Picture, Seen), Problem> {
    let seen = |size, is_turned| Seen { smallest: size, largest: size, turned: usize::from(is_turned) };
    let problem = |problem| Problem::Error(image.data.error(problem));
    if let Some(picture) = image.data.planes() {
        let own = (picture.height, picture.width);
        return match size {
            Size::Scaled(fit) => Ok((picture.fitted(fit), seen(own, false))),
            size => fits(own, size)
                .map_err(|found| found.map_or(Problem::NotOneSize, problem))
                .map(|()| (picture, seen(own, false))),
        };
    }
    let bytes = image.data.encoded().map_err(Problem::Error)?.unwrap_or_default();
    let opened = Opened::new(&bytes).map_err(problem)?;
    let (own, seen) = (opened.size, seen(opened.size, opened.is_turned()));
    let picture = match size {
        Size::Scaled(fit) => opened.decode().map(|picture| picture.fitted(fit)),
        size => {
            fits(own, size).map_err(|found| found.map_or(Problem::NotOneSize, problem))?;
            opened.decode().map(Picture::upright)
        }
    };
    Ok((picture.map_err(problem)?, seen))
}

/// Whether an image can be kept as it is; what is wrong with it, or nothing if all of them are to be scaled.
fn fits((height, width): (usize, usize), size: Size) -> Result<(), Option<String>> {
    match size {
        Size::Exactly(side) if (height, width) != (side, side) => {
            Err(Some(format!("its image is {width}x{height}, not {side}x{side}")))
        }
        Size::Own if height != width || height > MAX_OWN_SIDE => Err(None),
        Size::AsOthers(side) if (height, width) != (side, side) => Err(None),
        _ => Ok(()),
    }
}

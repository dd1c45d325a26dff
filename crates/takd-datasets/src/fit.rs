//! How images of any size are made as large as the others.

use crate::text::serialised_as_text;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The largest side of an image that a network is given.
pub const MAX_SIDE: usize = 512;

/// The most rows and columns of an image of which the middle is taken.
const MAX_SHORTER: usize = 2 * MAX_SIDE;

/// What images of any size are made: squares of one size.
///
/// ```text
/// 64         the square in the middle of each, scaled to 64x64
/// 224of256   scaled until the shorter side has 256 pixels, and of that the 224x224 in the middle: what is usual for ImageNet
/// ```
///
/// Parses from, prints as and is serialised as that text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fit {
    side: usize,
    shorter: Option<usize>,
}

impl Fit {
    /// The square in the middle, scaled to so many rows and columns.
    ///
    /// # Errors
    /// If that is 0 or more than [`MAX_SIDE`].
    pub fn square(side: usize) -> Result<Self, BadFit> {
        let fit = Self { side, shorter: None };
        if (1..=MAX_SIDE).contains(&side) { Ok(fit) } else { Err(BadFit(fit.to_string())) }
    }

    /// Of images that have this size already, which is known to be no more than [`MAX_SIDE`].
    pub(crate) const fn own(side: usize) -> Self {
        Self { side, shorter: None }
    }

    /// Rows and columns of the images.
    pub fn side(self) -> usize {
        self.side
    }

    /// The shorter side of the image whose middle is taken, if it is.
    pub(crate) fn shorter(self) -> Option<usize> {
        self.shorter
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.shorter {
            None => f.pad(&self.side.to_string()),
            Some(shorter) => f.pad(&format!("{}of{shorter}", self.side)),
        }
    }
}

impl FromStr for Fit {
    type Err = BadFit;

    fn from_str(text: &str) -> Result<Self, BadFit> {
        let bad = || BadFit(text.to_owned());
        let number = |text: &str| text.parse().map_err(|_| bad());
        let (side, shorter) = text.split_once("of").map_or((text, None), |(side, shorter)| (side, Some(shorter)));
        let fit = Self { shorter: shorter.map(number).transpose()?, ..Self::square(number(side)?)? };
        // Of the same size the middle is another's square; and one size has one text.
        let is_larger = fit.shorter.is_none_or(|shorter| (fit.side + 1..=MAX_SHORTER).contains(&shorter));
        if is_larger && fit.to_string() == text { Ok(fit) } else { Err(bad()) }
    }
}

serialised_as_text!(Fit, BadFit);

/// What was given, and kept here, is no size of images.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no size of images: that is rows and columns, 1 to {MAX_SIDE}, as in `64`; or those in the middle of an image whose \
     shorter side has more, up to {MAX_SHORTER}, as in `224of256`"
)]
pub struct BadFit(pub String);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_printed_as_it_is_parsed() {
        for text in ["1", "64", "512", "224of256", "1of2", "512of1024"] {
            assert_eq!(text.parse::<Fit>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "", "0", "513", "-1", "064", "+64", "64x64", "64of", "of64", "64of64", "64of32", "64of1025", "64of070",
            "0of4",
        ] {
            assert!(text.parse::<Fit>().is_err(), "{text}");
        }
    }
}

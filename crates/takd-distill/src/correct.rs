//! `correct.json`: which test images the network of a finished run gets right, so that runs can be compared image by image.

use crate::evaluation::largest;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::path::Path;
use takd_store::{Claim, RunId, seal};

/// The file's name.
pub(crate) const CORRECT: &str = "correct.json";

/// The most bytes that the file may have: those of 100 million images.
const AT_MOST: u64 = 1 << 25;

#[derive(Serialize, Deserialize)]
struct Written {
    run: RunId,
    images: usize,
    /// Two hexadecimal digits for eight images, the first of them in the lowest bit.
    correct: String,
}

/// Of each row of `logits`, `[images, classes]`, whether its largest is its label's.
pub(crate) fn of(logits: &[f32], classes: usize, labels: &[u32]) -> Vec<bool> {
    let rows = logits.chunks_exact(classes).zip(labels);
    rows.map(|(row, &label)| largest(row.iter().map(|&logit| f64::from(logit))) == Some(label as usize)).collect()
}

pub(crate) fn save(claim: &Claim, correct: &[bool]) -> Result<()> {
    let mut digits = String::with_capacity(correct.len().div_ceil(8) * 2);
    for eight in correct.chunks(8) {
        let byte = eight.iter().rev().fold(0u8, |byte, &correct| byte << 1 | u8::from(correct));
        let _ = write!(digits, "{byte:02x}");
    }
    let written = Written { run: claim.id().clone(), images: correct.len(), correct: digits };
    Ok(claim.write(CORRECT, &seal::to_json(&written)?)?)
}

/// What the file of a run says, if there is one.
pub(crate) fn read(path: &Path, run: &RunId) -> Result<Option<Vec<bool>>> {
    let Some(bytes) = takd_store::read_file(path, AT_MOST)? else { return Ok(None) };
    let written: Written = seal::from_json(path, &bytes)?;
    if written.run != *run {
        return Err(Error::damaged(path, format!("it belongs to run {}", written.run)));
    }
    let (digits, _) = written.correct.as_bytes().as_chunks::<2>();
    let byte = |digits: &[u8; 2]| u8::from_str_radix(str::from_utf8(digits).ok()?, 16).ok();
    let bytes: Option<Vec<u8>> = digits.iter().map(byte).collect();
    let bytes = bytes.filter(|_| written.correct.len() == 2 * written.images.div_ceil(8));
    let bytes = bytes.ok_or_else(|| Error::damaged(path, "its digits are not those of its images"))?;
    Ok(Some((0..written.images).map(|image| bytes[image / 8] >> (image % 8) & 1 == 1).collect()))
}

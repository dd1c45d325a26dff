//! Files that can tell whether they are whole: each carries the BLAKE3 hash of itself.
//!
//! The hash stands in the file's text as `blake3:` and 64 hexadecimal digits, and is that of the file with zeros in their
//! place, so that no bit of the file is left out.

use crate::{Error, Result};
use candle_core::Tensor;
use safetensors::SafeTensors;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::fmt::Display;
use std::path::Path;

const MARK: &str = "blake3:";
const DIGITS: usize = 64;

/// The metadata entry of a safetensors file that holds the seal and the header.
const ENTRY: &str = "takd";

/// What is written where the hash will stand.
fn unsealed() -> String {
    format!("{MARK}{:0>DIGITS$}", "")
}

/// A value as a JSON file.
#[derive(Serialize, Deserialize)]
struct SealedJson<T> {
    checksum: String,
    #[serde(flatten)]
    value: T,
}

/// The bytes of a JSON file that holds `value`, an object.
pub(crate) fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes =
        serde_json::to_vec_pretty(&SealedJson { checksum: unsealed(), value }).map_err(Error::unwritable)?;
    bytes.push(b'\n');
    Ok(seal(bytes))
}

/// What a file of [`to_json`] holds.
pub(crate) fn from_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    check(path, bytes)?;
    serde_json::from_slice(bytes).map(|SealedJson { value, .. }| value).map_err(|error| Error::damaged(path, &error))
}

/// The bytes of a safetensors file with a header of our own in its metadata.
pub(crate) fn to_safetensors(
    tensors: impl IntoIterator<Item = (String, Tensor)>,
    header: &impl Serialize,
) -> Result<Vec<u8>> {
    let header = serde_json::to_string(header).map_err(Error::unwritable)?;
    // One entry only: the order of several is not fixed, and equal runs must end in equal bytes.
    let metadata = HashMap::from([(ENTRY.to_owned(), format!("{} {header}", unsealed()))]);
    Ok(seal(safetensors::serialize(tensors, Some(metadata)).map_err(Error::unwritable)?))
}

/// Header and tensors of a file of [`to_safetensors`].
pub(crate) fn from_safetensors<'a, H: DeserializeOwned>(path: &Path, bytes: &'a [u8]) -> Result<(H, SafeTensors<'a>)> {
    let damaged = |problem: &dyn Display| Error::damaged(path, problem);
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| damaged(&error))?;
    check(path, bytes)?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| damaged(&error))?;
    let entry = metadata.metadata().as_ref().and_then(|metadata| metadata.get(ENTRY)?.split_once(' '));
    let (_, header) = entry.ok_or_else(|| damaged(&"it has no header of takd's"))?;
    Ok((serde_json::from_str(header).map_err(|error| damaged(&error))?, tensors))
}

fn seal(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(digits) = digits(&bytes) {
        let hash = hash(&bytes, digits);
        bytes[digits..digits + DIGITS].copy_from_slice(hash.as_bytes());
    }
    bytes
}

/// Fails unless the file is the one that was sealed.
fn check(path: &Path, bytes: &[u8]) -> Result<()> {
    let Some(digits) = digits(bytes) else { return Err(Error::damaged(path, &"it has no checksum")) };
    match hash(bytes, digits).as_bytes() == &bytes[digits..digits + DIGITS] {
        true => Ok(()),
        false => Err(Error::damaged(path, &"its checksum does not fit its bytes")),
    }
}

/// Where the hash's digits begin.
fn digits(bytes: &[u8]) -> Option<usize> {
    let at = bytes.windows(MARK.len()).position(|window| window == MARK.as_bytes())? + MARK.len();
    (at + DIGITS <= bytes.len()).then_some(at)
}

fn hash(bytes: &[u8], digits: usize) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..digits]).update(&[b'0'; DIGITS]).update(&bytes[digits + DIGITS..]);
    hasher.finalize().to_hex().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Header {
        number: f64,
    }

    type Read = fn(&[u8]) -> Result<Header>;

    /// Every bit of both kinds of file, flipped; every length, cut to.
    #[test]
    fn no_bit_can_change_and_no_byte_be_missing_unnoticed() -> Result<()> {
        let path = Path::new("file");
        let header = Header { number: 0.1 };
        let tensors = [("a".to_owned(), Tensor::new(&[1f32, 2.], &Device::Cpu)?)];
        let files: [(_, Read); 2] = [
            (to_json(&header)?, |bytes| from_json(Path::new("file"), bytes)),
            (to_safetensors(tensors, &header)?, |bytes| {
                from_safetensors(Path::new("file"), bytes).map(|(header, _)| header)
            }),
        ];
        for (bytes, read) in files {
            assert_eq!(read(&bytes)?, header);
            for bit in 0..8 * bytes.len() {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let error = read(&bytes).unwrap_err();
                assert!(matches!(&error, Error::Damaged { path: named, .. } if named == path), "bit {bit}: {error}");
            }
            for length in 0..bytes.len() {
                assert!(matches!(read(&bytes[..length]), Err(Error::Damaged { .. })), "{length} bytes");
            }
        }
        Ok(())
    }
}

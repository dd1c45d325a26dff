//! Files that can tell whether they are whole: each carries the BLAKE3 hash of itself.
//!
//! The hash stands in the file's text as `blake3:` and 64 hexadecimal digits, and is that of the file with zeros in
//! their place, so that no bit of the file is left out. It tells damage and mix-ups, not forgery: whoever can write
//! the file can write its hash.

use crate::{Error, Result};
use safetensors::{SafeTensors, View};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::HashMap;
use std::path::Path;

const MARK: &str = "blake3:";
const DIGITS: usize = 64;

/// The metadata entry of a safetensors file that holds the seal and the header.
const ENTRY: &str = "takd";

/// What is written if the hash is not known yet.
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

/// The bytes of a JSON file that holds `value`, which must be an object.
///
/// # Errors
/// If it cannot be written as a JSON object.
pub fn to_json(value: &impl Serialize) -> Result<Vec<u8>> {
    let sealed = SealedJson { checksum: unsealed(), value };
    let mut bytes = serde_json::to_vec_pretty(&sealed).map_err(Error::unwritable)?;
    bytes.push(b'\n');
    Ok(seal(bytes))
}

/// What a file of [`to_json`] holds. `path` is for errors.
///
/// # Errors
/// [`Error::Damaged`] if the bytes are not as they were written, [`Error::Foreign`] if they are and say something else
/// than a `T`.
pub fn from_json<T: DeserializeOwned>(path: &Path, bytes: &[u8]) -> Result<T> {
    check(path, bytes)?;
    serde_json::from_slice(bytes).map(|SealedJson { value, .. }| value).map_err(|error| Error::foreign(path, error))
}

/// The bytes of a safetensors file of these named tensors, with a header of the caller's in its metadata.
///
/// # Errors
/// If the header cannot be written as JSON, or the tensors not as safetensors.
pub fn to_safetensors<V: View>(
    tensors: impl IntoIterator<Item = (String, V)>,
    header: &impl Serialize,
) -> Result<Vec<u8>> {
    let header = serde_json::to_string(header).map_err(Error::unwritable)?;
    // One entry only: the order of several is not fixed, and equal runs must end in equal bytes.
    let metadata = HashMap::from([(ENTRY.to_owned(), format!("{} {header}", unsealed()))]);
    Ok(seal(safetensors::serialize(tensors, Some(metadata)).map_err(Error::unwritable)?))
}

/// Header and tensors of a file of [`to_safetensors`]. `path` is for errors.
///
/// # Errors
/// [`Error::Damaged`] if the bytes are not as they were written, [`Error::Foreign`] if they are and the header is not
/// an `H`.
pub fn from_safetensors<'a, H: DeserializeOwned>(path: &Path, bytes: &'a [u8]) -> Result<(H, SafeTensors<'a>)> {
    check(path, bytes)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| Error::damaged(path, error))?;
    let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| Error::damaged(path, error))?;
    let entry = metadata.metadata().as_ref().and_then(|metadata| metadata.get(ENTRY)?.split_once(' '));
    let (_, header) = entry.ok_or_else(|| Error::damaged(path, "it has no sealed header"))?;
    Ok((serde_json::from_str(header).map_err(|error| Error::foreign(path, error))?, tensors))
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
    let Some(digits) = digits(bytes) else { return Err(Error::damaged(path, "it has no checksum")) };
    if hash(bytes, digits).as_bytes() == &bytes[digits..digits + DIGITS] {
        Ok(())
    } else {
        Err(Error::damaged(path, "its checksum does not fit its bytes"))
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
    use safetensors::Dtype;
    use safetensors::tensor::TensorView;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Header {
        number: f64,
    }

    const PATH: &str = "file";

    type Read = fn(&[u8]) -> Result<Header>;

    fn json() -> Vec<u8> {
        to_json(&Header { number: 0.1 }).unwrap()
    }

    fn safetensors() -> Vec<u8> {
        let values = [1f32, 2.0].map(f32::to_le_bytes).concat();
        let tensors = [("a".to_owned(), TensorView::new(Dtype::F32, vec![2], &values).unwrap())];
        to_safetensors(tensors, &Header { number: 0.1 }).unwrap()
    }

    fn read_json(bytes: &[u8]) -> Result<Header> {
        from_json(Path::new(PATH), bytes)
    }

    fn read_safetensors(bytes: &[u8]) -> Result<Header> {
        let (header, tensors) = from_safetensors(Path::new(PATH), bytes)?;
        assert_eq!(tensors.tensor("a").unwrap().shape(), [2]);
        Ok(header)
    }

    /// Every bit of both kinds of file, flipped; every length, cut to.
    #[test]
    fn no_bit_can_change_and_no_byte_be_missing_unnoticed() {
        let files: [(_, Read); 2] = [(json(), read_json), (safetensors(), read_safetensors)];
        for (bytes, read) in files {
            assert_eq!(read(&bytes).unwrap(), Header { number: 0.1 });
            for bit in 0..8 * bytes.len() {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                let error = read(&bytes).unwrap_err();
                assert!(matches!(&error, Error::Damaged { path, .. } if path == Path::new(PATH)), "bit {bit}: {error}");
            }
            for length in 0..bytes.len() {
                assert!(matches!(read(&bytes[..length]), Err(Error::Damaged { .. })), "{length} bytes");
            }
        }
    }

    #[test]
    fn intact_file_of_another_form_is_foreign_and_not_damaged() {
        #[derive(Debug, Deserialize)]
        struct Other {
            #[expect(dead_code, reason = "only its absence counts")]
            text: String,
        }
        let path = Path::new(PATH);
        assert!(matches!(from_json::<Other>(path, &json()), Err(Error::Foreign { .. })));
        assert!(matches!(from_safetensors::<Other>(path, &safetensors()), Err(Error::Foreign { .. })));
    }

    #[test]
    fn what_is_sealed_is_pinned() {
        let expected = r#"{
  "checksum": "blake3:9749754976215bf1f4bda03b571dc36e6ed5c575f4e2bf33936879ec25d361a5",
  "number": 0.1
}
"#;
        assert_eq!(String::from_utf8(json()).unwrap(), expected);
        assert_eq!(
            blake3::hash(&safetensors()).to_hex().as_str(),
            "d1d9c65acac90a63eca842b4b6eece3b339137e9ade6c730f17ce1413dd3ae76"
        );
    }

    #[test]
    fn value_that_is_no_object_cannot_be_written() {
        assert!(matches!(to_json(&1), Err(Error::Unwritable(_))));
    }
}

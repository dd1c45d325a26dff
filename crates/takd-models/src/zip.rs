//! Finds the entries of a zip archive that lies in memory, as `torch.save` writes it: uncompressed, with 64-bit sizes.
//!
//! By hand, because nothing is unpacked: an entry is a slice of the file, so that no size that a file declares is ever reserved.

use std::collections::HashMap;

/// The entries by name; `None` for one that is compressed or encrypted.
pub(crate) type Entries<'a> = HashMap<&'a str, Option<&'a [u8]>>;

/// What a 16-bit and a 32-bit field hold if the number stands in a 64-bit field elsewhere.
const ELSEWHERE_16: u64 = u16::MAX as u64;
const ELSEWHERE_32: u64 = u32::MAX as u64;

/// The entries of an archive (sections 4.3 and 4.5 of PKWARE's APPNOTE.TXT).
///
/// # Errors
/// In words, if it is cut short or damaged.
pub(crate) fn entries(file: &[u8]) -> Result<Entries<'_>, String> {
    read(file).unwrap_or_else(|| Err("its zip archive is cut short or damaged".to_owned()))
}

/// `None` if the archive's structure is broken.
fn read(file: &[u8]) -> Option<Result<Entries<'_>, String>> {
    let (count, start) = directory(file)?;
    let mut rest = file.get(start..)?;
    let mut entries = Entries::new();
    for _ in 0..count {
        let header = rest.strip_prefix(b"PK\x01\x02")?;
        let [flags, method] = [4, 6].map(|at| number::<2>(header, at));
        let [name, extra, comment] = [24, 26, 28].map(|at| size(number::<2>(header, at)?));
        let (name, extra, comment) = (name?, extra?, comment?);
        let end = 42 + name + extra + comment;
        let (bytes, extra) = (header.get(42..42 + name)?, header.get(42 + name..42 + name + extra)?);
        let Ok(name) = std::str::from_utf8(bytes) else {
            return Some(Err("its zip archive has a name not in UTF-8".into()));
        };
        if flags? & 1 != 0 || method? != 0 {
            entries.insert(name, None);
            rest = header.get(end..)?;
            continue;
        }
        let fields = [number::<4>(header, 20)?, number::<4>(header, 16)?, number::<4>(header, 38)?];
        let [length, stored, local] = wide(fields, extra)?;
        if stored != length {
            return None;
        }
        entries.insert(name, Some(data(file, size(local)?, size(length)?)?));
        rest = header.get(end..)?;
    }
    Some(Ok(entries))
}

/// The number of entries, and where the list of them starts.
fn directory(file: &[u8]) -> Option<(u64, usize)> {
    // The last record may end in a comment of up to 2¹⁶ - 1 bytes.
    const RECORD: usize = 22;
    let last = file.len().checked_sub(RECORD)?;
    let first = last.saturating_sub(usize::from(u16::MAX));
    let at = (first..=last).rev().find(|&at| file[at..].starts_with(b"PK\x05\x06"))?;
    let end = &file[at..];
    let (count, start) = (number::<2>(end, 10)?, number::<4>(end, 16)?);
    if count != ELSEWHERE_16 && start != ELSEWHERE_32 {
        return Some((count, size(start)?));
    }
    let locator = file.get(at.checked_sub(20)?..at)?;
    let wide = file.get(size(number::<8>(locator.strip_prefix(b"PK\x06\x07")?, 4)?)?..)?.strip_prefix(b"PK\x06\x06")?;
    Some((number::<8>(wide, 28)?, size(number::<8>(wide, 44)?)?))
}

/// Fields of 32 bits of an entry, each replaced by that of 64 bits in the extra field 1 if it says so.
fn wide<const N: usize>(mut fields: [u64; N], mut extra: &[u8]) -> Option<[u64; N]> {
    if !fields.contains(&ELSEWHERE_32) {
        return Some(fields);
    }
    loop {
        let (id, length) = (number::<2>(extra, 0)?, size(number::<2>(extra, 2)?)?);
        let content = extra.get(4..4 + length)?;
        if id == 1 {
            let wide = fields.iter_mut().filter(|field| **field == ELSEWHERE_32);
            for (index, field) in wide.enumerate() {
                *field = number::<8>(content, 8 * index)?;
            }
            return Some(fields);
        }
        extra = &extra[4 + length..];
    }
}

/// What an entry holds; its local header says again how long its name is.
fn data(file: &[u8], local: usize, length: usize) -> Option<&[u8]> {
    let header = file.get(local..)?.strip_prefix(b"PK\x03\x04")?;
    let start = 26 + size(number::<2>(header, 22)?)? + size(number::<2>(header, 24)?)?;
    header.get(start..)?.get(..length)
}

/// A little-endian number of `N` bytes.
fn number<const N: usize>(bytes: &[u8], at: usize) -> Option<u64> {
    let bytes = bytes.get(at..)?.get(..N)?;
    Some(bytes.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
}

fn size(number: u64) -> Option<usize> {
    usize::try_from(number).ok()
}

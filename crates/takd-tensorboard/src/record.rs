//! A record: an event between its length and two checksums.

static CRC32C: crc::Crc<u32> = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI);

/// The record that holds `data`.
pub(crate) fn to_record(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length, &masked_crc(&length)[..], data, &masked_crc(data)].concat()
}

/// The data of the record that `bytes` begin with, and what comes after it; `None` if that record is torn or damaged.
///
/// A record whose length says more than there are bytes is torn.
pub(crate) fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    if *length_crc != masked_crc(length) {
        return None;
    }
    let (data, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let (data_crc, rest) = rest.split_first_chunk::<4>()?;
    (*data_crc == masked_crc(data)).then_some((data, rest))
}

/// CRC-32C, masked because the CRC of bytes that contain CRCs is weak (`tensorflow/core/lib/hash/crc32c.h`).
fn masked_crc(bytes: &[u8]) -> [u8; 4] {
    CRC32C.checksum(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

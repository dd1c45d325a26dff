//! TensorBoard's event files: reading one, and going on with one.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::fs;
use takd_fuzz::{Edit, edited, scratch};
use takd_tensorboard::{EventWriter, Scalar, read};

#[derive(Debug, Arbitrary)]
struct Input {
    records: Vec<Record>,
    edits: Vec<Edit>,
    last_step: i16,
}

#[derive(Debug, Arbitrary)]
enum Record {
    Scalar {
        tag: String,
        value: f32,
        step: i16,
        wall_time_s: f64,
    },
    /// A record whose checksums are right, around any bytes.
    Framed(Vec<u8>),
}

fn framed(data: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(bytes);
        crc.rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
    };
    let length = (data.len() as u64).to_le_bytes();
    [&length, &crc(&length)[..], data, &crc(data)].concat()
}

/// Scalars as bits, for a NaN is equal to itself here. Protobuf leaves a time of zero out, so −0.0 comes back as 0.0.
fn bits(scalars: &[Scalar]) -> Vec<(&str, u32, i64, u64)> {
    scalars.iter().map(|s| (s.tag.as_str(), s.value.to_bits(), s.step, (s.wall_time_s + 0.0).to_bits())).collect()
}

fuzz_target!(|input: Input| {
    let path = scratch().join("events.out.tfevents.0");
    let _ = fs::remove_file(&path);
    drop(EventWriter::create(&path, 1.0).expect("a file can be made"));
    let mut bytes = fs::read(&path).expect("it was made");
    let mut written = Vec::new();
    for record in &input.records {
        match record {
            Record::Scalar { tag, value, step, wall_time_s } => {
                fs::write(&path, &bytes).expect("it can be written");
                let mut events = EventWriter::resume(&path, i64::MAX, 0.0).expect("it is whole");
                let step = i64::from(*step);
                if events.scalar(tag, *value, step, *wall_time_s).is_ok() {
                    written.push(Scalar { tag: tag.clone(), value: *value, step, wall_time_s: *wall_time_s });
                }
                drop(events);
                bytes = fs::read(&path).expect("it is there");
            }
            Record::Framed(data) => bytes.extend(framed(data)),
        }
    }
    let is_ours = input.edits.is_empty() && input.records.iter().all(|record| matches!(record, Record::Scalar { .. }));
    fs::write(&path, edited(bytes, &input.edits)).expect("it can be written");

    let Ok(before) = read(&path) else {
        assert!(!is_ours, "a file of our own is refused");
        return;
    };
    if is_ours {
        assert_eq!(bits(&before), bits(&written));
    }
    let last_step = i64::from(input.last_step);
    let mut events = EventWriter::resume(&path, last_step, 2.0).expect("what can be read can be gone on with");
    events.scalar("fuzz/new", 0.5, last_step, 3.0).expect("it fits");
    drop(events);
    let after = read(&path).expect("what was gone on with can be read");
    let (new, kept) = after.split_last().expect("there is a new one");
    assert_eq!((new.tag.as_str(), new.step), ("fuzz/new", last_step));
    let up_to = |scalars: &[Scalar]| scalars.iter().filter(|s| s.step <= last_step).cloned().collect::<Vec<_>>();
    assert_eq!(bits(&up_to(kept)), bits(&up_to(&before)));
    assert!(kept.len() <= before.len());
});

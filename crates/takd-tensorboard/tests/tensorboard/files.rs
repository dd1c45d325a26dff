//! What was written can be read, whatever happened to the file in between.

use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};
use takd_tensorboard::{Error, EventWriter, MAX_TAG_BYTES, Result, Scalar, read};

const TIME_S: f64 = 1.7e9;
const VERSION_RECORD_BYTES: usize = 40;

fn scalar(tag: &str, value: f32, step: i64) -> Scalar {
    Scalar { tag: tag.into(), value, step, wall_time_s: TIME_S + step as f64 }
}

fn write(events: &mut EventWriter, scalars: &[Scalar]) -> Result<()> {
    scalars.iter().try_for_each(|s| events.scalar(&s.tag, s.value, s.step, s.wall_time_s))?;
    events.flush()
}

/// A folder and the path of a file in it that does not exist yet.
fn new_path() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.out.tfevents.0");
    (folder, path)
}

/// The bytes of a file of these scalars, and where each one's record ends.
fn file_of(scalars: &[Scalar]) -> (Vec<u8>, Vec<usize>) {
    let (_folder, path) = new_path();
    let mut events = EventWriter::create(&path, TIME_S).unwrap();
    let end = |scalar: &Scalar| {
        write(&mut events, std::slice::from_ref(scalar)).unwrap();
        fs::metadata(&path).unwrap().len() as usize
    };
    let ends = scalars.iter().map(end).collect();
    (fs::read(&path).unwrap(), ends)
}

/// NaN is not equal to itself, so bits are compared.
fn bits(scalars: &[Scalar]) -> Vec<(String, u32, i64, u64)> {
    scalars.iter().map(|s| (s.tag.clone(), s.value.to_bits(), s.step, s.wall_time_s.to_bits())).collect()
}

fn any_scalar() -> impl Strategy<Value = Scalar> {
    ("\\PC{1,30}", any::<u32>(), any::<i64>(), any::<u64>()).prop_map(|(tag, value, step, time)| Scalar {
        tag,
        value: f32::from_bits(value),
        step,
        wall_time_s: f64::from_bits(time),
    })
}

/// A record of the file format, with any data.
fn record(data: &[u8]) -> Vec<u8> {
    let crc = |bytes: &[u8]| {
        let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISCSI).checksum(bytes).rotate_right(15);
        crc.wrapping_add(0xa282_ead8).to_le_bytes()
    };
    let length = (data.len() as u64).to_le_bytes();
    [&length, &crc(&length)[..], data, &crc(data)].concat()
}

proptest! {
    #[test]
    fn all_that_is_written_is_read(
        first in prop::collection::vec(any_scalar(), 0..20),
        then in prop::collection::vec(any_scalar(), 0..20),
    ) {
        let (_folder, path) = new_path();
        write(&mut EventWriter::create(&path, TIME_S)?, &first)?;
        write(&mut EventWriter::resume(&path, i64::MAX, TIME_S)?, &then)?;
        prop_assert_eq!(bits(&read(&path)?), bits(&[first, then].concat()));
    }

    #[test]
    fn resume_keeps_just_the_steps_up_to_the_last(
        scalars in prop::collection::vec(any_scalar(), 0..20),
        last in any::<i64>(),
    ) {
        let (_folder, path) = new_path();
        write(&mut EventWriter::create(&path, TIME_S)?, &scalars)?;
        let mut events = EventWriter::resume(&path, last, TIME_S)?;
        let again = scalar("again", 1.0, last);
        write(&mut events, std::slice::from_ref(&again))?;
        let mut kept: Vec<Scalar> = scalars.into_iter().filter(|s| s.step <= last).collect();
        kept.push(again);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        prop_assert_eq!((bits(&read(&path)?), left), (bits(&kept), 1));
        // Byte for byte the file of an uninterrupted training.
        prop_assert_eq!(fs::read(&path).unwrap(), file_of(&kept).0);
    }

    #[test]
    fn hostile_bytes_are_an_error_or_end_the_file(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        framed in any::<bool>(),
        behind_a_version in any::<bool>(),
    ) {
        let (_folder, path) = new_path();
        let tail = if framed { record(&bytes) } else { bytes };
        let head = if behind_a_version { file_of(&[]).0 } else { Vec::new() };
        fs::write(&path, [head, tail].concat()).unwrap();
        let (before, known) = (fs::read(&path).unwrap(), read(&path));
        match EventWriter::resume(&path, i64::MAX, TIME_S) {
            Ok(_) => prop_assert_eq!(bits(&read(&path)?), bits(&known?)),
            Err(_) => prop_assert_eq!(fs::read(&path).unwrap(), before),
        }
    }
}

#[test]
fn file_torn_at_any_byte_continues_after_its_last_whole_record() {
    let scalars = [scalar("loss", 2.0, 1), scalar("loss", 1.5, 2), scalar("accuracy", 0.5, 200)];
    let (bytes, ends) = file_of(&scalars);
    assert_eq!(file_of(&[]).0.len(), VERSION_RECORD_BYTES);
    for length in 0..=bytes.len() {
        let (_folder, path) = new_path();
        fs::write(&path, &bytes[..length]).unwrap();
        let whole = ends.iter().filter(|&&end| end <= length).count();
        assert_eq!(read(&path).unwrap(), scalars[..whole], "of {length} bytes");
        write(&mut EventWriter::resume(&path, i64::MAX, TIME_S).unwrap(), &scalars[whole..]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), bytes, "after {length} bytes");
    }
}

#[test]
fn any_flipped_bit_ends_the_file_before_its_record() {
    let scalars = [scalar("loss", 2.0, 1), scalar("loss", 1.5, 2), scalar("accuracy", 0.5, 200)];
    let (bytes, ends) = file_of(&scalars);
    let (_folder, path) = new_path();
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &damaged).unwrap();
        if bit / 8 < VERSION_RECORD_BYTES {
            assert!(matches!(read(&path), Err(Error::NotEventFile { .. })), "bit {bit}");
            assert!(matches!(EventWriter::resume(&path, 0, TIME_S), Err(Error::NotEventFile { .. })), "bit {bit}");
            assert_eq!(fs::read(&path).unwrap(), damaged, "bit {bit}");
        } else {
            let whole = ends.iter().filter(|&&end| end <= bit / 8).count();
            assert_eq!(read(&path).unwrap(), scalars[..whole], "bit {bit}");
            drop(EventWriter::resume(&path, i64::MAX, TIME_S).unwrap());
            let length = if whole == 0 { VERSION_RECORD_BYTES } else { ends[whole - 1] };
            assert_eq!(fs::read(&path).unwrap(), bytes[..length], "bit {bit}");
        }
    }
}

#[test]
fn length_of_two_to_the_sixty_is_the_end_of_the_file() {
    let (whole, _) = file_of(&[scalar("loss", 2.0, 1)]);
    // The masked CRC of this length, so that it is the missing bytes that end the file; then a wrong one.
    let length = (1_u64 << 60).to_le_bytes();
    for crc in [&record(&length)[20..], &[0; 4]] {
        let (_folder, path) = new_path();
        fs::write(&path, [&whole, &length[..], crc, &[0; 100]].concat()).unwrap();
        assert_eq!(read(&path).unwrap(), [scalar("loss", 2.0, 1)]);
        drop(EventWriter::resume(&path, i64::MAX, TIME_S).unwrap());
        assert_eq!(fs::read(&path).unwrap(), whole);
    }
}

#[test]
fn missing_file_is_created_by_resume_but_an_existing_one_never_by_create() {
    let (_folder, path) = new_path();
    write(&mut EventWriter::resume(&path, -1, TIME_S).unwrap(), &[scalar("loss", 2.0, 1)]).unwrap();
    let error = EventWriter::create(&path, TIME_S).unwrap_err();
    assert!(matches!(error, Error::Io { action: "create", .. }), "{error}");
    assert_eq!(read(&path).unwrap(), [scalar("loss", 2.0, 1)]);
}

#[test]
fn names_that_tensorboard_ignores_are_refused() {
    for name in ["events.log", "", "/", "..", "events.out.tfevents.0/loss"] {
        let refused = [EventWriter::create(Path::new(name), TIME_S), EventWriter::resume(Path::new(name), 0, TIME_S)];
        assert!(refused.iter().all(|r| matches!(r, Err(Error::Name { .. }))), "{name}");
    }
}

#[test]
fn tags_that_are_empty_or_too_long_are_refused() {
    let (_folder, path) = new_path();
    let mut events = EventWriter::create(&path, TIME_S).unwrap();
    let longest = "x".repeat(MAX_TAG_BYTES);
    for tag in ["", &format!("{longest}x")] {
        assert!(matches!(events.scalar(tag, 1.0, 1, TIME_S), Err(Error::Tag { .. })));
    }
    write(&mut events, &[scalar(&longest, 1.0, 1)]).unwrap();
    assert_eq!(read(&path).unwrap(), [scalar(&longest, 1.0, 1)]);
}

#[test]
fn errors_name_the_file_and_what_was_tried() {
    let (folder, _) = new_path();
    let path = folder.path().join("missing/tfevents.0");
    let error = EventWriter::resume(&path, 0, TIME_S).unwrap_err().to_string();
    assert!(error.starts_with(&format!("cannot create {}: ", path.display())), "{error}");
    fs::write(folder.path().join("tfevents.1"), "the notes of a summer, longer than a version event").unwrap();
    let error = EventWriter::resume(&folder.path().join("tfevents.1"), 0, TIME_S).unwrap_err().to_string();
    assert!(
        error.ends_with("is not an event file and was not changed; move it away or choose another name"),
        "{error}"
    );
}

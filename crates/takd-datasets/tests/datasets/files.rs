//! Reading data sets from files: the layouts that are taken, and what is said of broken ones.

use crate::common::{Row, jpeg, load_from, pixels, png, rows, write, write_cifar10};
use proptest::prelude::*;
use std::{fs, path::Path};
use takd_datasets::{Error, Known, Sources, Stage, load};

/// The message that loading CIFAR-10 with these training rows ends in.
fn refusal(train: &[Row]) -> String {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10(dir.path(), train, &rows(2));
    load_from(dir.path(), Known::Cifar10).unwrap_err().to_string()
}

/// Ten good rows with one changed.
fn with_row(index: usize, row: Row) -> Vec<Row> {
    let mut rows = rows(10);
    rows[index] = row;
    rows
}

#[test]
fn images_and_labels_come_back_as_they_were_written() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10(dir.path(), &rows(11), &rows(3));
    let data = load_from(dir.path(), Known::Cifar10).unwrap();
    assert_eq!((data.train.len(), data.test.len()), (11, 3));
    for i in 0..11 {
        assert_eq!(*data.train.image(i).unwrap(), pixels(i));
        assert_eq!(data.train.labels()[i], i as u32 % 10);
    }
    assert!(data.card.origin.contains("plain_text"), "{}", data.card.origin);
}

#[test]
fn every_layout_that_people_have_is_taken() {
    for folder in ["cifar10/plain_text", "cifar10", "plain_text", "."] {
        for (train, test) in
            [("train-00000-of-00001.parquet", "test-00000-of-00001.parquet"), ("train.parquet", "test.parquet")]
        {
            let dir = tempfile::tempdir().unwrap();
            write(&dir.path().join(folder).join(train), "label", &rows(3), 4);
            write(&dir.path().join(folder).join(test), "label", &rows(2), 4);
            let data = load_from(dir.path(), Known::Cifar10).unwrap();
            assert_eq!((data.train.len(), data.test.len()), (3, 2), "{folder}");
        }
    }
}

#[test]
fn cifar100_is_read_by_its_fine_labels() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cifar100/cifar100");
    let row = |label| (Some(png(&pixels(0), 32, 32)), Some(label));
    write(&folder.join("train-00000-of-00001.parquet"), "fine_label", &[row(99), row(0)], 4);
    write(&folder.join("test-00000-of-00001.parquet"), "fine_label", &[row(57)], 4);
    let data = load_from(dir.path(), Known::Cifar100).unwrap();
    assert_eq!(data.train.labels(), [99, 0]);
    assert_eq!(data.test.labels(), [57]);
    assert_eq!(data.card.class_names[57], "pear");
}

#[test]
fn shards_are_read_in_order_and_a_missing_one_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let all = rows(9);
    let shard = |i: usize| dir.path().join(format!("train-{i:05}-of-00003.parquet"));
    for i in 0..3 {
        write(&shard(i), "label", &all[3 * i..][..3], 2);
    }
    write(&dir.path().join("test.parquet"), "label", &rows(1), 4);
    let data = load_from(dir.path(), Known::Cifar10).unwrap();
    assert_eq!(data.train.labels(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);

    fs::remove_file(shard(1)).unwrap();
    let message = load_from(dir.path(), Known::Cifar10).unwrap_err().to_string();
    assert!(message.contains("train-00001-of-00003.parquet is missing"), "{message}");
}

#[test]
fn png_and_jpeg_are_told_apart_by_their_own_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let smooth: Vec<u8> = (0..32 * 32 * 3).map(|i| (i / 96 * 4 + i % 3 * 40) as u8).collect();
    let both = [(Some(png(&smooth, 32, 32)), Some(1)), (Some(jpeg(&smooth)), Some(2))];
    write_cifar10(dir.path(), &both, &rows(1));
    let data = load_from(dir.path(), Known::Cifar10).unwrap();
    assert_eq!(*data.train.image(0).unwrap(), smooth);
    let worst = data.train.image(1).unwrap().iter().zip(&smooth).map(|(a, b)| a.abs_diff(*b)).max();
    assert!(worst < Some(12), "{worst:?}");
}

#[test]
fn a_broken_row_is_named_with_its_file_and_what_is_wrong() {
    let good = || Some(png(&pixels(0), 32, 32));
    let cut = || {
        let mut file = png(&pixels(0), 32, 32);
        file.truncate(file.len() / 2);
        Some(file)
    };
    for (row, problem) in [
        ((good(), Some(10)), "its label is 10, but there are classes 0 to 9"),
        ((good(), Some(-1)), "its label is -1, but there are classes 0 to 9"),
        ((good(), None), "label is null"),
        ((None, Some(3)), "img.bytes is null"),
        ((Some(b"GIF89a".to_vec()), Some(3)), "cannot be decoded"),
        ((Some(b"%PDF-1".to_vec()), Some(3)), "neither JPEG, PNG, WebP, GIF, TIFF nor BMP (6 bytes"),
        ((Some(Vec::new()), Some(3)), "neither JPEG, PNG, WebP, GIF, TIFF nor BMP (0 bytes"),
        ((cut(), Some(3)), "cannot be decoded"),
        ((Some(png(&pixels(0)[..31 * 32 * 3], 31, 32)), Some(3)), "its image is 31x32, not 32x32"),
    ] {
        // Row 6 lies in the second row group.
        let message = refusal(&with_row(6, row));
        assert!(message.contains("train-00000-of-00001.parquet, row 6 (from 0): "), "{message}");
        assert!(message.contains(problem), "{message}");
    }
}

#[test]
fn a_picture_that_claims_to_be_enormous_is_refused_before_it_is_unpacked() {
    let mut file = png(&pixels(0), 32, 32);
    // Width and height stand behind the signature and the length and name of the first chunk.
    file[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    file[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let message = refusal(&with_row(0, (Some(file), Some(0))));
    assert!(message.contains("row 0"), "{message}");
}

#[test]
fn a_file_with_other_columns_is_refused_with_the_list_of_its_columns() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("train.parquet"), "fine_label", &rows(2), 4);
    write(&dir.path().join("test.parquet"), "fine_label", &rows(2), 4);
    let message = load_from(dir.path(), Known::Cifar10).unwrap_err().to_string();
    assert!(message.contains("train.parquet has no column for their labels: `label` (INT64) would be"), "{message}");
    assert!(message.contains("`img.bytes` (BYTE_ARRAY)"), "{message}");
    assert!(message.contains("`fine_label` (INT64)"), "{message}");
}

#[test]
fn an_empty_split_is_refused() {
    let message = refusal(&[]);
    assert!(message.contains("the train split has no images that can be used"), "{message}");
}

/// The training file of a good data set.
fn good_file(dir: &Path) -> std::path::PathBuf {
    write_cifar10(dir, &rows(6), &rows(2));
    dir.join("cifar10/plain_text/train-00000-of-00001.parquet")
}

#[test]
fn a_truncated_file_names_itself_and_its_size_wherever_it_was_cut() {
    let dir = tempfile::tempdir().unwrap();
    let path = good_file(dir.path());
    let whole = fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(97).chain([3, 4, 11, 12, whole.len() - 1]) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = load_from(dir.path(), Known::Cifar10).unwrap_err();
        let message = error.to_string();
        assert!(matches!(error, Error::Truncated { .. }), "{message}");
        assert!(message.contains("train-00000-of-00001.parquet is truncated"), "{message}");
        assert!(message.contains(&format!("{length} bytes")), "{message}");
    }
}

#[test]
fn a_file_that_is_not_parquet_at_all_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = good_file(dir.path());
    fs::write(&path, b"<html>404 not found, says the proxy</html>").unwrap();
    let message = load_from(dir.path(), Known::Cifar10).unwrap_err().to_string();
    assert!(message.contains("begins with bytes"), "{message}");
}

#[test]
fn no_flipped_byte_makes_loading_panic_and_every_refusal_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    // Images of one colour, so that the file is short and most of it is structure.
    let flat: Vec<Row> = (0..2).map(|i| (Some(png(&[90; 32 * 32 * 3], 32, 32)), Some(i))).collect();
    write_cifar10(dir.path(), &flat, &flat);
    let path = dir.path().join("cifar10/plain_text/train-00000-of-00001.parquet");
    let whole = fs::read(&path).unwrap();
    let mut refused = 0;
    for at in 0..whole.len() {
        for flip in [0xff, 0x01, 0x80] {
            let mut broken = whole.clone();
            broken[at] ^= flip;
            fs::write(&path, &broken).unwrap();
            // Some bytes carry nothing that is read, so not every flip can be seen.
            if let Err(error) = load_from(dir.path(), Known::Cifar10) {
                refused += 1;
                let message = error.to_string();
                assert!(message.contains("train-00000-of-00001.parquet"), "byte {at}: {message}");
            }
        }
    }
    assert!(refused > whole.len(), "{refused} of {} flips refused", 3 * whole.len());
}

#[test]
fn progress_counts_every_image_to_the_end() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10(dir.path(), &rows(11), &rows(3));
    let sources = Sources { folder: Some(dir.path().into()), ..Sources::default() };
    let mut ends = Vec::new();
    load(&Known::Cifar10.into(), &sources, &mut |progress| {
        assert_eq!(progress.stage, Stage::Decode);
        if progress.done == progress.total {
            ends.push((progress.what.to_string(), progress.total));
        }
    })
    .unwrap();
    assert_eq!(ends, [("train".to_string(), 11), ("test".to_string(), 3)]);
}

#[test]
fn checksum_tells_apart_data_that_differ_in_one_label() {
    let checksum = |label| {
        let dir = tempfile::tempdir().unwrap();
        let train = with_row(4, (Some(png(&pixels(4), 32, 32)), Some(label)));
        write_cifar10(dir.path(), &train, &rows(2));
        load_from(dir.path(), Known::Cifar10).unwrap().card.checksum
    };
    assert_eq!(checksum(4), checksum(4));
    assert_ne!(checksum(4), checksum(5));
}

/// CIFAR-10 itself, in the hub's layout, if it is at hand.
#[test]
fn real_cifar10_has_sixty_thousand_images_in_equal_classes() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    if !dir.join("cifar10").is_dir() {
        println!("skipped: no real images at ../shared/data/cifar10 beside the workspace");
        return;
    }
    let data = load_from(&dir, Known::Cifar10).unwrap();
    for (images, each) in [(&data.train, 5000), (&data.test, 1000)] {
        assert_eq!(images.len(), each * 10);
        let mut counts = [0; 10];
        for &label in images.labels() {
            counts[label as usize] += 1;
        }
        assert_eq!(counts, [each; 10]);
    }
    assert_eq!(data.card.notes, [""; 0]);
    // The figures everybody uses for CIFAR-10; copies as JPEG move them a little.
    for (found, known) in data.card.normalization.mean.iter().zip([0.4914, 0.4822, 0.4465]) {
        assert!((found - known).abs() < 0.005, "mean {found} for {known}");
    }
    for (found, known) in data.card.normalization.std.iter().zip([0.2470, 0.2435, 0.2616]) {
        assert!((found - known).abs() < 0.005, "std {found} for {known}");
    }
}

/// The hub and its cache must not be asked if a folder is named, whatever they hold.
#[test]
fn a_named_folder_is_the_only_place_looked_into() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("cifar10")).unwrap();
    fs::write(dir.path().join("notes.txt"), "").unwrap();
    let error = load_from(dir.path(), Known::Cifar10).unwrap_err();
    let message = error.to_string();
    let Error::NotFound { name: _, folder: Some(folder), looked } = error else { panic!("{message}") };
    assert_eq!(folder, dir.path());
    let expected = [
        ("cifar10/plain_text/", "no such folder"),
        ("cifar10/", "no such files (the folder is empty)"),
        ("plain_text/", "no such folder"),
        ("", "no such files (the folder holds cifar10, notes.txt)"),
    ];
    let place = |below: &str| format!("{}/{below}{{train,test}}-*.parquet", dir.path().display());
    let looked: Vec<_> = looked.into_iter().map(|looked| (looked.place, looked.found)).collect();
    assert_eq!(looked, expected.map(|(below, found)| (place(below), found.to_string())));
    for (below, found) in expected {
        assert!(message.contains(&format!("{}: {found}", place(below))), "{message}");
    }
    assert!(message.contains("the only place looked into"), "{message}");
    assert!(!message.contains("hub,") && !message.contains("datasets--"), "{message}");
    assert!(!message.contains(" --"), "a library knows no flags: {message}");
}

#[test]
fn a_named_folder_that_is_not_there_is_an_error_that_names_it() {
    let error = load_from(Path::new("/no/such/folder"), Known::Cifar100).unwrap_err();
    assert!(
        matches!(&error, Error::NotFound { folder: Some(folder), .. } if folder == Path::new("/no/such/folder")),
        "{error}"
    );
    assert!(error.to_string().contains("/no/such/folder/cifar100/cifar100/"), "{error}");
}

#[test]
fn hubs_own_conversion_to_parquet_is_read_and_a_missing_part_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for split in ["train", "test"] {
        for part in ["0000.parquet", "0001.parquet", "0002.parquet"] {
            write(&dir.path().join("plain_text").join(split).join(part), "label", &rows(3), 4);
        }
    }
    assert_eq!(load_from(dir.path(), Known::Cifar10).unwrap().train.len(), 9);
    fs::remove_file(dir.path().join("plain_text/train/0001.parquet")).unwrap();
    let message = load_from(dir.path(), Known::Cifar10).unwrap_err().to_string();
    assert!(message.contains("0001.parquet is missing"), "{message}");
}

#[test]
fn a_shard_that_is_there_twice_is_refused_and_both_files_are_named() {
    for [first, second] in [
        ["train-00000-of-00001 (1).parquet", "train-00000-of-00001.parquet"],
        ["train-00000-of-00001.parquet", "train-00000-of-00002.parquet"],
    ] {
        let dir = tempfile::tempdir().unwrap();
        write_cifar10(dir.path(), &rows(4), &rows(2));
        let folder = dir.path().join("cifar10/plain_text");
        let new = if first.contains(' ') { first } else { second };
        write(&folder.join(new), "label", &rows(4), 4);
        let error = load_from(dir.path(), Known::Cifar10).unwrap_err();
        assert!(
            matches!(&error, Error::DoubledShard { first: a, second: b, .. } if [a, b] == [first, second]),
            "{error}"
        );
        let message = error.to_string();
        assert!(message.contains(&format!("`{first}` and `{second}`")), "{message}");
        assert!(message.contains(&folder.display().to_string()), "{message}");
    }
}

#[test]
fn a_missing_shard_is_seen_if_the_names_have_fingerprints_too() {
    let dir = tempfile::tempdir().unwrap();
    write(&dir.path().join("train-00000-of-00002-0123456789abcdef.parquet"), "label", &rows(4), 4);
    write(&dir.path().join("test-00000-of-00001-fedcba9876543210.parquet"), "label", &rows(2), 4);
    let message = load_from(dir.path(), Known::Cifar10).unwrap_err().to_string();
    assert!(
        message.contains("train-00001-of-00002*.parquet is missing, one of the 2 files of the train split"),
        "{message}"
    );
}

#[test]
fn fewer_images_than_the_data_set_has_are_loaded_and_noted() {
    let dir = tempfile::tempdir().unwrap();
    write_cifar10(dir.path(), &rows(40), &rows(20));
    let card = load_from(dir.path(), Known::Cifar10).unwrap().card;
    assert_eq!((card.train, card.test), (40, 20));
    assert_eq!(
        card.notes,
        [
            "the train split has 40 images, and that of cifar10 has 50000",
            "the test split has 20 images, and that of cifar10 has 10000",
        ]
    );
}

#[test]
fn a_cut_jpeg_is_refused_with_its_row() {
    let mut file = jpeg(&pixels(0));
    file.truncate(file.len() * 6 / 10);
    let message = refusal(&with_row(7, (Some(file), Some(0))));
    assert!(
        message.contains("train-00000-of-00001.parquet, row 7 (from 0): its image is a JPEG that is cut off"),
        "{message}"
    );
}

#[cfg(unix)]
#[test]
fn what_is_no_regular_file_is_refused_without_waiting_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = good_file(dir.path());
    let refusal = || load_from(dir.path(), Known::Cifar10).unwrap_err();
    let is = |error: Error, expected: &str| {
        assert!(matches!(&error, Error::NotAFile { kind, .. } if *kind == expected), "{error}");
        assert!(error.to_string().contains("train-00000-of-00001.parquet is "), "{error}");
    };
    let moved = dir.path().join("moved");
    fs::rename(&path, &moved).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    is(refusal(), "a named pipe");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    is(refusal(), "a device");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    is(refusal(), "a folder");

    // Links to files are followed, as the hub's cache needs.
    fs::remove_dir(&path).unwrap();
    std::os::unix::fs::symlink(&moved, &path).unwrap();
    assert_eq!(load_from(dir.path(), Known::Cifar10).unwrap().train.len(), 6);
}

#[test]
fn a_file_larger_than_any_such_file_is_refused_unread() {
    let dir = tempfile::tempdir().unwrap();
    let path = good_file(dir.path());
    // Its length, without its contents, takes no room on disk.
    fs::File::options().write(true).open(&path).unwrap().set_len((4 << 30) + 1).unwrap();
    let error = load_from(dir.path(), Known::Cifar10).unwrap_err();
    assert!(matches!(error, Error::TooLarge { limit: 0x1_0000_0000, .. }), "{error}");
}

#[test]
fn what_a_few_bytes_claim_is_not_believed() {
    for (claim, problem) in [
        ("dict-2g-values", "claims 2147483647 values in 103 bytes"),
        ("null-billion", "1000000000 rows, and a file of 215 bytes cannot hold so many images"),
        ("rle-billion", "1000000000 rows, and a file of 378 bytes cannot hold so many images"),
        ("rows-overflow", "9223372036854775807 rows"),
        ("schema-deep", "nested more than 16 deep"),
        ("usize-snappy-huge", "claims to unpack to 2147483647 bytes"),
        ("3rows-of-50000", "50000 rows"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = good_file(dir.path());
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/claims/{claim}.parquet"));
        fs::copy(file, &path).unwrap();
        let error = load_from(dir.path(), Known::Cifar10).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
        assert!(error.to_string().contains(problem), "{error}");
        assert!(error.to_string().contains("train-00000-of-00001.parquet"), "{error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_at_several_places_is_an_error_that_names_the_file_or_is_harmless(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let path = good_file(dir.path());
        let mut file = fs::read(&path).unwrap();
        for (at, byte) in damage {
            let at = at.index(file.len());
            file[at] = byte;
        }
        fs::write(&path, file).unwrap();
        match load_from(dir.path(), Known::Cifar10) {
            Err(error) => prop_assert!(error.to_string().contains("train-00000-of-00001.parquet"), "{}", error),
            // A PNG's own checks cover its pixels.
            Ok(data) => prop_assert!((0..data.train.len()).all(|i| (0..6).any(|j| *data.train.image(i).unwrap() == pixels(j)))),
        }
    }
}

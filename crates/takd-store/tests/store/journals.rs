//! The journal grows, is taken back, and is checked.

use crate::countdown::{Countdown, begin, store};
use serde::{Deserialize, Serialize};
use std::fs;
use takd_store::{Configuration, Error, Extent, Journal, Result};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Height {
    step: u64,
    height: f64,
}

fn heights(steps: std::ops::Range<u64>) -> Vec<Height> {
    steps.map(|step| Height { step, height: 0.1 * step as f64 }).collect()
}

#[test]
fn journal_taken_back_to_an_extent_forgets_what_came_later_and_goes_on() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    let mut journal = Journal::begin(&claim).unwrap();
    let none = journal.extent().unwrap();
    assert_eq!(none, Extent::default());
    heights(0..3).iter().for_each(|height| journal.add(height).unwrap());
    let extent = journal.extent().unwrap();
    heights(7..9).iter().for_each(|height| journal.add(height).unwrap());
    assert_eq!(store.records_at::<Height>(claim.id(), &extent).unwrap(), heights(0..3));
    assert!(store.check_journal(claim.id(), &extent).is_err());
    drop(journal);

    let (mut journal, records) = Journal::resume::<Height>(&claim, &extent).unwrap();
    assert_eq!(records, heights(0..3));
    assert_eq!(journal.extent().unwrap(), extent);
    store.check_journal(claim.id(), &extent).unwrap();
    heights(3..5).iter().for_each(|height| journal.add(height).unwrap());
    assert_eq!(store.records::<Height>(claim.id()).unwrap(), heights(0..5));
    let whole = fs::read(claim.path("metrics.jsonl")).unwrap();
    assert_eq!(journal.extent().unwrap(), Extent::of(&whole));
    drop(journal);

    let (_, records) = Journal::resume::<Height>(&claim, &none).unwrap();
    assert_eq!(records, []);
}

#[test]
fn journal_that_is_gone_cut_or_another_is_damaged_and_left_as_it_is() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    let mut journal = Journal::begin(&claim).unwrap();
    heights(0..3).iter().for_each(|height| journal.add(height).unwrap());
    let extent = journal.extent().unwrap();
    drop(journal);
    let path = claim.path("metrics.jsonl");
    let whole = fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[5] ^= 1;
    for bytes in [&whole[..whole.len() - 1], &[], &flipped] {
        fs::write(&path, bytes).unwrap();
        let damaged = |error: &Error| matches!(error, Error::Damaged { path: named, .. } if *named == path);
        assert!(damaged(&Journal::resume::<Height>(&claim, &extent).unwrap_err()));
        assert!(damaged(&store.records_at::<Height>(claim.id(), &extent).unwrap_err()));
        assert!(damaged(&store.check_journal(claim.id(), &extent).unwrap_err()));
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }
    fs::remove_file(&path).unwrap();
    for error in
        [Journal::resume::<Height>(&claim, &extent).unwrap_err(), store.check_journal(claim.id(), &extent).unwrap_err()]
    {
        assert!(error.to_string().ends_with("is damaged: it is gone"), "{error}");
    }
    store.check_journal(claim.id(), &Extent::default()).unwrap();
    let endless = Extent { bytes: u64::MAX, ..extent };
    assert!(matches!(store.check_journal(claim.id(), &endless), Err(Error::Damaged { .. })));
}

#[test]
fn line_that_is_being_written_is_not_read_yet() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    fs::write(claim.path("metrics.jsonl"), "3\n2\n{\"kind\":\"epo").unwrap();
    assert_eq!(store.records::<u64>(claim.id()).unwrap(), [3, 2]);
    fs::write(claim.path("metrics.jsonl"), "3\n{\"kind\":\"epo\n1\n").unwrap();
    assert!(matches!(store.records::<u64>(claim.id()), Err(Error::Damaged { .. })));
}

#[test]
fn intact_journal_of_another_version_is_foreign_and_not_damaged() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    let mut journal = Journal::begin(&claim).unwrap();
    journal.add(&"\u{1b}[2J").unwrap();
    let extent = journal.extent().unwrap();
    drop(journal);
    let error = Journal::resume::<Height>(&claim, &extent).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    assert!(matches!(store.records_at::<Height>(claim.id(), &extent), Err(Error::Foreign { .. })));
}

#[test]
fn nothing_is_written_into_a_folder_whose_claim_is_lost() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    let claim = begin(&store, &config);
    let mut journal = Journal::begin(&claim).unwrap();
    journal.add(&3).unwrap();
    let extent = journal.extent().unwrap();
    fs::remove_file(claim.path("claim")).unwrap();
    // Another process begins there.
    let other = store.claim(&config.id()).unwrap().unwrap();
    let lost = |result: Result<()>| matches!(result, Err(Error::ClaimLost { path }) if path == claim.path("claim"));
    assert!(lost(journal.add(&2)));
    assert!(lost(claim.write("photo-1", b"")));
    assert!(lost(claim.remove("config.toml")));
    assert!(lost(claim.clear_ending()));
    assert!(lost(Journal::begin(&claim).map(drop)));
    assert!(lost(Journal::resume::<u64>(&claim, &extent).map(drop)));
    assert_eq!(store.records::<u64>(&config.id()).unwrap(), [3]);
    other.check().unwrap();
    drop(other);
    // Nor is a folder that was deleted made again.
    fs::remove_dir_all(store.dir(&config.id())).unwrap();
    assert!(lost(journal.add(&2)));
    assert!(lost(claim.write("photo-1", b"")));
    assert!(!store.dir(&config.id()).exists());
}

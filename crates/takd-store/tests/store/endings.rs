//! How a run ended, and when that counts.

use crate::countdown::{Countdown, Landed, ROCKET, Store, begin, finish, named, outcome, store};
use std::fs;
use takd_store::{Configuration, Ending, EndingFile, Error, Expected, Extent, Journal, RunId, seal};

#[test]
fn each_kind_of_ending_is_kept_to_the_last_bit() {
    let config = Countdown::new(3);
    let id = config.id();
    let third = Landed { steps: u64::MAX, height: 1.0 / 3.0 };
    for ending in [Ending::Finished(third), Ending::Failed("diverged: \u{1b}\n\"".into()), Ending::Stopped] {
        let (_folder, store) = store();
        let claim = begin(&store, &config);
        assert_eq!(store.ending(&id).unwrap(), None);
        claim.end(&ending, &Extent::default(), &[]).unwrap();
        assert_eq!(store.ending(&id).unwrap().as_ref(), Some(&ending));
        let finished = matches!(ending, Ending::Finished(_));
        assert_eq!(store.outcome(&id).unwrap().is_some(), finished);
        claim.clear_ending().unwrap();
        assert_eq!(store.ending(&id).unwrap(), None);
    }
}

#[test]
fn outcome_that_could_not_be_read_again_is_refused_and_the_ending_before_stays() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    claim.end::<Landed>(&Ending::Stopped, &Extent::default(), &[]).unwrap();
    let not_a_number = Ending::Finished(Landed { steps: 3, height: f64::NAN });
    let refused = claim.end(&not_a_number, &Extent::default(), &[]);
    assert!(matches!(refused, Err(Error::Unwritable(_))), "{refused:?}");
    let too_long = Ending::<Landed>::Failed("x".repeat(2 << 20));
    let refused = claim.end(&too_long, &Extent::default(), &[]);
    assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
    assert_eq!(store.ending(claim.id()).unwrap(), Some(Ending::Stopped));
}

#[test]
fn run_does_not_end_without_the_files_that_its_ending_needs() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    let end = |name| claim.end::<Landed>(&Ending::Stopped, &Extent::default(), &[name]);
    assert!(matches!(end(ROCKET), Err(Error::Damaged { path, .. }) if path == claim.path(ROCKET)));
    assert!(matches!(end("../rocket"), Err(Error::FileName(_))));
    assert_eq!(store.ending(claim.id()).unwrap(), None);
}

#[test]
fn finished_run_without_its_files_is_noticed_without_reading_them() {
    let config = Countdown::new(3);
    let id = config.id();
    let cut =
        |path: &std::path::Path, bytes| fs::File::options().write(true).open(path).unwrap().set_len(bytes).unwrap();
    for name in [ROCKET, "metrics.jsonl"] {
        let (_folder, store) = store();
        finish(&store, &config);
        let path = store.dir(&id).join(name);
        let whole = fs::read(&path).unwrap();
        let noticed = || matches!(store.ending(&id), Err(Error::Damaged { path: named, .. }) if named == path);
        for bytes in [0, 5, whole.len() as u64 + 1] {
            cut(&path, bytes);
            assert!(noticed(), "{name} of {bytes} bytes");
            assert_eq!(named(&store, &config), [path.as_path()]);
        }
        fs::remove_file(&path).unwrap();
        assert!(noticed(), "{name} is gone");
        assert_eq!(named(&store, &config), [path.as_path()]);
        let listed = store.list().unwrap();
        assert!(listed[0].ending.is_err() && matches!(listed[0].config, Ok(Some(_))));
        fs::write(&path, whole).unwrap();
        assert_eq!(store.outcome(&id).unwrap(), Some(outcome(&config)));
        assert!(named(&store, &config).is_empty());
    }
}

#[test]
fn other_bytes_in_a_journal_are_noticed_by_the_deep_check() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let path = store.dir(&config.id()).join("metrics.jsonl");
    fs::write(&path, "3\n2\n9\n").unwrap();
    assert!(store.outcome(&config.id()).unwrap().is_some());
    assert_eq!(named(&store, &config), [path]);
}

#[test]
fn no_bit_of_an_ending_can_change_and_no_byte_be_missing_unnoticed() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let path = store.dir(&config.id()).join("ending.json");
    let whole = fs::read(&path).unwrap();
    let check = |bytes: &[u8], what: &str| {
        fs::write(&path, bytes).unwrap();
        let found = store.ending(&config.id());
        assert!(matches!(&found, Err(Error::Damaged { path: named, .. }) if *named == path), "{what}: {found:?}");
    };
    for bit in 0..8 * whole.len() {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        check(&bytes, &format!("bit {bit}"));
    }
    for length in 0..whole.len() {
        check(&whole[..length], &format!("{length} bytes"));
    }
    assert_eq!(named(&store, &config), [path.as_path()]);
}

#[test]
fn ending_of_another_run_is_not_taken_for_the_runs_own() {
    let (_folder, store) = store();
    let [config, other] = [3, 4].map(Countdown::new);
    finish(&store, &config);
    finish(&store, &other);
    let [path, from] = [&config, &other].map(|config| store.dir(&config.id()).join("ending.json"));
    fs::copy(from, &path).unwrap();
    let error = store.ending(&config.id()).unwrap_err();
    assert!(matches!(&error, Error::Damaged { path: named, .. } if *named == path), "{error}");
    assert!(error.to_string().contains(other.id().as_str()));
}

/// Puts an ending, sealed, where it belongs.
fn put(store: &Store, id: &RunId, file: &impl serde::Serialize) {
    fs::write(store.dir(id).join("ending.json"), seal::to_json(file).unwrap()).unwrap();
}

#[test]
fn ending_of_another_version_is_foreign_and_not_damaged() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    let claim = begin(&store, &config);
    let id = claim.id();
    let ending = Ending::Finished("landed on \u{1b}[2J".to_owned());
    put(&store, id, &EndingFile { run: id.clone(), ending, journal: Extent::default(), files: Vec::new() });
    let error = store.ending(id).unwrap_err();
    assert!(matches!(error, Error::Foreign { .. }), "{error:?}");
    assert!(!error.to_string().contains('\u{1b}'), "{error}");
    assert_eq!(named(&store, &config), [claim.path("ending.json")]);
}

#[test]
fn ending_that_needs_files_outside_the_runs_folder_is_damaged() {
    let (folder, store) = store();
    let config = Countdown::new(3);
    let claim = begin(&store, &config);
    let id = claim.id();
    fs::write(folder.path().join("victim"), "1").unwrap();
    for name in ["../victim", "..", "", "/etc/passwd", "a/b"] {
        let files = vec![Expected { name: name.into(), bytes: 1 }];
        put(
            &store,
            id,
            &EndingFile { run: id.clone(), ending: Ending::<Landed>::Stopped, journal: Extent::default(), files },
        );
        let error = store.ending(id).unwrap_err();
        assert!(matches!(&error, Error::Damaged { path, .. } if *path == claim.path("ending.json")), "{error}");
    }
}

#[test]
fn stopped_run_goes_on_and_finishes() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    let id = config.id();
    let claim = begin(&store, &config);
    let mut journal = Journal::begin(&claim).unwrap();
    journal.add(&3).unwrap();
    let extent = journal.extent().unwrap();
    claim.end::<Landed>(&Ending::Stopped, &extent, &[]).unwrap();
    drop(journal);
    drop(claim);
    assert_eq!(store.ending(&id).unwrap(), Some(Ending::Stopped));

    let claim = store.claim(&id).unwrap().unwrap();
    let EndingFile { journal: extent, .. } = store.ending_file(&id).unwrap().unwrap();
    let (mut journal, records) = Journal::resume::<u64>(&claim, &extent).unwrap();
    // While it is at work it has not ended.
    assert_eq!(store.ending(&id).unwrap(), None);
    assert_eq!(records, [3]);
    journal.add(&2).unwrap();
    journal.add(&1).unwrap();
    claim.end(&Ending::Finished(outcome(&config)), &journal.extent().unwrap(), &[]).unwrap();
    assert_eq!(store.outcome(&id).unwrap(), Some(outcome(&config)));
    assert_eq!(store.records::<u64>(&id).unwrap(), [3, 2, 1]);
    assert!(named(&store, &config).is_empty());
}

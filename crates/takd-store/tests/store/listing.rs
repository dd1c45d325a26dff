//! Listing opens the small files only.

use crate::countdown::{Countdown, ROCKET, Store, outcome, store};
use std::fs::{self, File};
use takd_store::{Configuration, Ending, EndingFile, Expected, Extent, seal};

const RUNS: u64 = 1_000;
const MEGABYTE: u64 = 1 << 20;

/// A finished run, without waiting for the disk.
fn put(store: &Store, config: &Countdown, files: Vec<Expected>) {
    let (id, dir) = (config.id(), store.dir(&config.id()));
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("config.toml"), config.canonical()).unwrap();
    let ending = Ending::Finished(outcome(config));
    let file = EndingFile { run: id, ending, journal: Extent::default(), files };
    fs::write(dir.join("ending.json"), seal::to_json(&file).unwrap()).unwrap();
    fs::write(dir.join("claim"), "process 1\n").unwrap();
}

/// A file of zeros that takes no room on the disk.
fn put_rocket(store: &Store, config: &Countdown, bytes: u64) {
    File::create(store.dir(&config.id()).join(ROCKET)).unwrap().set_len(bytes).unwrap();
}

/// How many bytes this thread has read, if the system counts them.
fn bytes_read() -> Option<u64> {
    let counts = fs::read_to_string("/proc/thread-self/io").ok()?;
    counts.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse().ok())
}

#[test]
fn a_thousand_runs_are_listed_from_their_small_files_alone() {
    let (_folder, store) = store();
    let configs: Vec<Countdown> = (0..RUNS).map(Countdown::new).collect();
    for config in &configs {
        let expected = Expected { name: ROCKET.into(), bytes: MEGABYTE };
        put(&store, config, vec![expected]);
        put_rocket(&store, config, MEGABYTE);
    }
    let before = bytes_read();
    let listed = store.list().unwrap();
    if let (Some(before), Some(after)) = (before, bytes_read()) {
        let each = (after - before) / RUNS;
        assert!(each < 2_000, "{each} bytes were read of each run");
    }
    assert_eq!(listed.len(), configs.len());
    for run in listed {
        let config = run.config.unwrap().unwrap();
        assert_eq!(run.id, config.id());
        assert_eq!(run.ending.unwrap(), Some(Ending::Finished(outcome(&config))));
        assert!(!run.claimed.unwrap());
    }
}

#[test]
fn what_the_users_files_hold_makes_no_difference_to_a_listing() {
    let (_folder, store) = store();
    let [absent, huge, cut] = [1, 2, 3].map(Countdown::new);
    for config in [&absent, &huge, &cut] {
        put(&store, config, Vec::new());
    }
    put_rocket(&store, &huge, 1 << 40);
    fs::write(store.dir(&cut.id()).join(ROCKET), "half of a rock").unwrap();
    for run in store.list().unwrap() {
        assert!(matches!(run.ending, Ok(Some(Ending::Finished(_)))));
    }
}

#[test]
fn one_bad_run_does_not_hide_the_others() {
    let (folder, store) = store();
    let configs: Vec<Countdown> = (0..6).map(Countdown::new).collect();
    for config in &configs {
        put(&store, config, Vec::new());
    }
    let dir = |place: usize| store.dir(&configs[place].id());
    fs::write(dir(0).join("config.toml"), "damaged").unwrap();
    fs::write(dir(1).join("ending.json"), "damaged").unwrap();
    fs::remove_file(dir(2).join("ending.json")).unwrap();
    fs::create_dir(dir(2).join("ending.json")).unwrap();
    fs::remove_file(dir(3).join("claim")).unwrap();
    fs::create_dir(dir(3).join("claim")).unwrap();
    // Begun, and nothing more.
    fs::create_dir(folder.path().join("0123456789abcdef")).unwrap();
    let working = store.claim(&configs[4].id()).unwrap();
    let listed = store.list().unwrap();
    assert_eq!(listed.len(), 7);
    let run = |place: usize| listed.iter().find(|run| run.id == configs[place].id()).unwrap();
    assert!(run(0).config.is_err() && run(0).ending.is_ok());
    assert!(run(1).ending.is_err() && matches!(&run(1).config, Ok(Some(config)) if *config == configs[1]));
    assert!(run(2).ending.is_err());
    assert!(run(3).claimed.is_err() && run(3).ending.is_ok());
    assert!(matches!(run(4).claimed, Ok(true)));
    assert!(matches!((&run(5).ending, &run(5).claimed), (Ok(Some(_)), Ok(false))));
    let begun = listed.iter().find(|run| run.id.as_str() == "0123456789abcdef").unwrap();
    assert!(matches!((&begun.config, &begun.ending, &begun.claimed), (Ok(None), Ok(None), Ok(false))));
    drop(working);
}

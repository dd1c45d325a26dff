//! Only what is a run's own is deleted.

use crate::countdown::{Countdown, begin, finish, names, open, store};
use std::fs;
use takd_store::{Configuration, Error, Removed, Start};

#[test]
fn removed_run_leaves_nothing() {
    let (folder, store) = store();
    let [kept, config] = [3, 4].map(Countdown::new);
    finish(&store, &kept);
    finish(&store, &config);
    let dir = store.dir(&config.id());
    fs::write(dir.join("photo-1"), "").unwrap();
    fs::write(dir.join(".writing-x"), "what a kill left").unwrap();
    store.claim(&config.id()).unwrap().unwrap().add_start(&Start::now(Vec::new(), String::new())).unwrap();
    assert_eq!(store.remove(&config.id()).unwrap(), Removed::default());
    assert_eq!(names(folder.path()), [kept.id().as_str()]);
    assert!(store.verify(&kept.id()).unwrap().is_empty());
}

#[test]
fn files_and_folders_of_the_users_survive_and_are_named() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let dir = store.dir(&config.id());
    fs::create_dir(dir.join("plots")).unwrap();
    fs::write(dir.join("plots/ending.json"), "mine").unwrap();
    fs::write(dir.join("notes.txt"), "mine").unwrap();
    // Called like a file of the run's, and yet a folder.
    fs::create_dir(dir.join("photo-1")).unwrap();
    let Removed { left } = store.remove(&config.id()).unwrap();
    assert_eq!(left, ["notes.txt", "photo-1", "plots"].map(|name| dir.join(name)));
    assert_eq!(names(&dir), ["notes.txt", "photo-1", "plots"]);
    assert_eq!(fs::read_to_string(dir.join("plots/ending.json")).unwrap(), "mine");
    assert_eq!(store.config(&config.id()).unwrap(), None);
    assert!(store.verify(&config.id()).unwrap().is_empty());
}

#[test]
fn run_at_work_is_not_removed() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let claim = store.claim(&config.id()).unwrap().unwrap();
    let before = names(&store.dir(&config.id()));
    assert!(matches!(store.remove(&config.id()), Err(Error::Claimed(id)) if id == config.id()));
    assert_eq!(names(&store.dir(&config.id())), before);
    drop(claim);
    store.remove(&config.id()).unwrap();
}

#[test]
fn removing_what_was_never_begun_makes_nothing() {
    let (folder, store) = store();
    assert_eq!(store.remove(&Countdown::new(3).id()).unwrap(), Removed::default());
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn run_that_was_removed_can_be_begun_again() {
    let (folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let before = names(&store.dir(&config.id()));
    store.remove(&config.id()).unwrap();
    finish(&open(folder.path()), &config);
    assert_eq!(names(&store.dir(&config.id())), before);
    begin(&store, &config).check().unwrap();
}

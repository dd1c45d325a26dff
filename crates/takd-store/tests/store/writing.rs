//! Files are written whole or not at all, and read within a limit.

use crate::countdown::{Countdown, begin, names, store};
use std::io;
use std::path::Path;
use std::{fs, thread};
use takd_store::{Error, FileKind, make_folder, read_file, write_file, write_new_file};

#[test]
fn file_is_read_as_it_was_written_and_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    assert_eq!(read_file(&path, 10).unwrap(), None);
    for bytes in ["first", "the second", ""] {
        write_file(&path, bytes.as_bytes()).unwrap();
        assert_eq!(read_file(&path, 10).unwrap().unwrap(), bytes.as_bytes());
    }
    assert_eq!(names(folder.path()), ["table.csv"]);
    fs::write(&path, "eleven bytes").unwrap();
    assert!(matches!(read_file(&path, 11), Err(Error::TooLarge { limit: 11, .. })));
    assert!(matches!(read_file(&path, 12), Ok(Some(_))));
    assert!(matches!(read_file(&path, u64::MAX), Ok(Some(_))));
}

#[test]
fn write_that_fails_leaves_the_file_before_and_nothing_beside_it() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    claim.write("photo-1", b"old").unwrap();
    let before = names(claim.dir());
    let error = claim.write_before("photo-1", b"new", || Err(io::Error::other("the disk is full"))).unwrap_err();
    assert!(matches!(&error, Error::Io { action: "write", path, .. } if *path == claim.path("photo-1")), "{error}");
    assert_eq!(claim.read("photo-1", 10).unwrap().unwrap(), b"old");
    assert_eq!(names(claim.dir()), before);
    // The new one is whole and not in its place yet.
    let look = || {
        assert_eq!(claim.read("photo-1", 10).unwrap().unwrap(), b"old");
        fs::rename(claim.path("photo-1"), claim.path("photo-2"))
    };
    claim.write_before("photo-1", b"new", look).unwrap();
    assert_eq!(claim.read("photo-1", 10).unwrap().unwrap(), b"new");
    assert_eq!(claim.read("photo-2", 10).unwrap().unwrap(), b"old");
}

#[test]
fn many_writers_of_one_file_leave_it_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("card.json");
    thread::scope(|scope| {
        for writer in 0..4u8 {
            let path = &path;
            scope.spawn(move || (0..20).for_each(|_| write_file(path, &vec![writer; 100_000]).unwrap()));
        }
    });
    let bytes = fs::read(&path).unwrap();
    assert_eq!(bytes, vec![bytes[0]; 100_000]);
    assert_eq!(names(folder.path()), ["card.json"]);
}

#[cfg(unix)]
#[test]
fn of_many_that_write_a_new_file_at_once_one_does() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    let written = thread::scope(|scope| {
        let write = |writer: u8| {
            let path = &path;
            scope.spawn(move || write_new_file(path, &vec![writer; 10_000]).unwrap().then_some(writer))
        };
        let writers: Vec<_> = (0..8).map(write).collect();
        writers.into_iter().filter_map(|writer| writer.join().unwrap()).collect::<Vec<u8>>()
    });
    let &[first] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!(read_file(&path, 1 << 20).unwrap(), Some(vec![first; 10_000]));
    assert!(!write_new_file(&path, b"late").unwrap());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn file_may_be_read_by_whoever_may_read_the_users_other_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let [ours, other] = ["ours", "other"].map(|name| folder.path().join(name));
    write_file(&ours, b"").unwrap();
    fs::write(&other, "").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode(&ours), mode(&other));
}

#[test]
fn folder_in_the_place_of_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("table.csv");
    fs::create_dir(&path).unwrap();
    let refused = |error: Error| matches!(error, Error::WrongKind { found: FileKind::Folder, .. });
    assert!(refused(write_file(&path, b"").unwrap_err()));
    assert!(refused(read_file(&path, 10).unwrap_err()));
    assert!(matches!(write_file(&folder.path().join("no/such/folder"), b""), Err(Error::Io { action: "write", .. })));
}

#[test]
fn folders_are_made_with_those_above_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a/b/c");
    make_folder(&path).unwrap();
    make_folder(&path).unwrap();
    make_folder(Path::new("")).unwrap();
    assert!(path.is_dir());
    fs::write(folder.path().join("file"), "").unwrap();
    for path in ["file", "file/below"] {
        let error = make_folder(&folder.path().join(path)).unwrap_err();
        assert!(matches!(&error, Error::Io { action: "make the folder", .. }), "{error}");
    }
}

#[test]
fn name_that_leaves_the_folder_or_is_the_claims_is_refused() {
    let (folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    fs::write(folder.path().join("victim"), "precious").unwrap();
    let long = "x".repeat(256);
    for name in ["../victim", "", ".", "..", "a/b", "/tmp/a", "a\\b", "a\0b", "claim", &long] {
        let refused = |error: Error| matches!(error, Error::FileName(refused) if refused == name);
        assert!(refused(claim.write(name, b"").unwrap_err()), "{name}");
        assert!(refused(claim.read(name, 10).unwrap_err()), "{name}");
        assert!(refused(claim.remove(name).unwrap_err()), "{name}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("victim")).unwrap(), "precious");
    claim.check().unwrap();
}

#[test]
fn what_a_kill_left_half_written_is_deleted_by_the_next_claim() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    let id = claim.id().clone();
    fs::write(claim.path(".writing-Ab3x"), "half of a checkpoi").unwrap();
    drop(claim);
    // What a dead process left binds nobody.
    fs::write(store.dir(&id).join("claim"), "process 1\n").unwrap();
    assert!(!store.is_claimed(&id).unwrap());
    let claim = store.claim(&id).unwrap().unwrap();
    assert!(store.is_claimed(&id).unwrap());
    assert_eq!(names(claim.dir()), ["claim", "config.toml"]);
    // For people who look.
    assert_eq!(fs::read_to_string(claim.path("claim")).unwrap(), format!("process {}\n", std::process::id()));
    assert!(store.claim(&id).unwrap().is_none());
}

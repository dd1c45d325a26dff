//! Which runs there are, what they are, and what they need.

use crate::countdown::{Countdown, ROCKET, Store, begin, finish, names, open, store};
use std::fs;
use takd_store::{Configuration, Error, RunId};

#[test]
fn runs_are_the_folders_named_by_an_id_and_nothing_else() {
    let configs = [1, 2, 3].map(Countdown::new);
    let (folder, store) = store();
    assert_eq!(store.ids().unwrap(), []);
    for config in &configs {
        begin(&store, config);
    }
    for garbage in ["lost+found", ".cache", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcde"] {
        fs::create_dir(folder.path().join(garbage)).unwrap();
    }
    fs::write(folder.path().join("README.md"), "").unwrap();
    // A file is no folder, whatever its name.
    fs::write(folder.path().join("0123456789abcdef"), "").unwrap();
    let mut expected = configs.map(|config| config.id());
    expected.sort();
    assert_eq!(store.ids().unwrap(), expected);
}

#[test]
fn run_is_found_by_the_beginning_of_its_id_if_that_is_enough() {
    let (folder, store) = store();
    // An unset variable names no run, not even the only one.
    fs::create_dir(folder.path().join("00aa000000000000")).unwrap();
    assert!(matches!(store.find(""), Err(Error::Prefix { found: 1, .. })));
    fs::remove_dir(folder.path().join("00aa000000000000")).unwrap();
    for id in ["00aa000000000000", "00ab000000000000", "1000000000000000"] {
        fs::create_dir(folder.path().join(id)).unwrap();
    }
    let found = |prefix: &str| store.find(prefix).map(|id| id.to_string());
    assert_eq!(found("1").unwrap(), "1000000000000000");
    assert_eq!(found("00ab").unwrap(), "00ab000000000000");
    assert_eq!(found("00aa000000000000").unwrap(), "00aa000000000000");
    for (prefix, count) in [("00a", 2), ("", 3), ("f", 0), ("00aa0000000000000", 0), ("..", 0)] {
        let error = store.find(prefix).unwrap_err();
        assert!(matches!(error, Error::Prefix { found, .. } if found == count), "{prefix}: {error}");
    }
}

#[test]
fn configuration_is_kept_in_the_bytes_that_are_hashed() {
    let (_folder, store) = store();
    let config = Countdown::after(3, &[&Countdown::new(1)]);
    let id = config.id();
    assert_eq!(store.config(&id).unwrap(), None);
    begin(&store, &config);
    assert_eq!(fs::read_to_string(store.dir(&id).join("config.toml")).unwrap(), config.canonical());
    assert_eq!(store.config(&id).unwrap(), Some(config));
}

#[test]
fn configuration_of_another_run_is_not_written() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    assert!(matches!(claim.write_config(&Countdown::new(4)), Err(Error::Unwritable(_))));
    assert_eq!(store.config(claim.id()).unwrap(), Some(Countdown::new(3)));
}

#[test]
fn no_bit_of_a_configuration_can_change_unnoticed() {
    let (_folder, store) = store();
    let config = Countdown::after(3, &[&Countdown::new(1)]);
    let id = config.id();
    begin(&store, &config);
    let path = store.dir(&id).join("config.toml");
    let bytes = fs::read(&path).unwrap();
    for bit in 0..8 * bytes.len() {
        let mut bytes = bytes.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let found = store.config(&id);
        assert!(matches!(&found, Err(Error::Damaged { path: named, .. }) if *named == path), "bit {bit}: {found:?}");
    }
}

/// Puts `text` where the configuration that it is belongs.
fn put(store: &Store, text: &str) -> RunId {
    let id = RunId::of(text);
    fs::create_dir(store.dir(&id)).unwrap();
    fs::write(store.dir(&id).join("config.toml"), text).unwrap();
    id
}

#[test]
fn configuration_of_another_version_is_foreign_and_not_damaged() {
    let (_folder, store) = store();
    let texts = [
        ("schema = 2\nfrom = 3\n", "it has schema 2; this is schema 1"),
        ("schema = 1\nfrom = 3\nspeed = 1.0\n", "unknown field `speed`"),
        ("schema = 1\nfrom = \"\\u001B[2J\"\n", "invalid type"),
        ("schema = \"\u{1b}[2J\"\n", ""),
        // Read, but this version writes the same run otherwise, and would call it otherwise.
        ("from = 3\nschema = 1\n", &Countdown::new(3).id().to_string()),
    ];
    for (text, reason) in texts {
        let id = put(&store, text);
        let error = store.config(&id).unwrap_err();
        let message = error.to_string();
        assert!(matches!(&error, Error::Foreign { .. }), "{error:?}");
        assert!(message.contains("another version") && message.contains("left alone"), "{message}");
        assert!(message.contains(reason) && !message.contains('\u{1b}'), "{message}");
        // Nor is it in the way of others.
        assert_eq!(store.dependents(&id).unwrap(), []);
    }
    assert_eq!(store.list().unwrap().len(), texts.len());
}

#[test]
fn run_knows_who_needs_it_and_what_it_lacks() {
    let (_folder, store) = store();
    let [first, second] = [1, 2].map(Countdown::new);
    let (of_first, of_both) = (Countdown::after(3, &[&first]), Countdown::after(3, &[&first, &second]));
    finish(&store, &first);
    drop(begin(&store, &second));
    finish(&store, &of_first);
    drop(begin(&store, &of_both));
    let ids = |configs: &[&Countdown]| {
        let mut ids: Vec<RunId> = configs.iter().map(|config| config.id()).collect();
        ids.sort();
        ids
    };
    assert_eq!(store.dependents(&first.id()).unwrap(), ids(&[&of_first, &of_both]));
    assert_eq!(store.dependents(&second.id()).unwrap(), ids(&[&of_both]));
    assert_eq!(store.dependents(&of_first.id()).unwrap(), []);
    assert_eq!(store.missing_needs(&of_first), []);
    assert_eq!(store.missing_needs(&of_both), [second.id()]);
    fs::remove_file(store.dir(&first.id()).join(ROCKET)).unwrap();
    assert_eq!(store.missing_needs(&of_both), [first.id(), second.id()]);
    // Whose configuration is damaged, needs nothing that can be told, and is not in the way of the others.
    fs::write(store.dir(&of_both.id()).join("config.toml"), "").unwrap();
    assert_eq!(store.dependents(&first.id()).unwrap(), ids(&[&of_first]));
}

#[test]
fn size_is_that_of_the_files_in_the_folder() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    let id = config.id();
    assert_eq!(store.size(&id).unwrap(), 0);
    finish(&store, &config);
    let before = store.size(&id).unwrap();
    assert!(before > 1000);
    fs::write(store.dir(&id).join("notes.txt"), "12345").unwrap();
    fs::create_dir(store.dir(&id).join("plots")).unwrap();
    assert_eq!(store.size(&id).unwrap(), before + 5);
}

#[test]
fn nothing_but_the_root_is_made_by_looking() {
    let (folder, _) = store();
    let root = folder.path().join("results/runs");
    let store = open(&root);
    let id = RunId::of("");
    assert_eq!(store.ending(&id).unwrap(), None);
    assert_eq!(store.starts(&id).unwrap(), []);
    assert_eq!(store.records::<u64>(&id).unwrap(), [0; 0]);
    assert!(!store.is_claimed(&id).unwrap());
    assert!(store.remove(&id).unwrap().left.is_empty());
    let findings = store.verify(&id).unwrap().into_vec();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].file, root.join("af1349b9f5f9a1a6/config.toml"));
    assert_eq!(names(&root), [""; 0]);
}

#[test]
fn folder_in_which_nothing_was_begun_is_no_finding() {
    let (_folder, store) = store();
    let id = Countdown::new(3).id();
    drop(store.claim(&id).unwrap());
    fs::write(store.dir(&id).join(".writing-x"), "half").unwrap();
    fs::write(store.dir(&id).join("notes.txt"), "a user's own").unwrap();
    assert!(store.verify(&id).unwrap().is_empty());
    // With a file of the run's it is one whose configuration is gone.
    fs::write(store.dir(&id).join("photo-1"), "").unwrap();
    assert_eq!(store.verify(&id).unwrap().into_vec()[0].file, store.dir(&id).join("config.toml"));
}

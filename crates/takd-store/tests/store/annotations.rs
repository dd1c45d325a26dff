//! What a person says of a run.

use crate::countdown::{Countdown, finish, store};
use std::fs;
use takd_store::{Annotation, Configuration, Error, Tag};

fn annotation(tags: &[&str], note: Option<&str>) -> Annotation {
    let tags = tags.iter().map(|tag| tag.parse::<Tag>().unwrap()).collect();
    Annotation { tags, note: note.map(str::to_owned) }
}

#[test]
fn annotation_is_kept_beside_the_run_and_changes_nothing_of_it() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let (id, outcome) = (config.id(), store.outcome(&config.id()).unwrap());
    assert_eq!(store.annotation(&id).unwrap(), Annotation::default());
    // Also while somebody works on it.
    let claim = store.claim(&id).unwrap();
    let said = annotation(&["baseline", "for-the-paper"], Some("the first that worked\nλ = 0.5"));
    store.annotate(&id, &said).unwrap();
    drop(claim);
    assert_eq!(store.annotation(&id).unwrap(), said);
    assert_eq!(store.outcome(&id).unwrap(), outcome);
    assert!(store.verify(&id).unwrap().is_empty());
    store.annotate(&id, &Annotation::default()).unwrap();
    assert!(!store.dir(&id).join("annotation.json").exists());
    // It goes with the run.
    store.annotate(&id, &said).unwrap();
    assert!(store.remove(&id).unwrap().left.is_empty());
}

#[test]
fn annotation_is_neither_made_for_a_run_that_is_not_there_nor_begins_one() {
    let (_folder, store) = store();
    let id = Countdown::new(3).id();
    assert!(store.annotate(&id, &annotation(&["a"], None)).is_err());
    assert!(!store.dir(&id).exists());
    fs::create_dir(store.dir(&id)).unwrap();
    store.annotate(&id, &annotation(&["a"], None)).unwrap();
    assert!(!store.was_begun(&id).unwrap());
    assert!(store.verify(&id).unwrap().is_empty());
}

#[test]
fn annotation_that_is_too_large_is_refused_and_a_damaged_one_is_named() {
    let (_folder, store) = store();
    let config = Countdown::new(3);
    finish(&store, &config);
    let id = config.id();
    let tags: Vec<String> = (0..65).map(|tag| tag.to_string()).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let refused = |said: &Annotation| store.annotate(&id, said).unwrap_err().to_string();
    assert!(refused(&annotation(&tags, None)).contains("at most 64 tags"));
    assert!(refused(&annotation(&[], Some(&"x".repeat(8193)))).contains("at most 8192 bytes"));
    // The largest that there can be is read again.
    let tags: Vec<String> = (0..64).map(|tag| format!("{}{tag:02}", "😀".repeat(62))).collect();
    let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
    let largest = annotation(&tags, Some(&"\u{1}".repeat(8192)));
    store.annotate(&id, &largest).unwrap();
    assert_eq!(store.annotation(&id).unwrap(), largest);

    let path = store.dir(&id).join("annotation.json");
    for damaged in ["", "{", r#"{"tags": ["two words"]}"#, r#"{"labels": []}"#] {
        fs::write(&path, damaged).unwrap();
        assert!(matches!(store.annotation(&id), Err(Error::Damaged { .. })), "{damaged}");
        assert_eq!(store.verify(&id).unwrap().into_vec()[0].file, path);
    }
    fs::write(&path, vec![b' '; 1 << 18]).unwrap();
    assert!(matches!(store.annotation(&id), Err(Error::TooLarge { .. })));
}

//! Links, pipes, devices and files without end in the place of a run's files.

use crate::countdown::{Countdown, Landed, ROCKET, Store, finish, names, open, outcome, store};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;
use takd_store::{Claim, Configuration, Ending, Error, Extent, FileKind, Journal, Result, RunId, Start, write_file};
use tempfile::TempDir;

const PLACES: [&str; 5] = ["config.toml", "metrics.jsonl", "starts.jsonl", "ending.json", "claim"];

/// What stands in the place of a file.
#[derive(Clone, Copy, Debug)]
enum Odd {
    LinkToAFile,
    LinkToNothing,
    LinkToZeros,
    Pipe,
    Folder,
    Socket,
}

const ODD: [Odd; 6] = [Odd::LinkToAFile, Odd::LinkToNothing, Odd::LinkToZeros, Odd::Pipe, Odd::Folder, Odd::Socket];

impl Odd {
    fn put(self, path: &Path, victim: &Path) {
        let _ = fs::remove_file(path);
        match self {
            Self::LinkToAFile => symlink(victim, path).unwrap(),
            Self::LinkToNothing => symlink(victim.with_file_name("nothing"), path).unwrap(),
            Self::LinkToZeros => symlink("/dev/zero", path).unwrap(),
            Self::Pipe => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
            Self::Folder => fs::create_dir(path).unwrap(),
            Self::Socket => drop(std::os::unix::net::UnixListener::bind(path).unwrap()),
        }
    }

    fn kind(self) -> FileKind {
        match self {
            Self::LinkToAFile | Self::LinkToNothing | Self::LinkToZeros => FileKind::Link,
            Self::Pipe => FileKind::Pipe,
            Self::Folder => FileKind::Folder,
            Self::Socket => FileKind::Other,
        }
    }
}

/// A finished run, and a file of the user's elsewhere.
struct Case {
    folder: TempDir,
    store: Store,
    config: Countdown,
}

impl Case {
    fn new() -> Self {
        let (folder, _) = store();
        let store = open(&folder.path().join("runs"));
        let config = Countdown::new(3);
        finish(&store, &config);
        fs::write(folder.path().join("victim"), "precious").unwrap();
        Self { folder, store, config }
    }

    fn id(&self) -> RunId {
        self.config.id()
    }

    fn victim(&self) -> PathBuf {
        self.folder.path().join("victim")
    }

    fn victim_is_as_it_was(&self) -> bool {
        fs::read_to_string(self.victim()).unwrap() == "precious" && !self.folder.path().join("nothing").exists()
    }
}

/// What `act` gives; a test that hangs fails.
fn soon<T: Send + 'static>(act: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(act()));
    receive.recv_timeout(Duration::from_secs(60)).expect("it hangs or panics")
}

/// Something that is done with a run's folder, and the files that it touches beside the claim.
type Act = (&'static [&'static str], Result<()>);

const CONFIG: &[&str] = &["config.toml"];
const STARTS: &[&str] = &["starts.jsonl"];
const JOURNAL: &[&str] = &["metrics.jsonl"];
const ENDING: &[&str] = &["ending.json"];
const ENDING_AND_JOURNAL: &[&str] = &["ending.json", "metrics.jsonl"];

fn acts(store: &Store, config: &Countdown) -> Vec<Act> {
    let id = config.id();
    let mut done = vec![
        (CONFIG, store.config(&id).map(drop)),
        (ENDING, store.ending_file(&id).map(drop)),
        (ENDING_AND_JOURNAL, store.ending(&id).map(drop)),
        (STARTS, store.starts(&id).map(drop)),
        (JOURNAL, store.records::<u64>(&id).map(drop)),
        (JOURNAL, store.check_journal(&id, &Extent::of(b"3\n2\n1\n"))),
        (&["claim"], store.is_claimed(&id).map(drop)),
    ];
    match store.claim(&id) {
        Ok(claim) => done.extend(writes(&claim.unwrap(), config)),
        Err(error) => done.push((&["claim"], Err(error))),
    }
    done
}

fn writes(claim: &Claim, config: &Countdown) -> Vec<Act> {
    let resumed = Journal::resume::<u64>(claim, &Extent::of(b"3\n2\n1\n")).map(drop);
    let begun = Journal::begin(claim).and_then(|mut journal| {
        journal.add(&1)?;
        journal.extent()
    });
    let extent = begun.as_ref().map_or_else(|_| Extent::default(), Extent::clone);
    vec![
        (CONFIG, claim.write_config(config)),
        (STARTS, claim.add_start(&Start::now(Vec::new(), String::new()))),
        (ENDING_AND_JOURNAL, resumed),
        (ENDING_AND_JOURNAL, begun.map(drop)),
        (ENDING, claim.end::<Landed>(&Ending::Stopped, &extent, &[])),
        (ENDING, claim.clear_ending()),
        (ENDING, claim.end::<Landed>(&Ending::Stopped, &extent, &[])),
        (&[ROCKET], claim.write(ROCKET, b"")),
    ]
}

#[test]
fn whatever_stands_in_the_place_of_a_file_is_named_and_neither_followed_nor_opened_nor_deleted() {
    for place in PLACES {
        for odd in ODD {
            let case = Case::new();
            let path = case.store.dir(&case.id()).join(place);
            odd.put(&path, &case.victim());
            let (store, config) = (case.store.clone(), case.config.clone());
            for (touched, result) in soon(move || acts(&store, &config)) {
                let what = format!("{odd:?} as {place}, {touched:?}: {result:?}");
                if touched.contains(&place) {
                    let Err(Error::WrongKind { path: named, expected: FileKind::File, found }) = result else {
                        panic!("{what}");
                    };
                    assert!(named == path && found == odd.kind(), "{what}");
                } else {
                    assert!(result.is_ok(), "{what}");
                }
            }
            let (store, id) = (case.store.clone(), case.id());
            let (listed, findings, removed) = soon(move || (store.list(), store.verify(&id), store.remove(&id)));
            assert_eq!(listed.unwrap().len(), 1);
            let named: Vec<PathBuf> = findings.unwrap().into_vec().into_iter().map(|finding| finding.file).collect();
            // Neither who works on a run nor who began it is a part of its outcome.
            let is_checked = !["claim", "starts.jsonl"].contains(&place);
            assert_eq!(named, if is_checked { vec![path.clone()] } else { Vec::new() }, "{odd:?} as {place}");
            if place == "claim" {
                assert!(matches!(removed, Err(Error::WrongKind { path: named, .. }) if named == path));
            } else {
                assert_eq!(removed.unwrap().left, [path.as_path()]);
            }
            assert_eq!(kind_of(&path), odd.kind());
            assert!(case.victim_is_as_it_was(), "{odd:?} as {place}");
        }
    }
}

fn kind_of(path: &Path) -> FileKind {
    use std::os::unix::fs::FileTypeExt;
    let found = fs::symlink_metadata(path).unwrap().file_type();
    let kinds = [
        (found.is_symlink(), FileKind::Link),
        (found.is_dir(), FileKind::Folder),
        (found.is_fifo(), FileKind::Pipe),
        (found.is_file(), FileKind::File),
    ];
    kinds.into_iter().find(|(is, _)| *is).map_or(FileKind::Other, |(_, kind)| kind)
}

#[test]
fn linked_folder_in_the_place_of_a_runs_is_refused_and_its_target_stays_as_it_is() {
    let case = Case::new();
    let (id, dir) = (case.id(), case.store.dir(&case.id()));
    let target = case.folder.path().join("thesis");
    fs::rename(&dir, &target).unwrap();
    symlink(&target, &dir).unwrap();
    let before = names(&target);
    for (_, result) in acts(&case.store, &case.config) {
        let Err(Error::WrongKind { path, expected: FileKind::Folder, found: FileKind::Link }) = result else {
            panic!("{result:?}");
        };
        assert_eq!(path, dir);
    }
    let error = case.store.remove(&id).unwrap_err();
    assert!(error.to_string().contains("is a symbolic link, and a folder is expected there"), "{error}");
    assert_eq!(case.store.size(&id).unwrap_err().to_string(), error.to_string());
    // It is not silently missing either.
    assert_eq!(case.store.ids().unwrap(), std::slice::from_ref(&id));
    assert!(case.store.list().unwrap()[0].config.is_err());
    assert_eq!(case.store.verify(&id).unwrap().into_vec()[0].file, dir);
    assert_eq!(names(&target), before);
    fs::remove_file(&dir).unwrap();
    fs::rename(&target, &dir).unwrap();
    assert_eq!(case.store.outcome(&id).unwrap(), Some(outcome(&case.config)));
}

#[test]
fn other_things_in_the_place_of_a_runs_folder_are_refused() {
    for odd in [Odd::LinkToAFile, Odd::LinkToNothing, Odd::LinkToZeros, Odd::Pipe, Odd::Socket] {
        let case = Case::new();
        let (id, dir) = (case.id(), case.store.dir(&case.id()));
        fs::remove_dir_all(&dir).unwrap();
        odd.put(&dir, &case.victim());
        let (store, config) = (case.store.clone(), case.config.clone());
        for (_, result) in soon(move || acts(&store, &config)) {
            assert!(matches!(&result, Err(Error::WrongKind { path, .. }) if *path == dir), "{odd:?}: {result:?}");
        }
        assert!(matches!(case.store.remove(&id), Err(Error::WrongKind { .. })));
        assert!(case.victim_is_as_it_was(), "{odd:?}");
    }
}

#[test]
fn link_in_the_place_of_an_outcomes_file_is_noticed() {
    let case = Case::new();
    let path = case.store.dir(&case.id()).join(ROCKET);
    let elsewhere = case.folder.path().join("elsewhere");
    fs::rename(&path, &elsewhere).unwrap();
    symlink(&elsewhere, &path).unwrap();
    assert!(matches!(case.store.ending(&case.id()), Err(Error::WrongKind { path: named, .. }) if named == path));
    let removed = case.store.remove(&case.id()).unwrap();
    assert_eq!(removed.left, [path]);
    assert_eq!(fs::metadata(&elsewhere).unwrap().len(), 1000);
}

#[test]
fn files_without_end_are_not_read() {
    let sizes = [
        ("config.toml", 50_000_000),
        ("ending.json", 50_000_000),
        ("starts.jsonl", 1 << 40),
        ("metrics.jsonl", 1 << 40),
    ];
    for (place, bytes) in sizes {
        let case = Case::new();
        let path = case.store.dir(&case.id()).join(place);
        File::create(&path).unwrap().set_len(bytes).unwrap();
        let (store, config) = (case.store.clone(), case.config.clone());
        let done = soon(move || {
            let id = config.id();
            [
                ("config.toml", store.config(&id).map(drop)),
                ("ending.json", store.ending(&id).map(drop)),
                ("starts.jsonl", store.starts(&id).map(drop)),
                ("metrics.jsonl", store.records::<u64>(&id).map(drop)),
            ]
        });
        for (touched, result) in done {
            if touched == place {
                assert!(matches!(&result, Err(Error::TooLarge { path: named, .. }) if *named == path), "{result:?}");
            }
        }
        assert!(!case.store.verify(&case.id()).unwrap().is_empty() || place == "starts.jsonl");
        assert!(case.store.remove(&case.id()).unwrap().left.is_empty());
    }
}

#[test]
fn file_with_a_second_name_elsewhere_is_not_written_into() {
    let case = Case::new();
    let dir = case.store.dir(&case.id());
    // As in a copy made by `cp -al`.
    let copies = PLACES.map(|name| (name, case.folder.path().join(format!("copy of {name}"))));
    for (name, copy) in &copies {
        if !dir.join(name).exists() {
            fs::write(dir.join(name), "").unwrap();
        }
        fs::hard_link(dir.join(name), copy).unwrap();
    }
    fs::write(&copies[4].1, "precious").unwrap();
    let before = copies.clone().map(|(_, copy)| fs::read(copy).unwrap());
    let claim = case.store.claim(&case.id()).unwrap().unwrap();
    for (_, result) in writes(&claim, &case.config) {
        result.unwrap();
    }
    assert_eq!(copies.map(|(_, copy)| fs::read(copy).unwrap()), before);
}

#[test]
fn link_in_the_place_of_what_is_written_is_neither_followed_nor_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let [victim, link] = ["victim", "link"].map(|name| folder.path().join(name));
    fs::write(&victim, "precious").unwrap();
    symlink(&victim, &link).unwrap();
    assert!(matches!(write_file(&link, b"new"), Err(Error::WrongKind { found: FileKind::Link, .. })));
    assert_eq!(fs::read_to_string(&link).unwrap(), "precious");
    // Whoever writes to a device means the device.
    assert!(matches!(write_file(Path::new("/dev/null"), b"new"), Err(Error::WrongKind { .. })));
}

#[test]
fn root_may_be_a_link_for_the_user_chose_it() {
    let case = Case::new();
    let link = case.folder.path().join("link");
    symlink(case.store.root(), &link).unwrap();
    assert_eq!(open(&link).outcome(&case.id()).unwrap(), Some(outcome(&case.config)));
}

#[test]
fn control_characters_of_file_names_and_contents_do_not_reach_messages() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("\u{1b}[2J\u{202e}runs"));
    let config = Countdown::new(3);
    finish(&store, &config);
    fs::write(store.dir(&config.id()).join("ending.json"), "\u{1b}").unwrap();
    fs::write(store.dir(&config.id()).join("config.toml"), "\u{1b}").unwrap();
    let errors = [
        store.config(&config.id()).unwrap_err(),
        store.ending(&config.id()).unwrap_err(),
        store.find("\u{7}").unwrap_err(),
    ];
    for error in errors {
        assert_eq!(takd_store::printable(&error.to_string()), error.to_string());
    }
}

#[test]
fn store_that_may_only_be_read_gives_what_it_has() {
    use std::os::unix::fs::PermissionsExt;
    let case = Case::new();
    let dir = case.store.dir(&case.id());
    let set = |mode: u32| {
        [&dir, case.store.root()]
            .into_iter()
            .for_each(|path| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap());
    };
    set(0o555);
    if fs::write(dir.join("probe"), "").is_ok() {
        set(0o755);
        println!("skipped: this user may write where permissions forbid it, as root may");
        return;
    }
    let opened = open(case.store.root());
    let (listed, found) = (opened.list(), opened.verify(&case.id()));
    let begun = opened.claim(&Countdown::new(9).id());
    set(0o755);
    assert!(matches!(listed.unwrap()[0].ending, Ok(Some(Ending::Finished(_)))));
    assert!(found.unwrap().is_empty());
    assert!(matches!(begun, Err(Error::Io { .. })));
}

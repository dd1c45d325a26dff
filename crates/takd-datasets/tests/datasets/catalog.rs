//! Cards without images, and data sets loaded once.

use crate::common::{rows, write_cifar10};
use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};
use takd_datasets::{Card, Catalog, DatasetName, Drawn, Error, Known, Progress, Result, Sources};

static CIFAR10: LazyLock<DatasetName> = LazyLock::new(|| Known::Cifar10.into());
static SHAPES10: LazyLock<DatasetName> = LazyLock::new(|| Known::Shapes10.into());

/// A folder of images and one for cards.
struct Folders {
    dir: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        let folders = Self { dir: tempfile::tempdir().unwrap() };
        folders.write(6, 2);
        folders
    }

    fn write(&self, train: usize, test: usize) {
        write_cifar10(&self.data(), &rows(train), &rows(test));
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data")
    }

    fn cards(&self) -> PathBuf {
        self.dir.path().join("results/cards")
    }

    fn train_file(&self) -> PathBuf {
        self.data().join("cifar10/plain_text/train-00000-of-00001.parquet")
    }

    /// The kept cards' files.
    fn kept(&self) -> Vec<PathBuf> {
        fs::read_dir(self.cards()).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// As a new process has it.
    fn catalog(&self) -> Catalog {
        catalog(&self.data(), &self.cards())
    }
}

fn catalog(data: &Path, cards: &Path) -> Catalog {
    Catalog::new(Sources { folder: Some(data.into()), ..Sources::default() }, cards.into())
}

fn drawn(cards: &Path, train: usize, seed: u64) -> Catalog {
    Catalog::new(Sources { drawn: Drawn { train, test: 10, seed }, ..Sources::default() }, cards.into())
}

fn silent(_: Progress<'_>) {}

/// The card, for which nothing may be decoded or drawn.
fn kept_card(catalog: &Catalog, name: &DatasetName) -> Result<Card> {
    catalog.card(name, &mut |progress| panic!("{progress:?}"))
}

#[test]
fn card_is_given_without_reading_a_file_once_it_is_kept() {
    let folders = Folders::new();
    let card = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    assert_eq!((card.name.clone(), card.classes(), card.train, card.test), (CIFAR10.clone(), 10, 6, 2));
    assert_eq!((card.height, card.width, card.class_names[3].as_str()), (32, 32, "cat"));
    assert!(card.origin.ends_with("data/cifar10/plain_text"), "{}", card.origin);

    // Same size and time, so that only reading it could tell.
    let path = folders.train_file();
    let before = fs::metadata(&path).unwrap();
    fs::write(&path, vec![0; before.len() as usize]).unwrap();
    File::options().write(true).open(&path).unwrap().set_modified(before.modified().unwrap()).unwrap();
    assert_eq!(kept_card(&folders.catalog(), &CIFAR10).unwrap(), card);
}

#[test]
fn card_is_made_anew_if_a_file_was_written_since() {
    let folders = Folders::new();
    let old = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    folders.write(7, 2);
    let new = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    assert_eq!((old.train, new.train), (6, 7));
    assert_ne!(old.checksum, new.checksum);
    assert_eq!(kept_card(&folders.catalog(), &CIFAR10).unwrap(), new);
    assert_eq!(folders.kept().len(), 1);
}

#[test]
fn kept_card_stands_if_the_folder_is_gone_and_only_loading_fails() {
    let folders = Folders::new();
    let card = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    fs::remove_dir_all(folders.data()).unwrap();
    let catalog = folders.catalog();
    assert_eq!(kept_card(&catalog, &CIFAR10).unwrap(), card);
    let error = catalog.load(&CIFAR10, &mut silent).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn card_of_one_folder_is_not_taken_for_that_of_another() {
    let (one, other) = (Folders::new(), Folders::new());
    one.catalog().card(&CIFAR10, &mut silent).unwrap();
    fs::remove_dir_all(other.data()).unwrap();
    let error = catalog(&other.data(), &one.cards()).card(&CIFAR10, &mut silent).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[test]
fn drawn_set_is_drawn_once_for_its_card_and_again_only_for_other_numbers_or_seeds() {
    let dir = tempfile::tempdir().unwrap();
    let card = drawn(dir.path(), 20, 0).card(&SHAPES10, &mut silent).unwrap();
    assert_eq!(kept_card(&drawn(dir.path(), 20, 0), &SHAPES10).unwrap(), card);
    for (train, seed) in [(21, 0), (20, 1)] {
        let other = drawn(dir.path(), train, seed).card(&SHAPES10, &mut silent).unwrap();
        assert_ne!(other.checksum, card.checksum);
    }
    assert_eq!(kept_card(&drawn(dir.path(), 20, 0), &SHAPES10).unwrap(), card);
}

#[test]
fn card_made_by_another_version_of_the_code_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let card = drawn(dir.path(), 20, 0).card(&SHAPES10, &mut silent).unwrap();
    let [file] = &fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>()[..] else {
        panic!("one card");
    };
    let json = fs::read_to_string(file).unwrap();
    let old = json.replace("\"code\": 1", "\"code\": 0").replace(&card.checksum, "of other images");
    assert_ne!(old, json);
    fs::write(file, old).unwrap();
    assert_eq!(drawn(dir.path(), 20, 0).card(&SHAPES10, &mut silent).unwrap(), card);
    assert_eq!(fs::read_to_string(file).unwrap(), json);
}

#[test]
fn what_cannot_be_read_as_a_card_is_replaced() {
    let folders = Folders::new();
    let card = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    let kept = folders.kept();
    for broken in ["", "{", "{\"card\": 7}", "null"] {
        fs::write(&kept[0], broken).unwrap();
        assert_eq!(folders.catalog().card(&CIFAR10, &mut silent).unwrap(), card);
        assert_eq!(kept_card(&folders.catalog(), &CIFAR10).unwrap(), card);
    }
    assert_eq!(folders.kept(), kept);
}

#[test]
fn damage_at_the_source_is_an_error_although_a_card_is_kept() {
    let folders = Folders::new();
    folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    fs::copy(folders.train_file(), folders.train_file().with_file_name("train.parquet")).unwrap();
    let error = folders.catalog().card(&CIFAR10, &mut silent).unwrap_err();
    assert!(matches!(error, Error::DoubledShard { .. }), "{error}");
}

#[test]
fn images_other_than_those_of_the_card_that_was_given_are_refused() {
    let folders = Folders::new();
    let card = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    let catalog = folders.catalog();
    catalog.card(&CIFAR10, &mut silent).unwrap();
    folders.write(5, 2);
    let error = catalog.load(&CIFAR10, &mut silent).unwrap_err();
    assert!(matches!(&error, Error::Changed { expected, .. } if *expected == card.checksum), "{error}");
    // Started again, it is planned with the images as they are.
    let catalog = folders.catalog();
    assert_eq!(kept_card(&catalog, &CIFAR10).unwrap().train, 5);
    assert_eq!(catalog.load(&CIFAR10, &mut silent).unwrap().train.len(), 5);
}

#[test]
fn card_that_cannot_be_kept_is_given_with_a_note() {
    let folders = Folders::new();
    fs::write(folders.dir.path().join("results"), "a file in place of the folder").unwrap();
    let card = folders.catalog().card(&CIFAR10, &mut silent).unwrap();
    let note = card.notes.last().unwrap();
    assert!(note.starts_with("its card could not be kept: cannot "), "{note}");
}

#[test]
fn threads_that_ask_at_the_same_time_share_one_loading() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = drawn(dir.path(), 1000, 0);
    let begun = AtomicUsize::new(0);
    let mut count = |progress: Progress<'_>| {
        if progress.done == 0 && progress.what == "train" {
            begun.fetch_add(1, Ordering::SeqCst);
        }
    };
    let first = thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|i| {
                let (catalog, mut count) = (&catalog, count);
                scope.spawn(move || {
                    if i % 2 == 0 {
                        catalog.card(&SHAPES10, &mut count).unwrap();
                    }
                    catalog.load(&SHAPES10, &mut count).unwrap()
                })
            })
            .collect();
        let data: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert!(data.iter().all(|other| Arc::ptr_eq(other, &data[0])));
        Arc::clone(&data[0])
    });
    assert!(Arc::ptr_eq(&first, &catalog.load(&SHAPES10, &mut count).unwrap()));
    assert_eq!(begun.load(Ordering::SeqCst), 1);
}

#[test]
fn limited_set_is_made_once_and_has_the_whole_sets_test_images_and_checksum() {
    let dir = tempfile::tempdir().unwrap();
    let catalog = drawn(dir.path(), 100, 0);
    let limited = catalog.load_limited(&SHAPES10, 30, &mut silent).unwrap();
    let whole = catalog.load(&SHAPES10, &mut silent).unwrap();
    assert_eq!((limited.train.len(), limited.card.train), (30, 30));
    assert_eq!(limited.train, whole.train.limit(30, 0));
    assert_eq!(limited.test, whole.test);
    assert_eq!(limited.card, whole.card.limited(30));
    assert_eq!(limited.card.checksum, whole.card.checksum);
    assert_eq!(limited.card.normalization, whole.card.normalization);
    assert!(Arc::ptr_eq(&limited, &catalog.load_limited(&SHAPES10, 30, &mut silent).unwrap()));
    for beyond in [100, 1000] {
        assert!(Arc::ptr_eq(&whole, &catalog.load_limited(&SHAPES10, beyond, &mut silent).unwrap()));
    }
}

/// Tells a test that it runs in a process of its own, and what its cache is: one that may be deleted.
const TEST_CACHE: &str = "TAKD_TEST_HUB_CACHE";

/// Runs the ignored test of this name in a process of its own, whose hub is this cache and nothing else.
fn with_hub_cache(cache: &Path, test: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--ignored", "--exact", &format!("catalog::{test}")]);
    command.env("HF_HUB_CACHE", cache).env("HF_HUB_OFFLINE", "1").env(TEST_CACHE, cache);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// A cache that an earlier download filled.
fn filled_hub_cache() -> tempfile::TempDir {
    let cache = tempfile::tempdir().unwrap();
    let repo = cache.path().join("datasets--uoft-cs--cifar10");
    let commit = "0123456789abcdef0123456789abcdef01234567";
    let data = cache.path().join("data");
    write_cifar10(&data, &rows(6), &rows(2));
    fs::create_dir_all(repo.join("snapshots")).unwrap();
    fs::rename(data.join("cifar10"), repo.join("snapshots").join(commit)).unwrap();
    fs::create_dir(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), commit).unwrap();
    cache
}

#[test]
fn hubs_cache_is_not_looked_into_if_a_folder_is_named() {
    with_hub_cache(filled_hub_cache().path(), "with_a_filled_hub_cache_a_named_folder_is_the_only_place");
}

#[test]
#[ignore = "run by another test, with a hub cache in its environment"]
fn with_a_filled_hub_cache_a_named_folder_is_the_only_place() {
    if std::env::var_os(TEST_CACHE).is_none() {
        println!("skipped: run by another test only");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // The cache is good.
    let hub = || Catalog::new(Sources::default(), dir.path().join("cards"));
    assert_eq!(hub().load(&CIFAR10, &mut silent).unwrap().train.len(), 6);
    for folder in [dir.path(), Path::new("/no/such/folder")] {
        let error = catalog(folder, &dir.path().join("cards")).load(&CIFAR10, &mut silent).unwrap_err();
        assert!(matches!(&error, Error::NotFound { folder: Some(named), .. } if named == folder), "{error}");
    }
}

#[test]
fn card_of_the_hubs_files_stands_if_its_cache_is_emptied() {
    with_hub_cache(filled_hub_cache().path(), "with_a_filled_hub_cache_a_card_is_kept_and_stands");
}

#[test]
#[ignore = "run by another test, with a hub cache in its environment"]
fn with_a_filled_hub_cache_a_card_is_kept_and_stands() {
    let Some(cache) = std::env::var_os(TEST_CACHE) else {
        println!("skipped: run by another test only");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let hub = || Catalog::new(Sources::default(), dir.path().join("cards"));
    let card = hub().card(&CIFAR10, &mut silent).unwrap();
    assert!(card.origin.contains("snapshots") && card.origin.contains("uoft-cs/cifar10"), "{}", card.origin);
    assert_eq!(kept_card(&hub(), &CIFAR10).unwrap(), card);
    fs::remove_dir_all(cache).unwrap();
    assert_eq!(kept_card(&hub(), &CIFAR10).unwrap(), card);
    let error = hub().load(&CIFAR10, &mut silent).unwrap_err();
    assert!(matches!(error, Error::NotFound { folder: None, .. }), "{error}");
}

#[test]
fn catalog_is_shared_by_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<Catalog>();
}

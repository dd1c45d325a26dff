//! Every form that data sets come in, as other programs write them: `written/write.py` wrote the files.

use crate::common::{pixels, png, rows, write};
use candle_core::Device;
use std::{fs, path::Path};
use takd_datasets::{
    Augmentation, Batch, BatchConfig, Card, Catalog, Dataset, DatasetRef, Error, Images, Normalization, Result,
    Sources, Stage, batches, batches_ahead, check, epoch_order, load,
};
use takd_rng::Streams;

/// What the images of `written` hold.
fn expected(i: usize, test: bool, side: usize, channels: usize) -> Vec<u8> {
    let value = |c: usize, y: usize, x: usize| (37 * i + 11 * c + 5 * y + 3 * x + if test { 100 } else { 0 }) as u8;
    let places = (0..side).flat_map(|y| (0..side).map(move |x| (y, x)));
    places.flat_map(|(y, x)| [0, 1, 2].map(|c| value(if channels == 1 { 0 } else { c }, y, x))).collect()
}

fn written(form: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/written").join(form)
}

fn open(place: &Path) -> Result<Dataset> {
    let data: DatasetRef = place.to_str().unwrap().parse()?;
    load(&data.name, &Sources::default().with(&data)?, &mut |_| {})
}

#[test]
fn every_form_is_read_as_it_was_written() {
    for (form, name, sizes, side, channels) in [
        ("cifar-10-batches-py", "cifar10", (10, 2), 32, 3),
        ("cifar-10-python.tar.gz", "cifar10", (10, 2), 32, 3),
        ("cifar-10-batches-bin", "cifar10", (10, 2), 32, 3),
        ("cifar-100-python", "cifar100", (4, 4), 32, 3),
        ("cifar-100-binary", "cifar100", (4, 4), 32, 3),
        ("idx", "idx", (4, 4), 28, 1),
        ("shards", "shards", (4, 2), 32, 3),
        ("parquet", "parquet", (4, 2), 32, 3),
    ] {
        let data = open(&written(form)).unwrap_or_else(|error| panic!("{form}: {error}"));
        assert_eq!((data.train.len(), data.test.len()), sizes, "{form}");
        assert_eq!((data.card.name.as_str(), data.card.height, data.card.width), (name, side, side), "{form}");
        for (images, test) in [(&data.train, false), (&data.test, true)] {
            for i in 0..images.len() {
                assert_eq!(images.labels()[i] as usize, i % 10, "{form}");
                assert_eq!(*images.image(i).unwrap(), expected(i, test, side, channels), "{form}, image {i}");
            }
        }
        assert!(data.card.origin.ends_with(form) || data.card.origin.contains("parquet"), "{}", data.card.origin);
    }
    assert_eq!(open(&written("parquet")).unwrap().card.class_names[9], "class 9");
    assert_eq!(open(&written("shards")).unwrap().card.class_names, ["0", "1", "2", "3"]);
}

#[test]
fn place_that_is_not_there_is_named_in_a_line_with_what_is_nearly_called_that() {
    let dir = tempfile::tempdir().unwrap();
    let photos = dir.path().join("my-photos");
    fs::create_dir(&photos).unwrap();
    for (name, near) in [
        ("my-phtos", Some(photos.to_str().unwrap())),
        ("cifar10", Some("cifar10")),
        ("birds", None),
        ("birds/of/prey", None),
    ] {
        let place = dir.path().join(name);
        let question = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        let error = open(&place).unwrap_err();
        assert_eq!(error.to_string(), format!("there is no file or folder {}{question}", place.display()));
        assert!(matches!(error, Error::NoSuchPlace { .. }), "{error:?}");
    }
}

#[test]
fn known_data_sets_are_found_below_a_folder_in_the_form_of_their_authors() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("cifar10")).unwrap();
    fs::copy(written("cifar-10-python.tar.gz"), dir.path().join("cifar10/cifar-10-python.tar.gz")).unwrap();
    let data = crate::common::load_from(dir.path(), takd_datasets::Known::Cifar10).unwrap();
    assert_eq!(*data.train.image(3).unwrap(), expected(3, false, 32, 3));

    // As torchvision leaves it, for one of the two that come so.
    let raw = dir.path().join("fashion-mnist/raw");
    fs::create_dir_all(&raw).unwrap();
    for file in fs::read_dir(written("idx")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), raw.join(file.file_name())).unwrap();
    }
    let data = crate::common::load_from(dir.path(), takd_datasets::Known::FashionMnist).unwrap();
    assert_eq!((data.card.height, &*data.card.class_names[9]), (28, "ankle-boot"));
    assert_eq!(data.card.notes[0], "the train split has 4 images, and that of fashion-mnist has 60000");
    assert!(crate::common::load_from(dir.path(), takd_datasets::Known::Mnist).is_err());
}

/// Writes an image for each class and number.
fn class_folders(root: &Path, classes: &[(&str, usize)]) {
    for (place, (class, count)) in classes.iter().enumerate() {
        fs::create_dir_all(root.join(class)).unwrap();
        for i in 0..*count {
            fs::write(root.join(class).join(format!("{i}.png")), png(&pixels(100 * place + i), 32, 32)).unwrap();
        }
    }
}

#[test]
fn folder_is_a_class_in_the_order_of_the_bytes_of_their_names() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(&dir.path().join("train"), &[("b", 2), ("Z", 1), ("a/deeper", 3)]);
    class_folders(&dir.path().join("val"), &[("b", 1), ("a", 1)]);
    for other in ["train/a/notes.txt", "train/.hidden.png", "train/b/Thumbs.db"] {
        fs::write(dir.path().join(other), "no image").unwrap();
    }
    let data = open(dir.path()).unwrap();
    assert_eq!(data.card.class_names, ["Z", "a", "b"]);
    assert_eq!(data.train.labels(), [0, 1, 1, 1, 2, 2]);
    assert_eq!(data.test.labels(), [1, 2]);
    assert_eq!(*data.train.image(1).unwrap(), pixels(200));
    assert_eq!(data.card.notes.len(), 2, "{:?}", data.card.notes);
    assert!(data.card.notes[0].contains("1 of the classes have no test images, as `Z`"), "{:?}", data.card.notes);
    assert!(data.card.notes[1].contains("notes.txt"), "{:?}", data.card.notes);
}

#[test]
fn test_images_are_set_aside_where_there_are_none() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(dir.path(), &[("cats", 20), ("dogs", 10)]);
    let data = open(dir.path()).unwrap();
    let of = |images: &Images, class| images.labels().iter().filter(|&&label| label == class).count();
    assert_eq!([of(&data.train, 0), of(&data.train, 1), of(&data.test, 0), of(&data.test, 1)], [16, 8, 4, 2]);
    assert!(data.card.notes[0].contains("6 of its 30 images were set aside"), "{:?}", data.card.notes);
    assert_eq!(open(dir.path()).unwrap().card.checksum, data.card.checksum);
}

#[test]
fn folders_that_make_no_data_set_are_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let refusal = || open(dir.path()).unwrap_err().to_string();
    assert!(refusal().contains("the folder is empty"), "{}", refusal());
    class_folders(&dir.path().join("train"), &[("cats", 1)]);
    assert!(refusal().contains("2 or more are needed"), "{}", refusal());
    fs::create_dir(dir.path().join("train/dogs")).unwrap();
    assert!(refusal().contains("dogs: this class has no images"), "{}", refusal());
    class_folders(&dir.path().join("train"), &[("dogs", 1)]);
    class_folders(&dir.path().join("test"), &[("birds", 1)]);
    assert!(refusal().contains("birds: this class is not among those of the training images"), "{}", refusal());
}

#[cfg(unix)]
#[test]
fn links_to_folders_are_not_followed_in_circles_and_links_to_files_are() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(dir.path(), &[("cats", 2), ("dogs", 2)]);
    std::os::unix::fs::symlink(dir.path(), dir.path().join("cats/round")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("dogs/0.png"), dir.path().join("dogs/again.png")).unwrap();
    let data = open(dir.path()).unwrap();
    assert_eq!(data.train.len() + data.test.len(), 5);
}

#[test]
fn images_of_several_sizes_are_scaled_and_it_is_said() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(dir.path(), &[("cats", 3), ("dogs", 3)]);
    fs::write(dir.path().join("cats/wide.png"), png(&vec![7; 90 * 40 * 3], 90, 40)).unwrap();
    let data = open(dir.path()).unwrap();
    assert_eq!((data.card.height, data.card.width), (32, 32));
    let note = "images of 32x32 to 90x40 were cut to the square in their middle and scaled to 32x32";
    assert!(data.card.notes.iter().any(|found| found == note), "{:?}", data.card.notes);

    let reference: DatasetRef = dir.path().to_str().unwrap().parse().unwrap();
    let reference = reference.scaled("16".parse().unwrap());
    let sources = Sources::default().with(&reference).unwrap();
    let small = load(&reference.name, &sources, &mut |_| {}).unwrap();
    assert_eq!((small.card.height, small.card.name.fit().unwrap().side()), (16, 16));
}

#[test]
fn image_that_cannot_be_decoded_is_an_error_or_is_left_out_and_listed() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(dir.path(), &[("cats", 5), ("dogs", 5)]);
    let whole = png(&pixels(0), 32, 32);
    fs::write(dir.path().join("cats/cut.png"), &whole[..whole.len() / 2]).unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(&error, Error::Picture { path, .. } if path.ends_with("cats/cut.png")), "{error}");

    let data: DatasetRef = dir.path().to_str().unwrap().parse().unwrap();
    let sources = |skip_bad| Sources { skip_bad, ..Sources::default() }.with(&data).unwrap();
    let loaded = load(&data.name, &sources(1), &mut |_| {}).unwrap();
    assert_eq!(loaded.train.len() + loaded.test.len(), 10);
    assert!(loaded.card.notes.iter().any(|note| note.contains("left out: ") && note.contains("cut.png")));
    fs::write(dir.path().join("dogs/cut.png"), &whole[..whole.len() / 2]).unwrap();
    assert!(load(&data.name, &sources(1), &mut |_| {}).is_err());
}

#[test]
fn a_parquet_file_alone_is_a_data_set() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("my-photos.parquet");
    write(&file, "label", &rows(20), 7);
    let data = open(&file).unwrap();
    assert_eq!((data.train.len(), data.test.len(), data.card.name.as_str()), (16, 4, "my-photos"));
    assert_eq!(data.card.class_names[9], "9");
}

#[test]
fn two_folders_of_one_name_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Sources::default();
    for parent in ["one", "two"] {
        let place = dir.path().join(parent).join("photos");
        fs::create_dir_all(&place).unwrap();
        let data: DatasetRef = place.to_str().unwrap().parse().unwrap();
        match sources.clone().with(&data) {
            Ok(with) => sources = with,
            Err(error) => {
                assert!(matches!(error, Error::TwoPlaces { .. }), "{error}");
                return;
            }
        }
    }
    panic!("both were taken");
}

#[test]
fn damaged_files_of_every_form_are_refused_and_named() {
    for (form, file) in [
        ("cifar-10-batches-py", "data_batch_2"),
        ("cifar-10-batches-bin", "data_batch_3.bin"),
        ("cifar-100-python", "test"),
        ("idx", "train-images-idx3-ubyte.gz"),
        ("idx", "t10k-labels-idx1-ubyte"),
        ("shards", "train-000001.tar"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(form);
        fs::create_dir(&place).unwrap();
        for entry in fs::read_dir(written(form)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), place.join(entry.file_name())).unwrap();
        }
        let path = place.join(file);
        let whole = fs::read(&path).unwrap();
        // Within the images, not within what a tar file is filled up with.
        fs::write(&path, &whole[..whole.len() * 2 / 5]).unwrap();
        let error = open(&place).unwrap_err().to_string();
        assert!(error.contains(file), "{form}: {error}");
        fs::remove_file(&path).unwrap();
        let found = open(&place);
        assert!(found.is_err() || form == "shards", "{form} without {file}");
    }
}

#[test]
fn images_of_all_classes_together_have_their_classes_in_a_list() {
    let lists = [
        // ILSVRC as Kaggle packs it; the list is far above.
        (
            "ILSVRC/Data/CLS-LOC",
            "LOC_val_solution.csv",
            "ImageId,PredictionString\n0,dogs 1 1 5 5\n1,cats 1 1 2 2 cats 3 3 4 4\n2,cats 0 0 1 1\n",
        ),
        ("tiny", "tiny/val/val_annotations.txt", "2.png\tcats\t0\t0\n0.png\tdogs\t0\t0\n1.png\tcats\t0\t0\n"),
        ("caffe", "caffe/val.txt", "0.png 1\n1.png 0\n2.png 0\n"),
        ("tensorflow", "tensorflow/imagenet_2012_validation_synset_labels.txt", "dogs\ncats\ncats\n"),
    ];
    for (place, list, content) in lists {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join(place);
        class_folders(&place.join("train"), &[("cats", 2), ("dogs", 2)]);
        // Images of a third split, whose classes nobody tells.
        class_folders(&place.join("test"), &[("images", 2)]);
        class_folders(&place.join("val"), &[("images", 3)]);
        let list = dir.path().join(list);
        fs::write(&list, content).unwrap();
        let open = || {
            let data: DatasetRef = place.to_str().unwrap().parse().unwrap();
            load(&data.name, &Sources::default().with(&data).unwrap(), &mut |_| {})
        };
        let data = open().unwrap();
        assert_eq!(
            (data.card.class_names.as_slice(), data.test.labels()),
            (&["cats".into(), "dogs".into()][..], &[1, 0, 0][..])
        );
        let other = content.replace("dogs", "cats").replace("0.png 1", "0.png 0");
        // A card is of its list too.
        let data_ref: DatasetRef = place.to_str().unwrap().parse().unwrap();
        let sources = || Sources::default().with(&data_ref).unwrap();
        let labels = || {
            let catalog = Catalog::new(sources(), dir.path().join("cards"));
            catalog.card(&data_ref.name, &mut |_| {}).unwrap().checksum
        };
        let before = labels();
        fs::write(&list, format!("{other} ")).unwrap();
        assert_ne!(labels(), before);
        fs::write(&list, content).unwrap();
        let notes = data.card.notes.join("\n");
        assert!(notes.contains(&list.display().to_string()) && notes.contains("test were left out"), "{notes}");
        for (wrong, problem) in [
            (content.replacen("dogs", "wolves", 1).replacen(" 1\n", " 7\n", 1), "none of the 2 classes"),
            (content.lines().skip(2).collect::<Vec<_>>().join("\n"), "list"),
        ] {
            fs::write(&list, wrong).unwrap();
            let error = open().unwrap_err().to_string();
            assert!(error.contains(problem) && error.contains(&list.display().to_string()), "{error}");
        }
    }
}

#[test]
fn check_finds_copies_and_what_cannot_be_decoded_and_counts_classes() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(&dir.path().join("train"), &[("cats", 4), ("dogs", 3)]);
    class_folders(&dir.path().join("val"), &[("cats", 0), ("dogs", 0)]);
    let copy = |from: &str, to: &str| fs::copy(dir.path().join(from), dir.path().join(to)).unwrap();
    copy("train/cats/0.png", "val/dogs/leak.png");
    copy("train/dogs/1.png", "train/dogs/9.png");
    fs::write(dir.path().join("val/cats/bad.png"), "no image").unwrap();
    fs::write(dir.path().join("val/cats/0.png"), png(&vec![9; 40 * 20 * 3], 40, 20)).unwrap();
    let data: DatasetRef = dir.path().to_str().unwrap().parse().unwrap();
    let checked = check(&data.name, &Sources::default().with(&data).unwrap(), &mut |_| {}).unwrap();
    assert!(!checked.is_clean());
    assert_eq!(checked.class_names, ["cats", "dogs"]);
    let [train, test] = &checked.splits[..] else { panic!("{checked:?}") };
    assert_eq!((train.images, &train.class_sizes[..], train.bad.len()), (8, &[4, 4][..], 0));
    assert_eq!((test.images, &test.class_sizes[..], test.sizes), (3, &[2, 1][..], Some([(20, 40), (32, 32)])));
    assert!(test.bad[0].contains("bad.png"), "{:?}", test.bad);
    let [leak, twice] = &checked.copies[..] else { panic!("{checked:?}") };
    assert!(leak.between_splits && leak.other_labels && leak.places[1].ends_with("leak.png"), "{leak:?}");
    assert!(!twice.between_splits && !twice.other_labels && twice.places.len() == 2, "{twice:?}");
}

/// The images and labels of two epochs' batches, made when asked for and ahead.
fn seen(images: &Images, normalization: Normalization) -> Vec<(Vec<f32>, Vec<u32>)> {
    let all = "resized-crop-flip + randaugment 2 9 + jitter 0.4 + cutout 8 + mixup 0.2".parse().unwrap();
    [Augmentation::CROP_FLIP, all].into_iter().flat_map(|view| seen_as(images, view, normalization)).collect()
}

fn seen_as(images: &Images, augmentation: Augmentation, normalization: Normalization) -> Vec<(Vec<f32>, Vec<u32>)> {
    let placed = images.placed_on(&Device::Cpu).unwrap();
    let config = BatchConfig { batch_size: 7, augmentation, normalization };
    let streams = Streams::new(31, "a network");
    let mut seen = Vec::new();
    for epoch in 0..2 {
        let order = epoch_order(images.len(), &streams, epoch);
        let mut add = |batch: Result<Batch>| {
            let batch = batch.unwrap();
            seen.push((batch.images.flatten_all().unwrap().to_vec1().unwrap(), batch.labels.to_vec1().unwrap()));
        };
        batches(&placed, &order, &config, &streams, epoch).for_each(&mut add);
        std::thread::scope(|scope| batches_ahead(scope, &placed, &order, &config, &streams, epoch).for_each(&mut add));
    }
    seen
}

#[test]
fn images_that_would_fill_the_memory_stay_in_their_files_and_are_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let folders = dir.path().join("folders");
    class_folders(&folders, &[("cats", 20), ("dogs", 13)]);
    fs::write(folders.join("cats/wide.png"), png(&vec![7; 90 * 40 * 3], 90, 40)).unwrap();
    // Rows of parquet: with test images, and without, when they are set aside.
    let rows = dir.path().join("rows");
    fs::create_dir(&rows).unwrap();
    fs::copy(written("parquet/data/train-00000-of-00001.parquet"), rows.join("train-00000-of-00001.parquet")).unwrap();
    for (place, size) in [
        (folders.clone(), None),
        (written("shards"), None),
        (written("parquet"), None),
        (written("parquet"), Some("20of24")),
        (rows, Some("16")),
    ] {
        let data: DatasetRef = place.to_str().unwrap().parse().unwrap();
        let data = size.map_or(data.clone(), |size: &str| data.scaled(size.parse().unwrap()));
        let sources = |memory| Sources { memory, ..Sources::default() }.with(&data).unwrap();
        let held = load(&data.name, &sources(None), &mut |_| {}).unwrap();
        let stored = load(&data.name, &sources(Some(500)), &mut |_| {}).unwrap();
        assert!(held.train.pixels().is_some() && stored.train.pixels().is_none());
        assert_eq!(stored.card.notes.last().unwrap(), "its images stay in their files, and are decoded in every epoch");
        let same = Card { notes: held.card.notes.clone(), ..stored.card.clone() };
        assert_eq!(same, held.card);
        assert_eq!(seen(&stored.train, stored.card.normalization), seen(&held.train, held.card.normalization));
        let some = [2, 0, 1];
        assert_eq!(
            seen(&stored.train.subset(&some), held.card.normalization),
            seen(&held.train.subset(&some), held.card.normalization)
        );

        // With a card that is kept, none is decoded before it is asked for.
        let cards = dir.path().join("cards");
        Catalog::new(sources(Some(500)), cards.clone()).card(&data.name, &mut |_| {}).unwrap();
        let catalog = Catalog::new(sources(Some(500)), cards);
        let again = catalog.load(&data.name, &mut |progress| panic!("{progress:?}")).unwrap();
        assert_eq!(again.card, stored.card);
        assert_eq!(seen(&again.train, held.card.normalization), seen(&held.train, held.card.normalization));
        assert_eq!(seen(&again.test, held.card.normalization), seen(&held.test, held.card.normalization));
    }
}

#[test]
fn pixels_of_scaled_images_are_kept_and_damaged_ones_are_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (photos, cards) = (dir.path().join("photos"), dir.path().join("cards"));
    class_folders(&photos, &[("cats", 8), ("dogs", 8)]);
    fs::write(photos.join("cats/wide.png"), png(&[7; 90 * 40 * 3], 90, 40)).unwrap();
    let data: DatasetRef = photos.to_str().unwrap().parse().unwrap();
    // One of them cannot be decoded, and which one that is is kept too.
    fs::write(photos.join("dogs/3a.png"), "no image").unwrap();
    let data = data.scaled("8".parse().unwrap());
    let sources = Sources { skip_bad: 1, ..Sources::default() }.with(&data).unwrap();
    let load_in = |memory| {
        let mut decoded = false;
        let catalog = Catalog::new(Sources { memory, ..sources.clone() }, cards.clone());
        let loaded = catalog.load(&data.name, &mut |progress| decoded |= progress.stage == Stage::Decode).unwrap();
        (seen(&loaded.train, loaded.card.normalization), loaded.test.clone(), loaded.card.clone(), decoded)
    };
    let load = || load_in(None);
    let (train, test, card, decoded) = load();
    assert!(decoded);
    let (again, test_again, card_again, decoded) = load();
    assert!((again, &test_again, card_again) == (train.clone(), &test, card.clone()) && !decoded);
    let (in_files, _, card_in_files, decoded) = load_in(Some(500));
    assert!((in_files, card_in_files) == (train.clone(), card.clone()) && !decoded);
    // A changed bit, a short file, none: each time all are decoded, and kept anew.
    let files = || fs::read_dir(&cards).unwrap().map(|entry| entry.unwrap().path());
    let pixels = || files().find(|path| path.to_str().unwrap().ends_with(".train.pixels")).unwrap();
    let damages: [&dyn Fn(&Path); 3] = [
        &|path| {
            let mut bytes = fs::read(path).unwrap();
            bytes[99] ^= 1;
            fs::write(path, bytes).unwrap();
        },
        &|path| fs::write(path, "short").unwrap(),
        &|path| fs::remove_file(path).unwrap(),
    ];
    for damage in damages {
        damage(&pixels());
        assert!(load() == (train.clone(), test.clone(), card.clone(), true));
        assert!(!load().3);
    }
    // What takes more room than its files is not kept.
    let large = data.scaled("200".parse().unwrap());
    Catalog::new(sources.clone(), cards.clone()).load(&large.name, &mut |_| {}).unwrap();
    assert_eq!(files().filter(|path| path.extension().is_some_and(|ending| ending == "pixels")).count(), 2);
    // Those of other images are not taken for these.
    let other = fs::read(pixels()).unwrap();
    fs::write(photos.join("cats/wide.png"), png(&[9; 90 * 40 * 3], 90, 40)).unwrap();
    assert!(load().3);
    fs::write(pixels(), other).unwrap();
    let (_, _, changed, decoded) = load();
    assert!(decoded && changed.checksum != card.checksum);
}

#[test]
fn resized_crops_are_taken_from_images_as_they_came() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["cats", "dogs"] {
        for split in ["train", "val"] {
            // The left half is black, the right half is white: scaled to its middle, hardly an image shows one colour alone.
            let row: Vec<u8> = (0..240 * 3).map(|i| if i < 360 { 0 } else { 255 }).collect();
            fs::create_dir_all(dir.path().join(split).join(class)).unwrap();
            fs::write(dir.path().join(split).join(class).join("wide.png"), png(&row.repeat(80), 240, 80)).unwrap();
        }
    }
    let data: DatasetRef = dir.path().to_str().unwrap().parse().unwrap();
    let data = data.scaled("16".parse().unwrap());
    let loaded = load(&data.name, &Sources::default().with(&data).unwrap(), &mut |_| {}).unwrap();
    let plain = Normalization { mean: [0.0; 3], std: [1.0; 3] };
    let (placed, streams) = (loaded.train.placed_on(&Device::Cpu).unwrap(), Streams::new(1, "a network"));
    let config = BatchConfig { batch_size: 1, augmentation: Augmentation::RESIZED_CROP_FLIP, normalization: plain };
    let of_one_colour = (0..50).filter(|&epoch| {
        let batch = batches(&placed, &[0], &config, &streams, epoch).next().unwrap().unwrap();
        assert_eq!(batch.images.dims(), [1, 3, 16, 16]);
        let values: Vec<f32> = batch.images.flatten_all().unwrap().to_vec1().unwrap();
        values.iter().all(|&value| value == values[0])
    });
    assert!(of_one_colour.count() > 10);
}

#[test]
fn file_that_is_changed_after_it_was_listed_is_an_error_in_its_batch() {
    let dir = tempfile::tempdir().unwrap();
    class_folders(dir.path(), &[("cats", 6), ("dogs", 6)]);
    let data: DatasetRef = dir.path().to_str().unwrap().parse().unwrap();
    let sources = Sources { memory: Some(1000), skip_bad: 1, ..Sources::default() }.with(&data).unwrap();
    fs::write(dir.path().join("dogs/9.png"), "no image").unwrap();
    let loaded = load(&data.name, &sources, &mut |_| {}).unwrap();
    assert_eq!(loaded.train.len() + loaded.test.len(), 12);
    for class in ["cats", "dogs"] {
        for i in 0..6 {
            // Another image, and a whole one.
            fs::write(dir.path().join(class).join(format!("{i}.png")), png(&[77; 33 * 32 * 3], 33, 32)).unwrap();
        }
    }
    let placed = loaded.train.placed_on(&Device::Cpu).unwrap();
    let (augmentation, normalization) = (Augmentation::NONE, loaded.card.normalization);
    let config = BatchConfig { batch_size: 4, augmentation, normalization };
    let streams = Streams::new(0, "a network");
    let error = batches(&placed, &[0, 1], &config, &streams, 0).next().unwrap().unwrap_err();
    assert!(matches!(&error, Error::FileChanged { .. }), "{error}");
}

//! The drawn data sets.

use takd_datasets::{Dataset, Drawn, Error, Images, Known, Sources, Split, Stage, load};

const DRAWN: [Known; 2] = [Known::Shapes10, Known::Shapes100];

fn draw(known: Known, train: usize, test: usize, seed: u64) -> Dataset {
    let sources = Sources { drawn: Drawn { train, test, seed }, ..Sources::default() };
    load(&known.into(), &sources, &mut |_| {}).unwrap()
}

#[test]
fn pictures_are_the_same_bytes_on_every_machine_as_ever() {
    // A change here changes every number that was ever measured on these images, and `drawn::VERSION` must rise with it.
    let checksums = DRAWN.map(|name| draw(name, 300, 100, 0).card.checksum);
    assert_eq!(
        checksums,
        [
            "63c9932bbc48d9234131dfae0e8b355f8717d62a9436f32c3a9fc3b803db27f2",
            "c80f9c74bf7b15bb4b215817ef989c3270f8f7a4be4ef95b9493cb7f13bf5edc",
        ]
    );
}

#[test]
fn any_number_of_threads_draws_the_same() {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
    let wanted = draw(Known::Shapes10, 50, 50, 1).card.checksum;
    assert_eq!(pool.install(|| draw(Known::Shapes10, 50, 50, 1)).card.checksum, wanted);
}

#[test]
fn smaller_set_is_the_beginning_of_a_larger_one() {
    for name in DRAWN {
        let (small, large) = (draw(name, 150, 20, 3), draw(name, 1100, 130, 3));
        let begins = |small: &Images, large: &Images| {
            assert_eq!(small.labels(), &large.labels()[..small.len()]);
            assert!(large.pixels().unwrap().starts_with(small.pixels().unwrap()));
        };
        begins(&small.train, &large.train);
        begins(&small.test, &large.test);
    }
}

#[test]
fn seed_and_split_make_other_pictures() {
    let (one, two) = (draw(Known::Shapes10, 20, 20, 0), draw(Known::Shapes10, 20, 20, 1));
    assert_ne!(one.train.image(0).unwrap(), two.train.image(0).unwrap());
    assert_ne!(one.train.image(0).unwrap(), one.test.image(0).unwrap());
}

#[test]
fn classes_are_balanced_to_within_one_image() {
    for name in DRAWN {
        let mut counts = vec![0; name.classes()];
        for &label in draw(name, 250, 1, 0).train.labels() {
            counts[label as usize] += 1;
        }
        assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
    }
}

#[test]
fn origin_says_that_these_are_no_photographs() {
    let origin = draw(Known::Shapes10, 10, 10, 4).card.origin;
    assert!(origin.contains("drawn by code (10 train, 10 test, seed 4)"), "{origin}");
    assert!(origin.contains("no stand-in for results on CIFAR"), "{origin}");
}

#[test]
fn no_images_at_all_are_refused_by_split() {
    let sources = Sources { drawn: Drawn { train: 1, test: 0, seed: 0 }, ..Sources::default() };
    let error = load(&Known::Shapes10.into(), &sources, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::Empty { split: Split::Test, .. }), "{error}");
}

#[test]
fn progress_of_the_drawing_ends_at_the_number_of_images() {
    let sources = Sources { drawn: Drawn { train: 1500, test: 10, seed: 0 }, ..Sources::default() };
    let mut steps = Vec::new();
    load(&Known::Shapes10.into(), &sources, &mut |progress| {
        assert_eq!(progress.stage, Stage::Draw);
        steps.push((progress.what.to_string(), progress.done, progress.total));
    })
    .unwrap();
    let wanted = [("train", 0, 1500), ("train", 1024, 1500), ("train", 1500, 1500), ("test", 0, 10), ("test", 10, 10)];
    assert_eq!(steps, wanted.map(|(what, done, total)| (what.to_string(), done, total)));
}

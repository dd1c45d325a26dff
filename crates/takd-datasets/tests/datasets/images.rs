//! Taking some of the images.

use proptest::prelude::*;
use takd_datasets::{Error, Images};

/// Images of one pixel that tells their place, with these labels.
fn images(labels: Vec<u32>) -> Images {
    let pixels = (0..labels.len()).flat_map(|i| [i as u8, (i >> 8) as u8, 0]).collect();
    Images::new(pixels, labels, 1, 1).unwrap()
}

/// The places of the images that were taken.
fn places(images: &Images) -> Vec<usize> {
    images.pixels().unwrap().chunks(3).map(|pixel| usize::from(pixel[0]) + 256 * usize::from(pixel[1])).collect()
}

fn counts(labels: impl IntoIterator<Item = u32>) -> [usize; 6] {
    let mut counts = [0; 6];
    for label in labels {
        counts[label as usize] += 1;
    }
    counts
}

proptest! {
    #[test]
    fn holdout_is_disjoint_complete_and_balanced(
        labels in prop::collection::vec(0..6u32, 0..300),
        share in 0.0..1.2f64,
        seed: u64,
    ) {
        let n = (labels.len() as f64 * share) as usize;
        let images = images(labels.clone());
        let (train, held_out) = images.stratified_holdout(n, seed);
        prop_assert_eq!(held_out.len(), n.min(labels.len()));
        prop_assert!(train.is_sorted() && held_out.is_sorted());

        let mut all = [train, held_out.clone()].concat();
        all.sort_unstable();
        prop_assert_eq!(all, (0..labels.len()).collect::<Vec<_>>());

        let sizes = counts(labels.iter().copied());
        for (taken, of) in counts(held_out.iter().map(|&i| labels[i])).into_iter().zip(sizes) {
            let fair = of as f64 * held_out.len() as f64 / labels.len().max(1) as f64;
            prop_assert!((taken as f64 - fair).abs() <= 1.0, "{} of {}, {} would be fair", taken, of, fair);
        }
    }

    #[test]
    fn fewer_images_are_among_more_and_keep_their_order(
        labels in prop::collection::vec(0..6u32, 1..200),
        few in 0..200usize,
        more in 0..200usize,
        seed: u64,
    ) {
        let images = images(labels);
        let (few, more) = (few.min(more), few.max(more));
        let (fewer, more) = (places(&images.limit(few, seed)), places(&images.limit(more, seed)));
        prop_assert_eq!(fewer.len(), few.min(images.len()));
        prop_assert!(more.is_sorted());
        prop_assert!(fewer.iter().all(|place| more.contains(place)));
    }
}

#[test]
fn same_seed_holds_out_the_same_and_another_does_not() {
    let images = images((0..200).map(|i| i % 6).collect());
    assert_eq!(images.stratified_holdout(50, 1), images.stratified_holdout(50, 1));
    assert_ne!(images.stratified_holdout(50, 1), images.stratified_holdout(50, 2));
}

#[test]
fn limit_beyond_what_there_is_changes_nothing() {
    let images = images(vec![0, 1, 2]);
    assert_eq!(images.limit(3, 0), images);
    assert_eq!(images.limit(100, 0), images);
}

#[test]
fn subset_takes_pixels_and_labels_in_the_order_asked_for() {
    let taken = images(vec![5, 4, 3, 2]).subset(&[3, 0, 0]);
    assert_eq!(places(&taken), [3, 0, 0]);
    assert_eq!(taken.labels(), [2, 5, 5]);
    assert_eq!([0, 1, 2].map(|index| taken.place(index)), [3, 0, 0]);
    let twice = taken.subset(&[1, 0]);
    assert_eq!([0, 1].map(|index| twice.place(index)), [0, 3]);
}

#[test]
fn pixels_that_do_not_fit_the_labels_are_refused_with_both_counts() {
    for (pixels, labels, height, width) in
        [(11, 1, 2, 2), (13, 1, 2, 2), (0, 1, 0, 2), (12, 2, 2, 2), (0, 1, usize::MAX, 2)]
    {
        let error = Images::new(vec![0; pixels], vec![0; labels], height, width).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }));
        let message = error.to_string();
        assert!(message.contains(&format!("{pixels} bytes of pixels and {labels} labels")), "{message}");
    }
}

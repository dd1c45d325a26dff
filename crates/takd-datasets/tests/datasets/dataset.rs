//! A data set made of images that the caller has.

use takd_datasets::{Dataset, Error, Images, Known, Split};

fn images(labels: &[u32], height: usize, width: usize) -> Images {
    Images::new(vec![100; labels.len() * height * width * 3], labels.to_vec(), height, width).unwrap()
}

fn dataset(train: Images, test: Images) -> Result<Dataset, Error> {
    let known = Known::Shapes10;
    Dataset::new(known.into(), known.class_names(), train, test, "made by a test".into())
}

#[test]
fn card_says_what_the_images_are() {
    let card = dataset(images(&[0, 9, 3], 4, 5), images(&[1], 4, 5)).unwrap().card;
    assert_eq!((card.train, card.test, card.height, card.width, card.classes()), (3, 1, 4, 5, 10));
    assert_eq!(card.normalization.mean, [100.0 / 255.0; 3]);
    assert_eq!((card.origin.as_str(), card.checksum.len()), ("made by a test", 64));
    assert!(card.notes.is_empty());
    let json = serde_json::to_string(&card).unwrap();
    assert_eq!(serde_json::from_str::<takd_datasets::Card>(&json).unwrap(), card);
}

#[test]
fn images_that_make_no_data_set_are_refused() {
    let error = dataset(images(&[0], 4, 5), images(&[0], 5, 4)).unwrap_err();
    assert!(matches!(error, Error::SplitSizes { train: (4, 5), test: (5, 4) }), "{error}");
    let error = dataset(images(&[0], 4, 5), images(&[], 4, 5)).unwrap_err();
    assert!(matches!(error, Error::Empty { split: Split::Test, .. }), "{error}");
    let error = dataset(images(&[0, 9, 10], 4, 5), images(&[0], 4, 5)).unwrap_err();
    assert!(matches!(error, Error::Label { split: Split::Train, index: 2, label: 10, .. }), "{error}");
}

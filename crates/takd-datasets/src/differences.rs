//! In what given images differ from what is known of their data set.

use crate::{Images, Known, Normalization, Split};

/// How far a mean or deviation may be from the known one. Copies that were compressed anew as JPEG are within it.
const TOLERANCE: f32 = 0.005;

/// In what the images differ from what is known of their data set, one sentence each.
pub(crate) fn between(name: Known, train: &Images, test: &Images, measured: &Normalization) -> Vec<String> {
    let Some(known) = name.facts() else { return Vec::new() };
    let mut notes = Vec::new();
    for (split, images, expected) in [(Split::Train, train, known.train), (Split::Test, test, known.test)] {
        if images.len() == expected {
            notes.extend(known.is_balanced.then(|| unbalanced(name, split, images)).flatten());
        } else {
            let found = images.len();
            notes.push(format!("the {split} split has {found} images, and that of {name} has {expected}"));
        }
    }
    // A part of the images has other means by chance.
    if train.len() == known.train && !near(measured, &known.normalization) {
        notes.push(format!(
            "the training images have mean {:.4?} and deviation {:.4?}, and those of {name} have {:.4?} and {:.4?}: \
             these may be other pictures",
            measured.mean, measured.std, known.normalization.mean, known.normalization.std
        ));
    }
    notes
}

/// Whether the classes are not of equal sizes in a split.
fn unbalanced(name: Known, split: Split, images: &Images) -> Option<String> {
    let mut sizes = vec![0; name.classes()];
    for &label in images.labels() {
        sizes[label as usize] += 1;
    }
    let expected = images.len() / sizes.len();
    let class = sizes.iter().position(|&size| size != expected)?;
    Some(format!(
        "class {class} (`{}`) has {} images in the {split} split, and every class of {name} has {expected}",
        name.class_names()[class],
        sizes[class]
    ))
}

fn near(measured: &Normalization, known: &Normalization) -> bool {
    let pairs = [(measured.mean, known.mean), (measured.std, known.std)];
    pairs.iter().all(|(found, known)| found.iter().zip(known).all(|(found, known)| (found - known).abs() <= TOLERANCE))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many images of one grey pixel, their labels going round.
    fn images(len: usize) -> Images {
        Images::new(vec![125; 3 * len], (0..len as u32).map(|i| i % 10).collect(), 1, 1).unwrap()
    }

    fn notes(train: &Images, test: &Images, measured: Normalization) -> Vec<String> {
        between(Known::Cifar10, train, test, &measured)
    }

    const CIFAR10: Normalization = Normalization { mean: [0.4914, 0.4822, 0.4465], std: [0.2470, 0.2435, 0.2616] };

    #[test]
    fn nothing_is_said_of_what_agrees() {
        assert_eq!(notes(&images(50_000), &images(10_000), CIFAR10), [""; 0]);
    }

    #[test]
    fn missing_images_are_counted() {
        assert_eq!(
            notes(&images(40), &images(20), CIFAR10),
            [
                "the train split has 40 images, and that of cifar10 has 50000",
                "the test split has 20 images, and that of cifar10 has 10000"
            ]
        );
    }

    #[test]
    fn unequal_classes_and_other_pixels_are_told() {
        let mut labels: Vec<u32> = (0..10_000).map(|i| i % 10).collect();
        labels[4] = 5;
        let test = Images::new(vec![125; 30_000], labels, 1, 1).unwrap();
        let normalization = Normalization { mean: [0.5, 0.4822, 0.4465], ..CIFAR10 };
        let found = notes(&images(50_000), &test, normalization);
        assert_eq!(found[0], "class 4 (`deer`) has 999 images in the test split, and every class of cifar10 has 1000");
        assert!(found[1].starts_with("the training images have mean [0.5000, 0.4822, 0.4465]"), "{found:?}");
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn drawn_sets_are_what_they_are() {
        assert_eq!(between(Known::Shapes10, &images(10), &images(10), &CIFAR10), [""; 0]);
    }
}

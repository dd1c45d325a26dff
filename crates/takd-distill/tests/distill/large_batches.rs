//! Batches that are computed in parts, and learning rates that rise first.

use crate::common::{Valid, alone, copy_of, outcome, run, run_counting, run_for, shapes, store, taught, timeless};
use std::num::NonZeroUsize;
use takd_datasets::{Augmentation, Dataset};
use takd_distill::{Divergence, Error, LrFrom, Protocol, Record, RunSettings, Runs, Training};

fn in_parts(config: &RunSettings, parts: usize) -> RunSettings {
    let gradient_accumulation = NonZeroUsize::new(parts).expect("a batch has one part or more");
    RunSettings { training: Training { gradient_accumulation, ..config.training.clone() }, ..config.clone() }
}

fn warmed_up(config: &RunSettings, warmup_epochs: f64) -> RunSettings {
    RunSettings { training: Training { warmup_epochs, ..config.training.clone() }, ..config.clone() }
}

fn augmented(config: &RunSettings, augmentation: &str, replays: usize) -> RunSettings {
    let augmentation: Augmentation = augmentation.parse().expect("an augmentation");
    let training = Training { augmentation, replays: NonZeroUsize::new(replays), ..config.training.clone() };
    RunSettings { training, ..config.clone() }
}

/// Fails unless `config`, broken off every five steps, ends as in one go.
fn assert_resumes(config: &RunSettings, teacher: &RunSettings, data: &Dataset) {
    let (folder, unbroken) = store();
    run(teacher, data, &unbroken).unwrap();
    let (_copy, broken) = copy_of(&folder);
    run(config, data, &unbroken).unwrap();
    let mut starts = 1;
    while let Err(error) = run_for(5, config, data, &broken) {
        assert!(matches!(error, Error::Stopped), "{error}");
        starts += 1;
    }
    assert!(starts > 2);
    assert!(outcome(&broken, config) == outcome(&unbroken, config));
    assert_eq!(broken.verify(&config.id()).unwrap(), []);
}

#[test]
fn run_whose_batches_are_computed_in_parts_resumes_bit_for_bit() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    // Batches of 32 images, the last of 8.
    let student = in_parts(&alone("resnet8", Protocol::Code, 2, &data), 3);
    // By labels alone, by logits that are kept, by a teacher that looks at every batch, and with images of two classes.
    for config in [
        student.clone(),
        taught(augmented(&student, "crop-flip", 2), &teacher),
        taught(augmented(&student, "crop-flip", 0), &teacher),
        taught(augmented(&student, "crop-flip + mixup 0.2", 0), &teacher),
    ] {
        assert_resumes(&config, &teacher, &data);
    }
}

/// The first epoch's mean loss, cross-entropy, KL and accuracy, if the rate is so small that the network stays as it is.
fn first_epoch(config: &RunSettings, data: &Dataset, store: &Runs) -> [f64; 4] {
    let lr = vec![LrFrom { epoch: 0, lr: 1e-20 }];
    let config = RunSettings { training: Training { lr, ..config.training.clone() }, ..config.clone() };
    run(&config, data, store).unwrap();
    let records = store.records(&config.id()).unwrap();
    let Some(Record::Epoch(epoch)) = records.last() else { panic!("no epoch: {records:?}") };
    let train = epoch.train;
    [train.loss.loss, train.loss.cross_entropy, train.loss.kl.unwrap_or_default(), train.accuracy]
}

#[test]
fn measures_of_an_epoch_are_those_of_the_parts_as_batches_of_their_own() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let student = alone("resnet8", Protocol::Code, 1, &data);
    let batches = |batch_size, parts| {
        let student = in_parts(&student, parts);
        RunSettings { training: Training { batch_size, ..student.training }, ..student }
    };
    for taught_by in [None, Some(0), Some(1)] {
        let with_teacher = |config: RunSettings| match taught_by {
            None => config,
            Some(replays) => taught(augmented(&config, "crop-flip", replays), &teacher),
        };
        // 200 images: five batches of 40 in parts of 10, or one of 200 in parts of 10, or 20 of 10.
        let expected = first_epoch(&with_teacher(batches(10, 1)), &data, &store);
        for (batch_size, parts) in [(40, 4), (200, 20), (320, 32)] {
            let found = first_epoch(&with_teacher(batches(batch_size, parts)), &data, &store);
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-5, "{batch_size} in {parts}: {found}, not {expected}");
            }
        }
        let at_once = first_epoch(&with_teacher(batches(40, 1)), &data, &store);
        let apart = (at_once[0] - expected[0]).abs();
        assert!(apart > 1e-4, "batch normalisation sees each part alone: {apart}");
    }
}

#[test]
fn one_part_is_no_setting_and_more_parts_than_images_are_one_for_each() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    assert_eq!(in_parts(&config, 1).id(), config.id());
    assert_ne!(in_parts(&config, 2).id(), config.id());
    let of_three = RunSettings { training: Training { batch_size: 3, ..config.training.clone() }, ..config };
    assert_eq!(in_parts(&of_three, 3).id(), in_parts(&of_three, 1_000).id());
    let (_folder, store) = store();
    run(&in_parts(&of_three, 1_000), &data, &store).unwrap();
}

#[test]
fn divergence_in_a_part_is_told_as_in_a_whole_batch() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 1e30 }];
    let config = RunSettings { training: Training { lr, ..config.training.clone() }, ..config };
    for config in [config.clone(), in_parts(&config, 4)] {
        let (_folder, store) = store();
        let result = run(&config, &data, &store);
        let Err(Error::Diverged(Divergence { epoch, step, lr, reason, .. })) = result else { panic!("{result:?}") };
        assert_eq!((epoch, step, lr), (2, 2, 1e30));
        assert!(reason.starts_with("the student's logits hold"), "{reason}");
    }
}

#[test]
fn rate_rises_in_the_records_and_the_run_resumes_in_the_midst_of_its_rise() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    // 7 steps an epoch, of which the first ten rise.
    let config = warmed_up(&alone("plane2", Protocol::Code, 8, &data), 10.5 / 7.0);
    assert_resumes(&config, &teacher, &data);
    let (_folder, store) = store();
    run(&config, &data, &store).unwrap();
    let of = |record: Record| match record {
        Record::Epoch(epoch) => (epoch.step, epoch.lr),
        Record::Step(step) => (step.step, step.lr),
    };
    let rates: Vec<(usize, f64)> = store.records(&config.id()).unwrap().into_iter().map(of).collect();
    assert_eq!(rates[0].0, 7);
    assert!((rates[0].1 - 0.01 * 7.0 / 10.5).abs() < 1e-12, "{rates:?}");
    assert!(rates[1..].iter().all(|&(_, lr)| lr == 0.01), "{rates:?}");
    // The rise is seen in what the run comes to.
    let at_once = warmed_up(&config, 0.0);
    run(&at_once, &data, &store).unwrap();
    assert_ne!(outcome(&store, &at_once).files, outcome(&store, &config).files);
}

#[test]
fn run_of_fewer_epochs_begins_a_longer_one_in_the_midst_of_its_rise() {
    let data = shapes();
    let config = warmed_up(&alone("plane2", Protocol::Sound, 4, &data), 2.5);
    let expected = {
        let (_folder, store) = store();
        run(&config, &data, &store).unwrap();
        outcome(&store, &config)
    };
    let (_folder, store) = store();
    // 6 steps an epoch.
    for epochs in 1..4 {
        let shorter = RunSettings { training: Training { epochs, ..config.training.clone() }, ..config.clone() };
        let begun = run_counting(&shorter, &data, &store).unwrap().1.started_after;
        assert_eq!(begun, Some(6 * (epochs - 1)));
    }
    assert_eq!(run_counting(&config, &data, &store).unwrap().1.started_after, Some(18));
    assert!(outcome(&store, &config) == expected);
    // One whose rate rises otherwise is no beginning.
    let other = warmed_up(&config, 2.0);
    assert_eq!(run_counting(&other, &data, &store).unwrap().1.started_after, Some(0));
}

#[test]
fn rise_that_is_over_with_the_first_step_is_none() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    assert_eq!(warmed_up(&config, 1.0 / 7.0).id(), config.id());
    assert_eq!(warmed_up(&config, -0.0).id(), config.id());
    assert_ne!(warmed_up(&config, 1.5 / 7.0).id(), config.id());
    let (_folder, store) = store();
    let [rising, full] =
        [warmed_up(&config, 0.1), config].map(|config| timeless(&run(&config, &data, &store).unwrap()));
    assert_eq!(rising, full);
}

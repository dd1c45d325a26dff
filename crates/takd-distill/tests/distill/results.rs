//! The numbers that a run reports, and what it says when they cease to be numbers.

use crate::common::{Valid, alone, dir, run, run_for, session, shapes, store, taught};
use candle_core::{D, Device};
use candle_nn::ModuleT;
use std::ops::ControlFlow;
use takd_datasets::{Augmentation, BatchConfig, Dataset, Images, Normalization, batches};
use takd_distill::{
    Distillation, Divergence, EpochRecord, Error, KlReduction, LrFrom, Pick, Protocol, Record, Retry, RunSettings,
    Runs, Scale, Session, Status, Training, train,
};
use takd_models::Network;
use takd_rng::Streams;

/// The accuracy of the network in a finished run's file, by the networks' own crate.
fn accuracy(store: &Runs, config: &RunSettings, data: &Dataset, images: &Images, indices: &[u32]) -> f64 {
    let path = store.model(&config.id()).unwrap();
    let (network, _) = Network::load(config.model, 10, &path, &Device::Cpu).unwrap();
    let normalization = match config.training.normalization {
        Scale::Own => data.card.normalization,
        Scale::PublishedCode => Normalization::PUBLISHED_CODE,
        Scale::Imagenet => Normalization::IMAGENET,
    };
    let all = BatchConfig { batch_size: indices.len(), augmentation: Augmentation::NONE, normalization };
    let images = images.placed_on(&Device::Cpu).unwrap();
    let streams = Streams::new(0, "not augmented");
    let batch = batches(&images, indices, &all, &streams, 0).next().unwrap().unwrap();
    let found = network.forward_t(&batch.images, false).unwrap().argmax(D::Minus1).unwrap().to_vec1::<u32>().unwrap();
    let labels = batch.labels.to_vec1::<u32>().unwrap();
    found.iter().zip(&labels).filter(|(found, label)| found == label).count() as f64 / labels.len() as f64
}

fn epochs(store: &Runs, config: &RunSettings) -> Vec<EpochRecord> {
    let records = store.records(&config.id()).unwrap().into_iter();
    let epoch = |record| match record {
        Record::Epoch(epoch) => Some(epoch),
        Record::Step(_) => None,
    };
    records.filter_map(epoch).collect()
}

#[test]
fn reported_accuracies_are_those_of_the_network_in_the_runs_file() {
    let data = shapes();
    let (_folder, store) = store();
    let test: Vec<u32> = (0..100).collect();
    for (model, protocol) in [("plane2", Protocol::Code), ("plane4", Protocol::Sound), ("resnet8", Protocol::Paper)] {
        let config = alone(model, protocol, 3, &data);
        let result = run(&config, &data, &store).unwrap();
        assert_eq!(result.test.unwrap().images, 100);
        assert_eq!(result.test.unwrap().accuracy, accuracy(&store, &config, &data, &data.test, &test), "{model}");
        if protocol == Protocol::Sound {
            let (_, held_out) = data.train.stratified_holdout(20, 0);
            let held_out: Vec<u32> = held_out.into_iter().map(|index| index as u32).collect();
            let expected = accuracy(&store, &config, &data, &data.train, &held_out);
            let found = result.held_out.unwrap();
            assert_eq!((found.images, found.accuracy), (20, expected));
        } else {
            assert_eq!(result.held_out, None);
        }
    }
}

#[test]
fn best_epoch_is_the_first_with_the_greatest_test_accuracy_and_the_last_epoch_is_the_last() {
    let data = shapes();
    let (_folder, store) = store();
    let mut earlier_than_the_last = 0;
    for seed in 0..4 {
        let best = RunSettings { seed, ..alone("plane2", Protocol::Code, 4, &data) };
        let result = run(&best, &data, &store).unwrap();
        let accuracies: Vec<f64> = epochs(&store, &best).iter().map(|epoch| epoch.test.unwrap().accuracy).collect();
        assert_eq!(accuracies.len(), 4);
        let greatest = accuracies.iter().copied().fold(0.0, f64::max);
        let first = accuracies.iter().position(|&accuracy| accuracy == greatest).unwrap();
        assert_eq!((result.epoch, result.test.unwrap().accuracy), (first + 1, greatest), "{accuracies:?}");
        assert_eq!(result.test, epochs(&store, &best)[first].test);
        earlier_than_the_last += usize::from(result.epoch < 4);

        let last = RunSettings { training: Training { pick: Pick::LastEpoch, ..best.training.clone() }, ..best };
        let result = run(&last, &data, &store).unwrap();
        // The training is the same; only what is looked at and kept differs.
        assert_eq!((result.epoch, result.test.unwrap().accuracy), (4, accuracies[3]));
        assert!(epochs(&store, &last).iter().all(|epoch| epoch.test.is_none()));
    }
    assert!(earlier_than_the_last > 0, "no run tells the best epoch from the last");
}

#[test]
fn run_is_compared_with_its_teachers_exactly_where_it_has_any() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 3, &data);
    let student = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    assert_eq!(run(&teacher, &data, &store).unwrap().teachers, None);
    assert_eq!(run(&student, &data, &store).unwrap().teachers, None);
    let learnt = taught(student.clone(), &teacher);
    let compared = run(&learnt, &data, &store).unwrap().teachers.unwrap();
    assert!(compared.kl > 0.0 && (0.0..=1.0).contains(&compared.agreement));
    assert!((0.0..=10f64.ln() + 1e-9).contains(&compared.soft_target_entropy));
    // Also where it does not listen.
    let kd = learnt.distillation.unwrap();
    let deaf = RunSettings { distillation: Some(Distillation { lambda: 0.0, ..kd }), ..student };
    assert!(run(&deaf, &data, &store).unwrap().teachers.is_some());
}

#[test]
fn finished_run_knows_which_test_images_it_gets_right() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let (_folder, store) = store();
    run_for(8, &config, &data, &store).unwrap_err();
    assert_eq!(store.correct(&config.id()).unwrap(), None);
    let result = run(&config, &data, &store).unwrap();
    let correct = store.correct(&config.id()).unwrap().unwrap();
    assert_eq!(correct.len(), result.test.unwrap().images);
    let hits = correct.iter().filter(|&&correct| correct).count();
    assert!(hits > 0 && hits < correct.len());
    assert_eq!(hits as f64 / correct.len() as f64, result.test.unwrap().accuracy);
    // That is known for as long as the file is there, whatever becomes of the network.
    std::fs::remove_file(store.model(&config.id()).unwrap()).unwrap();
    assert_eq!(store.correct(&config.id()).unwrap(), Some(correct));
}

#[test]
fn run_that_diverges_says_when_and_at_which_learning_rate() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let training = Training { lr: vec![LrFrom { epoch: 0, lr: 1e30 }], ..config.training.clone() };
    let (_folder, store) = store();
    let error = run(&RunSettings { training, ..config }, &data, &store).unwrap_err();
    assert!(matches!(error, Error::Diverged(Divergence { epoch: 1, step: 2.., .. })), "{error}");
    assert!(error.to_string().contains("learning rate 1000000000000000000000000000000"), "{error}");
    // In the first epoch there is nothing to go on from.
    assert!(error.to_string().contains("last good checkpoint: none yet"), "{error}");
}

#[test]
fn divergence_in_a_later_epoch_is_reported_and_leaves_the_earlier_checkpoint_whole() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 3, &data);
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 1e30 }];
    let config = RunSettings { training: Training { lr, ..config.training.clone() }, ..config };
    let id = config.id();
    let (_folder, store) = store();
    let last = dir(&store, &config).join("last.safetensors");
    // The same again if it is trained again: from the checkpoint, by no other way.
    for _ in 0..2 {
        let retried = Session { retry: Retry::Diverged, ..session() };
        let error = train(&config.valid(), &data, &store, &retried, &mut |_| ControlFlow::Continue(())).unwrap_err();
        let Error::Diverged(Divergence { epoch: 2, step: 2, lr: 1e30, reason, checkpoint }) = &error else {
            panic!("{error}")
        };
        assert!(!reason.is_empty());
        assert_eq!(checkpoint.as_ref(), Some(&last));
        assert!(error.to_string().contains(&last.display().to_string()), "{error}");
        assert_eq!(store.verify(&id).unwrap(), []);
        assert_eq!(store.status(&id).unwrap(), Status::Diverged(error.to_string()));
        // It is remembered, and not trained again by a start that does not ask for it.
        let before = run_for(0, &config, &data, &store).unwrap_err();
        assert!(
            matches!(&before, Error::DivergedBefore { id: run, reason } if *run == id && *reason == error.to_string())
        );
        let tensors = candle_core::safetensors::load(&last, &Device::Cpu).unwrap();
        for (name, tensor) in tensors {
            let numbers = tensor.to_dtype(candle_core::DType::F64).unwrap().flatten_all().unwrap();
            assert!(numbers.to_vec1::<f64>().unwrap().iter().all(|number| number.is_finite()), "{name}");
        }
    }
}

#[test]
fn loss_that_is_no_number_is_reported_with_the_step_that_has_it() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    // The smallest temperature that is above 0: what it divides is infinite.
    let distillation = Distillation {
        teachers: vec![teacher.id()],
        lambda: 1.0,
        temperature: 5e-324,
        kl_reduction: KlReduction::Mean,
        top_k: None,
    };
    let student = RunSettings { distillation: Some(distillation), ..alone("plane2", Protocol::Code, 1, &data) };
    let error = run(&student, &data, &store).unwrap_err();
    assert!(matches!(&error, Error::Diverged(Divergence { epoch: 1, step: 1, lr: 0.01, .. })), "{error}");
}

//! A run that is finished goes on where more epochs are wanted, and ends as if it had had them from the start.

use crate::common::{Outcome, Valid, alone, dir, outcome, run, run_counting, run_for, shapes, store, taught};
use std::fs;
use std::num::NonZeroUsize;
use takd_datasets::Dataset;
use takd_distill::{Error, LrFrom, Protocol, RunSettings, Runs, Training};

fn with_epochs(config: &RunSettings, epochs: usize) -> RunSettings {
    RunSettings { training: Training { epochs, ..config.training.clone() }, ..config.clone() }
}

/// How `config` ends that is trained in a store of its own, with its teacher.
fn from_the_start(config: &RunSettings, teacher: Option<&RunSettings>, data: &Dataset) -> Outcome {
    let (_folder, store) = store();
    for config in teacher.into_iter().chain([config]) {
        run(config, data, &store).unwrap();
    }
    outcome(&store, config)
}

/// After how many steps `config` was begun.
fn begun_after(config: &RunSettings, data: &Dataset, store: &Runs) -> Option<usize> {
    run_counting(config, data, store).unwrap().1.started_after
}

#[test]
fn more_epochs_go_on_and_end_as_if_they_had_been_there_from_the_start() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let replayed = alone("resnet8", Protocol::Sound, 4, &data);
    let training = Training {
        replays: NonZeroUsize::new(2),
        lr: vec![LrFrom { epoch: 0, lr: 0.1 }, LrFrom { epoch: 3, lr: 0.01 }],
        ..replayed.training.clone()
    };
    // The best epoch counts; the last does; augmented, with forms that come again and a rate that falls later.
    let code = taught(alone("plane2", Protocol::Code, 4, &data), &teacher);
    let sound = alone("plane2", Protocol::Sound, 4, &data);
    let replayed = taught(RunSettings { training, ..replayed }, &teacher);
    for config in [code, sound, replayed] {
        let teacher = config.distillation.is_some().then_some(&teacher);
        let expected = from_the_start(&config, teacher, &data);
        let (_folder, store) = store();
        if let Some(teacher) = teacher {
            run(teacher, &data, &store).unwrap();
        }
        let mut steps = 0;
        for epochs in 1..4 {
            let shorter = with_epochs(&config, epochs);
            assert_eq!(begun_after(&shorter, &data, &store), Some(steps), "{epochs} epochs of {}", config.model);
            steps = store.records(&shorter.id()).unwrap().last().unwrap().step();
        }
        // Broken off in the epoch that it has more, too.
        assert!(matches!(run_for(2, &config, &data, &store), Err(Error::Stopped)));
        assert_eq!(begun_after(&config, &data, &store), Some(steps + 2));
        assert!(outcome(&store, &config) == expected, "{}", config.model);
        assert_eq!(store.verify(&config.id()).unwrap(), []);
    }
}

#[test]
fn run_with_other_rates_an_unfinished_one_or_a_damaged_one_is_no_beginning() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let longer = with_epochs(&config, 3);
    let expected = from_the_start(&longer, None, &data);

    let (_a, store_a) = store();
    run(&config, &data, &store_a).unwrap();
    // The rate falls in the second epoch already.
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 0.001 }];
    let other = RunSettings { training: Training { lr, ..longer.training.clone() }, ..longer.clone() };
    assert_eq!(begun_after(&other, &data, &store_a), Some(0));
    let seeded = RunSettings { seed: 8, ..longer.clone() };
    assert_eq!(begun_after(&seeded, &data, &store_a), Some(0));

    let (_b, store_b) = store();
    run_for(9, &config, &data, &store_b).unwrap_err();
    assert_eq!(begun_after(&longer, &data, &store_b), Some(0));

    for name in ["last.safetensors", "metrics.jsonl", "model.safetensors"] {
        let (_c, store) = store();
        run(&config, &data, &store).unwrap();
        let path = dir(&store, &config).join(name);
        let mut bytes = fs::read(&path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&path, bytes).unwrap();
        assert_eq!(begun_after(&longer, &data, &store), Some(0), "{name}");
        assert!(outcome(&store, &longer) == expected, "{name}");
        fs::remove_file(path).unwrap();
        let even_longer = with_epochs(&config, 4);
        assert_eq!(begun_after(&even_longer, &data, &store), Some(21), "{name}");
    }
}

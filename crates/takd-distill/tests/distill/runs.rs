//! What a run promises: one outcome for a configuration, whatever happens on the way.

use crate::common::{Valid, alone, files, run, run_for, run_until, shapes, store, taught};
use std::thread;
use std::time::{Duration, Instant};
use takd_distill::{DecayOn, Distillation, Error, Event, KlReduction, LrFrom, Protocol, RunSettings, Runs, Training};

#[test]
fn equal_configurations_end_in_equal_bytes_and_another_seed_does_not() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let (_a, first) = store();
    let (_b, second) = store();
    assert_eq!(run(&config, &data, &first).unwrap().test, run(&config, &data, &second).unwrap().test);
    assert_eq!(files(&first, &config), files(&second, &config));
    let other = RunSettings { seed: 32, ..config.clone() };
    run(&other, &data, &second).unwrap();
    assert_ne!(files(&first, &config)[2], files(&second, &other)[2]);
}

#[test]
fn number_of_threads_changes_no_bit() {
    let data = shapes();
    let config = alone("resnet8", Protocol::Paper, 1, &data);
    let outcomes = [1, 3].map(|threads| {
        let (_folder, store) = store();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run(&config, &data, &store)).unwrap();
        files(&store, &config)
    });
    assert!(outcomes[0] == outcomes[1]);
}

#[test]
fn run_broken_off_after_every_few_steps_ends_in_the_bytes_of_an_unbroken_one() {
    let data = shapes();
    // Augmented, with held-out images, taught live: everything that has a state to be restored.
    let teacher = alone("resnet8", Protocol::Sound, 1, &data);
    let student = taught(alone("resnet8", Protocol::Sound, 2, &data), &teacher);
    let augmentation = "resized-crop-flip + randaugment 1 9 + jitter 0.4 + cutout 8 + cutmix 1".parse().unwrap();
    let config = RunSettings { training: Training { augmentation, ..student.training }, ..student };
    let (_a, unbroken) = store();
    run(&teacher, &data, &unbroken).unwrap();
    run(&config, &data, &unbroken).unwrap();

    let (_b, broken) = store();
    run(&teacher, &data, &broken).unwrap();
    let mut starts = 0;
    // 180 of the 200 images are trained on: 6 steps an epoch, one of them a start's last.
    while let Err(error) = run_for(5, &config, &data, &broken) {
        assert!(matches!(error, Error::Stopped), "{error}");
        starts += 1;
        assert!(starts < 10);
    }
    assert_eq!(starts, 2);
    assert!(files(&unbroken, &config) == files(&broken, &config));
}

#[test]
fn time_of_every_start_counts_and_that_between_them_does_not() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    let pause = Duration::from_millis(300);
    let slow = |event: Event<'_>| {
        let stop = matches!(event, Event::Step { done: 3, .. });
        thread::sleep(if stop { pause } else { Duration::ZERO });
        stop
    };
    let begun = Instant::now();
    run_until(slow, &config, &data, &store).unwrap_err();
    thread::sleep(pause);
    let result = run(&config, &data, &store).unwrap();
    let all = begun.elapsed();
    assert!(result.seconds > pause.as_secs_f64(), "{}", result.seconds);
    assert!(result.seconds < (all - pause).as_secs_f64(), "{} of {all:?}", result.seconds);
}

#[test]
fn finished_run_is_not_trained_again() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    let result = run(&config, &data, &store).unwrap();
    // A watch that breaks off at the first event is never called.
    assert_eq!(run_for(0, &config, &data, &store).unwrap(), result);
}

#[test]
fn teacher_whose_share_is_nothing_changes_nothing() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let alone = run(&student, &data, &store).unwrap();
    let with_lambda = |lambda: f64| {
        let teacher = teacher.id();
        RunSettings {
            distillation: Some(Distillation {
                teachers: vec![teacher],
                lambda,
                temperature: 4.0,
                kl_reduction: KlReduction::Mean,
                top_k: None,
            }),
            ..student.clone()
        }
    };
    let unheard = run(&with_lambda(0.0), &data, &store).unwrap();
    let heard = run(&with_lambda(1.0), &data, &store).unwrap();
    assert_eq!(unheard.test, alone.test);
    assert_ne!(heard.test.unwrap().loss, alone.test.unwrap().loss);
}

#[test]
fn student_whose_teacher_is_not_trained_is_refused_with_the_teachers_run() {
    let data = shapes();
    let teacher = alone("plane2", Protocol::Code, 3, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let missing = Runs::open(&store.dir(&teacher.id()).join("elsewhere")).unwrap();
    let error = run(&student, &data, &missing).unwrap_err();
    assert!(matches!(&error, Error::Unfinished { id, .. } if *id == teacher.id()), "{error}");
    assert!(run(&student, &data, &store).is_ok());
}

#[test]
fn weight_decay_can_spare_normalisation_and_biases() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let with = |on: DecayOn| {
        let lr = vec![LrFrom { epoch: 0, lr: 0.01 }];
        let training = Training { weight_decay: 10.0, weight_decay_on: on, lr, ..config.training.clone() };
        RunSettings { training, ..config.clone() }
    };
    let (_folder, store) = store();
    let gamma = |config: &RunSettings| -> f32 {
        run(config, &data, &store).unwrap();
        let path = store.model(&config.id()).unwrap();
        let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
        tensors["conv_layers.1.weight"].mean_all().unwrap().to_scalar().unwrap()
    };
    let (all, spared) = (gamma(&with(DecayOn::All)), gamma(&with(DecayOn::Weights)));
    assert!(all < 0.7 && spared > 0.8, "γ is {all} with decay on all, {spared} with decay on weights");
}

#[test]
fn teacher_of_other_images_is_refused() {
    let data = shapes();
    let sources = takd_datasets::Sources {
        drawn: takd_datasets::Drawn { train: 200, test: 100, seed: 1 },
        ..takd_datasets::Sources::default()
    };
    let others = takd_datasets::load(&data.card.name, &sources, &mut |_| {}).unwrap();
    let teacher = alone("plane2", Protocol::Code, 1, &others);
    let (_folder, store) = store();
    run(&teacher, &others, &store).unwrap();
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    assert!(matches!(run(&student, &data, &store), Err(Error::Config(_))));
}

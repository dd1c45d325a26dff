//! A teacher looks at its images once; what it says of them is what its network says.

use crate::common::{
    Valid, Work, alone, copy_of, dir, files, names, outcome, run, run_counting, run_for, run_until, shapes, store,
    taught, timeless,
};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::thread;
use std::time::Duration;
use takd_datasets::{Augmentation, BatchConfig, Dataset, Normalization, batches};
use takd_distill::{Error, Event, Protocol, RunSettings, Runs, Scale, Training};
use takd_models::Network;
use takd_rng::Streams;

const TRAIN: &str = "logits-train-200-cpu-numerics3.safetensors";
const TEST: &str = "logits-test-100-cpu-numerics3.safetensors";

/// The same run with cropped and mirrored images, drawn anew each epoch or `replays` times.
fn cropped(config: RunSettings, replays: Option<usize>) -> RunSettings {
    let replays = replays.and_then(NonZeroUsize::new);
    RunSettings { training: Training { augmentation: Augmentation::CROP_FLIP, replays, ..config.training }, ..config }
}

fn work(started_after: usize, teacher_passes: usize) -> Work {
    Work { started_after: Some(started_after), teacher_passes }
}

/// The files of logits that a run has kept.
fn kept(store: &Runs, teacher: &RunSettings) -> Vec<String> {
    names(&dir(store, teacher)).into_iter().filter(|name| name.starts_with("logits-")).collect()
}

/// What a run's network says of `images`, and of them augmented.
fn own_logits(store: &Runs, teacher: &RunSettings, data: &Dataset, augmented: Option<usize>) -> Vec<Vec<f32>> {
    let path = store.model(&teacher.id()).unwrap();
    let (network, _) = Network::load(teacher.model, 10, &path, &Device::Cpu).unwrap();
    let augmentation = augmented.map_or(Augmentation::NONE, |_| Augmentation::CROP_FLIP);
    let config = BatchConfig { batch_size: 200, augmentation, normalization: Normalization::PUBLISHED_CODE };
    let all: Vec<u32> = (0..data.train.len() as u32).collect();
    let images = data.train.placed_on(&Device::Cpu).unwrap();
    // As forms are drawn that are replayed.
    let streams = Streams::new(0, "replayed");
    let batch = batches(&images, &all, &config, &streams, augmented.unwrap_or(0)).next().unwrap().unwrap();
    network.forward_t(&batch.images, false).unwrap().to_vec2().unwrap()
}

fn kept_logits(store: &Runs, teacher: &RunSettings, name: &str) -> Vec<Vec<f32>> {
    let tensors = candle_core::safetensors::load(dir(store, teacher).join(name), &Device::Cpu).unwrap();
    tensors["logits"].to_vec2().unwrap()
}

fn close(found: &[Vec<f32>], expected: &[Vec<f32>]) -> bool {
    let pairs = || found.iter().flatten().zip(expected.iter().flatten());
    found.len() == expected.len() && pairs().all(|(found, expected)| (found - expected).abs() < 1e-5)
}

#[test]
fn teacher_looks_at_its_images_once_for_all_its_students_and_all_their_starts() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = |seed| taught(RunSettings { seed, ..alone("plane2", Protocol::Code, 2, &data) }, &teacher);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    assert_eq!(kept(&store, &teacher), [""; 0]);

    // The training images before the first step, the test images at the end, by another start.
    run_for(3, &student(1), &data, &store).unwrap_err();
    assert_eq!(kept(&store, &teacher), [TRAIN]);
    assert_eq!(run_counting(&student(1), &data, &store).unwrap().1, work(3, 1));
    assert_eq!(kept(&store, &teacher), [TEST, TRAIN]);
    // Another student, in two starts, asks for nothing.
    run_for(3, &student(2), &data, &store).unwrap_err();
    assert_eq!(run_counting(&student(2), &data, &store).unwrap().1, work(3, 0));
}

#[test]
fn two_students_at_once_let_their_teacher_look_once() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let student = |seed| taught(RunSettings { seed, ..alone("plane2", Protocol::Code, 1, &data) }, &teacher);
    let passes: usize = thread::scope(|scope| {
        let start = |seed| {
            let (student, data, store) = (student(seed), &data, &store);
            scope.spawn(move || run_counting(&student, data, store).unwrap().1.teacher_passes)
        };
        [1, 2, 3].map(start).into_iter().map(|student| student.join().unwrap()).sum()
    });
    assert_eq!(passes, 2);
}

#[test]
fn kept_logits_are_those_of_the_teachers_network() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 2, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let own = own_logits(&store, &teacher, &data, None);
    run(&taught(alone("plane2", Protocol::Code, 1, &data), &teacher), &data, &store).unwrap();
    assert!(close(&kept_logits(&store, &teacher, TRAIN), &own));
    // Of each drawn form its own.
    run(&cropped(taught(alone("plane2", Protocol::Code, 2, &data), &teacher), Some(2)), &data, &store).unwrap();
    for form in [0, 1] {
        let name = format!("logits-train-200-crop-flip-replay{form}-cpu-numerics3.safetensors");
        let found = kept_logits(&store, &teacher, &name);
        assert!(close(&found, &own_logits(&store, &teacher, &data, Some(form))), "{name}");
        assert!(!close(&found, &own), "{name}");
    }
}

#[test]
fn damaged_or_foreign_logits_are_computed_again_and_the_student_ends_the_same() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let other = RunSettings { seed: 9, ..teacher.clone() };
    let student = |teacher| taught(alone("plane2", Protocol::Code, 1, &data), teacher);
    let (folder, whole) = store();
    for config in [&teacher, &other, &student(&teacher), &student(&other)] {
        run(config, &data, &whole).unwrap();
    }
    let (student, expected) = (student(&teacher), outcome(&whole, &student(&teacher)));
    whole.remove(&student.id()).unwrap();
    let file = |name| fs::read(dir(&whole, &teacher).join(name)).unwrap();
    let mut flipped = file(TRAIN);
    *flipped.last_mut().unwrap() ^= 1;
    let cases = [
        ("a flipped bit", flipped),
        ("half", file(TRAIN)[..4_000].to_vec()),
        ("nothing", Vec::new()),
        ("of other images", file(TEST)),
        ("of another teacher", fs::read(dir(&whole, &other).join(TRAIN)).unwrap()),
        // Whole in itself, but nothing that says whose it is.
        ("without a header", {
            let tensor = Tensor::zeros((200, 10), candle_core::DType::F32, &Device::Cpu).unwrap();
            safetensors::serialize([("logits", tensor)], None).unwrap()
        }),
    ];
    for (case, bytes) in cases {
        let (_copy, store) = copy_of(&folder);
        fs::write(dir(&store, &teacher).join(TRAIN), bytes).unwrap();
        assert_eq!(run_counting(&student, &data, &store).unwrap().1, work(0, 1), "{case}");
        assert!(outcome(&store, &student) == expected, "{case}");
        assert!(fs::read(dir(&store, &teacher).join(TRAIN)).unwrap() == file(TRAIN), "{case}");
    }
}

#[test]
fn students_of_all_seeds_see_the_same_replayed_forms() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = |seed, replays| {
        let student = RunSettings { seed, ..alone("plane2", Protocol::Code, 2, &data) };
        cropped(taught(student, &teacher), replays)
    };
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let work_of = |config| run_counting(&config, &data, &store).unwrap().1;
    assert_eq!(work_of(student(0, Some(2))), work(0, 3));
    // Their teacher has looked at them already.
    assert_eq!(work_of(student(1, Some(2))), work(0, 0));
    // The teacher of images that look new in every epoch is at work in every step.
    assert_eq!(work_of(student(1, None)), work(0, 0));
}

#[test]
fn four_epochs_of_two_forms_need_two_looks_and_resume_bit_for_bit() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = cropped(taught(alone("plane2", Protocol::Code, 4, &data), &teacher), Some(2));
    let (folder, unbroken) = store();
    run(&teacher, &data, &unbroken).unwrap();
    let (_copy, broken) = copy_of(&folder);
    assert_eq!(run_counting(&student, &data, &unbroken).unwrap().1, work(0, 3));
    let forms = [0, 1].map(|form| format!("logits-train-200-crop-flip-replay{form}-cpu-numerics3.safetensors"));
    assert_eq!(kept(&unbroken, &teacher), [&[TEST.to_owned()], &forms[..]].concat());

    let mut starts = 0;
    while let Err(error) = run_for(5, &student, &data, &broken) {
        assert!(matches!(error, Error::Stopped), "{error}");
        starts += 1;
        assert!(starts < 10);
    }
    assert!(starts > 3);
    assert!(outcome(&broken, &student) == outcome(&unbroken, &student));
    assert_eq!(kept(&broken, &teacher), kept(&unbroken, &teacher));
}

#[test]
fn network_sees_other_images_in_the_second_form_than_in_the_first() {
    let data = shapes();
    let (_folder, store) = store();
    let loss = |replays| {
        let config = cropped(alone("plane2", Protocol::Code, 2, &data), replays);
        run(&config, &data, &store).unwrap();
        let records = store.records(&config.id()).unwrap();
        [&records[0], &records[1]].map(|record| match record {
            takd_distill::Record::Epoch(epoch) => epoch.train.loss.loss,
            takd_distill::Record::Step(step) => panic!("14 steps have no line: {step:?}"),
        })
    };
    let (one, two) = (loss(Some(1)), loss(Some(2)));
    assert_eq!(one[0], two[0]);
    assert_ne!(one[1], two[1]);
}

#[test]
fn replays_of_what_is_not_augmented_change_nothing() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let plain = taught(alone("plane2", Protocol::Code, 2, &data), &teacher);
    let training = Training { replays: NonZeroUsize::new(1), ..plain.training.clone() };
    let replayed = RunSettings { training, ..plain.clone() };
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let [first, second] = [&plain, &replayed].map(|config| timeless(&run(config, &data, &store).unwrap()));
    assert_eq!((first.test, first.teachers), (second.test, second.teachers));
    assert!(files(&store, &plain)[1] == files(&store, &replayed)[1]);
    assert_eq!(replayed.id(), plain.id());
}

#[test]
fn teacher_that_scales_pixels_otherwise_sees_them_as_it_was_trained_to() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let training = Training { normalization: Scale::Own, ..student.training.clone() };
    let student = RunSettings { training, ..student };
    run(&student, &data, &store).unwrap();
    assert!(close(&kept_logits(&store, &teacher, TRAIN), &own_logits(&store, &teacher, &data, None)));
    // And where it looks at every batch of the student's.
    run(&cropped(student.clone(), None), &data, &store).unwrap();
    run(&cropped(student, Some(1)), &data, &store).unwrap();
}

#[test]
fn student_waits_for_who_works_on_its_teacher_and_says_so() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let claim = File::options().write(true).open(dir(&store, &teacher).join("claim")).unwrap();
    claim.try_lock().unwrap();
    // Nobody need wait for ever.
    let id = teacher.id();
    let waiting = |event: Event<'_>| matches!(event, Event::Waiting(run) if *run == id);
    assert!(matches!(run_until(waiting, &student, &data, &store), Err(Error::Stopped)));
    let mut told = 0;
    let ends = |event: Event<'_>| {
        told += usize::from(matches!(event, Event::Waiting(_)));
        if told == 2 {
            claim.unlock().unwrap();
        }
        false
    };
    thread::scope(|scope| {
        let student = scope.spawn(|| run_until(ends, &student, &data, &store));
        let started = std::time::Instant::now();
        while !student.is_finished() {
            assert!(started.elapsed() < Duration::from_secs(60), "it waits for nobody");
            thread::sleep(Duration::from_millis(10));
        }
        student.join().unwrap().unwrap();
    });
    assert!(told >= 2);
}

#[test]
fn damaged_logits_go_when_the_teacher_is_started_again_as_the_error_says() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    run(&student, &data, &store).unwrap();
    let id = teacher.id();
    let kept = |name: &String| name.starts_with("logits-");
    let path = store.dir(&id).join(names(&store.dir(&id)).into_iter().find(kept).unwrap());
    fs::write(&path, "no logits").unwrap();
    assert_eq!(store.verify(&id).unwrap().len(), 1);
    run(&teacher, &data, &store).unwrap();
    assert_eq!(store.verify(&id).unwrap(), []);
}

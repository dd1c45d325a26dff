//! Runs on an NVIDIA GPU, where the crate is built for one and one is there: what holds on the processor holds there.

mod common;

use candle_core::Device;
use common::{Valid, alone, copy_of, outcome, session, store, taught, timeless};
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use takd_datasets::{Augmentation, Dataset, Drawn, Known, Sources, load};
use takd_distill::{
    DeviceType, Distillation, Divergence, Error, Event, LrFrom, Protocol, Result, RunResult, RunSettings, Runs,
    Session, Training, train,
};
#[cfg(feature = "cuda")]
use takd_ops::{Compute, Precision};
use tempfile::TempDir;

/// The device, or nothing.
fn cuda() -> Option<Device> {
    #[cfg(feature = "cuda")]
    return Compute::cuda(0, Precision::F32)
        .map(|compute| compute.device)
        .inspect_err(|error| println!("skipped on CUDA: {error}"))
        .ok();
    #[cfg(not(feature = "cuda"))]
    None
}

/// 80 training images of 10 classes, and 24 to test on.
fn shapes() -> Dataset {
    let sources = Sources { drawn: Drawn { train: 80, test: 24, seed: 0 }, ..Sources::default() };
    load(&Known::Shapes10.into(), &sources, &mut |_| {}).unwrap()
}

/// Two epochs of 20 steps, more than are queued at a time.
fn config(model: &str, device: DeviceType, data: &Dataset) -> RunSettings {
    let config = alone(model, Protocol::Code, 2, data);
    RunSettings { device, training: Training { batch_size: 4, ..config.training }, ..config }
}

/// The same with images that are cropped and mirrored: anew in each epoch, or `replays` times.
fn cropped(config: RunSettings, replays: Option<usize>) -> RunSettings {
    let replays = replays.and_then(NonZeroUsize::new);
    RunSettings { training: Training { augmentation: Augmentation::CROP_FLIP, replays, ..config.training }, ..config }
}

/// The same in batches of 14 images, the last of 10, each computed in so many parts.
fn in_parts(config: RunSettings, parts: usize) -> RunSettings {
    let gradient_accumulation = NonZeroUsize::new(parts).expect("a batch has one part or more");
    RunSettings { training: Training { batch_size: 14, gradient_accumulation, ..config.training }, ..config }
}

/// The same with the largest logits of its teachers alone.
fn with_top_k(config: RunSettings, top_k: usize) -> RunSettings {
    let distillation = config.distillation.map(|kd| Distillation { top_k: NonZeroUsize::new(top_k), ..kd });
    RunSettings { distillation, ..config }
}

/// Trains until the first event that `ends` it.
fn run_until(
    mut ends: impl FnMut(&Event<'_>) -> bool,
    device: &Device,
    config: &RunSettings,
    data: &Dataset,
    store: &Runs,
) -> Result<RunResult> {
    let session = Session { compute: device.clone().into(), ..session() };
    train(&config.valid(), data, store, &session, &mut |event| match ends(&event) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
}

/// A store with a teacher in it, trained by the processor.
fn store_with_teacher(data: &Dataset) -> (RunSettings, (TempDir, Runs)) {
    let (teacher, stored) = (config("plane2", DeviceType::Cpu, data), store());
    run_until(|_| false, &Device::Cpu, &teacher, data, &stored.1).unwrap();
    (teacher, stored)
}

#[test]
fn students_end_as_the_processors_do_but_for_rounding() {
    let Some(device) = cuda() else { return };
    let data = shapes();
    let (teacher, (_folder, store)) = store_with_teacher(&data);
    // By logits that are kept, by those of every batch, and by labels alone.
    for student in [
        |config, teacher: &RunSettings| taught(config, teacher),
        |config, teacher: &RunSettings| cropped(taught(config, teacher), None),
        |config, _: &RunSettings| config,
        // By parts of batches, with each kind of teaching, and by the largest logits.
        |config, teacher: &RunSettings| in_parts(taught(config, teacher), 3),
        |config, teacher: &RunSettings| in_parts(cropped(taught(config, teacher), None), 3),
        |config, teacher: &RunSettings| with_top_k(taught(config, teacher), 3),
        |config, teacher: &RunSettings| with_top_k(in_parts(cropped(taught(config, teacher), Some(2)), 3), 3),
    ] {
        let run = |kind, device| {
            let config = RunSettings { seed: 7, ..student(config("plane2", kind, &data), &teacher) };
            timeless(&run_until(|_| false, device, &config, &data, &store).unwrap())
        };
        let (found, expected) = (run(DeviceType::Cuda, &device), run(DeviceType::Cpu, &Device::Cpu));
        let close =
            |found: f64, expected: f64| assert!((found - expected).abs() < 2e-3, "{found}, the CPU's {expected}");
        close(found.test.unwrap().loss, expected.test.unwrap().loss);
        if let (Some(found), Some(expected)) = (found.teachers, expected.teachers) {
            close(found.kl, expected.kl);
            close(found.soft_target_entropy, expected.soft_target_entropy);
        }
    }
}

#[test]
fn run_that_is_broken_off_ends_in_the_bits_of_one_that_is_not() {
    let Some(device) = cuda() else { return };
    let data = shapes();
    let (teacher, (folder, unbroken)) = store_with_teacher(&data);
    let (_copy, broken) = copy_of(&folder);
    let student = cropped(taught(config("plane2", DeviceType::Cuda, &data), &teacher), Some(2));
    run_until(|_| false, &device, &student, &data, &unbroken).unwrap();
    // In the midst of the steps that are told together, and after an epoch's last.
    for (ends_at, goes_on_after) in [(3, 16), (20, 20), (37, 40)] {
        let mut last = 0;
        let ends = |event: &Event<'_>| match event {
            Event::Step { done, .. } => {
                last = *done;
                *done == ends_at
            }
            _ => false,
        };
        let result = run_until(ends, &device, &student, &data, &broken);
        assert!(matches!(result, Err(Error::Stopped)), "{result:?}");
        assert_eq!(last, goes_on_after);
    }
    let mut started = 0;
    let starts = |event: &Event<'_>| {
        if let Event::Started { done, .. } = event {
            started = *done;
        }
        false
    };
    run_until(starts, &device, &student, &data, &broken).unwrap();
    assert_eq!(started, 40);
    assert!(outcome(&broken, &student) == outcome(&unbroken, &student));
}

#[test]
fn divergence_is_told_after_the_steps_before_it() {
    let Some(device) = cuda() else { return };
    let data = shapes();
    let config = config("plane2", DeviceType::Cuda, &data);
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 1e30 }];
    let config = RunSettings { training: Training { lr, ..config.training }, ..config };
    let (_folder, store) = store();
    let mut last = 0;
    let steps = |event: &Event<'_>| {
        if let Event::Step { done, .. } = event {
            last = *done;
        }
        false
    };
    let error = run_until(steps, &device, &config, &data, &store).unwrap_err();
    // The first step at that rate is well yet; its parameters are not.
    assert!(matches!(error, Error::Diverged(Divergence { epoch: 2, step: 2, .. })), "{error}");
    assert_eq!(last, 21);
}

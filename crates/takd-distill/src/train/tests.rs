//! Steps that are read several at once.

use super::*;
use crate::common::{Valid, alone, copy_of, outcome, run, session, shapes, store, taught};
use crate::teaching::mixed_loss;
use crate::view::replayed;
use crate::{Divergence, LrFrom, Protocol, RunSettings, Training};
use candle_core::{DType, Device, Tensor, Var};
use takd_datasets::{Augmentation, Batch, BatchConfig, Mixed, Normalization, batches};

/// A run whose steps are read `queue_len` at a time, broken off at the first event that `ends` it; and what it told.
fn told(
    queue_len: usize,
    mut ends: impl FnMut(&Event<'_>) -> bool,
    config: &RunSettings,
    data: &Dataset,
    store: &Runs,
) -> (Result<RunResult>, Vec<String>) {
    let mut events = Vec::new();
    let bounds = Bounds { queue_len, logits: Limits::default() };
    let result = train_within(bounds, &config.valid(), data, store, &session(), &mut |event| {
        events.push(format!("{event:?}"));
        if ends(&event) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (result, events)
}

#[test]
fn steps_read_several_at_once_tell_and_leave_what_steps_read_one_by_one_do() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    // 56 steps: one of them has a line in the metrics.
    let student = taught(alone("plane2", Protocol::Code, 8, &data), &teacher);
    let (folder, one_by_one) = store();
    run(&teacher, &data, &one_by_one).unwrap();
    let (_copy, several) = copy_of(&folder);
    let (result, expected) = told(1, |_| false, &student, &data, &one_by_one);
    result.unwrap();
    // 7 steps an epoch.
    let (result, found) = told(5, |_| false, &student, &data, &several);
    result.unwrap();
    assert_eq!(found, expected);
    assert!(outcome(&several, &student) == outcome(&one_by_one, &student));
}

#[test]
fn run_broken_off_among_steps_read_together_goes_on_after_the_last_of_them() {
    let data = shapes();
    let config = alone("resnet8", Protocol::Sound, 2, &data);
    let (_a, unbroken) = store();
    run(&config, &data, &unbroken).unwrap();
    let (_b, broken) = store();
    // 6 steps an epoch, read in fours and twos.
    for (ends_at, goes_on_after) in [(2, 4), (5, 6), (10, 10)] {
        let ends = |event: &Event<'_>| matches!(event, Event::Step { done, .. } if *done == ends_at);
        let (result, events) = told(4, ends, &config, &data, &broken);
        assert!(matches!(result, Err(Error::Stopped)));
        assert!(events.last().unwrap().starts_with(&format!("Step {{ done: {goes_on_after},")), "{events:?}");
    }
    let (result, events) = told(4, |_| false, &config, &data, &broken);
    result.unwrap();
    assert_eq!(events[0], "Started { done: 10, total: 12 }");
    assert!(outcome(&broken, &config) == outcome(&unbroken, &config));
}

#[test]
fn divergence_among_steps_read_together_is_told_as_among_steps_read_one_by_one() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 1e30 }];
    let config = RunSettings { training: Training { lr, ..config.training.clone() }, ..config };
    let told = |queue_len| {
        let (_folder, store) = store();
        let (result, events) = told(queue_len, |_| false, &config, &data, &store);
        let Err(Error::Diverged(Divergence { epoch, step, reason, .. })) = result else { panic!("{result:?}") };
        ((epoch, step, reason), events)
    };
    assert_eq!(told(5), told(1));
    assert_eq!(told(7).0.1, 2);
}

#[test]
fn kept_logits_teach_what_the_teacher_at_work_teaches() -> Result<()> {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store)?;
    let compute = Compute::cpu();
    let placed = PlacedData::new(&data, &compute)?;
    let teaching = |replays| -> Result<Teaching> {
        let student = taught(alone("plane2", Protocol::Code, 2, &data), &teacher);
        let replays = std::num::NonZeroUsize::new(replays);
        let training = Training { augmentation: Augmentation::CROP_FLIP, replays, ..student.training };
        let config = RunSettings { training, ..student }.valid();
        Ok(Teaching::prepare(&config, &placed, &store, Limits::default(), &mut |_| ControlFlow::Continue(()))?
            .expect("it has a teacher"))
    };
    let (kept, live) = (teaching(2)?, teaching(0)?);
    let config = BatchConfig {
        batch_size: 50,
        augmentation: Augmentation::CROP_FLIP,
        normalization: Normalization::PUBLISHED_CODE,
    };
    let order: Vec<u32> = (100..150).collect();
    let mut losses = Vec::new();
    for form in 0..2 {
        let batch = batches(&placed.train, &order, &config, &replayed(), form).next().expect("a batch")?;
        let student_logits = batch.images.flatten_from(1)?.narrow(1, 0, 10)?;
        let loss =
            |teaching: &Teaching| -> Result<f32> { Ok(teaching.loss(&student_logits, &batch, form, 1)?.to_scalar()?) };
        let (kept, live) = (loss(&kept)?, loss(&live)?);
        assert!((kept - live).abs() < 1e-5, "form {form}: {kept}, the teacher at work gives {live}");
        losses.push(kept);
    }
    assert!((losses[0] - losses[1]).abs() > 1e-4, "both forms are alike: {losses:?}");
    Ok(())
}

#[test]
fn loss_of_mixed_images_is_that_of_their_classes_by_their_shares() -> Result<()> {
    let device = Device::Cpu;
    let tensor = |labels: &[u32]| Tensor::new(labels, &device);
    let batch = |labels: &[u32], mixed: Option<(&[u32], f64)>| -> Result<Batch> {
        let mixed =
            mixed.map(|(labels, share)| Ok::<_, Error>(Mixed { labels: tensor(labels)?, share })).transpose()?;
        let images = Tensor::zeros((2, 3, 1, 1), DType::F32, &device)?;
        Ok(Batch { images, labels: tensor(labels)?, mixed, indices: vec![0, 1], index: tensor(&[0, 1])? })
    };
    let logits = Var::new(&[[1f32, -2.0, 0.5], [0.0, 3.0, 1.0]], &device)?;
    let loss = |batch: &Batch| {
        mixed_loss(batch, |labels| Ok(takd_loss::KdLoss::default().cross_entropy(logits.as_tensor(), labels)?))
    };
    let mixed = loss(&batch(&[0, 1], Some((&[2, 1], 0.3)))?)?;
    // Of the logarithms of the softmax, weighted by hand.
    let logs = candle_nn::ops::log_softmax(logits.as_tensor(), 1)?.to_vec2::<f32>()?;
    let expected = -(0.7 * logs[0][0] + 0.3 * logs[0][2] + logs[1][1]) / 2.0;
    assert!((mixed.to_scalar::<f32>()? - expected).abs() < 1e-6);
    let gradients = takd_ops::backward(&mixed)?;
    let gradient = gradients.get(logits.as_tensor()).expect("a gradient").to_vec2::<f32>()?;
    let softmax = |row: usize, class: usize| logs[row][class].exp();
    for (class, target) in [0.7, 0.0, 0.3].into_iter().enumerate() {
        assert!((gradient[0][class] - (softmax(0, class) - target) / 2.0).abs() < 1e-6);
    }
    Ok(())
}

//! Logits in several files, in memory and on disk, all of them and the largest.

use super::*;
use crate::Pass;
use crate::common::{Valid, alone, copy_of, dir, names, outcome, run, session, store, taught, taught_by_all};
use crate::kept_logits::PlacedLogits;
use crate::logits_key::Limits;
use crate::teaching::Teaching;
use crate::train::{Bounds, train_within};
use crate::view::{PlacedData, replayed};
use crate::{Distillation, Protocol, RunResult, RunSettings, Scale, Training};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use takd_datasets::{Augmentation, Batch, BatchConfig, Dataset, Drawn, Known, Normalization, Sources, batches, load};
use takd_loss::{KdLoss, Reduction, TopK};
use takd_models::Network;
use takd_ops::Compute;

/// Files of 256 images, read from disk.
const SMALL: Limits = Limits { memory: 0, file: 1 << 27, file_images: 256 };

/// 600 training images of ten classes: three such files.
fn shapes() -> Dataset {
    let sources = Sources { drawn: Drawn { train: 600, test: 40, seed: 0 }, ..Sources::default() };
    load(&Known::Shapes10.into(), &sources, &mut |_| {}).expect("drawn images need nothing")
}

fn teacher(data: &Dataset) -> RunSettings {
    alone("plane2", Protocol::Code, 1, data)
}

/// A student of two epochs, with two forms of each image.
fn student(teachers: &[&RunSettings], data: &Dataset, top_k: usize) -> RunSettings {
    let student = taught_by_all(RunSettings { seed: 5, ..alone("plane2", Protocol::Code, 2, data) }, teachers);
    let replays = NonZeroUsize::new(2);
    let training = Training { augmentation: Augmentation::CROP_FLIP, replays, ..student.training };
    let kd = student.distillation.map(|kd| Distillation { top_k: NonZeroUsize::new(top_k), ..kd });
    RunSettings { training, distillation: kd, ..student }
}

/// Trains within these limits until the first event that `ends` it.
fn train_until(
    limits: Limits,
    mut ends: impl FnMut(&Event<'_>) -> bool,
    config: &RunSettings,
    data: &Dataset,
    store: &Runs,
) -> Result<RunResult> {
    let bounds = Bounds { queue_len: 1, logits: limits };
    train_within(bounds, &config.valid(), data, store, &session(), &mut |event| match ends(&event) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
}

/// The same to the end; and for each pass of a teacher how many images it has looked at.
fn looks(limits: Limits, config: &RunSettings, data: &Dataset, store: &Runs) -> Result<Vec<usize>> {
    let mut looks = Vec::new();
    let count = |event: &Event<'_>| {
        if let Event::Pass { pass: Pass::TeacherLogits, done, total } = *event
            && done == total
        {
            looks.push(total);
        }
        false
    };
    train_until(limits, count, config, data, store)?;
    Ok(looks)
}

fn kept(store: &Runs, teacher: &RunSettings) -> Vec<String> {
    names(&dir(store, teacher)).into_iter().filter(|name| name.starts_with("logits-train")).collect()
}

#[test]
fn logits_in_several_files_on_disk_teach_as_those_of_one_in_memory() {
    let data = shapes();
    let teacher = teacher(&data);
    let (folder, whole) = store();
    run(&teacher, &data, &whole).unwrap();
    let (_copy, cut) = copy_of(&folder);
    for (top_k, name) in [(0, ""), (3, "-top3-tau4.0")] {
        let student = student(&[&teacher], &data, top_k);
        train_until(Limits::default(), |_| false, &student, &data, &whole).unwrap();
        assert_eq!(looks(SMALL, &student, &data, &cut).unwrap()[..2], [600, 600]);
        assert!(outcome(&whole, &student) == outcome(&cut, &student), "top {top_k}");
        let file = |form: usize, part: &str| {
            format!("logits-train-600-crop-flip-replay{form}{name}{part}-cpu-numerics3.safetensors")
        };
        let names = |store| -> Vec<String> {
            kept(store, &teacher).into_iter().filter(|n| n.contains("-top") == (top_k > 0)).collect()
        };
        assert_eq!(names(&whole), [file(0, ""), file(1, "")]);
        let parts = ["-from0", "-from256", "-from512"];
        let expected: Vec<String> = [0, 1].iter().flat_map(|&form| parts.map(|part| file(form, part))).collect();
        assert_eq!(names(&cut), expected);
        assert_eq!(cut.verify(&teacher.id()).unwrap(), []);
    }
    // What was removed of a run is all of it.
    cut.remove(&teacher.id()).unwrap();
    assert!(!dir(&cut, &teacher).exists());
}

#[test]
fn pass_that_is_broken_off_goes_on_with_the_file_at_which_it_was() {
    let data = shapes();
    let teacher = teacher(&data);
    for top_k in [0, 3] {
        let student = student(&[&teacher], &data, top_k);
        let (folder, broken) = store();
        run(&teacher, &data, &broken).unwrap();
        let (_copy, unbroken) = copy_of(&folder);
        let (_other_copy, broken_later) = copy_of(&folder);
        looks(SMALL, &student, &data, &unbroken).unwrap();
        // In the second file of the first form.
        let ends = |event: &Event<'_>| matches!(event, Event::Pass { done, .. } if *done > 256);
        assert!(matches!(train_until(SMALL, ends, &student, &data, &broken), Err(Error::Stopped)));
        assert_eq!(kept(&broken, &teacher).len(), 1);
        assert_eq!(looks(SMALL, &student, &data, &broken).unwrap(), [344, 600, 40]);
        assert!(outcome(&broken, &student) == outcome(&unbroken, &student));
        // The student itself is broken off, too, and goes on without a look of its teacher.
        for step in [3, 25] {
            let ends = |event: &Event<'_>| matches!(event, Event::Step { done, .. } if *done == step);
            assert!(matches!(train_until(SMALL, ends, &student, &data, &broken_later), Err(Error::Stopped)));
        }
        assert_eq!(looks(SMALL, &student, &data, &broken_later).unwrap(), [40]);
        assert!(outcome(&broken, &student) == outcome(&unbroken, &student));
    }
}

#[test]
fn damaged_or_missing_file_is_computed_again_and_no_other() {
    let data = shapes();
    let teacher = teacher(&data);
    let (folder, whole) = store();
    run(&teacher, &data, &whole).unwrap();
    for top_k in [0, 3] {
        let student = student(&[&teacher], &data, top_k);
        looks(SMALL, &student, &data, &whole).unwrap();
        let expected = outcome(&whole, &student);
        whole.remove(&student.id()).unwrap();
        let files = kept(&whole, &teacher);
        let of_this = |name: &&String| name.contains("-top") == (top_k > 0);
        let name = files.iter().filter(of_this).find(|name| name.contains("replay1") && name.contains("-from256"));
        let other = files.iter().filter(of_this).find(|name| name.contains("replay0") && name.contains("-from256"));
        let (name, other) = (name.unwrap(), other.unwrap());
        let bytes = fs::read(dir(&whole, &teacher).join(name)).unwrap();
        let mut flipped = bytes.clone();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        let cases = [
            ("a flipped bit", Some(flipped)),
            ("half", Some(bytes[..bytes.len() / 2].to_vec())),
            ("of another form", Some(fs::read(dir(&whole, &teacher).join(other)).unwrap())),
            ("missing", None),
        ];
        for (case, damaged) in cases {
            let (_copy, store) = copy_of(&folder);
            let path = dir(&store, &teacher).join(name);
            match &damaged {
                Some(damaged) => fs::write(&path, damaged).unwrap(),
                None => fs::remove_file(&path).unwrap(),
            }
            let findings = store.verify(&teacher.id()).unwrap();
            assert_eq!(findings.len(), usize::from(damaged.is_some()), "{case}: {findings:?}");
            assert_eq!(looks(SMALL, &student, &data, &store).unwrap(), [256], "{case}");
            assert!(outcome(&store, &student) == expected, "{case}");
            assert!(fs::read(&path).unwrap() == bytes, "{case}");
            // A start of the finished teacher takes the damaged one away, as the message of `verify` says.
            if let Some(damaged) = damaged {
                fs::write(&path, damaged).unwrap();
                run(&teacher, &data, &store).unwrap();
                assert!(!path.exists(), "{case}");
                assert_eq!(store.verify(&teacher.id()).unwrap(), [], "{case}");
            }
        }
    }
}

/// The loss for some logits of the student, of images in their first form.
fn loss(teaching: &Teaching, student_logits: &Tensor, batch: &Batch) -> Result<f32> {
    Ok(teaching.loss(student_logits, batch, 0, 1)?.to_scalar()?)
}

#[test]
fn loss_of_the_largest_logits_is_that_of_their_definition_and_of_all_that_of_all() -> Result<()> {
    let data = shapes();
    let first = teacher(&data);
    let second = RunSettings { seed: 9, ..first.clone() };
    let (_folder, store) = store();
    run(&first, &data, &store)?;
    run(&second, &data, &store)?;
    let compute = Compute::cpu();
    let placed = PlacedData::new(&data, &compute)?;
    let config = BatchConfig {
        batch_size: 50,
        augmentation: Augmentation::CROP_FLIP,
        normalization: Normalization::PUBLISHED_CODE,
    };
    // On both sides of the first file's end.
    let order: Vec<u32> = (230..280).collect();
    let batch = batches(&placed.train, &order, &config, &replayed(), 0).next().expect("a batch")?;
    let student_logits = batch.images.flatten_from(1)?.narrow(1, 0, 10)?.contiguous()?;
    let own_logits = |teacher: &RunSettings| -> Result<Tensor> {
        let (network, _) = Network::load(teacher.model, 10, &store.model(&teacher.id())?, &Device::Cpu)
            .expect("the network of a finished run");
        Ok(network.forward_t(&batch.images, false)?.detach())
    };
    let (first_logits, second_logits) = (own_logits(&first)?, own_logits(&second)?);
    // As the students of these tests average the KL term.
    let kd = KdLoss { temperature: 4.0, lambda: 0.5, reduction: Reduction::Mean, ..KdLoss::default() };
    for limits in [SMALL, Limits::default()] {
        for teachers in [&[&first][..], &[&first, &second]] {
            let of = |top_k| -> Result<f32> {
                let config = student(teachers, &data, top_k).valid();
                let teaching = Teaching::prepare(&config, &placed, &store, limits, &mut |_| ControlFlow::Continue(()))?;
                loss(&teaching.expect("it has a teacher"), &student_logits, &batch)
            };
            let all = of(0)?;
            assert!((of(10)? - all).abs() < 1e-5, "of all classes: {}, of all logits {all}", of(10)?);
            let mut before = 0.0;
            for k in [1, 3, 9] {
                let mut expected = 0.0;
                for logits in [&first_logits, &second_logits].into_iter().take(teachers.len()) {
                    let top = TopK::from_logits(logits, k, 4.0)?;
                    let loss = kd.forward_top_k(&student_logits, &top, &batch.labels, None)?;
                    expected += loss.to_scalar::<f32>()? / teachers.len() as f32;
                }
                let found = of(k)?;
                assert!((found - expected).abs() < 1e-5, "top {k}: {found}, by hand {expected}");
                // The more is known of the teacher, the further the student is from it.
                assert!(before < found && found < all + 1e-5, "top {k}: {found} after {before}, all {all}");
                before = found;
            }
        }
    }
    Ok(())
}

#[test]
fn no_more_logits_are_in_memory_than_the_limit_allows() -> Result<()> {
    let data = shapes();
    let first = teacher(&data);
    let second = RunSettings { seed: 9, ..first.clone() };
    let (_folder, store) = store();
    run(&first, &data, &store)?;
    run(&second, &data, &store)?;
    let compute = Compute::cpu();
    let placed = PlacedData::new(&data, &compute)?;
    let teachers = [&first, &second];
    for (top_k, form) in [(0, 600 * 40), (3, 600 * 28)] {
        let config = student(&teachers, &data, top_k).valid();
        // Of the two forms of two teachers.
        for (memory, fit) in [(0, 0), (form - 1, 0), (form, 1), (3 * form, 3), (4 * form - 1, 3), (4 * form, 4)] {
            let limits = Limits { memory, ..SMALL };
            let teaching = Teaching::prepare(&config, &placed, &store, limits, &mut |_| ControlFlow::Continue(()))?;
            let teaching = teaching.expect("it has teachers");
            let held: Vec<bool> = teaching.kept_logits().map(PlacedLogits::are_in_memory).collect();
            assert_eq!(held.iter().filter(|held| **held).count(), fit, "{memory} bytes: {held:?}");
            assert_eq!(held.len(), 4);
        }
    }
    Ok(())
}

#[test]
fn more_of_the_largest_than_there_are_classes_are_refused_before_anything_is_trained() {
    let data = shapes();
    let teacher = teacher(&data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let error = run(&student(&[&teacher], &data, 11), &data, &store).unwrap_err();
    assert!(matches!(&error, Error::Config(problem) if problem.contains("10 classes")), "{error}");
    assert_eq!(store.ids().unwrap().len(), 1);
    run(&student(&[&teacher], &data, 10), &data, &store).unwrap();
}

#[test]
fn student_whose_pixels_are_scaled_otherwise_is_taught_by_the_largest_logits_too() {
    let data = shapes();
    let teacher = teacher(&data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let student = taught(student(&[&teacher], &data, 0), &teacher);
    let training = Training { normalization: Scale::Own, augmentation: Augmentation::NONE, ..student.training };
    let kd = student.distillation.map(|kd| Distillation { top_k: NonZeroUsize::new(2), ..kd });
    let student = RunSettings { training, distillation: kd, ..student };
    assert_eq!(looks(SMALL, &student, &data, &store).unwrap(), [600, 40]);
    assert_eq!(looks(SMALL, &student, &data, &store).unwrap(), [0; 0]);
}

//! A teacher that is known by a file of its logits teaches as the teacher itself.

use crate::common::{Valid, alone, dir, names, run, run_counting, session, shapes, store, taught, taught_by_all};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use std::collections::HashMap;
use std::fs;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use takd_datasets::{Augmentation, Dataset};
use takd_distill::{
    DataConfig, Distillation, Error, Imported, NetworkFromElsewhere, Plane, Protocol, Result, RunConfig, RunResult,
    RunSettings, Runs, Spare, Training, import, landscape,
};
use takd_ops::Compute;
use takd_store::Configuration;
use tempfile::TempDir;

/// A tensor of a file: its name, type, shape and bytes.
type Part = (&'static str, Dtype, Vec<usize>, Vec<u8>);

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn part(name: &'static str, values: &[f32]) -> Part {
    (name, Dtype::F32, vec![values.len() / 10, 10], bytes(values))
}

fn write(path: &Path, parts: &[Part], about: &[(&str, &str)]) {
    let about = about.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let views = parts.iter().map(|(name, dtype, shape, bytes)| {
        (*name, TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor of these bytes"))
    });
    let file = safetensors::serialize(views, Some(about.collect::<HashMap<_, _>>())).expect("a file");
    fs::write(path, file).expect("the file is written");
}

/// A trained teacher that has taught, so that its logits of all images are kept.
struct Lesson {
    data: Dataset,
    folder: TempDir,
    store: Runs,
    teacher: RunSettings,
    student: RunSettings,
    train: Vec<f32>,
    test: Vec<f32>,
}

fn lesson() -> Lesson {
    let data = shapes();
    let (folder, store) = store();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    run(&teacher, &data, &store).unwrap();
    let student = alone("plane2", Protocol::Code, 2, &data);
    run(&taught(student.clone(), &teacher), &data, &store).unwrap();
    let kept = |name: &str| {
        let bytes = fs::read(dir(&store, &teacher).join(name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let logits = file.tensor("logits").unwrap().data().to_vec();
        logits.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect::<Vec<f32>>()
    };
    let train = kept("logits-train-200-cpu-numerics3.safetensors");
    let test = kept("logits-test-100-cpu-numerics3.safetensors");
    Lesson { data, folder, store, teacher, student, train, test }
}

impl Lesson {
    fn file(&self, parts: &[Part]) -> PathBuf {
        let path = self.folder.path().join("logits.safetensors");
        write(&path, parts, &[("checksum", &self.data.card.checksum), ("dataset", "shapes10")]);
        path
    }

    fn take_in(&self, path: &Path, outputs: &[usize]) -> Result<(RunSettings, RunResult)> {
        let file = NetworkFromElsewhere::read(path)?;
        let settings = RunSettings {
            model: file.model(),
            training: Training::NONE,
            imported: Some(Imported {
                file: file.hash().into(),
                mean: [0.5; 3],
                std: [0.5; 3],
                outputs: outputs.to_vec(),
            }),
            ..self.teacher.clone()
        };
        let config = RunConfig::new(settings.clone())?;
        let result = import(&file, &config, &self.data, &self.store, &session(), &mut |_| ControlFlow::Continue(()))?;
        Ok((settings, result))
    }

    /// Fails unless both teachers make the same student of it, step by step.
    fn assert_alike(&self, student: &RunSettings, data: &Dataset, teachers: [&RunSettings; 2]) {
        let [first, second] = teachers.map(|teacher| {
            let student = taught(student.clone(), teacher);
            let result = run(&student, data, &self.store).unwrap();
            (fs::read(dir(&self.store, &student).join("metrics.jsonl")).unwrap(), result.test, result.teachers)
        });
        assert!(first == second);
        assert!(first.2.is_some());
    }
}

#[test]
fn student_of_a_teachers_logits_is_that_of_the_teacher_bit_for_bit() {
    let lesson = lesson();
    let (given, result) =
        lesson.take_in(&lesson.file(&[part("train", &lesson.train), part("test", &lesson.test)]), &[]).unwrap();
    let own = lesson.store.finished(&lesson.teacher.id()).unwrap().unwrap();
    assert_eq!((result.test, result.parameters, result.epoch), (own.test, 0, 0));
    assert_eq!(lesson.store.correct(&given.id()).unwrap(), lesson.store.correct(&lesson.teacher.id()).unwrap());
    lesson.assert_alike(&lesson.student, &lesson.data, [&lesson.teacher, &given]);

    // On some of the images, of which the file has all.
    let few = lesson.data.limited(90);
    let student = RunSettings { data: DataConfig::of(&few.card, None), ..lesson.student.clone() };
    lesson.assert_alike(&student, &few, [&lesson.teacher, &given]);

    // Of the likeliest classes, and beside another teacher.
    let top = |teachers: &[&RunSettings]| {
        let student = taught_by_all(lesson.student.clone(), teachers);
        let kd = student.distillation.map(|kd| Distillation { top_k: NonZeroUsize::new(3), ..kd });
        let student = RunSettings { distillation: kd, ..student };
        let result = run(&student, &lesson.data, &lesson.store).unwrap();
        (result.test, result.teachers)
    };
    assert_eq!(top(&[&lesson.teacher]), top(&[&given]));
    assert_eq!(top(&[&lesson.teacher, &lesson.teacher]), top(&[&given, &lesson.teacher]));
    assert_eq!(lesson.store.verify(&given.id()).unwrap(), []);
}

#[test]
fn columns_are_put_into_the_order_of_the_classes_and_other_precisions_are_read() {
    let lesson = lesson();
    let turned = |values: &[f32]| -> Vec<f32> {
        values.as_chunks::<10>().0.iter().flat_map(|row| row.iter().rev().copied()).collect()
    };
    let backwards: Vec<usize> = (0..10).rev().collect();
    let file = lesson.file(&[part("train", &turned(&lesson.train)), part("test", &turned(&lesson.test))]);
    let (given, _) = lesson.take_in(&file, &backwards).unwrap();
    lesson.assert_alike(&lesson.student, &lesson.data, [&lesson.teacher, &given]);

    let double = |name, values: &[f32]| -> Part {
        let bytes = values.iter().flat_map(|value| f64::from(*value).to_le_bytes()).collect();
        (name, Dtype::F64, vec![values.len() / 10, 10], bytes)
    };
    let file = lesson.file(&[double("train", &lesson.train), double("test", &lesson.test)]);
    let (given, _) = lesson.take_in(&file, &[]).unwrap();
    lesson.assert_alike(&lesson.student, &lesson.data, [&lesson.teacher, &given]);
    let half: Part = ("train", Dtype::BF16, vec![200, 10], vec![0; 4_000]);
    let file = lesson.file(&[half]);
    assert_eq!(NetworkFromElsewhere::read(&file).unwrap().origin(), "logits of 200 training images, bf16");
    lesson.take_in(&file, &[]).unwrap();
}

#[test]
fn file_without_test_images_teaches_and_is_not_compared() {
    let lesson = lesson();
    let (given, result) = lesson.take_in(&lesson.file(&[part("train", &lesson.train)]), &[]).unwrap();
    assert_eq!(result.test, None);
    assert_eq!(lesson.store.correct(&given.id()).unwrap(), None);
    let student = taught(lesson.student.clone(), &given);
    let taught_by_it = run(&student, &lesson.data, &lesson.store).unwrap();
    let by_teacher = taught(lesson.student.clone(), &lesson.teacher);
    assert_eq!(taught_by_it.test, lesson.store.finished(&by_teacher.id()).unwrap().unwrap().test);
    assert_eq!(taught_by_it.teachers, None);
    // A start of the finished run finds nothing to mend.
    assert_eq!(lesson.store.verify(&given.id()).unwrap(), []);
    assert_eq!(run(&given, &lesson.data, &lesson.store).unwrap(), result);
}

#[test]
fn kept_logits_are_made_again_and_the_files_own_are_to_be_imported_again() {
    let lesson = lesson();
    let file = lesson.file(&[part("train", &lesson.train), part("test", &lesson.test)]);
    let (given, result) = lesson.take_in(&file, &[]).unwrap();
    let student = taught(lesson.student.clone(), &given);
    run(&student, &lesson.data, &lesson.store).unwrap();
    let logits = |name: &String| name.starts_with("logits-");
    assert_eq!(names(&dir(&lesson.store, &given)).iter().filter(|name| logits(name)).count(), 2);
    lesson.store.remove_spare(&given.id(), &[Spare::KeptLogits]).unwrap();
    assert_eq!(names(&dir(&lesson.store, &given)).iter().filter(|name| logits(name)).count(), 0);
    let again = RunSettings { seed: 5, ..student };
    assert_eq!(run_counting(&again, &lesson.data, &lesson.store).unwrap().1.teacher_passes, 2);

    fs::remove_file(dir(&lesson.store, &given).join("model.safetensors")).unwrap();
    let error = run(&given, &lesson.data, &lesson.store).unwrap_err();
    assert!(error.to_string().contains("import its file again"), "{error}");
    assert_eq!(lesson.take_in(&file, &[]).unwrap().1.test, result.test);
    assert_eq!(lesson.store.verify(&given.id()).unwrap(), []);
}

#[test]
fn augmented_images_and_questions_for_its_network_are_refused() {
    let lesson = lesson();
    let (given, _) = lesson.take_in(&lesson.file(&[part("train", &lesson.train)]), &[]).unwrap();
    let augmented = |replays| {
        let training = Training { augmentation: Augmentation::CROP_FLIP, replays, ..lesson.student.training.clone() };
        taught(RunSettings { training, ..lesson.student.clone() }, &given)
    };
    for replays in [None, NonZeroUsize::new(2)] {
        let error = run(&augmented(replays), &lesson.data, &lesson.store).unwrap_err();
        assert!(matches!(error, Error::Augmented { .. }), "{error}");
        assert!(error.to_string().contains("augmentation = \"none\""), "{error}");
    }
    assert!(matches!(lesson.store.model(&given.id()), Err(Error::NoNetwork(_))));
    let plane = Plane { points: 3, ..Plane::default() };
    let config = given.valid();
    let around =
        landscape(&config, &lesson.data, &lesson.store, &Compute::cpu(), plane, &mut |_, _| ControlFlow::Continue(()));
    assert!(matches!(around, Err(Error::NoNetwork(_))));

    // What pixels are scaled by is of no effect.
    let form = config.canonical();
    assert!(form.contains("model = \"logits\"\nseed = 0\n"), "{form}");
    assert!(form.ends_with("mean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n"), "{form}");
    assert_eq!(RunConfig::parse(&form).unwrap(), config);
    let training = lesson.student.training.clone();
    let trained = RunConfig::new(RunSettings { imported: None, training, ..given }).unwrap_err().to_string();
    assert!(trained.contains("import their file"), "{trained}");
}

#[test]
fn files_that_are_no_logits_of_these_images_are_refused_by_name() {
    let lesson = lesson();
    let Lesson { train, test, data, .. } = &lesson;
    let checksum = data.card.checksum.as_str();
    let path = lesson.folder.path().join("hostile.safetensors");
    let refusal = |parts: &[Part], about: &[(&str, &str)]| {
        write(&path, parts, about);
        let error = lesson.take_in(&path, &[]).unwrap_err().to_string();
        assert!(
            error.contains("hostile.safetensors") || error.contains("each of them is to be given one output"),
            "{error}"
        );
        error
    };
    let spoilt = |value: f32| {
        let mut train = train.clone();
        train[37] = value;
        part("train", &train)
    };
    let good = || [part("train", train), part("test", test)];
    let large: Part = ("train", Dtype::F64, vec![200, 10], 1e300f64.to_le_bytes().repeat(2_000));
    let cases: [(Vec<Part>, &str); 10] = [
        (vec![spoilt(f32::NAN)], "holds NaN for image 3, class 7"),
        (vec![spoilt(f32::INFINITY)], "holds inf for image 3"),
        (vec![large], "holds inf for image 0"),
        (vec![part("test", test)], "no tensor `train`"),
        (vec![part("train", &train[10..])], "has 199 rows, and shapes10 has 200 training images"),
        (vec![part("train", train), part("test", train)], "has 200 rows, and shapes10 has 100 test images"),
        (vec![("train", Dtype::F32, vec![2_000], bytes(train))], "the shape [2000]"),
        (vec![("train", Dtype::F32, vec![0, 10], Vec::new())], "the shape [0, 10]"),
        (vec![("train", Dtype::I32, vec![200, 10], bytes(train))], "is of I32"),
        (vec![("train", Dtype::F32, vec![400, 5], bytes(train)), part("test", test)], "5 and 10 columns"),
    ];
    for (parts, expected) in cases {
        let error = refusal(&parts, &[("checksum", checksum)]);
        assert!(error.contains(expected), "{error}");
    }
    let few = ("train", Dtype::F32, vec![200, 5], bytes(&train[..1_000]));
    assert!(refusal(&[few], &[("checksum", checksum)]).contains("logits with 5 outputs"));
    let unsaid = refusal(&good(), &[]);
    assert!(unsaid.contains("do not say of which images") && !unsaid.contains("takd "), "{unsaid}");
    let other = refusal(&good(), &[("checksum", "0123\u{1b}[2J"), ("dataset", "cifar\n10")]);
    assert!(other.contains("the checksum 0123") && other.contains(checksum), "{other}");
    assert!(!other.contains(['\u{1b}', '\n']), "{other:?}");
    // The same data set at another size is known by its name.
    write(&path, &good(), &[("checksum", "0123"), ("dataset", "shapes10@16")]);
    let Error::OtherImages(other) = lesson.take_in(&path, &[]).unwrap_err() else { panic!("it is of other images") };
    assert_eq!(other.at_other_size(), Some("shapes10@16".parse().unwrap()));
    assert_eq!(
        other.to_string(),
        format!(
            "cannot import {}: its logits are of the images of shapes10@16, and those here are of shapes10, at another size",
            path.display()
        )
    );
    for (class_names, expected) in [
        ("red", "no JSON list"),
        ("[\"red\", \"blue\"]", "2 `class_names` and 10 columns"),
        ("[\"a\",\"a\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\"]", "the same"),
    ] {
        let error = refusal(&good(), &[("checksum", checksum), ("class_names", class_names)]);
        assert!(error.contains(expected), "{error}");
    }
    // A header that is larger than its file, and a link.
    fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
    assert!(NetworkFromElsewhere::read(&path).unwrap_err().to_string().contains("hostile.safetensors"));
    #[cfg(unix)]
    {
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(lesson.file(&good()), &path).unwrap();
        assert!(NetworkFromElsewhere::read(&path).unwrap_err().to_string().contains("hostile.safetensors"));
    }
}

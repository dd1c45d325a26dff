//! Whatever happens to the files of a run, it is noticed, and the run ends as if it had not happened.

use crate::common::{
    Outcome, Valid, alone, copy_of, dir, names, outcome, run, run_counting, run_for, run_until, session, shapes, store,
    taught,
};
use std::fmt::Write;
use std::fs;
use std::ops::{ControlFlow, Range};
use std::path::Path;
use takd_datasets::epoch_order;
use takd_distill::{Error, Event, LrFrom, Protocol, RunSettings, Runs, Status, Training, train};
use takd_rng::Streams;
use takd_store::Configuration;
use tempfile::TempDir;

const EVENTS: &str = "events.out.tfevents.takd";
const CHECKPOINTS: [&str; 2] = ["last.safetensors", "previous.safetensors"];

/// Files on which nothing depends.
const FOR_PEOPLE: [&str; 2] = ["claim", "starts.jsonl"];

/// What can happen to a file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Damage {
    Halved,
    Emptied,
    Removed,
    FlippedBit(usize),
}

impl Damage {
    /// All there is for the file, whose bits are too many: three from anywhere, and one from its beginning, where a
    /// header is.
    fn all(path: &Path, seed: u64) -> Vec<Self> {
        let bytes = fs::metadata(path).unwrap().len() as usize;
        let drawn = |bytes: usize, bits: usize| -> Vec<Self> {
            let order = epoch_order(bytes, &Streams::new(seed, "damage"), bytes).into_iter().enumerate().take(bits);
            order.map(|(bit, byte)| Self::FlippedBit(8 * byte as usize + (bit + byte as usize) % 8)).collect()
        };
        [vec![Self::Halved, Self::Emptied, Self::Removed], drawn(bytes, 3), drawn(bytes.min(300), 1)].concat()
    }

    fn befall(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        match self {
            Self::Halved => bytes.truncate(bytes.len() / 2),
            Self::Emptied => bytes.clear(),
            Self::Removed => return fs::remove_file(path).unwrap(),
            Self::FlippedBit(bit) => bytes[bit / 8] ^= 1 << (bit % 8),
        }
        fs::write(path, bytes).unwrap();
    }
}

/// The files that `verify` names, by their names.
fn named(store: &Runs, config: &RunSettings) -> Vec<String> {
    let findings = store.verify(&config.id()).unwrap();
    findings.into_iter().map(|finding| finding.file.file_name().unwrap().to_string_lossy().into_owned()).collect()
}

/// A store with a student stopped in the midst of its third epoch, and how it ends when it is not stopped.
fn unfinished() -> (TempDir, RunSettings, Outcome) {
    let data = shapes();
    let teacher = alone("plane2", Protocol::Code, 1, &data);
    let student = taught(alone("plane2", Protocol::Code, 3, &data), &teacher);
    let (folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let (_unbroken, elsewhere) = copy_of(&folder);
    run(&student, &data, &elsewhere).unwrap();
    assert!(matches!(run_for(17, &student, &data, &store), Err(Error::Stopped)));
    let outcome = outcome(&elsewhere, &student);
    (folder, student, outcome)
}

#[test]
fn damaged_file_of_a_taught_unfinished_run_is_named_and_the_run_ends_as_if_it_were_whole() {
    let (folder, config, expected) = unfinished();
    let known =
        ["claim", "config.toml", "ending.json", EVENTS, "last.safetensors", "metrics.jsonl", "model.safetensors"];
    let files = [&known[..], &["previous.safetensors", "starts.jsonl"]].concat();
    ends_as_if_it_were_whole(&folder, &config, &expected, &files, 14..17);
}

#[test]
fn damaged_file_of_an_unfinished_run_without_a_network_is_named_and_the_run_ends_as_if_it_were_whole() {
    let data = shapes();
    // Its network is that of the last epoch; 180 images are trained on, in 6 steps an epoch.
    let config = alone("plane2", Protocol::Sound, 2, &data);
    let (_folder, unbroken) = store();
    run(&config, &data, &unbroken).unwrap();
    let (folder, broken) = store();
    run_for(8, &config, &data, &broken).unwrap_err();
    let known = ["claim", "config.toml", "ending.json", EVENTS, "last.safetensors", "metrics.jsonl"];
    let files = [&known[..], &["previous.safetensors", "starts.jsonl"]].concat();
    ends_as_if_it_were_whole(&folder, &config, &outcome(&unbroken, &config), &files, 6..8);
}

/// Of the run, stopped with these files, whose two checkpoints are those of the steps that `checkpoints` begins and ends
/// with.
fn ends_as_if_it_were_whole(
    folder: &TempDir,
    config: &RunSettings,
    expected: &Outcome,
    files: &[&str],
    checkpoints: Range<usize>,
) {
    let data = shapes();
    let whole = Runs::open(folder.path()).unwrap();
    assert_eq!(names(&dir(&whole, config)), files);
    assert_eq!(named(&whole, config), [""; 0]);

    let mut wrong = String::new();
    for (name, damage) in cases(&dir(&whole, config)) {
        let (_copy, store) = copy_of(folder);
        damage.befall(&dir(&store, config).join(&name));
        // A kill at the right moment leaves the same; and what the claim and the starts hold is for people.
        let may_be_missing = CHECKPOINTS.contains(&name.as_str()) || name == "ending.json";
        let may_be_so = FOR_PEOPLE.contains(&name.as_str()) || (damage == Damage::Removed && may_be_missing);
        let expected_names: &[String] = if may_be_so { &[] } else { std::slice::from_ref(&name) };
        let found_names = named(&store, config);
        let work = run_counting(config, &data, &store).map(|(_, work)| work.started_after);
        let started_after = match name.as_str() {
            "last.safetensors" => checkpoints.start,
            // Both checkpoints rely on these.
            "model.safetensors" | "metrics.jsonl" => 0,
            _ => checkpoints.end,
        };
        let fits = matches!(work, Ok(Some(done)) if done == started_after);
        let ended_well = work.is_ok() && outcome(&store, config) == *expected && named(&store, config).is_empty();
        if !(fits && ended_well && found_names == expected_names) {
            writeln!(wrong, "{name} {damage:?}: verify names {found_names:?}, started after {work:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// Each file of a folder with each damage.
fn cases(dir: &Path) -> Vec<(String, Damage)> {
    let each = names(dir).into_iter().zip(0..);
    let damages = |(name, seed): (String, u64)| {
        Damage::all(&dir.join(&name), seed).into_iter().map(move |damage| (name.clone(), damage))
    };
    each.flat_map(damages).collect()
}

#[test]
fn damaged_file_of_a_finished_run_is_named_and_neither_it_nor_its_student_ends_otherwise() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let config = taught(alone("plane2", Protocol::Code, 2, &data), &teacher);
    let student = taught(RunSettings { seed: 5, ..alone("plane2", Protocol::Code, 1, &data) }, &config);
    let (folder, whole) = store();
    for config in [&teacher, &config, &student] {
        run(config, &data, &whole).unwrap();
    }
    let (expected, expected_of_student) = (outcome(&whole, &config), outcome(&whole, &student));
    whole.remove(&student.id()).unwrap();
    let logits = ["logits-test-100-cpu-numerics3.safetensors", "logits-train-200-cpu-numerics3.safetensors"];
    let known = ["claim", "config.toml", "correct.json", "ending.json", EVENTS, "last.safetensors"];
    let files = [&known[..], &logits, &["metrics.jsonl", "model.safetensors", "starts.jsonl"]].concat();
    assert_eq!(names(&dir(&whole, &config)), files);
    assert_eq!(named(&whole, &config), [""; 0]);

    let mut wrong = String::new();
    for (name, damage) in cases(&dir(&whole, &config)) {
        let (_copy, store) = copy_of(&folder);
        let path = dir(&store, &config).join(&name);
        damage.befall(&path);
        // Without its result a run is one that was killed early; logits are computed when they are wanted, more epochs begin
        // anew, and comparisons do without the images.
        let dispensable = ["correct.json", "ending.json", "last.safetensors", logits[0], logits[1]];
        let may_be_so =
            FOR_PEOPLE.contains(&name.as_str()) || (damage == Damage::Removed && dispensable.contains(&name.as_str()));
        let expected_names: &[String] = if may_be_so { &[] } else { std::slice::from_ref(&name) };
        let found_names = named(&store, &config);

        let before = run(&student, &data, &store);
        let student_fits = match &before {
            Ok(_) => outcome(&store, &student) == expected_of_student,
            Err(Error::Store(takd_store::Error::Damaged { path: named, .. })) => *named == path,
            Err(Error::Unfinished { .. }) => name == "ending.json" && damage == Damage::Removed,
            Err(_) => false,
        };
        let after = run(&config, &data, &store).and_then(|_| run(&student, &data, &store));
        let ended_well = after.is_ok()
            && outcome(&store, &config) == expected
            && outcome(&store, &student) == expected_of_student
            && named(&store, &config).is_empty();
        if !(student_fits && ended_well && found_names == expected_names) {
            let before = before.map(|_| "ended");
            writeln!(wrong, "{name} {damage:?}: verify names {found_names:?}; student {before:?}; {after:?}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn run_with_both_checkpoints_damaged_begins_anew() {
    let data = shapes();
    let (folder, config, expected) = unfinished();
    for damage in [Damage::Halved, Damage::Emptied, Damage::FlippedBit(8 * 5_000)] {
        let (_copy, store) = copy_of(&folder);
        for name in CHECKPOINTS {
            damage.befall(&dir(&store, &config).join(name));
        }
        assert_eq!(named(&store, &config), CHECKPOINTS);
        let (_, work) = run_counting(&config, &data, &store).unwrap();
        assert_eq!(work.started_after, Some(0));
        assert!(outcome(&store, &config) == expected, "{damage:?}");
    }
}

#[test]
fn several_damaged_files_are_named_together() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&config, &data, &store).unwrap();
    let damaged = ["config.toml", "metrics.jsonl", "model.safetensors"];
    for name in damaged {
        Damage::Halved.befall(&dir(&store, &config).join(name));
    }
    assert_eq!(named(&store, &config), damaged);
}

#[test]
fn damaged_checkpoint_does_not_become_the_one_before_the_next() {
    let data = shapes();
    let (folder, config, _) = unfinished();
    let store = Runs::open(folder.path()).unwrap();
    Damage::FlippedBit(8 * 5_000).befall(&dir(&store, &config).join("last.safetensors"));
    assert!(matches!(run_for(1, &config, &data, &store), Err(Error::Stopped)));
    assert_eq!(named(&store, &config), [""; 0]);
    // The one before is still there to go on from.
    Damage::Halved.befall(&dir(&store, &config).join("last.safetensors"));
    assert_eq!(run_counting(&config, &data, &store).unwrap().1.started_after, Some(14));
}

#[test]
fn what_a_kill_leaves_after_the_last_checkpoint_is_taken_back() {
    let data = shapes();
    // 50 steps an epoch, so that there is a line between two checkpoints; the first epoch is no better than the second.
    let config = RunSettings { seed: 1, ..alone("plane2", Protocol::Code, 2, &data) };
    let training = Training { batch_size: 4, ..config.training.clone() };
    let config = RunSettings { training, ..config };
    let (folder, stopped) = store();
    run_until(|event| matches!(event, Event::Epoch(_)), &config, &data, &stopped).unwrap_err();
    let (_copy, ended) = copy_of(&folder);
    assert_eq!(run(&config, &data, &ended).unwrap().epoch, 2);
    let expected = outcome(&ended, &config);
    // As if killed between the network of the second epoch and its checkpoint, in the midst of a line.
    let dir_of = |store| dir(store, &config);
    fs::remove_file(dir_of(&stopped).join("ending.json")).unwrap();
    for name in [EVENTS, "model.safetensors", "metrics.jsonl"] {
        fs::copy(dir_of(&ended).join(name), dir_of(&stopped).join(name)).unwrap();
    }
    let mut metrics = fs::read(dir_of(&stopped).join("metrics.jsonl")).unwrap();
    metrics.truncate(metrics.len() - 20);
    fs::write(dir_of(&stopped).join("metrics.jsonl"), metrics).unwrap();
    assert_eq!(named(&stopped, &config), [""; 0]);
    assert_eq!(run_counting(&config, &data, &stopped).unwrap().1.started_after, Some(50));
    assert!(outcome(&stopped, &config) == expected);
}

#[test]
fn checkpoint_network_or_result_of_another_run_is_not_taken_for_the_runs_own() {
    let data = shapes();
    let (folder, config, expected) = unfinished();
    let other = RunSettings { seed: 7, ..config.clone() };
    let whole = Runs::open(folder.path()).unwrap();
    run_for(16, &other, &data, &whole).unwrap_err();
    let (_copy, ended) = copy_of(&folder);
    run(&other, &data, &ended).unwrap();
    let from_finished = |name| (dir(&ended, &other).join(name), name);
    let from_unfinished = |name| (dir(&whole, &other).join(name), name);
    let foreign = [
        from_unfinished("last.safetensors"),
        from_unfinished("metrics.jsonl"),
        from_finished("model.safetensors"),
        from_finished("config.toml"),
        from_finished(EVENTS),
    ];
    for (from, name) in foreign {
        let (_copy, store) = copy_of(&folder);
        fs::copy(from, dir(&store, &config).join(name)).unwrap();
        assert_eq!(named(&store, &config), [name]);
        run(&config, &data, &store).unwrap();
        assert!(outcome(&store, &config) == expected, "{name}");
    }
    // Of a finished run too: all of another's files are whole, and belong together.
    let (_copy, store) = copy_of(&folder);
    for name in ["metrics.jsonl", "model.safetensors", "ending.json"] {
        fs::copy(dir(&ended, &other).join(name), dir(&store, &config).join(name)).unwrap();
    }
    assert!(matches!(store.finished(&config.id()), Err(Error::Store(takd_store::Error::Damaged { .. }))));
    run(&config, &data, &store).unwrap();
    assert!(outcome(&store, &config) == expected);
}

#[test]
fn no_bit_of_a_configuration_can_change_unnoticed() {
    let data = shapes();
    let config = taught(alone("plane2", Protocol::Sound, 1, &data), &alone("plane4", Protocol::Code, 1, &data));
    let id = config.id();
    let (_folder, store) = store();
    fs::create_dir(store.dir(&id)).unwrap();
    let path = store.dir(&id).join("config.toml");
    let text = config.valid().canonical();
    fs::write(&path, &text).unwrap();
    assert_eq!(store.config(&id).unwrap(), Some(config.valid()));
    for bit in 0..8 * text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[bit / 8] ^= 1 << (bit % 8);
        fs::write(&path, &bytes).unwrap();
        let found = store.config(&id);
        assert!(
            matches!(&found, Err(takd_store::Error::Damaged { path: named, .. }) if *named == path),
            "bit {bit}: {found:?}"
        );
    }
}

#[test]
fn run_that_falls_back_shows_each_point_of_its_curves_once() {
    let data = shapes();
    // 50 steps an epoch: the last has a line of its own, at the same step as the epoch's.
    let config = alone("plane2", Protocol::Code, 2, &data);
    let training = Training { batch_size: 4, ..config.training.clone() };
    let config = RunSettings { training, ..config };
    let (_a, unbroken) = store();
    run(&config, &data, &unbroken).unwrap();

    let (_b, store) = store();
    // Stopped after the step and before the epoch's line, and again as soon as that is written.
    run_for(50, &config, &data, &store).unwrap_err();
    run_until(|event| matches!(event, Event::Epoch(_)), &config, &data, &store).unwrap_err();
    Damage::Halved.befall(&dir(&store, &config).join("last.safetensors"));
    assert_eq!(run_counting(&config, &data, &store).unwrap().1.started_after, Some(50));
    assert_eq!(named(&store, &config), [""; 0]);
    assert!(outcome(&store, &config) == outcome(&unbroken, &config));
}

#[test]
fn finished_run_that_is_trained_again_has_no_result_meanwhile() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let id = config.id();
    let (_folder, store) = store();
    let result = run(&config, &data, &store).unwrap();
    Damage::Removed.befall(&dir(&store, &config).join("model.safetensors"));
    run_for(10, &config, &data, &store).unwrap_err();
    assert!(matches!(store.status(&id).unwrap(), Status::Unfinished { epoch: 1 }));
    assert_eq!(run(&config, &data, &store).unwrap().test, result.test);
}

#[test]
fn checkpoint_that_a_kill_left_in_a_finished_run_goes_with_its_next_start() {
    let data = shapes();
    let (folder, config, expected) = unfinished();
    let store = Runs::open(folder.path()).unwrap();
    let previous = dir(&store, &config).join("previous.safetensors");
    let checkpoint = fs::read(&previous).unwrap();
    run(&config, &data, &store).unwrap();
    assert!(!previous.exists());
    fs::write(&previous, checkpoint).unwrap();
    let (_, work) = run_counting(&config, &data, &store).unwrap();
    assert_eq!(work.started_after, None);
    assert!(!previous.exists());
    assert!(outcome(&store, &config) == expected);
}

#[test]
fn network_that_rots_while_its_run_is_trained_is_noticed_before_a_result_is_made_of_it() {
    let data = shapes();
    // A rate that spoils what the first epoch has learnt, so that its network counts: written then, and read at the end.
    let config = alone("plane2", Protocol::Code, 3, &data);
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 1.0 }];
    let config = RunSettings { training: Training { lr, ..config.training.clone() }, ..config };
    let (_a, undisturbed) = store();
    let result = run(&config, &data, &undisturbed).unwrap();
    assert_eq!(result.epoch, 1);

    let (_b, store) = store();
    let model = dir(&store, &config).join("model.safetensors");
    let rotting = train(&config.valid(), &data, &store, &session(), &mut |event| {
        if matches!(event, Event::Epoch(record) if record.epoch == 3) {
            let mut bytes = fs::read(&model).unwrap();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            fs::write(&model, bytes).unwrap();
        }
        ControlFlow::Continue(())
    });
    let error = rotting.unwrap_err();
    assert!(matches!(&error, Error::Store(takd_store::Error::Damaged { path, .. }) if *path == model), "{error}");
    assert_eq!(store.finished(&config.id()).unwrap(), None);
    assert_eq!(run(&config, &data, &store).unwrap().test, result.test);
}

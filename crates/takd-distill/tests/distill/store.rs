//! The store: which runs there are, how far they have come, who taught them.

use crate::common::{Valid, alone, copy_of, dir, names, outcome, run, run_for, shapes, store, taught, taught_by_all};
use std::fs;
use std::path::Path;
use takd_distill::{Error, Protocol, Record, RunSettings, Runs, Status};
use takd_store::RunId;

#[test]
fn runs_are_the_folders_named_by_an_id_and_nothing_else() {
    let data = shapes();
    let configs = [1, 2, 3].map(|seed| RunSettings { seed, ..alone("plane2", Protocol::Code, 1, &data) });
    let (folder, store) = store();
    assert_eq!(store.ids().unwrap(), []);
    for config in &configs {
        run_for(0, config, &data, &store).unwrap_err();
    }
    for garbage in ["lost+found", ".cache", "0123456789abcdef0", "0123456789ABCDEF", "0123456789abcde"] {
        fs::create_dir(folder.path().join(garbage)).unwrap();
    }
    fs::write(folder.path().join("README.md"), "").unwrap();
    // A file is no folder, whatever its name.
    fs::write(folder.path().join("0123456789abcdef"), "").unwrap();
    let mut expected = configs.map(|config| config.id());
    expected.sort();
    assert_eq!(store.ids().unwrap(), expected);
    assert_eq!(store.dependents(&expected[0]).unwrap(), []);
}

#[test]
fn run_is_found_by_the_beginning_of_its_id_if_that_is_enough() {
    let (folder, store) = store();
    // An unset variable names no run, not even the only one.
    fs::create_dir(folder.path().join("00aa000000000000")).unwrap();
    assert!(matches!(store.find(""), Err(takd_store::Error::Prefix { .. })));
    fs::remove_dir(folder.path().join("00aa000000000000")).unwrap();
    for id in ["00aa000000000000", "00ab000000000000", "1000000000000000"] {
        fs::create_dir(folder.path().join(id)).unwrap();
    }
    let found = |prefix: &str| store.find(prefix).map(|id| id.to_string());
    assert_eq!(found("1").unwrap(), "1000000000000000");
    assert_eq!(found("00ab").unwrap(), "00ab000000000000");
    assert_eq!(found("00aa000000000000").unwrap(), "00aa000000000000");
    for (prefix, count) in [("00a", 2), ("", 3), ("f", 0), ("00aa0000000000000", 0), ("..", 0)] {
        let error = store.find(prefix).unwrap_err();
        assert!(matches!(error, takd_store::Error::Prefix { found, .. } if found == count), "{prefix}: {error}");
    }
}

#[test]
fn status_and_records_follow_a_run() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let id = config.id();
    let (_folder, store) = store();
    let epoch = |store: &Runs| match store.status(&id).unwrap() {
        Status::Unfinished { epoch } => Some(epoch),
        Status::Finished(_) | Status::Diverged(_) => None,
    };
    let lines = |store: &Runs| store.records(&id).unwrap().len();
    assert_eq!((epoch(&store), lines(&store)), (Some(0), 0));
    assert_eq!(store.config(&id).unwrap(), None);
    assert!(matches!(store.model(&id), Err(Error::Unfinished { .. })));

    run_for(3, &config, &data, &store).unwrap_err();
    assert_eq!((epoch(&store), lines(&store)), (Some(0), 0));
    assert_eq!(store.config(&id).unwrap(), Some(config.valid()));
    run_for(7, &config, &data, &store).unwrap_err();
    assert_eq!((epoch(&store), lines(&store)), (Some(1), 1));
    // The end of the file, while it is being written: a run at work has no ending.
    fs::remove_file(dir(&store, &config).join("ending.json")).unwrap();
    let metrics = dir(&store, &config).join("metrics.jsonl");
    let whole = fs::read_to_string(&metrics).unwrap();
    fs::write(&metrics, format!("{whole}{{\"kind\":\"epo")).unwrap();
    assert_eq!(lines(&store), 1);
    // Where the last checkpoint is not in its place yet, the one before counts.
    fs::remove_file(dir(&store, &config).join("last.safetensors")).unwrap();
    assert_eq!(epoch(&store), Some(1));

    let result = run(&config, &data, &store).unwrap();
    assert!(matches!(store.status(&id).unwrap(), Status::Finished(found) if found == result));
    assert_eq!(store.model(&id).unwrap(), dir(&store, &config).join("model.safetensors"));
    let records = store.records(&id).unwrap();
    let steps: Vec<usize> = records
        .iter()
        .map(|record| match record {
            Record::Epoch(epoch) => epoch.step,
            Record::Step(step) => step.step,
        })
        .collect();
    assert_eq!(steps, [7, 14]);
}

#[test]
fn teacher_knows_whom_it_has_taught() {
    let data = shapes();
    let [first, second] = [1, 2].map(|seed| RunSettings { seed, ..alone("plane2", Protocol::Code, 1, &data) });
    let student = alone("plane2", Protocol::Code, 1, &data);
    let (of_first, of_both) = (taught(student.clone(), &first), taught_by_all(student, &[&first, &second]));
    let (_folder, store) = store();
    for config in [&first, &second, &of_first] {
        run(config, &data, &store).unwrap();
    }
    run_for(1, &of_both, &data, &store).unwrap_err();
    let ids = |configs: &[&RunSettings]| {
        let mut ids: Vec<RunId> = configs.iter().map(|config| config.id()).collect();
        ids.sort();
        ids
    };
    assert_eq!(store.dependents(&first.id()).unwrap(), ids(&[&of_first, &of_both]));
    assert_eq!(store.dependents(&second.id()).unwrap(), ids(&[&of_both]));
    assert_eq!(store.dependents(&of_first.id()).unwrap(), []);
    // Who cannot say by whom it is taught is not in the way of the others.
    fs::write(dir(&store, &of_both).join("config.toml"), "").unwrap();
    assert_eq!(store.dependents(&first.id()).unwrap(), ids(&[&of_first]));
}

#[test]
fn removed_run_leaves_nothing_and_ends_the_same_when_it_is_trained_again() {
    let data = shapes();
    let (kept, config) = (alone("plane4", Protocol::Code, 1, &data), alone("plane2", Protocol::Code, 1, &data));
    let (folder, store) = store();
    run(&kept, &data, &store).unwrap();
    run(&config, &data, &store).unwrap();
    let before = outcome(&store, &config);
    store.remove(&config.id()).unwrap();
    assert_eq!(names(folder.path()), [kept.id().as_str()]);
    assert_eq!(store.verify(&kept.id()).unwrap(), []);
    run(&config, &data, &store).unwrap();
    assert!(outcome(&store, &config) == before);
}

#[test]
fn removing_what_was_never_begun_leaves_nothing_either() {
    let (folder, store) = store();
    store.remove(&RunId::try_from("0123456789abcdef".to_owned()).unwrap()).unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn verify_tells_a_student_that_its_teacher_is_damaged_or_gone() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    run(&student, &data, &store).unwrap();
    let id = student.id();
    assert_eq!(store.verify(&id).unwrap(), []);
    let teachers = dir(&store, &teacher);
    let named = || store.verify(&id).unwrap().into_iter().map(|finding| finding.file).collect::<Vec<_>>();
    fs::write(teachers.join("model.safetensors"), "").unwrap();
    assert_eq!(named(), [teachers.as_path()]);
    store.remove(&teacher.id()).unwrap();
    assert_eq!(named(), [teachers.as_path()]);
    // Its own result is as it was.
    assert!(store.finished(&id).unwrap().is_some());
}

#[test]
fn verify_of_what_was_never_begun_says_so_and_makes_nothing() {
    let (folder, store) = store();
    let id = RunId::try_from("0123456789abcdef".to_owned()).unwrap();
    let findings = store.verify(&id).unwrap();
    assert_eq!(findings.len(), 1);
    assert_eq!(findings[0].file, store.dir(&id).join("config.toml"));
    assert_eq!(names(folder.path()), [""; 0]);
    // What a kill before the first file leaves is no damage.
    fs::create_dir(store.dir(&id)).unwrap();
    fs::write(store.dir(&id).join("claim"), "process 1").unwrap();
    assert_eq!(store.verify(&id).unwrap(), []);
}

#[test]
fn removing_a_run_leaves_what_somebody_else_put_into_its_folder_and_names_it() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&config, &data, &store).unwrap();
    let id = config.id();
    let (plots, notes) = (store.dir(&id).join("plots"), store.dir(&id).join("notes.txt"));
    fs::create_dir(&plots).unwrap();
    fs::write(&notes, "dear diary").unwrap();
    assert_eq!(store.remove(&id).unwrap().left, [notes.clone(), plots.clone()]);
    assert_eq!(fs::read_to_string(&notes).unwrap(), "dear diary");
    assert_eq!(names(&store.dir(&id)), ["notes.txt", "plots"]);
    assert_eq!(store.finished(&id).unwrap(), None);
}

/// Takes the right to write from a folder and all in it, or gives it back.
#[cfg(unix)]
fn set_writable(path: &Path, writable: bool) {
    use std::os::unix::fs::PermissionsExt;
    let is_dir = path.is_dir();
    let mode = match (is_dir, writable) {
        (true, true) => 0o755,
        (true, false) => 0o555,
        (false, true) => 0o644,
        (false, false) => 0o444,
    };
    if is_dir {
        for name in names(path) {
            set_writable(&path.join(name), writable);
        }
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[cfg(unix)]
#[test]
fn store_that_may_only_be_read_gives_the_results_it_has() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let (folder, whole) = store();
    run(&teacher, &data, &whole).unwrap();
    let result = run(&student, &data, &whole).unwrap();
    // Whole, and with curves that nobody here may mend.
    for damaged in [false, true] {
        let (copy, store) = copy_of(&folder);
        let events = dir(&store, &student).join("events.out.tfevents.takd");
        if damaged {
            fs::write(&events, "").unwrap();
        }
        set_writable(copy.path(), false);
        if fs::write(copy.path().join("probe"), "").is_ok() {
            set_writable(copy.path(), true);
            println!("skipped: this user may write where permissions forbid it, as root may");
            return;
        }
        let store = Runs::open(copy.path());
        let found = store.as_ref().map(|store| run(&student, &data, store));
        let verified = store.as_ref().map(|store| store.verify(&student.id()));
        let begun = store.as_ref().map(|store| run(&alone("plane2", Protocol::Code, 1, &data), &data, store));
        set_writable(copy.path(), true);
        assert_eq!(found.unwrap().unwrap(), result);
        let expected: &[_] = if damaged { &[events] } else { &[] };
        let named: Vec<_> = verified.unwrap().unwrap().into_iter().map(|finding| finding.file).collect();
        assert_eq!(named, expected);
        assert!(matches!(begun.unwrap(), Err(Error::Store(takd_store::Error::Io { .. }))));
    }
}

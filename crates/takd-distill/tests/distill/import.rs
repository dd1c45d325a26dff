//! A network from elsewhere is taken in as a run, and teaches like any other.

use crate::common::{Valid, alone, dir, run, session, shapes, store, taught};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use takd_datasets::{Dataset, Normalization};
use takd_distill::{
    Error, Imported, NetworkFromElsewhere, Protocol, Result, RunConfig, RunResult, RunSettings, Runs, Training, import,
};
use takd_store::Configuration;

/// The network of a trained run as a file from elsewhere.
fn elsewhere(data: &Dataset, store: &Runs) -> (RunSettings, RunResult, PathBuf) {
    let original = alone("plane4", Protocol::Code, 2, data);
    let result = run(&original, data, store).unwrap();
    (original.clone(), result, dir(store, &original).join("model.safetensors"))
}

fn read(path: &Path) -> NetworkFromElsewhere {
    NetworkFromElsewhere::read(path).unwrap()
}

fn settings(file: &NetworkFromElsewhere, outputs: &[usize], data: &Dataset) -> RunSettings {
    let Normalization { mean, std } = Normalization::PUBLISHED_CODE;
    RunSettings {
        training: Training::NONE,
        imported: Some(Imported { file: file.hash().into(), mean, std, outputs: outputs.to_vec() }),
        ..alone("plane4", Protocol::Code, 1, data)
    }
}

fn take_in(file: &NetworkFromElsewhere, settings: &RunSettings, data: &Dataset, store: &Runs) -> Result<RunResult> {
    let config = RunConfig::new(settings.clone())?;
    import(file, &config, data, store, &session(), &mut |_| ControlFlow::Continue(()))
}

#[test]
fn imported_network_is_tested_kept_whole_and_teaches_as_the_one_that_was_trained_here() {
    let data = shapes();
    let (_folder, store) = store();
    let (original, result, path) = elsewhere(&data, &store);
    let file = read(&path);
    let imported = settings(&file, &[], &data);
    let found = take_in(&file, &imported, &data, &store).unwrap();
    assert_eq!((found.test, found.epoch, found.parameters), (result.test, 0, result.parameters));
    assert!(store.verify(&imported.id()).unwrap().is_empty());
    assert_eq!(take_in(&file, &imported, &data, &store).unwrap(), found);

    let student = alone("plane2", Protocol::Code, 1, &data);
    let [by_original, by_imported] = [&original, &imported].map(|teacher| taught(student.clone(), teacher));
    let [first, second] = [&by_original, &by_imported].map(|student| run(student, &data, &store).unwrap());
    assert_eq!((first.test, first.teachers), (second.test, second.teachers));
    assert_ne!(by_original.id(), by_imported.id());
}

#[test]
fn outputs_are_put_into_the_order_of_the_classes() {
    let data = shapes();
    let (_folder, store) = store();
    let (_, result, path) = elsewhere(&data, &store);
    let file = read(&path);
    let backwards: Vec<usize> = (0..10).rev().collect();
    let once = settings(&file, &backwards, &data);
    let wrong = take_in(&file, &once, &data, &store).unwrap();
    assert!(wrong.test.unwrap().accuracy < result.test.unwrap().accuracy);
    // Turned once more they are those of the classes again.
    let turned = read(&dir(&store, &once).join("model.safetensors"));
    let twice = take_in(&turned, &settings(&turned, &backwards, &data), &data, &store).unwrap();
    assert_eq!(twice.test, result.test);
    for outputs in [&[0, 1][..], &[0, 1, 2, 3, 4, 5, 6, 7, 8, 10], &[0; 10]] {
        let error = take_in(&file, &settings(&file, outputs, &data), &data, &store).unwrap_err();
        assert!(matches!(error, Error::Config(_)), "{error}");
    }
}

#[test]
fn canonical_form_is_pinned_and_what_was_trained_elsewhere_is_not_trained_here() {
    let data = shapes();
    let (_folder, store) = store();
    let (_, _, path) = elsewhere(&data, &store);
    let file = read(&path);
    let imported = RunSettings { seed: 8, ..settings(&file, &[1, 0, 2, 3, 4, 5, 6, 7, 8, 9], &data) };
    let config = imported.valid();
    let form = config.canonical();
    let (_, form_of_import) = form.split_once("\n[imported]\n").unwrap();
    let hash = file.hash();
    assert_eq!(
        form_of_import,
        format!(
            "file = \"{hash}\"\nmean = [0.507, 0.487, 0.441]\nstd = [0.267, 0.256, 0.276]\noutputs = [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]\n"
        )
    );
    assert!(!form.contains("[training]") && form.contains("seed = 0\n"), "{form}");
    assert_eq!(RunConfig::parse(&form).unwrap(), config);

    let refused = |settings: RunSettings| RunConfig::new(settings).unwrap_err().to_string();
    let of = |change: fn(&mut Imported)| {
        let mut settings = imported.clone();
        change(settings.imported.as_mut().unwrap());
        refused(settings)
    };
    assert!(of(|imported| imported.std[1] = 0.0).contains("numbers above 0"));
    assert!(of(|imported| imported.mean[2] = f32::NAN).contains("none of numbers"));
    assert!(of(|imported| imported.file = "abc".into()).contains("`abc` is no hash"));
    let trained = RunSettings { training: alone("plane4", Protocol::Code, 1, &data).training, ..imported.clone() };
    assert!(refused(trained).contains("trained elsewhere"));
    assert!(RunConfig::new(RunSettings { imported: None, ..imported.clone() }).is_err());

    let error = run(&imported, &data, &store).unwrap_err().to_string();
    assert!(error.contains("trained elsewhere"), "{error}");
    // The file of another network.
    fs::write(&path, b"no network").unwrap();
    let error = NetworkFromElsewhere::read(&path).unwrap_err().to_string();
    assert!(error.contains("model.safetensors"), "{error}");
    let gone = path.with_file_name("gone.pth");
    let error = NetworkFromElsewhere::read(&gone).unwrap_err().to_string();
    assert!(error.ends_with("there is no such file"), "{error}");
}

#[test]
fn import_that_is_stopped_leaves_nothing_and_begins_anew() {
    let data = shapes();
    let (_folder, store) = store();
    let (_, _, path) = elsewhere(&data, &store);
    let file = read(&path);
    let imported = settings(&file, &[], &data);
    let config = RunConfig::new(imported.clone()).unwrap();
    let stopped = import(&file, &config, &data, &store, &session(), &mut |_| ControlFlow::Break(()));
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert!(!dir(&store, &imported).exists());
    assert!(take_in(&file, &imported, &data, &store).is_ok());
}

//! Small runs for the tests.

#![allow(dead_code, reason = "each file of tests uses some of it")]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use takd_datasets::{Dataset, Drawn, Known, Sources, load};
use takd_distill::{
    DataConfig, DeviceType, Distillation, Event, KlReduction, NUMERICS, Pass, Protocol, Result, Retry, RunConfig,
    RunResult, RunSettings, Runs, Session, Training, train,
};
use takd_models::ModelSpec;
use takd_ops::Compute;
use takd_store::{RunId, Start};
use tempfile::TempDir;

/// What a test asks of settings that are valid.
pub trait Valid {
    fn valid(&self) -> RunConfig;
    fn id(&self) -> RunId;
}

impl Valid for RunSettings {
    fn valid(&self) -> RunConfig {
        RunConfig::new(self.clone()).expect("a test's settings are valid unless it says otherwise")
    }

    fn id(&self) -> RunId {
        self.valid().id()
    }
}

/// Training on the processor.
pub fn session() -> Session {
    Session { compute: Compute::cpu(), start: Start::now(Vec::new(), "a test".into()), retry: Retry::Never }
}

/// 200 training images of 10 classes, and 100 to test on.
pub fn shapes() -> Dataset {
    let sources = Sources { drawn: Drawn { train: 200, test: 100, seed: 0 }, ..Sources::default() };
    load(&Known::Shapes10.into(), &sources, &mut |_| {}).expect("drawn images need nothing")
}

/// `epochs` of a network alone, in batches of 32: 7 steps an epoch.
pub fn alone(model: &str, protocol: Protocol, epochs: usize, data: &Dataset) -> RunSettings {
    let model: ModelSpec = model.parse().expect("a test names models that exist");
    let training = Training { batch_size: 32, ..protocol.training(model.family(), epochs) };
    RunSettings {
        numerics: NUMERICS,
        device: DeviceType::Cpu,
        model,
        seed: 31,
        data: DataConfig::of(&data.card, None),
        training,
        imported: None,
        distillation: None,
    }
}

/// The same, taught by the network of a run.
pub fn taught(student: RunSettings, teacher: &RunSettings) -> RunSettings {
    taught_by_all(student, &[teacher])
}

/// The same, taught by the networks of several runs.
pub fn taught_by_all(student: RunSettings, teachers: &[&RunSettings]) -> RunSettings {
    let teachers = teachers.iter().map(|teacher| teacher.id()).collect();
    RunSettings {
        distillation: Some(Distillation {
            teachers,
            lambda: 0.5,
            temperature: 4.0,
            kl_reduction: KlReduction::Mean,
            top_k: None,
        }),
        ..student
    }
}

pub fn run(config: &RunSettings, data: &Dataset, store: &Runs) -> Result<RunResult> {
    train(&RunConfig::new(config.clone())?, data, store, &session(), &mut |_| ControlFlow::Continue(()))
}

/// The same, broken off at the first event that `ends` it.
pub fn run_until(
    mut ends: impl FnMut(Event<'_>) -> bool,
    config: &RunSettings,
    data: &Dataset,
    store: &Runs,
) -> Result<RunResult> {
    train(&RunConfig::new(config.clone())?, data, store, &session(), &mut |event| match ends(event) {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    })
}

/// The same, broken off after `steps` steps of this start.
pub fn run_for(steps: usize, config: &RunSettings, data: &Dataset, store: &Runs) -> Result<RunResult> {
    let mut taken = 0;
    let ends = |event: Event<'_>| {
        taken += usize::from(matches!(event, Event::Step { .. }));
        taken >= steps
    };
    run_until(ends, config, data, store)
}

/// The same, never broken off; and what this start had to do.
pub fn run_counting(config: &RunSettings, data: &Dataset, store: &Runs) -> Result<(RunResult, Work)> {
    let mut work = Work::default();
    let result = train(&RunConfig::new(config.clone())?, data, store, &session(), &mut |event| {
        match event {
            Event::Started { done, .. } => work.started_after = Some(done),
            Event::Pass { pass: Pass::TeacherLogits, done, total } => work.teacher_passes += usize::from(done == total),
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    Ok((result, work))
}

/// What a start had to do.
#[derive(Debug, Default, PartialEq)]
pub struct Work {
    /// Steps of earlier starts that it did not take again; nothing where there was nothing to train.
    pub started_after: Option<usize>,
    /// How often a teacher looked at all images.
    pub teacher_passes: usize,
}

/// An empty store, gone with its folder.
pub fn store() -> (TempDir, Runs) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = Runs::open(folder.path()).expect("an empty folder");
    (folder, store)
}

/// Another store that holds the same files.
pub fn copy_of(folder: &TempDir) -> (TempDir, Runs) {
    let (copy, store) = store();
    for run in fs::read_dir(folder).unwrap() {
        let run = run.unwrap();
        let to = copy.path().join(run.file_name());
        fs::create_dir(&to).unwrap();
        for name in names(&run.path()) {
            fs::copy(run.path().join(&name), to.join(&name)).unwrap();
        }
    }
    (copy, store)
}

/// The run's folder.
pub fn dir(store: &Runs, config: &RunSettings) -> PathBuf {
    store.dir(&config.id())
}

/// The names of a folder's files, in order.
pub fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The files that equal runs must have equal.
pub fn files(store: &Runs, config: &RunSettings) -> Vec<Vec<u8>> {
    let dir = dir(store, config);
    ["config.toml", "metrics.jsonl", "model.safetensors"].map(|name| fs::read(dir.join(name)).unwrap()).to_vec()
}

/// What TensorBoard shows of a run, but for the time of day.
pub fn curves(store: &Runs, config: &RunSettings) -> Vec<(String, f32, i64)> {
    let scalars = takd_tensorboard::read(&dir(store, config).join("events.out.tfevents.takd")).unwrap();
    scalars.into_iter().map(|scalar| (scalar.tag, scalar.value, scalar.step)).collect()
}

/// Everything that equal runs must have equal.
#[derive(PartialEq)]
pub struct Outcome {
    pub result: RunResult,
    pub files: Vec<Vec<u8>>,
    pub curves: Vec<(String, f32, i64)>,
}

/// That of a finished run.
pub fn outcome(store: &Runs, config: &RunSettings) -> Outcome {
    let result = store.finished(&config.id()).unwrap().expect("a finished run");
    Outcome { result: timeless(&result), files: files(store, config), curves: curves(store, config) }
}

/// The result without what depends on the machine's speed.
pub fn timeless(result: &RunResult) -> RunResult {
    RunResult { seconds: 0.0, ..result.clone() }
}

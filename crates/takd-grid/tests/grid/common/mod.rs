//! Small experiments for the tests.

use std::collections::BTreeMap;
use std::sync::Arc;
use takd_datasets::{Card, Dataset, DatasetName, Drawn, Known, Sources, load};
use takd_distill::{DataConfig, DeviceType, Result, Retry, Runs, Session};
use takd_grid::recipe::{Epochs, PerStep, Recipe, Settings};
use takd_grid::{Changes, Experiment, Plan};
use takd_ops::Compute;
use takd_store::Start;
use tempfile::TempDir;

/// 100 training images, and 50 to test on.
pub fn shapes(known: Known) -> Arc<Dataset> {
    let sources = Sources { drawn: Drawn { train: 100, test: 50, seed: 0 }, ..Sources::default() };
    Arc::new(load(&known.into(), &sources, &mut |_| {}).unwrap())
}

/// The images of any configuration.
pub fn data() -> impl Fn(&DataConfig) -> Result<Arc<Dataset>> + Sync {
    let all: BTreeMap<DatasetName, Arc<Dataset>> =
        [Known::Shapes10, Known::Shapes100].map(|known| (known.into(), shapes(known))).into();
    move |config| Ok(Arc::clone(&all[&config.dataset]))
}

pub fn cards() -> BTreeMap<DatasetName, Card> {
    [Known::Shapes10, Known::Shapes100].map(|known| (known.into(), shapes(known).card.clone())).into()
}

/// The plan of a recipe, with changes.
pub fn plan_of(recipe: &str, changes: &Changes) -> Plan {
    let recipe = Recipe::parse(recipe, "test.toml").unwrap();
    Plan::new(&Experiment::new(&recipe, changes, DeviceType::Cpu).unwrap(), &cards(), &|_| None).unwrap()
}

/// The plan of a path on `shapes10`.
pub fn plan(path: &str, epochs: usize, seeds: &[u64]) -> Plan {
    let settings = Settings {
        protocol: Some(takd_distill::Protocol::Code),
        epochs: Some(Epochs::All(epochs)),
        seeds: Some(seeds.to_vec()),
        temperature: Some(PerStep::All(4.0)),
        ..Settings::default()
    };
    let path = path.parse().unwrap();
    let experiment =
        Experiment::of_paths(vec![path], &Known::Shapes10.into(), &settings, None, DeviceType::Cpu).unwrap();
    Plan::new(&experiment, &cards(), &|_| None).unwrap()
}

pub fn runs() -> (TempDir, Runs) {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(folder.path()).unwrap();
    (folder, runs)
}

/// So many of them, on the processor.
pub fn sessions(jobs: usize, retry: Retry) -> Vec<Session> {
    let session = Session { compute: Compute::cpu(), start: Start::now(Vec::new(), "a test".into()), retry };
    vec![session; jobs]
}

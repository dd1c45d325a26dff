//! Experiments of which nothing is trained: how their runs end is made up.

#![allow(dead_code, reason = "each test program uses a part")]

use std::collections::BTreeMap;
use takd_datasets::{Card, DatasetName, Normalization};
use takd_distill::{DeviceType, Evaluation, RunResult, Runs, TeacherComparison};
use takd_grid::recipe::{Recipe, Settings};
use takd_grid::{Changes, Experiment, Plan};
use takd_report::Report;
use takd_store::{Ending, Extent, RunId};
use tempfile::TempDir;

/// An experiment and its folder of runs.
pub struct World {
    pub experiment: Experiment,
    pub plan: Plan,
    pub runs: Runs,
    pub folder: TempDir,
}

impl World {
    pub fn new(recipe: &str, changes: &Changes) -> Self {
        let recipe = Recipe::parse(recipe, "test.toml").unwrap();
        let experiment = Experiment::new(&recipe, changes, DeviceType::Cpu).unwrap();
        let plan = plan(&experiment);
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::open(folder.path()).unwrap();
        Self { experiment, plan, runs, folder }
    }

    pub fn with_seeds(recipe: &str, seeds: &[u64]) -> Self {
        let settings = Settings { seeds: Some(seeds.to_vec()), ..Settings::default() };
        Self::new(recipe, &Changes { settings, ..Changes::default() })
    }

    pub fn id(&self, cell: &str, path: &str, seed: u64) -> RunId {
        let place = self.experiment.cells.iter().position(|known| known.name == cell).unwrap();
        let runs = self.plan.cells[place].runs(&path.parse().unwrap());
        runs.iter().find(|run| run.seed == seed).unwrap().run.clone()
    }

    pub fn end(&self, id: &RunId, ending: &Ending<RunResult>) {
        let claim = self.runs.claim(id).unwrap().unwrap();
        claim.end(ending, &Extent::default(), &[]).unwrap();
    }

    /// A run that is finished with this test accuracy.
    pub fn finish(&self, cell: &str, path: &str, seed: u64, accuracy: f64) {
        let teachers = TeacherComparison { agreement: 0.875, kl: 0.25, soft_target_entropy: 1.5 };
        let images = |accuracy| Evaluation {
            loss: 1.25,
            accuracy,
            top5_accuracy: 0.96875,
            calibration_error: 0.0625,
            images: 10_000,
        };
        let result = RunResult {
            epoch: 150,
            test: images(accuracy),
            held_out: Some(images(accuracy + 0.0078125)),
            teachers: path.contains("->").then_some(teachers),
            parameters: 13_082,
            seconds: 61.4,
        };
        self.end(&self.id(cell, path, seed), &Ending::Finished(result));
    }

    pub fn diverge(&self, cell: &str, path: &str, seed: u64, reason: &str) {
        self.end(&self.id(cell, path, seed), &Ending::Failed(reason.to_owned()));
    }

    pub fn report(&self) -> Report {
        Report::new(&self.experiment, &self.plan, &self.runs).unwrap()
    }

    /// The text with the number of each run in place of its id, which another version may change.
    pub fn numbered(&self, text: &str) -> String {
        let runs = self.plan.runs.iter().zip(1..);
        runs.fold(text.to_owned(), |text, (run, number)| text.replace(run.id.as_str(), &format!("{number:016}")))
    }
}

pub fn plan(experiment: &Experiment) -> Plan {
    let cards: BTreeMap<_, _> = experiment.datasets().into_iter().map(|name| (name, card(name))).collect();
    Plan::new(experiment, &cards).unwrap()
}

pub fn card(name: DatasetName) -> Card {
    Card {
        name,
        class_names: name.class_names(),
        height: 32,
        width: 32,
        train: 50_000,
        test: 10_000,
        normalization: Normalization::PUBLISHED_CODE,
        origin: "made up".to_owned(),
        licence: "none".to_owned(),
        checksum: "0".repeat(64),
        notes: Vec::new(),
    }
}

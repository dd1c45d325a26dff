//! Experiments of which nothing is trained: how their runs end is made up.

#![allow(dead_code, reason = "each program uses a part")]

use std::collections::BTreeMap;
use takd_datasets::{Card, DatasetName, Known, Normalization};
use takd_distill::{
    DeviceType, EpochRecord, Evaluation, Losses, Record, RunResult, Runs, TeacherComparison, TrainRecord,
};
use takd_grid::recipe::{Recipe, Settings};
use takd_grid::{Changes, Experiment, Plan};
use takd_report::Report;
use takd_store::{Claim, Ending, Extent, Journal, RunId};
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
        self.end(&self.id(cell, path, seed), &Ending::Finished(result(path, accuracy)));
    }

    /// The same, with a journal of these accuracies on the held-out images, epoch by epoch.
    pub fn finish_after(&self, cell: &str, path: &str, seed: u64, epochs: &[f64]) {
        let claim = self.runs.claim(&self.id(cell, path, seed)).unwrap().unwrap();
        let extent = journal(&claim, epochs);
        let ending = Ending::Finished(result(path, *epochs.last().unwrap()));
        claim.end(&ending, &extent, &[]).unwrap();
    }

    /// A journal of a run that has not come to an end.
    pub fn begin(&self, cell: &str, path: &str, seed: u64, epochs: &[f64]) {
        journal(&self.runs.claim(&self.id(cell, path, seed)).unwrap().unwrap(), epochs);
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
    let cards: BTreeMap<_, _> = experiment.datasets().into_iter().map(|name| (name.clone(), card(name))).collect();
    Plan::new(experiment, &cards, &|_| None).unwrap()
}

pub fn card(name: DatasetName) -> Card {
    Card {
        class_names: name.known().map(Known::class_names).unwrap_or_default(),
        name,
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

fn images(accuracy: f64) -> Evaluation {
    Evaluation { loss: 1.25, accuracy, top5_accuracy: 0.96875, calibration_error: 0.0625, images: 10_000 }
}

fn result(path: &str, accuracy: f64) -> RunResult {
    let teachers = TeacherComparison { agreement: 0.875, kl: 0.25, soft_target_entropy: 1.5 };
    RunResult {
        epoch: 150,
        test: Some(images(accuracy)),
        held_out: Some(images(accuracy + 0.0078125)),
        teachers: path.contains("->").then_some(teachers),
        parameters: 13_082,
        seconds: 61.4,
    }
}

fn journal(claim: &Claim, accuracies: &[f64]) -> Extent {
    let mut journal = Journal::begin(claim).unwrap();
    for (&accuracy, epoch) in accuracies.iter().zip(1..) {
        let train = TrainRecord { loss: Losses::default(), accuracy: 0.5 };
        let held_out = Some(images(accuracy));
        journal.add(&Record::Epoch(EpochRecord { epoch, step: epoch, lr: 0.1, train, held_out, test: None })).unwrap();
    }
    journal.extent().unwrap()
}

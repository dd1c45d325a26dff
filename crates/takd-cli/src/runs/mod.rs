//! `takd runs`: what was trained, and where it lies.

mod again;
mod ls;
mod rm;
mod show;
mod verify;

use anyhow::{Result, ensure};
use clap::Subcommand;
use indicatif::MultiProgress;
use serde::Serialize;
use std::path::PathBuf;
use takd_distill::{RunConfig, RunId, Status, Store};

#[derive(Subcommand)]
pub(crate) enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Verify(verify::Args),
    Rm(rm::Args),
}

pub(crate) fn run(command: &Command, screen: &MultiProgress) -> Result<()> {
    match command {
        Command::Ls(args) => ls::run(args, screen),
        Command::Show(args) => show::run(args),
        Command::Verify(args) => verify::run(args, screen),
        Command::Rm(args) => rm::run(args),
    }
}

/// Where the runs lie.
#[derive(clap::Args)]
struct Place {
    /// The folder that was --out when they were trained
    #[arg(long, default_value = "results", value_name = "DIR")]
    out: PathBuf,
}

impl Place {
    /// The runs there; a folder that was never trained into is not made.
    fn store(&self) -> Result<Store> {
        let root = self.out.join("runs");
        ensure!(
            root.is_dir(),
            "there are no runs: {} does not exist; --out names another folder, takd distill and takd reproduce-table1 \
             train into one",
            root.display()
        );
        Ok(Store::open(&root)?)
    }
}

/// The runs named, or every one where none is.
fn named(store: &Store, prefixes: &[String]) -> Result<Vec<RunId>> {
    if prefixes.is_empty() {
        return Ok(store.runs()?);
    }
    let mut runs = Vec::new();
    for prefix in prefixes {
        let id = store.find(prefix)?;
        if !runs.contains(&id) {
            runs.push(id);
        }
    }
    Ok(runs)
}

/// A run at a glance. What its damaged configuration would say is absent.
#[derive(Serialize)]
struct Summary {
    id: RunId,
    network: Option<String>,
    dataset: Option<String>,
    taught_by: Vec<Other>,
    seed: Option<u64>,
    epochs_done: Option<usize>,
    epochs: Option<usize>,
    state: State,
    /// Share of the test images that the network gets right, 0 to 1.
    test_accuracy: Option<f64>,
    /// What is damaged.
    problem: Option<String>,
}

/// A run that teaches another, or is taught by it.
#[derive(Serialize)]
struct Other {
    run: RunId,
    /// Nothing where its configuration is gone or damaged.
    network: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// It has a result.
    Finished,
    /// A process trains it.
    Running,
    /// Its command, started again, goes on with it.
    Unfinished,
    /// One of its files is not as it was written.
    Damaged,
}

impl State {
    fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::Unfinished => "unfinished",
            Self::Damaged => "damaged",
        }
    }
}

impl Summary {
    /// Of the run `id`, whatever state it is in.
    fn of(id: &RunId, store: &Store) -> Self {
        let (config, status) = (store.config(id), store.status(id));
        let problem = config.as_ref().err().or(status.as_ref().err()).map(ToString::to_string);
        let config = config.ok().flatten();
        let epochs = config.as_ref().map(|config| config.recipe.epochs);
        let (state, epochs_done, test_accuracy) = match (&status, &problem) {
            (Ok(Status::Finished(result)), None) => (State::Finished, epochs, Some(result.test.accuracy)),
            // What is damaged is being repaired then.
            (Ok(Status::Unfinished { epoch }), None) if store.is_running(id) => (State::Running, Some(*epoch), None),
            _ if store.is_running(id) => (State::Running, None, None),
            (Ok(Status::Unfinished { epoch }), None) => (State::Unfinished, Some(*epoch), None),
            _ => (State::Damaged, None, None),
        };
        Self {
            id: id.clone(),
            network: config.as_ref().map(|config| config.model.to_string()),
            dataset: config.as_ref().map(|config| config.data.dataset.to_string()),
            taught_by: config.as_ref().map_or_else(Vec::new, |config| Other::teachers(config, store)),
            seed: config.map(|config| config.seed),
            epochs_done,
            epochs,
            state,
            test_accuracy,
            problem,
        }
    }

    /// `plane2 on cifar10, seed 31, taught by plane4`.
    fn name(&self) -> String {
        let (Some(network), Some(dataset), Some(seed)) = (&self.network, &self.dataset, self.seed) else {
            return match self.problem {
                Some(_) => "a run whose configuration cannot be read".into(),
                // It was stopped before the first file was written.
                None => "a run that was not begun".into(),
            };
        };
        let taught_by = match self.taught_by.as_slice() {
            [] => String::new(),
            teachers => format!(", taught by {}", names(teachers)),
        };
        format!("{network} on {dataset}, seed {seed}{taught_by}")
    }
}

impl Other {
    fn of(run: &RunId, store: &Store) -> Self {
        let network = store.config(run).ok().flatten().map(|config| config.model.to_string());
        Self { run: run.clone(), network }
    }

    fn teachers(config: &RunConfig, store: &Store) -> Vec<Self> {
        config.distillation.iter().flat_map(|kd| &kd.teachers).map(|id| Self::of(id, store)).collect()
    }

    /// The network, or else the run.
    fn name(&self) -> &str {
        self.network.as_deref().unwrap_or(self.run.as_str())
    }
}

/// `plane8 + resnet20`.
fn names(runs: &[Other]) -> String {
    runs.iter().map(Other::name).collect::<Vec<_>>().join(" + ")
}

/// `9.5 MiB`.
fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

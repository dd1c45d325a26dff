//! A run at a glance, by its small files alone.

use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use takd_distill::{NUMERICS, Protocol, RunConfig, RunResult, Runs, Status};
use takd_store::{Annotation, Ending, Listed, RunId, Start, Tag};

/// A run at a glance. What its configuration would say is absent if that is damaged.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Summary {
    pub id: RunId,
    pub network: Option<String>,
    /// The networks through which the knowledge came: `plane10 → plane4 → plane2`.
    pub path: Option<String>,
    pub taught_by: Vec<Other>,
    pub dataset: Option<String>,
    pub train_images: Option<usize>,
    pub seed: Option<u64>,
    pub lambda: Option<f64>,
    pub temperature: Option<f64>,
    /// The protocol whose training it has, if it is one's.
    pub protocol: Option<&'static str>,
    pub epochs_done: Option<usize>,
    pub epochs: Option<usize>,
    pub state: State,
    /// Share of the test images that the network gets right, 0 to 1.
    pub test_accuracy: Option<f64>,
    /// When it was last started: seconds since the start of 1970.
    pub started: Option<u64>,
    pub bytes: u64,
    /// What is wrong, or why it has no result.
    pub problem: Option<String>,
    /// What a person says of it.
    pub tags: Vec<Tag>,
    pub note: Option<String>,
}

/// A run that teaches another, or is taught by it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Other {
    pub run: RunId,
    /// Nothing if its configuration is gone or damaged.
    pub network: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum State {
    /// It has a result.
    Finished,
    /// It has a result, but a teacher of it has none any more, so that it cannot be checked against it or trained again.
    NoTeacher,
    /// A process trains it.
    Running,
    /// Its command, started again, goes on with it.
    Unfinished,
    /// Its loss ceased to be a number.
    Diverged,
    /// It was made by another version of takd.
    Foreign,
    /// One of its files is not as it was written.
    Damaged,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::NoTeacher => "no-teacher",
            Self::Running => "running",
            Self::Unfinished => "unfinished",
            Self::Diverged => "diverged",
            Self::Foreign => "foreign",
            Self::Damaged => "damaged",
        }
    }
}

/// The runs of a folder, for names and paths that follow teachers.
pub(super) struct Listing {
    runs: Vec<Listed<RunConfig, RunResult>>,
    places: HashMap<RunId, usize>,
}

impl Listing {
    pub(super) fn of(runs: &Runs) -> anyhow::Result<Self> {
        let runs = runs.list()?;
        let places = runs.iter().enumerate().map(|(place, run)| (run.id.clone(), place)).collect();
        Ok(Self { runs, places })
    }

    /// All of them, in the order of their last start.
    pub(super) fn summaries(&self, runs: &Runs) -> Vec<Summary> {
        let mut all: Vec<Summary> = self.runs.iter().map(|listed| self.summary(listed, runs)).collect();
        // Within a second, teachers before those they teach.
        all.sort_by_key(|run| {
            (run.started, run.path.as_ref().map_or(0, |path| path.matches('→').count()), run.id.clone())
        });
        all
    }

    /// One of them; nothing if it is not there.
    pub(super) fn get(&self, id: &RunId, runs: &Runs) -> Option<Summary> {
        Some(self.summary(self.find(id)?, runs))
    }

    /// The runs that this one teaches.
    pub(super) fn students(&self, id: &RunId) -> Vec<Other> {
        self.taught_by(id).map(|run| self.other(&run.id)).collect()
    }

    /// Whether a process works on a run that this one teaches.
    pub(super) fn has_student_at_work(&self, id: &RunId) -> bool {
        self.taught_by(id).any(|run| !matches!(run.claimed, Ok(false)))
    }

    fn taught_by(&self, id: &RunId) -> impl Iterator<Item = &Listed<RunConfig, RunResult>> {
        self.runs.iter().filter(|run| config(run).is_some_and(|config| config.teachers().contains(id)))
    }

    fn find(&self, id: &RunId) -> Option<&Listed<RunConfig, RunResult>> {
        self.places.get(id).map(|&place| &self.runs[place])
    }

    pub(super) fn other(&self, id: &RunId) -> Other {
        let network = self.find(id).and_then(config).map(|config| config.model.to_string());
        Other { run: id.clone(), network }
    }

    fn summary(&self, listed: &Listed<RunConfig, RunResult>, runs: &Runs) -> Summary {
        let id = &listed.id;
        let config = config(listed);
        let starts = runs.starts(id).unwrap_or_default();
        let running = matches!(listed.claimed, Ok(true));
        // Then nothing is wrong with the run; only whether a process works on it cannot be told.
        let no_locks = matches!(listed.claimed, Err(takd_store::Error::NoLocks { .. }));
        let (mut state, problem) = match (&listed.config, &listed.ending) {
            (Err(error), _) | (_, Err(error)) if running => (State::Running, Some(error.to_string())),
            (Err(error), _) | (_, Err(error)) => match error {
                takd_store::Error::Foreign { .. } => (State::Foreign, Some(with_program(error.to_string(), &starts))),
                _ => (State::Damaged, Some(error.to_string())),
            },
            (_, Ok(Some(Ending::Finished(_)))) => (State::Finished, None),
            (_, Ok(Some(Ending::Failed(reason)))) if !running => (State::Diverged, Some(reason.clone())),
            _ if listed.claimed.is_err() && !no_locks => {
                (State::Damaged, listed.claimed.as_ref().err().map(ToString::to_string))
            }
            _ if running => (State::Running, None),
            _ if config.is_some_and(|config| config.numerics != NUMERICS) => {
                let other = config.map_or(0, |config| config.numerics);
                let problem = format!(
                    "it is of numerics version {other}, this program computes by version {NUMERICS}; it is left alone"
                );
                (State::Foreign, Some(with_program(problem, &starts)))
            }
            _ => (State::Unfinished, listed.claimed.as_ref().err().map(ToString::to_string)),
        };
        let has_result =
            |teacher: &RunId| self.find(teacher).is_some_and(|run| matches!(run.ending, Ok(Some(Ending::Finished(_)))));
        if state == State::Finished && config.is_some_and(|config| !config.teachers().iter().all(has_result)) {
            state = State::NoTeacher;
        }
        let epochs = config.map(|config| config.training.epochs);
        let epochs_done = match state {
            State::Finished | State::NoTeacher => epochs,
            _ => runs.status(id).ok().and_then(|status| match status {
                Status::Unfinished { epoch } => Some(epoch),
                _ => None,
            }),
        };
        let test_accuracy = match &listed.ending {
            Ok(Some(Ending::Finished(result))) => result.test.map(|test| test.accuracy),
            _ => None,
        };
        let kd = config.and_then(|config| config.distillation.as_ref());
        // `takd runs verify` says what is wrong with it.
        let Annotation { tags, note } = runs.annotation(id).unwrap_or_default();
        Summary {
            id: id.clone(),
            network: config.map(|config| config.model.to_string()),
            path: config.map(|config| self.path(config)),
            taught_by: kd.iter().flat_map(|kd| &kd.teachers).map(|id| self.other(id)).collect(),
            dataset: config.map(|config| config.data.dataset.to_string()),
            train_images: config.map(|config| config.data.train_images),
            seed: config.map(|config| config.seed),
            lambda: kd.map(|kd| kd.lambda),
            temperature: kd.map(|kd| kd.temperature),
            protocol: config.and_then(protocol),
            epochs_done,
            epochs,
            state,
            test_accuracy,
            started: starts.last().map(|start| start.time),
            bytes: runs.size(id).unwrap_or(0),
            problem,
            tags: tags.into_iter().collect(),
            note,
        }
    }

    /// The networks through which the knowledge came to this one.
    fn path(&self, of: &RunConfig) -> String {
        let mut stages = vec![of.model.to_string()];
        let mut teachers = of.teachers();
        // A path of more stages than there are runs would be a circle, which no hash allows.
        while !teachers.is_empty() && stages.len() <= self.runs.len() {
            let stage: Vec<String> = teachers.iter().map(|id| self.other(id).name().to_owned()).collect();
            stages.push(stage.join(" + "));
            teachers = self.find(&teachers[0]).and_then(config).map_or(&[], RunConfig::teachers);
        }
        stages.reverse();
        stages.join(" → ")
    }
}

/// How many runs are in each state.
pub(crate) fn states(runs: &Runs) -> anyhow::Result<BTreeMap<State, usize>> {
    let mut states = BTreeMap::new();
    for run in Listing::of(runs)?.summaries(runs) {
        *states.entry(run.state).or_insert(0) += 1;
    }
    Ok(states)
}

fn config(listed: &Listed<RunConfig, RunResult>) -> Option<&RunConfig> {
    listed.config.as_ref().ok().and_then(Option::as_ref)
}

/// What is odd about a run of another version, and which made it.
fn with_program(problem: String, starts: &[Start]) -> String {
    match starts.last() {
        Some(start) => format!("{problem} (made by {}, this is takd {})", start.program, env!("CARGO_PKG_VERSION")),
        None => problem,
    }
}

/// The protocol whose training this is, whatever its epochs and replays.
fn protocol(config: &RunConfig) -> Option<&'static str> {
    let fits = |protocol: &&Protocol| {
        let mut settings = config.settings().clone();
        let own = protocol.training(config.model.family(), config.training.epochs);
        settings.training = takd_distill::Training { replays: config.training.replays, ..own };
        RunConfig::new(settings).is_ok_and(|same| same.training == config.training)
    };
    Protocol::ALL.iter().find(fits).map(|protocol| protocol.as_str())
}

impl Summary {
    /// `plane4 → plane2 on cifar10, seed 31`.
    pub(super) fn name(&self) -> String {
        match (&self.path, &self.dataset, self.seed) {
            (Some(path), Some(dataset), Some(seed)) => format!("{path} on {dataset}, seed {seed}"),
            _ if matches!(self.state, State::Damaged | State::Foreign) => {
                "a run whose configuration cannot be read".into()
            }
            // It was stopped before the first file was written.
            _ => "a run that was not begun".into(),
        }
    }
}

impl Other {
    /// The network, or else the run.
    pub(super) fn name(&self) -> &str {
        self.network.as_deref().unwrap_or(self.run.as_str())
    }
}

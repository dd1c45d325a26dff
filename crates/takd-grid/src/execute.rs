//! Runs a plan on this machine.

use crate::{Plan, PlannedRun};
use candle_core::Device;
use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::thread;
use std::time::{Duration, Instant};
use takd_datasets::{Dataset, DatasetName};
use takd_distill::{Error, Event, Result, RunId, RunResult, Store, train};

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a result, now or earlier.
    Finished(RunResult),
    /// Its training diverged.
    Diverged(Error),
    /// It was not begun, since a teacher of its has no result.
    NoTeacher,
}

/// What happens while a plan is executed.
#[derive(Debug)]
pub enum Happening<'a> {
    /// Something in the training of a run.
    Training(Event<'a>, TimeLeft),
    /// A run is over.
    Ended(&'a Outcome),
    /// Other processes work on all that is left, or on its teachers; told again and again until one has ended. The run is
    /// the first that is left.
    Waiting,
}

/// How long it will take, about, by what it took so far; zero before there is anything to tell it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLeft {
    /// Until the run ends.
    pub run: Duration,
    /// Until all runs end.
    pub all: Duration,
}

/// How often other processes' runs are looked at.
const PATIENCE: Duration = Duration::from_millis(500);

/// Trains every run of the plan that is not finished, and gives how each ended. What another process works on is left to
/// it, so that any number of processes may execute one plan in one folder, and each run is trained once.
///
/// `watch` is told the number of the run (from 0), the run and what happens; where it breaks off, the run in hand is
/// saved and [`Error::Stopped`] returned. A run that diverges costs only itself and those it was to teach.
///
/// # Errors
/// Those of [`train`], but for divergence.
///
/// # Panics
/// Where a run's data set is not among the data.
pub fn execute(
    plan: &Plan,
    data: &BTreeMap<DatasetName, Dataset>,
    store: &Store,
    device: &Device,
    watch: &mut dyn FnMut(usize, &PlannedRun, Happening<'_>) -> ControlFlow<()>,
) -> Result<HashMap<RunId, Outcome>> {
    let mut outcomes = HashMap::new();
    let mut clock = Clock::new(plan, store);
    while outcomes.len() < plan.runs.len() {
        let before = outcomes.len();
        for (index, run) in plan.runs.iter().enumerate() {
            if outcomes.contains_key(&run.id) {
                continue;
            }
            let outcome = match teachers(run, &outcomes) {
                Teachers::NotYet => continue,
                Teachers::Lost => Outcome::NoTeacher,
                Teachers::Ready => match one(run, data, store, device, &mut clock, &mut |what| watch(index, run, what))
                {
                    Err(Error::Claimed(_)) => continue,
                    outcome => outcome?,
                },
            };
            let flow = watch(index, run, Happening::Ended(&outcome));
            clock.leave(run);
            outcomes.insert(run.id.clone(), outcome);
            if flow.is_break() && outcomes.len() < plan.runs.len() {
                return Err(Error::Stopped);
            }
        }
        let left = plan.runs.iter().enumerate().find(|(_, run)| !outcomes.contains_key(&run.id));
        if let (Some((index, run)), true) = (left, outcomes.len() == before) {
            if watch(index, run, Happening::Waiting).is_break() {
                return Err(Error::Stopped);
            }
            thread::sleep(PATIENCE);
        }
    }
    Ok(outcomes)
}

/// Whether a run can be taught.
enum Teachers {
    Ready,
    NotYet,
    Lost,
}

fn teachers(run: &PlannedRun, outcomes: &HashMap<RunId, Outcome>) -> Teachers {
    let mut all = Teachers::Ready;
    for teacher in run.config.distillation.iter().flat_map(|kd| &kd.teachers) {
        match outcomes.get(teacher) {
            Some(Outcome::Finished(_)) => {}
            Some(_) => return Teachers::Lost,
            None => all = Teachers::NotYet,
        }
    }
    all
}

fn one(
    run: &PlannedRun,
    data: &BTreeMap<DatasetName, Dataset>,
    store: &Store,
    device: &Device,
    clock: &mut Clock,
    watch: &mut dyn FnMut(Happening<'_>) -> ControlFlow<()>,
) -> Result<Outcome> {
    let data = &data[&run.config.data.dataset];
    let result = train(&run.config, data, store, device, &mut |event| {
        match event {
            Event::Started { done, .. } => clock.start(done),
            Event::Step { done, total, .. } => clock.step(run, done, total),
            _ => {}
        }
        watch(Happening::Training(event, clock.left))
    });
    match result {
        Ok(result) => Ok(Outcome::Finished(result)),
        Err(error @ (Error::Diverged { .. } | Error::NotFinite(_))) => Ok(Outcome::Diverged(error)),
        Err(error) => Err(error),
    }
}

/// Tells how long it will take from how long it took.
struct Clock {
    /// Cost of the runs after the present one.
    ahead: f64,
    /// Cost and seconds of what was trained so far.
    spent: (f64, f64),
    started: Instant,
    started_at: usize,
    /// Runs that were finished before.
    finished: Vec<RunId>,
    now: Option<(f64, f64)>,
    left: TimeLeft,
}

impl Clock {
    fn new(plan: &Plan, store: &Store) -> Self {
        let mut clock = Self {
            ahead: 0.0,
            spent: (0.0, 0.0),
            started: Instant::now(),
            started_at: 0,
            finished: Vec::new(),
            now: None,
            left: TimeLeft::default(),
        };
        for run in &plan.runs {
            // What is damaged will be trained again.
            if matches!(store.finished(&run.id), Ok(Some(_))) {
                clock.finished.push(run.id.clone());
            } else {
                clock.ahead += run.cost;
            }
        }
        clock
    }

    /// A run's steps begin: waiting and teachers' logits say nothing of how long those will take.
    fn start(&mut self, done: usize) {
        (self.started, self.started_at) = (Instant::now(), done);
    }

    /// A step was taken.
    fn step(&mut self, run: &PlannedRun, done: usize, total: usize) {
        let seconds = self.started.elapsed().as_secs_f64();
        let steps = (done - self.started_at).max(1) as f64;
        let run_left = seconds / steps * (total - done) as f64;
        let cost = run.cost * steps / total as f64;
        self.now = Some((cost, seconds));
        let rate = (self.spent.1 + seconds) / (self.spent.0 + cost);
        let others = (self.ahead - run.cost).max(0.0) * rate;
        let [run, all] =
            [run_left, run_left + others].map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX));
        self.left = TimeLeft { run, all };
    }

    /// A run is over.
    fn leave(&mut self, run: &PlannedRun) {
        if let Some((cost, seconds)) = self.now.take() {
            self.spent = (self.spent.0 + cost, self.spent.1 + seconds);
        }
        if !self.finished.contains(&run.id) {
            self.ahead -= run.cost;
        }
    }
}

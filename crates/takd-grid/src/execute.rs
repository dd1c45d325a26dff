//! Executes a plan on this machine, one run at a time or several.

use crate::clock::{Clock, TimeLeft, longest_first};
use crate::plan::{Plan, PlannedRun};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use takd_datasets::Dataset;
use takd_distill::{DataConfig, Error, Event, Result, Retry, RunResult, Runs, Session, train};
use takd_store::RunId;

/// How a run ended.
#[derive(Debug)]
pub enum Outcome {
    /// With a result, now or earlier.
    Finished(RunResult),
    /// Its training diverged, now or earlier: when, and what ceased to be a number.
    Diverged(String),
    /// It was not begun, because a teacher of it has no result.
    NoTeacher,
}

/// What happens while a plan is executed.
#[derive(Debug)]
pub enum PlanEvent<'a> {
    /// Something in the training of a run.
    Training(Event<'a>, TimeLeft),
    /// A run is over.
    Ended(&'a Outcome, Trained),
    /// With what has ended, more runs have names; told of the run that ended.
    Grown(&'a Plan),
    /// Other processes work on all that is left, or on its teachers; told again and again until one has ended. The run is
    /// the first that is left.
    Waiting,
}

/// When a run that is over was trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trained {
    /// By this execution.
    Now,
    /// By an earlier command, or by another process meanwhile.
    Before,
}

/// Is told the number of a run (from 0), the run and what happens, and says whether to go on.
type Observer<'a> = dyn FnMut(usize, &PlannedRun, PlanEvent<'_>) -> ControlFlow<()> + Send + 'a;

/// Gives the images of a configuration; called only if a run has to be trained.
pub type Data<'a> = dyn Fn(&DataConfig) -> Result<Arc<Dataset>> + Sync + 'a;

/// How often other processes' runs are looked at.
const POLL_EVERY: Duration = Duration::from_millis(500);

/// How often a teacher that was deleted while the plan is executed is trained again.
const RETRAINED_AT_MOST: usize = 3;

/// Trains every run of the plan that is not finished, and gives how each ended. A run that another process works on is left
/// to it, so that any number of processes may execute one plan in one folder, and each run is trained once. Images are only
/// asked for if something is left to train.
///
/// As many runs are trained at once as there are sessions, each on its own device; no result depends on how many. One
/// session is worked on by the calling thread, in whose rayon pool it is best called, as [`train`] is. With more, each has a
/// thread and a pool of its own, and the calling thread's pool says how many processor threads they share.
/// Several devices may be one GPU: candle orders what it does on one of its devices, and nothing beyond that, so that
/// runs on devices with streams of their own overlap.
///
/// `observer` is told one thing after the other. If it breaks off, the runs at work are saved and [`Error::Stopped`] returned.
/// A run that diverges costs only itself and those it was to teach; it is not trained again by a later execution unless its
/// session says so.
///
/// # Errors
/// Those of [`train`], but for divergence: the first one, after the other runs at work are saved.
///
/// # Panics
/// If there is no session, or `observer` panics.
pub fn execute(
    plan: &Plan,
    data: &Data<'_>,
    runs: &Runs,
    sessions: &[Session],
    observer: &mut (dyn FnMut(usize, &PlannedRun, PlanEvent<'_>) -> ControlFlow<()> + Send),
) -> Result<HashMap<RunId, Outcome>> {
    Ok(execute_growing(plan.clone(), &mut |_| Ok(None), data, runs, sessions, observer)?.1)
}

/// The same for a plan with searches, which grows: as runs end, `grow` is asked what the plan is by all that has ended, and the runs
/// that are new in it follow the others. Gives the plan that it has become too. (Any number of processes may share it, since what it
/// grows by is a pure function of what has ended.)
///
/// # Errors
/// Those of [`execute`] and of `grow`.
///
/// # Panics
/// As [`execute`] does.
pub fn execute_growing(
    plan: Plan,
    grow: &mut Grow<'_>,
    data: &Data<'_>,
    runs: &Runs,
    sessions: &[Session],
    observer: &mut (dyn FnMut(usize, &PlannedRun, PlanEvent<'_>) -> ControlFlow<()> + Send),
) -> Result<(Plan, HashMap<RunId, Outcome>)> {
    assert!(!sessions.is_empty(), "no session to train in");
    let mut clock = Clock::new(&plan, sessions.len());
    clock.leave_ended(&plan, runs, sessions[0].retry, 0);
    let state = State {
        order: order(&plan, sessions.len()),
        plan,
        grow,
        runs,
        jobs: sessions.len(),
        retry: sessions[0].retry,
        outcomes: HashMap::new(),
        at_work: BTreeSet::new(),
        elsewhere: BTreeSet::new(),
        retrained: BTreeMap::new(),
        clock,
        ungrown: None,
        stopped: false,
        error: None,
        observer,
    };
    let executor = Executor { data, runs, state: Mutex::new(state), changed: Condvar::new() };
    match sessions {
        [session] => executor.work(session),
        sessions => executor.work_in_all(sessions)?,
    }
    let State { plan, outcomes, error, .. } = executor.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match error {
        Some(error) => Err(error),
        None if outcomes.len() < plan.runs.len() => Err(Error::Stopped),
        None => Ok((plan, outcomes)),
    }
}

/// What the plan is by all that has ended; nothing if it is as it was.
pub type Grow<'a> = dyn FnMut(&HashMap<RunId, Outcome>) -> Result<Option<Plan>> + Send + 'a;

/// The order in which runs are begun.
fn order(plan: &Plan, jobs: usize) -> Vec<usize> {
    if jobs == 1 { (0..plan.runs.len()).collect() } else { longest_first(plan) }
}

/// What the threads of an execution share.
struct Executor<'a> {
    data: &'a Data<'a>,
    runs: &'a Runs,
    state: Mutex<State<'a>>,
    /// A run is over, or the threads are to stop.
    changed: Condvar,
}

/// How far the plan has come.
struct State<'a> {
    plan: Plan,
    grow: &'a mut Grow<'a>,
    runs: &'a Runs,
    jobs: usize,
    retry: Retry,
    /// The order in which its runs are begun, as far as teachers allow.
    order: Vec<usize>,
    outcomes: HashMap<RunId, Outcome>,
    /// Runs that threads of this execution work on.
    at_work: BTreeSet<usize>,
    /// Runs that other processes were found to work on, since a run ended here or their runs were looked at.
    elsewhere: BTreeSet<usize>,
    /// How often each run was trained again because it was gone when a student needed it.
    retrained: BTreeMap<usize, usize>,
    clock: Clock,
    /// The last run that ended since it was looked what the plan has more.
    ungrown: Option<usize>,
    stopped: bool,
    /// Why, unless it was the observer that wanted it.
    error: Option<Error>,
    observer: &'a mut Observer<'a>,
}

/// What became of a run that a thread took.
enum Ended {
    Outcome(Outcome, Trained),
    /// A teacher that was finished is gone.
    TeacherGone(RunId),
    /// Another process works on it.
    Elsewhere,
    Error(Error),
}

impl<'a> Executor<'a> {
    /// One thread a session, each with its share of the processor. In pools of their own: in a pool that they shared, a thread
    /// that waits for a part of its own loop could be given another's whole run to do meanwhile.
    fn work_in_all(&self, sessions: &[Session]) -> Result<()> {
        let threads = (rayon::current_num_threads() / sessions.len()).max(1);
        let too_many = |error: &dyn std::fmt::Display| {
            Error::Config(format!("{} runs at once need more threads than the system gives: {error}", sessions.len()))
        };
        let pool = |_| rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pools = sessions.iter().map(pool).collect::<Result<Vec<_>, _>>().map_err(|error| too_many(&error))?;
        thread::scope(|scope| {
            let mut started = Vec::new();
            for (session, pool) in sessions.iter().zip(&pools) {
                let work = || self.stop_on_panic(|| pool.install(|| self.work(session)));
                match thread::Builder::new().spawn_scoped(scope, work) {
                    Ok(thread) => started.push(thread),
                    Err(error) => {
                        self.state().stopped = true;
                        self.changed.notify_all();
                        return Err(too_many(&error));
                    }
                }
            }
            for thread in started {
                thread.join().unwrap_or_else(|reason| resume_unwind(reason));
            }
            Ok(())
        })
    }

    /// Does `work`; if it panics, the other threads save what they work on.
    fn stop_on_panic(&self, work: impl FnOnce()) {
        if let Err(reason) = catch_unwind(AssertUnwindSafe(work)) {
            self.state().stopped = true;
            self.changed.notify_all();
            resume_unwind(reason);
        }
    }

    /// Takes one run after the other until nothing is left.
    fn work(&self, session: &Session) {
        let mut state = self.state();
        while state.goes_on() {
            if let Some((index, teachers)) = state.take() {
                let run = state.plan.runs[index].clone();
                drop(state);
                let ended = match teachers {
                    Teachers::Lost => self.ended_before(&run, session),
                    _ => self.train(index, &run, session),
                };
                state = self.state();
                if state.finish_run(index, ended) {
                    self.changed.notify_all();
                }
            } else if state.ungrown.is_some() {
                state.grow();
                self.changed.notify_all();
            } else {
                if state.at_work.is_empty() && state.wait().is_break() {
                    break;
                }
                let (woken, waited) =
                    self.changed.wait_timeout(state, POLL_EVERY).unwrap_or_else(PoisonError::into_inner);
                state = woken;
                if waited.timed_out() {
                    state.elsewhere.clear();
                }
            }
        }
    }

    /// The end of a run that cannot be taught: a student that had finished before stays finished.
    fn ended_before(&self, run: &PlannedRun, session: &Session) -> Ended {
        let outcome = match self.runs.settled(&run.config, session.retry) {
            Ok(Some(result)) => Outcome::Finished(result),
            Err(Error::DivergedBefore { reason, .. }) => Outcome::Diverged(reason),
            _ => Outcome::NoTeacher,
        };
        Ended::Outcome(outcome, Trained::Before)
    }

    fn train(&self, index: usize, run: &PlannedRun, session: &Session) -> Ended {
        let mut trained = Trained::Before;
        let trained_now = &mut trained;
        let result = self.runs.settled(&run.config, session.retry).and_then(|settled| {
            if let Some(result) = settled {
                return Ok(result);
            }
            let data = (self.data)(&run.config.data)?;
            train(&run.config, &data, self.runs, session, &mut |event| {
                if let Event::Started { .. } = event {
                    *trained_now = Trained::Now;
                }
                self.state().tell(index, event)
            })
        });
        match result {
            Ok(result) => Ended::Outcome(Outcome::Finished(result), trained),
            Err(Error::Diverged(divergence)) => Ended::Outcome(Outcome::Diverged(divergence.to_string()), Trained::Now),
            Err(Error::NotFinite(reason)) => Ended::Outcome(Outcome::Diverged(reason), Trained::Now),
            Err(Error::DivergedBefore { reason, .. }) => Ended::Outcome(Outcome::Diverged(reason), Trained::Before),
            Err(error @ Error::NotImported(_)) => Ended::Outcome(Outcome::Diverged(error.to_string()), Trained::Before),
            Err(Error::Unfinished { id, .. }) => Ended::TeacherGone(id),
            // A teacher's file, for its own were looked at before: the teacher is trained again, which repairs it.
            Err(error) if error.is_damage() => match self.damaged_teacher(run) {
                Some(id) => Ended::TeacherGone(id),
                None => Ended::Error(error),
            },
            Err(Error::Store(takd_store::Error::Claimed(_))) => Ended::Elsewhere,
            Err(error) => Ended::Error(error),
        }
    }

    /// A teacher of this run that is not whole.
    fn damaged_teacher(&self, run: &PlannedRun) -> Option<RunId> {
        run.config.teachers().iter().find(|id| !matches!(self.runs.finished(id), Ok(Some(_)))).cloned()
    }

    /// Never left half changed, not even by an observer that panics.
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a run can be taught.
enum Teachers {
    Ready,
    NotYet,
    Lost,
}

impl State<'_> {
    fn goes_on(&self) -> bool {
        !self.stopped && (self.ungrown.is_some() || self.outcomes.len() < self.plan.runs.len())
    }

    /// A run to work on, if there is one at this moment.
    fn take(&mut self) -> Option<(usize, Teachers)> {
        let mut order = self.order.iter().filter(|index| !self.at_work.contains(index));
        let found = order.find_map(|&index| {
            let run = &self.plan.runs[index];
            if self.elsewhere.contains(&index) || self.outcomes.contains_key(&run.id) {
                return None;
            }
            match self.teachers(run) {
                Teachers::NotYet => None,
                teachers => Some((index, teachers)),
            }
        });
        self.at_work.extend(found.iter().map(|(index, _)| index));
        found
    }

    fn teachers(&self, run: &PlannedRun) -> Teachers {
        let mut all = Teachers::Ready;
        for teacher in run.config.teachers() {
            match self.outcomes.get(teacher) {
                Some(Outcome::Finished(_)) => {}
                Some(_) => return Teachers::Lost,
                None if self.plan.runs.iter().any(|run| run.id == *teacher) => all = Teachers::NotYet,
                // Nobody here will train it: it is finished, or never will be.
                None if matches!(self.runs.finished(teacher), Ok(Some(_))) => {}
                None => return Teachers::Lost,
            }
        }
        all
    }

    /// A thread has done what it could for a run; whether that changes anything for the others.
    fn finish_run(&mut self, index: usize, ended: Ended) -> bool {
        self.at_work.remove(&index);
        match ended {
            Ended::Outcome(outcome, trained) => {
                self.clock.leave(index);
                self.elsewhere.clear();
                let run = &self.plan.runs[index];
                let outcome = &*self.outcomes.entry(run.id.clone()).or_insert(outcome);
                self.stopped |= (self.observer)(index, run, PlanEvent::Ended(outcome, trained)).is_break();
                self.ungrown = Some(index);
                // What had ended before, the plan that was begun with knows already, unless others trained it meanwhile.
                if trained == Trained::Now {
                    self.grow();
                }
            }
            Ended::TeacherGone(id) => {
                let teacher = self.plan.runs.iter().position(|run| run.id == id);
                let retrained = teacher.map(|teacher| self.retrained.entry(teacher).or_default());
                match retrained {
                    // Another student has found that already.
                    Some(_) if !self.outcomes.contains_key(&id) => {}
                    // It was deleted meanwhile: it is trained again, and then this run.
                    Some(times) if *times < RETRAINED_AT_MOST => {
                        *times += 1;
                        self.outcomes.remove(&id);
                    }
                    _ => return self.finish_run(index, Ended::Outcome(Outcome::NoTeacher, Trained::Before)),
                }
            }
            Ended::Elsewhere => {
                self.elsewhere.insert(index);
                return false;
            }
            Ended::Error(Error::Stopped) => self.stopped = true,
            Ended::Error(error) => {
                self.stopped = true;
                self.error.get_or_insert(error);
            }
        }
        true
    }

    /// Adds what the plan has more now that runs have ended.
    fn grow(&mut self) {
        let Some(ended) = self.ungrown.take() else { return };
        let grown = match (self.grow)(&self.outcomes) {
            Ok(grown) => grown,
            Err(error) => {
                self.stopped = true;
                self.error.get_or_insert(error);
                None
            }
        };
        let Some(Plan { runs, cells, later }) = grown else { return };
        let known: BTreeSet<RunId> = self.plan.runs.iter().map(|run| run.id.clone()).collect();
        let before = self.plan.runs.len();
        self.plan.runs.extend(runs.into_iter().filter(|run| !known.contains(&run.id)));
        (self.plan.cells, self.plan.later) = (cells, later);
        if self.plan.runs.len() > before {
            self.order = order(&self.plan, self.jobs);
            self.clock.grow(&self.plan);
            self.clock.leave_ended(&self.plan, self.runs, self.retry, before);
            let event = PlanEvent::Grown(&self.plan);
            self.stopped |= (self.observer)(ended, &self.plan.runs[ended], event).is_break();
        }
    }

    fn tell(&mut self, index: usize, event: Event<'_>) -> ControlFlow<()> {
        self.clock.tell(index, &event, Instant::now());
        let event = PlanEvent::Training(event, self.clock.left(index));
        self.stopped |= (self.observer)(index, &self.plan.runs[index], event).is_break();
        self.flow()
    }

    /// Nothing can be done here until another process has done something.
    fn wait(&mut self) -> ControlFlow<()> {
        let left = self.plan.runs.iter().enumerate().find(|(_, run)| !self.outcomes.contains_key(&run.id));
        if let Some((index, run)) = left {
            self.stopped |= (self.observer)(index, run, PlanEvent::Waiting).is_break();
        }
        self.flow()
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

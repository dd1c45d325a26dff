//! Runs a plan on this machine, one run at a time or several.

use crate::clock::{Clock, TimeLeft, longest_first};
use crate::{Plan, PlannedRun};
use candle_core::Device;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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

/// Is told the number of a run (from 0), the run and what happens, and says whether to go on.
type Watch<'a> = dyn FnMut(usize, &PlannedRun, Happening<'_>) -> ControlFlow<()> + Send + 'a;

/// How often other processes' runs are looked at.
const PATIENCE: Duration = Duration::from_millis(500);

/// Trains every run of the plan that is not finished, and gives how each ended. What another process works on is left to
/// it, so that any number of processes may execute one plan in one folder, and each run is trained once.
///
/// So many runs are trained at once as there are devices, each on its own; no result depends on how many. One device is
/// worked with by the calling thread, in whose rayon pool it is best called, as [`train`] is. With more, each has a thread
/// and a pool of its own, and the calling thread's pool says how many processor threads they share out among them.
/// Several devices may be one GPU: candle orders what it does on one of its devices, and nothing beyond that, so that
/// runs on devices with streams of their own overlap.
///
/// `watch` is told the number of the run (from 0), the run and what happens, one thing after the other. Where it breaks
/// off, the runs in hand are saved and [`Error::Stopped`] returned. A run that diverges costs only itself and those it was
/// to teach.
///
/// # Errors
/// Those of [`train`], but for divergence: the first one, after the other runs in hand are saved.
///
/// # Panics
/// Where there is no device, a run's data set is not among the data, or the system gives no more threads; where `watch`
/// panics.
pub fn execute(
    plan: &Plan,
    data: &BTreeMap<DatasetName, Dataset>,
    store: &Store,
    devices: &[Device],
    watch: &mut (dyn FnMut(usize, &PlannedRun, Happening<'_>) -> ControlFlow<()> + Send),
) -> Result<HashMap<RunId, Outcome>> {
    assert!(!devices.is_empty(), "no device to train on");
    let now = Now {
        plan,
        order: if devices.len() == 1 { (0..plan.runs.len()).collect() } else { longest_first(plan) },
        outcomes: HashMap::new(),
        in_hand: BTreeSet::new(),
        elsewhere: BTreeSet::new(),
        clock: Clock::new(plan, store, devices.len(), Instant::now()),
        stopped: false,
        error: None,
        watch,
    };
    let jobs = Jobs { plan, data, store, now: Mutex::new(now), changed: Condvar::new() };
    match devices {
        [device] => jobs.work(device),
        devices => jobs.work_on_all(devices),
    }
    let Now { outcomes, error, .. } = jobs.now.into_inner().unwrap_or_else(PoisonError::into_inner);
    match error {
        Some(error) => Err(error),
        None if outcomes.len() < plan.runs.len() => Err(Error::Stopped),
        None => Ok(outcomes),
    }
}

/// What the jobs have in common.
struct Jobs<'a> {
    plan: &'a Plan,
    data: &'a BTreeMap<DatasetName, Dataset>,
    store: &'a Store,
    now: Mutex<Now<'a>>,
    /// A run is over, or the jobs are to stop.
    changed: Condvar,
}

/// How the plan stands.
struct Now<'a> {
    plan: &'a Plan,
    /// The order in which its runs are begun, as far as teachers allow.
    order: Vec<usize>,
    outcomes: HashMap<RunId, Outcome>,
    /// What jobs work on.
    in_hand: BTreeSet<usize>,
    /// What other processes were found to work on, since a run ended here or their runs were looked at.
    elsewhere: BTreeSet<usize>,
    clock: Clock,
    stopped: bool,
    /// Why, where it was not `watch` that wanted it.
    error: Option<Error>,
    watch: &'a mut Watch<'a>,
}

impl<'a> Jobs<'a> {
    /// A job a device, each with its share of the processor. In pools of their own: in a pool that they shared, a job that
    /// waits for a part of its own loop could be given another job's whole run to do meanwhile.
    fn work_on_all(&self, devices: &[Device]) {
        let threads = (rayon::current_num_threads() / devices.len()).max(1);
        let job = |device| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a thread for each job");
            pool.install(|| self.work(device));
        };
        thread::scope(|scope| {
            self.or_stop(|| {
                let jobs: Vec<_> = devices.iter().map(|device| scope.spawn(|| self.or_stop(|| job(device)))).collect();
                for job in jobs {
                    job.join().unwrap_or_else(|reason| resume_unwind(reason));
                }
            });
        });
    }

    /// Does `job`; where it panics, the others save what they have in hand.
    fn or_stop(&self, job: impl FnOnce()) {
        if let Err(reason) = catch_unwind(AssertUnwindSafe(job)) {
            self.now().stopped = true;
            self.changed.notify_all();
            resume_unwind(reason);
        }
    }

    /// Takes one run after the other until nothing is left.
    fn work(&self, device: &Device) {
        let mut now = self.now();
        while now.goes_on() {
            if let Some((index, teachers)) = now.take() {
                drop(now);
                let ended = match teachers {
                    Teachers::Lost => Ok(Outcome::NoTeacher),
                    _ => self.train(index, device),
                };
                now = self.now();
                if now.put_back(index, ended) {
                    self.changed.notify_all();
                }
            } else {
                if now.in_hand.is_empty() && now.wait().is_break() {
                    break;
                }
                let (woken, waited) = self.changed.wait_timeout(now, PATIENCE).unwrap_or_else(PoisonError::into_inner);
                now = woken;
                if waited.timed_out() {
                    now.elsewhere.clear();
                }
            }
        }
    }

    fn train(&self, index: usize, device: &Device) -> Result<Outcome> {
        let run = &self.plan.runs[index];
        let data = &self.data[&run.config.data.dataset];
        match train(&run.config, data, self.store, device, &mut |event| self.now().tell(index, event)) {
            Ok(result) => Ok(Outcome::Finished(result)),
            Err(error @ (Error::Diverged { .. } | Error::NotFinite(_))) => Ok(Outcome::Diverged(error)),
            Err(error) => Err(error),
        }
    }

    /// Never left half changed, not even by a `watch` that panics.
    fn now(&self) -> MutexGuard<'_, Now<'a>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a run can be taught.
enum Teachers {
    Ready,
    NotYet,
    Lost,
}

impl Now<'_> {
    fn goes_on(&self) -> bool {
        !self.stopped && self.outcomes.len() < self.plan.runs.len()
    }

    /// A run to work on, if there is one at this moment.
    fn take(&mut self) -> Option<(usize, Teachers)> {
        let mut order = self.order.iter().filter(|index| !self.in_hand.contains(index));
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
        self.in_hand.extend(found.iter().map(|(index, _)| index));
        found
    }

    fn teachers(&self, run: &PlannedRun) -> Teachers {
        let mut all = Teachers::Ready;
        for teacher in run.config.distillation.iter().flat_map(|kd| &kd.teachers) {
            match self.outcomes.get(teacher) {
                Some(Outcome::Finished(_)) => {}
                Some(_) => return Teachers::Lost,
                None => all = Teachers::NotYet,
            }
        }
        all
    }

    /// A job has done what it could for a run; whether that changes anything for the others.
    fn put_back(&mut self, index: usize, ended: Result<Outcome>) -> bool {
        self.in_hand.remove(&index);
        match ended {
            Ok(outcome) => {
                self.clock.leave(index);
                self.elsewhere.clear();
                let run = &self.plan.runs[index];
                let outcome = &*self.outcomes.entry(run.id.clone()).or_insert(outcome);
                self.stopped |= (self.watch)(index, run, Happening::Ended(outcome)).is_break();
            }
            Err(Error::Claimed(_)) => {
                self.elsewhere.insert(index);
                return false;
            }
            Err(Error::Stopped) => self.stopped = true,
            Err(error) => {
                self.stopped = true;
                self.error.get_or_insert(error);
            }
        }
        true
    }

    fn tell(&mut self, index: usize, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Started { done, total } => self.clock.start(index, (done, total), Instant::now()),
            Event::Step { done, total, .. } => self.clock.step(index, (done, total), Instant::now()),
            _ => {}
        }
        let happening = Happening::Training(event, self.clock.left(index));
        self.stopped |= (self.watch)(index, &self.plan.runs[index], happening).is_break();
        self.flow()
    }

    /// Nothing can be done here until another process has done something.
    fn wait(&mut self) -> ControlFlow<()> {
        let left = self.plan.runs.iter().enumerate().find(|(_, run)| !self.outcomes.contains_key(&run.id));
        if let Some((index, run)) = left {
            self.stopped |= (self.watch)(index, run, Happening::Waiting).is_break();
        }
        self.flow()
    }

    fn flow(&self) -> ControlFlow<()> {
        if self.stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

//! What several jobs that share a plan must keep to.

use crate::common::{data, plan, runs, sessions};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use takd_distill::{Error, Event, Result, Retry, RunResult, Runs};
use takd_grid::{Outcome, Plan, PlanEvent, execute};
use takd_store::{Ending, Journal, RunId};

/// More than any test has the patience for.
const ENDLESS: usize = 1_000_000;

/// Executes the plan with so many jobs, until `ends` says so.
fn run(
    jobs: usize,
    plan: &Plan,
    runs: &Runs,
    mut ends: impl FnMut(usize, PlanEvent<'_>) -> bool + Send,
) -> Result<HashMap<RunId, Outcome>> {
    execute(plan, &data(), runs, &sessions(jobs, Retry::Never), &mut |index, run, event| {
        assert_eq!(run, &plan.runs[index]);
        if ends(index, event) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

/// Everything that equal runs must have equal.
fn outcome(store: &Runs, id: &RunId) -> (RunResult, Vec<Vec<u8>>) {
    let result = RunResult { seconds: 0.0, ..store.finished(id).unwrap().expect("a finished run") };
    let files = ["config.toml", "metrics.jsonl", "model.safetensors"];
    (result, files.map(|name| fs::read(store.dir(id).join(name)).unwrap()).to_vec())
}

/// The steps after which runs go on, by the same plan executed once more.
fn steps_kept(jobs: usize, plan: &Plan, store: &Runs) -> BTreeMap<usize, usize> {
    let mut kept = BTreeMap::new();
    let error = run(jobs, plan, store, |index, what| {
        if let PlanEvent::Training(Event::Started { done, .. }, _) = what {
            kept.insert(index, done);
        }
        kept.len() == jobs
    });
    assert!(matches!(error, Err(Error::Stopped)), "{error:?}");
    kept
}

/// The last step of each run.
#[derive(Default)]
struct Steps(BTreeMap<usize, usize>);

impl Steps {
    /// Notes the step, if it is one, and gives how many runs have taken some.
    fn note(&mut self, index: usize, what: &PlanEvent<'_>) -> usize {
        match *what {
            PlanEvent::Training(Event::Step { done, .. }, _) => {
                assert!(done < 5_000 || self.0.len() > 1, "run {index} is trained alone");
                self.0.insert(index, done);
            }
            PlanEvent::Ended(..) => panic!("run {index} has ended"),
            _ => {}
        }
        self.0.len()
    }
}

#[test]
fn three_jobs_end_in_the_bits_of_one_and_teachers_end_before_their_students_begin() {
    let plan = plan("plane2 -> plane2+plane4 -> plane2", 2, &[1, 2, 3]);
    let [(_one, one), (_three, three)] = [runs(), runs()];
    for (jobs, store) in [(1, &one), (3, &three)] {
        let (mut begun, mut ended) = (BTreeSet::new(), BTreeSet::new());
        let outcomes = run(jobs, &plan, store, |index, what| {
            match what {
                PlanEvent::Training(Event::Started { .. }, _) => {
                    assert!(begun.insert(index), "run {index} is trained twice");
                    let teachers = plan.runs[index].config.teachers();
                    assert!(teachers.iter().all(|teacher| ended.contains(teacher)), "run {index} came too early");
                }
                PlanEvent::Ended(Outcome::Finished(_), _) => _ = ended.insert(plan.runs[index].id.clone()),
                PlanEvent::Ended(outcome, _) => panic!("{outcome:?}"),
                _ => {}
            }
            false
        });
        assert_eq!((outcomes.unwrap().len(), begun.len()), (plan.runs.len(), 12));
    }
    for planned in &plan.runs {
        assert!(outcome(&three, &planned.id) == outcome(&one, &planned.id), "{} differs", planned.name());
        assert_eq!(three.verify(&planned.id).unwrap(), []);
    }
}

#[test]
fn as_many_runs_as_jobs_are_in_hand_at_once_and_each_is_saved_where_it_is_stopped() {
    let plan = plan("plane2", ENDLESS, &[1, 2, 3, 4]);
    let (_folder, store) = runs();
    let mut steps = Steps::default();
    let stopped = run(3, &plan, &store, |index, what| steps.note(index, &what) == 3);
    assert!(matches!(stopped, Err(Error::Stopped)), "{stopped:?}");
    assert_eq!(steps_kept(3, &plan, &store), steps.0);
}

#[test]
fn stopped_jobs_go_on_with_any_number_and_end_in_the_same_bits() {
    let plan = plan("plane4 -> plane2", 2, &[1, 2, 3]);
    let [(_whole, whole), (_broken, broken)] = [runs(), runs()];
    run(1, &plan, &whole, |_, _| false).unwrap();
    let mut starts = 0;
    for jobs in [3, 2, 1, 4].into_iter().cycle() {
        starts += 1;
        let mut events = 0;
        // A few events more each time, so that it comes to an end.
        let stopped = run(jobs, &plan, &broken, |_, _| {
            events += 1;
            events > 2 * starts
        });
        match stopped {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, Error::Stopped), "{error}"),
        }
    }
    assert!(starts > 4, "stopped {starts} times only");
    for planned in &plan.runs {
        assert!(outcome(&broken, &planned.id) == outcome(&whole, &planned.id), "{} differs", planned.name());
    }
}

#[test]
fn error_of_one_job_is_told_when_the_others_are_saved() {
    let plan = plan("plane2", ENDLESS, &[1, 2]);
    let (_folder, store) = runs();
    let claim = store.dir(&plan.runs[1].id).join("claim");
    let mut steps = Steps::default();
    let failed = run(2, &plan, &store, |index, what| {
        if steps.note(index, &what) == 2 && claim.exists() {
            // Its job must not write any more.
            fs::remove_file(&claim).unwrap();
        }
        false
    });
    assert!(
        matches!(&failed, Err(Error::Store(takd_store::Error::ClaimLost { path })) if *path == claim),
        "{failed:?}"
    );
    assert_eq!(steps_kept(2, &plan, &store)[&0], steps.0[&0]);
}

#[test]
fn panic_of_one_job_comes_with_its_message_when_the_others_are_saved() {
    let plan = plan("plane2", ENDLESS, &[1, 2, 3]);
    let (_folder, store) = runs();
    let mut steps = Steps::default();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        run(3, &plan, &store, |index, what| {
            assert!(steps.note(index, &what) < 3 || index != 1, "no more of run {index}");
            false
        })
    }));
    assert_eq!(panicked.unwrap_err().downcast_ref::<String>().unwrap(), "no more of run 1");
    let kept = steps_kept(3, &plan, &store);
    assert_eq!([kept[&0], kept[&2]], [steps.0[&0], steps.0[&2]]);
}

#[test]
fn jobs_leave_other_processes_runs_alone_and_wait_for_them() {
    let plan = plan("plane2 -> plane2", 1, &[1, 2]);
    let (_folder, store) = runs();
    let held = store.dir(&plan.runs[0].id);
    fs::create_dir(&held).unwrap();
    let mut claim = Some(File::create(held.join("claim")).unwrap());
    claim.as_ref().unwrap().try_lock().unwrap();
    let (mut ended, mut waited) = (Vec::new(), 0);
    let outcomes = run(3, &plan, &store, |index, what| {
        match what {
            PlanEvent::Ended(..) => ended.push(index),
            PlanEvent::Waiting => {
                assert_eq!((index, ended.as_slice()), (0, [2, 3].as_slice()));
                waited += 1;
                if waited > 3 {
                    drop(claim.take());
                }
            }
            _ => {}
        }
        false
    });
    assert_eq!(outcomes.unwrap().len(), 4);
    assert_eq!(ended, [2, 3, 0, 1]);
}

#[test]
fn student_that_finished_stays_finished_when_its_teacher_diverges_later() {
    let plan = plan("plane4->plane2", 1, &[31]);
    let (_folder, store) = runs();
    run(1, &plan, &store, |_, _| false).unwrap();
    let [teacher, student] = [&plan.runs[0], &plan.runs[1]];
    store.remove(&teacher.id).unwrap();
    let claim = store.claim(&teacher.id).unwrap().unwrap();
    claim.write_config(&teacher.config).unwrap();
    let journal = Journal::begin(&claim).unwrap().extent().unwrap();
    claim.end(&Ending::<RunResult>::Failed("diverged".into()), &journal, &[]).unwrap();
    drop(claim);
    let outcomes = run(1, &plan, &store, |_, _| false).unwrap();
    assert!(matches!(&outcomes[&teacher.id], Outcome::Diverged(reason) if reason == "diverged"));
    assert!(matches!(&outcomes[&student.id], Outcome::Finished(_)), "{:?}", outcomes[&student.id]);
}

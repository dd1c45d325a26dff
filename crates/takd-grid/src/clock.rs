//! Estimates the time left from the pace so far.

use crate::plan::{Cost, Looks, Plan, PlannedRun};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use takd_datasets::DatasetName;
use takd_distill::{Event, Pass, Retry, Runs};
use takd_models::ModelSpec;
use takd_store::{Ending, RunId};

/// The time left, estimated from the pace so far; zero before there is a pace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeLeft {
    /// Until the run ends.
    pub run: Duration,
    /// Until all runs end.
    pub all: Duration,
}

/// How far the runs of a plan have come, and how fast.
pub(crate) struct Clock {
    /// How many runs are trained at once.
    jobs: usize,
    runs: Vec<Progress>,
    /// What is expected of runs that have no names yet, and their kinds.
    later: Vec<Progress>,
    kinds_later: Vec<usize>,
    /// Which runs keep the same pace: those of one network, alone or taught.
    kinds: Vec<usize>,
    teachers: Vec<Vec<usize>>,
}

/// How far one run has come.
struct Progress {
    cost: Cost,
    /// Cost of what its own network has not done yet.
    left: f64,
    /// Cost of what its teachers have not done yet before it begins.
    logits_left: f64,
    /// Since when its steps are taken here, and what was left of its cost then.
    began: Option<Began>,
    /// What was done here, and how long it took.
    took: Took,
}

#[derive(Clone, Copy)]
struct Began {
    at: Instant,
    left: f64,
}

#[derive(Clone, Copy, Default)]
struct Took {
    cost: f64,
    seconds: f64,
}

impl Clock {
    pub(crate) fn new(plan: &Plan, jobs: usize) -> Self {
        let begin = |(run, shares_logits): (&PlannedRun, bool)| {
            let teacher_logits = if shares_logits { 0.0 } else { run.cost.teacher_logits };
            Progress::new(Cost { teacher_logits, ..run.cost })
        };
        let runs = plan.runs.iter().zip(plan.shares_logits()).map(begin).collect();
        let later = plan.later.iter().map(|later| Progress::new(later.cost)).collect();
        let (kinds, kinds_later) = kinds(plan);
        Self { jobs, runs, later, kinds, kinds_later, teachers: teachers(plan) }
    }

    /// The plan has more runs at its end.
    pub(crate) fn grow(&mut self, plan: &Plan) {
        let Self { runs, kinds, teachers, later, kinds_later, .. } = Self::new(plan, self.jobs);
        let before = self.runs.len();
        self.runs.extend(runs.into_iter().skip(before));
        (self.kinds, self.teachers, self.later, self.kinds_later) = (kinds, teachers, later, kinds_later);
    }

    /// The runs that have ended already take no time; one of them that is damaged is found and trained later. Those before the `first`
    /// are left as they are.
    pub(crate) fn leave_ended(&mut self, plan: &Plan, runs: &Runs, retry: Retry, first: usize) {
        for (index, run) in plan.runs.iter().enumerate().skip(first) {
            let over = match runs.ending(&run.id) {
                Ok(Some(Ending::Finished(_))) => true,
                Ok(Some(Ending::Failed(_))) => retry == Retry::Never,
                _ => false,
            };
            if over {
                self.leave(index);
            }
        }
    }

    /// Something happened in a run.
    pub(crate) fn tell(&mut self, index: usize, event: &Event<'_>, now: Instant) {
        let run = &mut self.runs[index];
        let Cost { training, teacher_logits, test } = run.cost;
        let rest = |total: f64, done: usize, of: usize| total * (1.0 - done as f64 / of.max(1) as f64);
        match *event {
            // Waiting, and the teachers' logits before, say nothing of how long the steps will take.
            Event::Started { done, total } => {
                run.left = rest(training, done, total) + test;
                run.logits_left = 0.0;
                run.began = Some(Began { at: now, left: run.left });
            }
            Event::Step { done, total, .. } => {
                run.left = rest(training, done, total) + test;
                run.measure(now);
            }
            Event::Pass { pass: Pass::TeacherLogits, done, total } if run.began.is_none() => {
                run.logits_left = rest(teacher_logits, done, total);
            }
            // The last look at the test images, after all steps.
            Event::Pass { pass: Pass::Test, done, total } if run.left <= test => {
                run.left = rest(test, done, total);
                run.measure(now);
            }
            Event::Pass { .. } | Event::Waiting(_) | Event::Epoch(_) => {}
        }
    }

    /// A run is over.
    pub(crate) fn leave(&mut self, index: usize) {
        (self.runs[index].left, self.runs[index].logits_left) = (0.0, 0.0);
    }

    /// All of it will take as long as its work does when it is shared out evenly, but never less than the longest chain of
    /// teachers and students, which cannot be trained at once.
    pub(crate) fn left(&self, index: usize) -> TimeLeft {
        // Multiplications alone say little of the pace: small networks do fewer of them in a second than large ones.
        let mut of_kind: HashMap<usize, Took> = HashMap::new();
        let mut all = Took::default();
        for (run, kind) in self.runs.iter().zip(&self.kinds) {
            let took = of_kind.entry(*kind).or_default();
            (*took, all) = (took.and(run.took), all.and(run.took));
        }
        // Several at once slow each other down, which these seconds include.
        let pace = |known: &[Took]| {
            let known = known.iter().find(|took| took.cost > 0.0);
            known.map_or(0.0, |Took { cost, seconds }| seconds / cost)
        };
        let seconds = |index: usize| {
            let run = &self.runs[index];
            let teacher = self.teachers[index].first().map_or(all, |&teacher| of_kind[&self.kinds[teacher]]);
            run.left * pace(&[run.took, of_kind[&self.kinds[index]], all]) + run.logits_left * pace(&[teacher, all])
        };
        let later = self
            .later
            .iter()
            .zip(&self.kinds_later)
            .map(|(later, kind)| later.left * pace(&[of_kind.get(kind).copied().unwrap_or_default(), all]));
        let work: f64 = (0..self.runs.len()).map(seconds).chain(later).sum();
        let longest = chains(&self.teachers, seconds).into_iter().fold(0.0, f64::max);
        let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        TimeLeft { run: duration(seconds(index)), all: duration(longest.max(work / self.jobs as f64)) }
    }
}

impl Progress {
    fn new(cost: Cost) -> Self {
        Self {
            cost,
            left: cost.training + cost.test,
            logits_left: cost.teacher_logits,
            began: None,
            took: Took::default(),
        }
    }

    fn measure(&mut self, now: Instant) {
        if let Some(Began { at, left }) = self.began {
            self.took = Took { cost: left - self.left, seconds: now.duration_since(at).as_secs_f64() };
        }
    }
}

impl Took {
    fn and(self, other: Self) -> Self {
        Self { cost: self.cost + other.cost, seconds: self.seconds + other.seconds }
    }
}

/// The order in which runs are begun if several are trained at once: those with the longest chain of students first,
/// because the last to end would else be a long chain that began late.
pub(crate) fn longest_first(plan: &Plan) -> Vec<usize> {
    let chains = chains(&teachers(plan), |index| plan.runs[index].cost.total());
    let mut order: Vec<usize> = (0..plan.runs.len()).collect();
    order.sort_by(|&a, &b| chains[b].total_cmp(&chains[a]));
    order
}

/// For each run, what it takes together with the longest chain of those that it teaches, by what `each` takes.
fn chains(teachers: &[Vec<usize>], each: impl Fn(usize) -> f64) -> Vec<f64> {
    let mut chains = vec![0.0; teachers.len()];
    // Students stand after their teachers.
    for (index, teachers) in teachers.iter().enumerate().rev() {
        chains[index] += each(index);
        for &teacher in teachers {
            chains[teacher] = f64::max(chains[teacher], chains[index]);
        }
    }
    chains
}

/// A number for each kind of run: its network, and whether it is taught while it is trained, which takes teachers along.
fn kinds(plan: &Plan) -> (Vec<usize>, Vec<usize>) {
    let mut known: Vec<(ModelSpec, bool, &DatasetName, usize)> = Vec::new();
    let mut kind = |model, looks: &Looks, dataset, batch_size| {
        let kind = (model, looks.taught_live > 0.0, dataset, batch_size);
        known.iter().position(|other| *other == kind).unwrap_or_else(|| {
            known.push(kind);
            known.len() - 1
        })
    };
    let of_runs = plan.runs.iter().map(|PlannedRun { config, looks, .. }| {
        kind(config.model, looks, &config.data.dataset, config.training.batch_size)
    });
    let of_runs = of_runs.collect();
    let later = plan.later.iter().map(|later| kind(later.model, &later.looks, &later.dataset, later.batch_size));
    (of_runs, later.collect())
}

/// The places of each run's teachers in the plan.
fn teachers(plan: &Plan) -> Vec<Vec<usize>> {
    let places: HashMap<&RunId, usize> = plan.runs.iter().enumerate().map(|(place, run)| (&run.id, place)).collect();
    let of = |run: &PlannedRun| run.config.teachers().iter().filter_map(|id| places.get(id).copied()).collect();
    plan.runs.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use takd_distill::Losses;

    /// Runs of these costs and teachers; nothing is trained yet.
    fn clock(jobs: usize, runs: &[(f64, &[usize])]) -> (Clock, Instant) {
        let begin = |&(training, _): &(f64, _)| Progress::new(Cost { training, ..Cost::default() });
        let teachers = runs.iter().map(|(_, teachers)| teachers.to_vec()).collect();
        // Runs of equal cost are of one kind.
        let kind = |(training, _): &(f64, _)| training.to_bits() as usize;
        let kinds = runs.iter().map(kind).collect();
        let (later, kinds_later) = (Vec::new(), Vec::new());
        (Clock { jobs, runs: runs.iter().map(begin).collect(), later, kinds, kinds_later, teachers }, Instant::now())
    }

    fn seconds(left: TimeLeft) -> (f64, f64) {
        (left.run.as_secs_f64(), left.all.as_secs_f64())
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    fn started(done: usize, total: usize) -> Event<'static> {
        Event::Started { done, total }
    }

    fn step(done: usize, total: usize) -> Event<'static> {
        Event::Step { done, total, epoch: 1, loss: Losses::default(), accuracy: 0.0 }
    }

    #[test]
    fn one_job_needs_the_time_of_all_that_is_left() {
        let (mut clock, now) = clock(1, &[(10.0, &[]), (20.0, &[0]), (5.0, &[])]);
        assert_eq!(clock.left(0), TimeLeft::default());
        clock.tell(0, &started(0, 100), now);
        clock.tell(0, &step(50, 100), after(now, 10));
        // Two seconds a unit of cost.
        assert_eq!(seconds(clock.left(0)), (10.0, 60.0));
        clock.leave(0);
        assert_eq!(seconds(clock.left(1)), (40.0, 50.0));
        // What was done in an earlier start is neither left nor a sign of speed.
        clock.tell(1, &started(50, 100), now);
        clock.tell(1, &step(75, 100), after(now, 5));
        assert_eq!(seconds(clock.left(1)), (5.0, 5.0 + 5.0 * 15.0 / 10.0));
    }

    /// Small networks take ten times as long for a multiplication; once each kind was seen, what is left is told as it comes.
    #[test]
    fn time_left_goes_by_the_pace_of_the_same_kind() {
        let runs: Vec<(f64, &[usize])> = (0..3).flat_map(|_| [(100.0, &[][..]), (1.0, &[][..])]).collect();
        let (mut clock, mut now) = clock(1, &runs);
        let takes = |index: usize| if index.is_multiple_of(2) { 100 } else { 10 };
        for index in 0..runs.len() {
            clock.tell(index, &started(0, 10), now);
            now = after(now, takes(index) / 2);
            clock.tell(index, &step(5, 10), now);
            let left: u64 = takes(index) / 2 + (index + 1..runs.len()).map(takes).sum::<u64>();
            let all = clock.left(index).all.as_secs_f64();
            assert!(
                index == 0 || (all / left as f64 - 1.0).abs() < 1e-9,
                "run {index}: {all} s, and {left} s are left"
            );
            now = after(now, takes(index) / 2);
            clock.tell(index, &step(10, 10), now);
            clock.leave(index);
        }
    }

    #[test]
    fn jobs_share_the_work_but_not_a_chain_of_teachers_and_students() {
        let runs: [(f64, &[usize]); 5] = [(10.0, &[]), (10.0, &[0]), (10.0, &[1]), (10.0, &[]), (10.0, &[])];
        for (jobs, all) in [(1, 45.0), (2, 25.0), (4, 25.0)] {
            let (mut clock, now) = clock(jobs, &runs);
            clock.tell(0, &started(0, 10), now);
            clock.tell(0, &step(5, 10), after(now, 5));
            assert_eq!(seconds(clock.left(0)), (5.0, all), "{jobs} jobs");
        }
        // A hundred seconds of work for two, and no chain.
        let (mut clock, now) = clock(2, &[(10.0, &[]), (10.0, &[]), (10.0, &[]), (10.0, &[]), (20.0, &[])]);
        for run in [0, 1] {
            clock.tell(run, &started(0, 10), now);
            clock.tell(run, &step(5, 10), after(now, 10));
        }
        assert_eq!(seconds(clock.left(1)), (10.0, 50.0));
    }

    #[test]
    fn teachers_logits_and_the_test_images_count_too() {
        let (mut clock, now) = clock(1, &[(10.0, &[])]);
        clock.runs[0] = Progress::new(Cost { training: 10.0, teacher_logits: 4.0, test: 2.0 });
        clock.tell(0, &Event::Pass { pass: Pass::TeacherLogits, done: 1, total: 2 }, now);
        clock.tell(0, &started(0, 10), now);
        clock.tell(0, &step(10, 10), after(now, 10));
        assert_eq!(seconds(clock.left(0)), (2.0, 2.0));
        clock.tell(0, &Event::Pass { pass: Pass::Test, done: 1, total: 2 }, after(now, 11));
        assert_eq!(seconds(clock.left(0)), (1.0, 1.0));
    }

    /// A large teacher looks at images at its own pace, not at that of its small student.
    #[test]
    fn logits_are_timed_by_the_pace_of_the_teacher() {
        let (mut clock, now) = clock(1, &[(100.0, &[]), (1.0, &[]), (1.0, &[0])]);
        clock.runs[2] = Progress::new(Cost { training: 1.0, teacher_logits: 50.0, test: 0.0 });
        for (index, takes) in [(0, 10), (1, 20)] {
            clock.tell(index, &started(0, 10), now);
            clock.tell(index, &step(10, 10), after(now, takes));
            clock.leave(index);
        }
        // 20 s for its own step, as the other student took, and a tenth of a second for each of the teacher's 50.
        assert_eq!(seconds(clock.left(2)), (25.0, 25.0));
        clock.tell(2, &Event::Pass { pass: Pass::TeacherLogits, done: 1, total: 2 }, now);
        assert_eq!(seconds(clock.left(2)), (22.5, 22.5));
    }

    #[test]
    fn run_with_the_longest_chain_behind_it_comes_first() {
        // A teacher alone, one with two students of which one teaches again.
        let teachers = [vec![], vec![], vec![1], vec![1], vec![3]];
        let costs = [14.0, 5.0, 6.0, 4.0, 6.0];
        assert_eq!(chains(&teachers, |index| costs[index]), [14.0, 15.0, 6.0, 10.0, 6.0]);
    }
}

//! Tells how long it will take from how long it took.

use crate::{Plan, PlannedRun};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use takd_distill::{RunId, Store};

/// How long it will take, about, by what it took so far; zero before there is anything to tell it by.
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
    runs: Vec<Pace>,
    teachers: Vec<Vec<usize>>,
}

/// How far one run has come.
struct Pace {
    cost: f64,
    /// Share of its steps that are not taken.
    left: f64,
    /// When its steps began here, and after how many.
    began: (Instant, usize),
    /// Cost and seconds of the steps that were taken here.
    took: (f64, f64),
}

impl Clock {
    pub(crate) fn new(plan: &Plan, store: &Store, jobs: usize, now: Instant) -> Self {
        let pace = |run: &PlannedRun| {
            // What is damaged will be trained again.
            let finished = matches!(store.finished(&run.id), Ok(Some(_)));
            Pace { cost: run.cost, left: if finished { 0.0 } else { 1.0 }, began: (now, 0), took: (0.0, 0.0) }
        };
        Self { jobs, runs: plan.runs.iter().map(pace).collect(), teachers: teachers(plan) }
    }

    /// A run's steps begin: waiting and teachers' logits say nothing of how long those will take.
    pub(crate) fn start(&mut self, index: usize, (done, total): (usize, usize), now: Instant) {
        let run = &mut self.runs[index];
        (run.began, run.left) = ((now, done), share(total - done, total));
    }

    /// A step was taken.
    pub(crate) fn step(&mut self, index: usize, (done, total): (usize, usize), now: Instant) {
        let run = &mut self.runs[index];
        let (began, before) = run.began;
        run.left = share(total - done, total);
        run.took = (run.cost * share(done - before, total), now.duration_since(began).as_secs_f64());
    }

    /// A run is over.
    pub(crate) fn leave(&mut self, index: usize) {
        self.runs[index].left = 0.0;
    }

    /// All of it will take as long as its work does when it is shared out evenly, but never less than the longest chain of
    /// teachers and students, who cannot be trained at once.
    pub(crate) fn left(&self, index: usize) -> TimeLeft {
        let took = self.runs.iter().map(|run| run.took).fold((0.0, 0.0), |all, run| (all.0 + run.0, all.1 + run.1));
        // Several at once slow each other down, which these seconds have in them.
        let seconds = |index: usize| {
            let Pace { cost, left, took: own, .. } = self.runs[index];
            let (cost_done, seconds) = if own.0 > 0.0 { own } else { took };
            if cost_done > 0.0 { cost * left * seconds / cost_done } else { 0.0 }
        };
        let work: f64 = (0..self.runs.len()).map(seconds).sum();
        let longest = chains(&self.teachers, seconds).into_iter().fold(0.0, f64::max);
        let duration = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        TimeLeft { run: duration(seconds(index)), all: duration(longest.max(work / self.jobs as f64)) }
    }
}

fn share(steps: usize, total: usize) -> f64 {
    steps as f64 / total.max(1) as f64
}

/// The order in which runs are begun where several are trained at once: those with most to do behind them first, since
/// the last to end would else be a long chain that began late.
pub(crate) fn longest_first(plan: &Plan) -> Vec<usize> {
    let chains = chains(&teachers(plan), |index| plan.runs[index].cost);
    let mut order: Vec<usize> = (0..plan.runs.len()).collect();
    order.sort_by(|&a, &b| chains[b].total_cmp(&chains[a]));
    order
}

/// For each run what it takes together with the longest chain of those that it teaches, by what `each` takes.
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

/// The places of each run's teachers in the plan.
fn teachers(plan: &Plan) -> Vec<Vec<usize>> {
    let places: HashMap<&RunId, usize> = plan.runs.iter().enumerate().map(|(place, run)| (&run.id, place)).collect();
    let of = |run: &PlannedRun| {
        let teachers = run.config.distillation.iter().flat_map(|kd| &kd.teachers);
        teachers.filter_map(|id| places.get(id).copied()).collect()
    };
    plan.runs.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs of these costs and teachers; nothing is trained yet.
    fn clock(jobs: usize, runs: &[(f64, &[usize])]) -> (Clock, Instant) {
        let now = Instant::now();
        let pace = |&(cost, _): &(f64, _)| Pace { cost, left: 1.0, began: (now, 0), took: (0.0, 0.0) };
        let teachers = runs.iter().map(|(_, teachers)| teachers.to_vec()).collect();
        (Clock { jobs, runs: runs.iter().map(pace).collect(), teachers }, now)
    }

    fn seconds(left: TimeLeft) -> (f64, f64) {
        (left.run.as_secs_f64(), left.all.as_secs_f64())
    }

    fn after(now: Instant, seconds: u64) -> Instant {
        now + Duration::from_secs(seconds)
    }

    #[test]
    fn one_job_needs_the_time_of_all_that_is_left() {
        let (mut clock, now) = clock(1, &[(10.0, &[]), (20.0, &[0]), (5.0, &[])]);
        assert_eq!(clock.left(0), TimeLeft::default());
        clock.start(0, (0, 100), now);
        clock.step(0, (50, 100), after(now, 10));
        // Two seconds a unit of cost.
        assert_eq!(seconds(clock.left(0)), (10.0, 60.0));
        clock.leave(0);
        assert_eq!(seconds(clock.left(1)), (40.0, 50.0));
        // What was done in an earlier start is neither left nor a sign of speed.
        clock.start(1, (50, 100), now);
        clock.step(1, (75, 100), after(now, 5));
        assert_eq!(seconds(clock.left(1)), (5.0, 5.0 + 5.0 * 15.0 / 10.0));
    }

    #[test]
    fn jobs_share_the_work_but_no_chain_of_teachers_and_students() {
        let runs: [(f64, &[usize]); 5] = [(10.0, &[]), (10.0, &[0]), (10.0, &[1]), (10.0, &[]), (10.0, &[])];
        for (jobs, all) in [(1, 45.0), (2, 25.0), (4, 25.0)] {
            let (mut clock, now) = clock(jobs, &runs);
            clock.start(0, (0, 10), now);
            clock.step(0, (5, 10), after(now, 5));
            assert_eq!(seconds(clock.left(0)), (5.0, all), "{jobs} jobs");
        }
        // A hundred seconds of work for two, and no chain.
        let (mut clock, now) = clock(2, &[(10.0, &[]), (10.0, &[]), (10.0, &[]), (10.0, &[]), (20.0, &[])]);
        for run in [0, 1] {
            clock.start(run, (0, 10), now);
            clock.step(run, (5, 10), after(now, 10));
        }
        assert_eq!(seconds(clock.left(1)), (10.0, 50.0));
    }

    #[test]
    fn run_with_the_longest_chain_behind_it_comes_first() {
        // A teacher alone, one with two students of which one teaches again.
        let teachers = [vec![], vec![], vec![1], vec![1], vec![3]];
        let costs = [14.0, 5.0, 6.0, 4.0, 6.0];
        assert_eq!(chains(&teachers, |index| costs[index]), [14.0, 15.0, 6.0, 10.0, 6.0]);
    }
}

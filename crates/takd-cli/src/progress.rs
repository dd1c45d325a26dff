//! What a person sees while it runs, on standard error: bars on a terminal, plain lines elsewhere.

use crate::output::{note, printable};
use indicatif::{FormattedDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, HashSet, btree_map::Entry};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use takd_datasets::Stage;
use takd_distill::{EpochRecord, Evaluation, Event, Losses, Pass, RunResult};
use takd_grid::{Outcome, Plan, PlanEvent, PlannedRun, PlannedStudy, Trained};

/// Without a terminal, how often a line is written within an epoch.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Work that is over sooner is not shown.
const SHOWN_AFTER: Duration = Duration::from_secs(1);

/// Loads something while its progress is shown.
pub(crate) fn loading<T>(
    quiet: bool,
    screen: &MultiProgress,
    load: impl FnOnce(&mut dyn FnMut(takd_datasets::Progress<'_>)) -> T,
) -> T {
    one_bar(quiet, screen, |show| {
        load(&mut |progress| {
            let (verb, style) = match progress.stage {
                Stage::Download => DOWNLOADING,
                Stage::Wait => WAITING,
                Stage::Decode => ("decoding", COUNTED),
                Stage::Draw => ("drawing", COUNTED),
                Stage::Check => ("looking at", COUNTED),
            };
            show(&Shown { verb, style, what: progress.what, done: progress.done, total: progress.total });
        })
    })
}

/// Moves files to or from the hub while its progress is shown.
pub(crate) fn transferring<T>(
    quiet: bool,
    screen: &MultiProgress,
    transfer: impl FnOnce(&mut dyn FnMut(takd_hub::Progress<'_>)) -> T,
) -> T {
    one_bar(quiet, screen, |show| {
        transfer(&mut |progress| {
            let (verb, style) = match progress.stage {
                takd_hub::Stage::Download => DOWNLOADING,
                takd_hub::Stage::Wait => WAITING,
                takd_hub::Stage::Upload => ("uploading", BYTES),
            };
            show(&Shown { verb, style, what: progress.what, done: progress.done, total: progress.total });
        })
    })
}

const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left";
const COUNTED: &str = "{msg} {wide_bar} {pos}/{len}, {eta} left";
const DOWNLOADING: (&str, &str) = ("downloading", BYTES);
const WAITING: (&str, &str) = ("waiting for another program that downloads", "{msg}");

/// What a bar shows.
struct Shown<'a> {
    verb: &'a str,
    style: &'a str,
    what: &'a str,
    done: u64,
    total: u64,
}

/// Does something that shows one thing after the other on one bar.
fn one_bar<T>(quiet: bool, screen: &MultiProgress, work: impl FnOnce(&mut dyn FnMut(&Shown<'_>)) -> T) -> T {
    let bars = has_bars();
    let bar = if quiet || !bars { ProgressBar::hidden() } else { screen.add(ProgressBar::new(0)) };
    let result = work(&mut |Shown { verb, style, what, done, total }| {
        if *done == 0 {
            bar.set_style(style_of(style));
            bar.set_message(format!("{verb} {what}"));
            if !bars && !quiet {
                note(&format!("{verb} {what}"));
            }
        }
        bar.set_length(*total);
        bar.set_position(*done);
    });
    bar.finish_and_clear();
    result
}

/// Does something whose parts are counted, while it is shown how many are done.
pub(crate) fn counting<T>(
    quiet: bool,
    screen: &MultiProgress,
    what: &str,
    work: impl FnOnce(&mut dyn FnMut(usize, usize)) -> T,
) -> T {
    let bars = has_bars();
    let bar = if quiet || !bars { ProgressBar::hidden() } else { screen.add(ProgressBar::new(0)) };
    bar.set_style(style_of("{msg} {wide_bar} {pos}/{len}, {eta} left"));
    bar.set_message(what.to_owned());
    if !bars && !quiet {
        note(what);
    }
    let (started, mut told) = (Instant::now(), Instant::now());
    let result = work(&mut |done, total| {
        bar.set_length(total as u64);
        bar.set_position(done as u64);
        if !bars && !quiet && told.elapsed() >= LINE_EVERY {
            told = Instant::now();
            let left = started.elapsed().mul_f64((total - done) as f64 / done.max(1) as f64);
            note(&format!("  {done} of {total}, {} left", FormattedDuration(left)));
        }
    });
    bar.finish_and_clear();
    result
}

/// Looks at each of `items` while it is shown how far it has come, where that takes longer than a moment.
pub(crate) fn each<T, U>(items: &[T], what: &str, screen: &MultiProgress, mut look: impl FnMut(&T) -> U) -> Vec<U> {
    let started = Instant::now();
    // Hidden until it is added to the screen.
    let (bar, mut shown) = (ProgressBar::hidden(), false);
    bar.set_length(items.len() as u64);
    bar.set_style(style_of("{msg} {wide_bar} {pos}/{len}, {eta} left"));
    bar.set_message(what.to_owned());
    let found = items.iter().map(|item| {
        if !shown && started.elapsed() > SHOWN_AFTER {
            shown = true;
            screen.add(bar.clone());
        }
        let found = look(item);
        bar.inc(1);
        found
    });
    let found = found.collect();
    bar.finish_and_clear();
    found
}

/// Whether there is a terminal that can draw bars. A dumb one gets lines, as a pipe does.
fn has_bars() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}

fn style_of(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far the runs of a plan have come.
pub(crate) struct Progress {
    kind: Kind,
    runs: usize,
    ended: usize,
    /// What was said of the best trials.
    best: HashSet<String>,
    /// What has begun and not ended, by its number in the plan.
    begun: BTreeMap<usize, Begun>,
}

enum Kind {
    Quiet,
    Bars { all: ProgressBar, screen: MultiProgress },
    Lines,
}

/// A run that something was told of.
struct Begun {
    /// Hidden where there is no terminal.
    bar: ProgressBar,
    /// When there was last a line about it.
    told: Instant,
    aside: Option<Aside>,
}

/// What is done beside the training.
struct Aside {
    what: Doing,
    since: Instant,
    told: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Doing {
    Waiting,
    Pass(Pass),
}

impl Progress {
    pub(crate) fn new(plan: &Plan, quiet: bool, screen: &MultiProgress) -> Self {
        let runs = plan.runs.len();
        let kind = if quiet {
            Kind::Quiet
        } else if has_bars() {
            let all = screen.add(ProgressBar::new(runs as u64));
            all.set_style(style_of("{wide_bar} {msg}"));
            Kind::Bars { all, screen: screen.clone() }
        } else {
            Kind::Lines
        };
        Self { kind, runs, ended: 0, best: HashSet::new(), begun: BTreeMap::new() }
    }

    pub(crate) fn show(&mut self, index: usize, planned: &PlannedRun, event: &PlanEvent<'_>) {
        let number = index + 1;
        let name = planned.name();
        // Bars and lines say the same: both have the number and the name.
        let title = format!("run {number} of {}: {name}", self.runs);
        let Self { kind, begun, .. } = self;
        let (run, new) = (begun.entry(index), || Begun::new(&title, kind));
        match event {
            PlanEvent::Training(Event::Started { done, total }, _) => {
                let run = run.or_insert_with(new);
                run.aside = None;
                run.bar.set_length(*total as u64);
                run.bar.set_position(*done as u64);
                run.bar.set_message(title.clone());
                // On a terminal the bar says it.
                if let Kind::Lines = kind {
                    let after =
                        if *done == 0 { String::new() } else { format!(", going on after step {done} of {total}") };
                    run.line(kind, &format!("{title}{after}"));
                }
            }
            PlanEvent::Training(Event::Step { done, total, epoch, loss, accuracy }, left) => {
                let run = run.or_insert_with(new);
                let (run_left, all_left) = (FormattedDuration(left.run), FormattedDuration(left.all));
                let so_far = format!("{}, accuracy {:.1} %, {run_left} left", losses(loss), 100.0 * accuracy);
                if run.aside.take().is_some_and(|aside| aside.told) {
                    run.bar.set_message(title.clone());
                }
                match kind {
                    Kind::Bars { all, .. } => {
                        run.bar.set_position(*done as u64);
                        run.bar.set_prefix(format!("epoch {epoch}/{}, {so_far}", planned.config.training.epochs));
                        all.set_message(format!("{} of {} runs, {all_left} left for all", self.ended, self.runs));
                    }
                    Kind::Lines if run.told.elapsed() >= LINE_EVERY => run.line(kind, &format!("  run {number}, {name}: step {done} of {total}, epoch {epoch}, {so_far}, {all_left} for all"),
                    ),
                    Kind::Lines | Kind::Quiet => {}
                }
            }
            PlanEvent::Training(Event::Epoch(record), _) => {
                let line = format!("  run {number}, {name}: {}", epoch(planned, record));
                run.or_insert_with(new).line(kind, &line);
            }
            PlanEvent::Training(Event::Pass { pass, done, total }, _) => {
                let images = match pass {
                    Pass::TeacherLogits => "the teacher's logits",
                    Pass::HeldOut => "the held-out images",
                    Pass::Test => "the test images",
                };
                let text = || format!("{title}: {images}, {done} of {total}");
                run.or_insert_with(new).aside(kind, Doing::Pass(*pass), text);
            }
            PlanEvent::Training(Event::Waiting(id), _) => {
                let text = || format!("{title}: waiting for another process, which works on the teacher's run {id}");
                run.or_insert_with(new).aside(kind, Doing::Waiting, text);
            }
            PlanEvent::Grown(plan) => {
                self.runs = plan.runs.len();
                if let Kind::Bars { all, .. } = kind {
                    all.set_length(self.runs as u64);
                }
                let best = plan.cells.iter().flat_map(|cell| &cell.studies).filter_map(best_so_far);
                let new = best.filter(|line| self.best.insert(line.clone())).collect::<Vec<_>>();
                new.iter().for_each(|line| self.kind.line(line));
            }
            PlanEvent::Waiting => {
                let text = || format!("{title}: waiting for other processes, which work on it or on its teachers");
                run.or_insert_with(new).aside(kind, Doing::Waiting, text);
            }
            PlanEvent::Ended(outcome, trained) => {
                let run = if let Entry::Occupied(run) = run { Some(run.remove()) } else { None };
                kind.line(&format!("{title}: {}", ended(planned, outcome, *trained)));
                self.ended += 1;
                if let Kind::Bars { all, screen } = kind {
                    all.set_position(self.ended as u64);
                    if let Some(run) = run {
                        run.bar.finish_and_clear();
                        screen.remove(&run.bar);
                    }
                }
            }
        }
    }

    pub(crate) fn end(&self) {
        if let Kind::Bars { all, .. } = &self.kind {
            self.begun.values().for_each(|run| run.bar.finish_and_clear());
            all.finish_and_clear();
        }
    }
}

impl Kind {
    /// Writes a line that stays.
    fn line(&self, line: &str) {
        match self {
            Self::Quiet => {}
            Self::Bars { screen, .. } => {
                // A line that cannot be written to the terminal is nobody's loss.
                let _ = screen.println(printable(line));
            }
            Self::Lines => note(line),
        }
    }
}

impl Begun {
    fn new(title: &str, kind: &Kind) -> Self {
        let bar = match kind {
            Kind::Bars { all, screen } => screen.insert_before(all, ProgressBar::new(0)),
            Kind::Lines | Kind::Quiet => ProgressBar::hidden(),
        };
        bar.set_style(style_of("{msg}\n{wide_bar} {prefix}"));
        bar.set_message(title.to_owned());
        Self { bar, told: Instant::now(), aside: None }
    }

    fn line(&mut self, kind: &Kind, line: &str) {
        self.told = Instant::now();
        kind.line(line);
    }

    /// Shows what is done beside the training, if it takes longer than a moment.
    fn aside(&mut self, kind: &Kind, what: Doing, text: impl FnOnce() -> String) {
        let aside = match self.aside.take() {
            Some(aside) if aside.what == what => aside,
            _ => Aside { what, since: Instant::now(), told: false },
        };
        let long = aside.since.elapsed() >= SHOWN_AFTER;
        match kind {
            Kind::Bars { .. } if long => self.bar.set_message(text()),
            // Waiting is told at once, since nothing else is: a pass has its end soon.
            Kind::Lines if self.told.elapsed() >= LINE_EVERY || (long && !aside.told && what == Doing::Waiting) => {
                self.line(kind, &text());
            }
            _ => {}
        }
        self.aside = Some(Aside { told: aside.told || long, ..aside });
    }
}

/// Of a search the best trial of those that came furthest.
fn best_so_far(study: &PlannedStudy) -> Option<String> {
    let rung = study.trials.iter().map(|trial| trial.scores.len()).max()?.checked_sub(1)?;
    let scored = study.trials.iter().filter_map(|trial| Some((trial, *trial.scores.get(rung)?)));
    let (best, score) = scored.filter(|(_, score)| score.is_finite()).max_by(|a, b| a.1.total_cmp(&b.1))?;
    // A loss is negative there, so that more is better.
    let score = if score < 0.0 { format!("loss {:.4}", -score) } else { format!("{:.2} %", 100.0 * score) };
    let epochs = study.rungs[rung];
    Some(format!("{}: best so far {}, {score} after epoch {epochs}", study.path, best.point))
}

/// A loss, and the terms that it is made of if there are several.
fn losses(loss: &Losses) -> String {
    let Losses { loss, cross_entropy, kl } = loss;
    match kl {
        Some(kl) => format!("loss {loss:.3} (cross-entropy {cross_entropy:.3}, KL {kl:.3})"),
        None => format!("loss {loss:.3}"),
    }
}

fn epoch(run: &PlannedRun, record: &EpochRecord) -> String {
    let on = |name: &str, evaluation: &Option<Evaluation>| match evaluation {
        Some(evaluation) => format!(", {name} {:.2} %", 100.0 * evaluation.accuracy),
        None => String::new(),
    };
    format!(
        "epoch {} of {}: {}, training accuracy {:.2} %{}{}",
        record.epoch,
        run.config.training.epochs,
        losses(&record.train.loss),
        100.0 * record.train.accuracy,
        on("held-out accuracy", &record.held_out),
        on("test accuracy", &record.test)
    )
}

/// How the network of a run does on the test images.
pub(crate) fn tested(result: &RunResult) -> String {
    result.test.map_or_else(
        || "not tested, for its file has no logits of the test images".into(),
        |test| format!("test accuracy {:.2} %", 100.0 * test.accuracy),
    )
}

fn ended(run: &PlannedRun, outcome: &Outcome, trained: Trained) -> String {
    match outcome {
        Outcome::Finished(result) if run.config.imported.is_some() => format!("trained elsewhere, {}", tested(result)),
        Outcome::Finished(result) => format!(
            "{}, {} (epoch {} of {}), {:.0} s",
            match trained {
                Trained::Now => "trained",
                Trained::Before => "already trained",
            },
            tested(result),
            result.epoch,
            run.config.training.epochs,
            result.seconds
        ),
        Outcome::Diverged(reason) => reason.clone(),
        Outcome::NoTeacher => "not begun, because its teacher has no result".into(),
    }
}

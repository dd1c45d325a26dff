//! What a person sees while it runs, on standard error: bars on a terminal, plain lines elsewhere.

use crate::output::note;
use indicatif::{FormattedDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::collections::{BTreeMap, btree_map::Entry};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use takd_datasets::Stage;
use takd_distill::{EpochRecord, Evaluation, Event, Pass};
use takd_grid::{Happening, Outcome, Plan, PlannedRun};

/// Without a terminal, how often a line is written within an epoch.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// What is over sooner is not worth a word.
const MOMENT: Duration = Duration::from_secs(1);

/// Loads something while its progress is shown.
pub(crate) fn loading<T>(
    quiet: bool,
    screen: &MultiProgress,
    load: impl FnOnce(&mut dyn FnMut(takd_datasets::Progress<'_>)) -> T,
) -> T {
    let bar = if quiet { ProgressBar::hidden() } else { screen.add(ProgressBar::new(0)) };
    let terminal = std::io::stderr().is_terminal();
    let result = load(&mut |progress| {
        let (verb, style) = match progress.stage {
            Stage::Download => ("downloading", "{msg} {wide_bar} {bytes}/{total_bytes}, {eta} left"),
            Stage::Decode => ("decoding", "{msg} {wide_bar} {pos}/{len}, {eta} left"),
            Stage::Draw => ("drawing", "{msg} {wide_bar} {pos}/{len}, {eta} left"),
        };
        if progress.done == 0 {
            bar.set_style(style_of(style));
            bar.set_message(format!("{verb} {}", progress.what));
            if !terminal && !quiet {
                note(&format!("{verb} {}", progress.what));
            }
        }
        bar.set_length(progress.total);
        bar.set_position(progress.done);
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
        if !shown && started.elapsed() > MOMENT {
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

fn style_of(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far the runs of a plan have come.
pub(crate) struct Progress {
    kind: Kind,
    runs: usize,
    ended: usize,
    /// What has begun and not ended, by its number in the plan.
    begun: BTreeMap<usize, Begun>,
}

enum Kind {
    Quiet,
    Bars { all: ProgressBar, screen: MultiProgress },
    Lines,
}

/// A run that something was heard of.
struct Begun {
    /// Hidden where there is no terminal.
    bar: ProgressBar,
    /// Whether it is trained here, and not only looked at.
    trained: bool,
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
        } else if std::io::stderr().is_terminal() {
            let all = screen.add(ProgressBar::new(runs as u64));
            all.set_style(style_of("{wide_bar} {msg}"));
            Kind::Bars { all, screen: screen.clone() }
        } else {
            Kind::Lines
        };
        Self { kind, runs, ended: 0, begun: BTreeMap::new() }
    }

    pub(crate) fn show(&mut self, index: usize, planned: &PlannedRun, what: &Happening<'_>) {
        let number = index + 1;
        let (name, place) = (planned.name(), format!("run {number} of {}", self.runs));
        let Self { kind, begun, .. } = self;
        let (run, new) = (begun.entry(index), || Begun::new(planned, kind));
        match what {
            Happening::Training(Event::Started { done, total }, _) => {
                let run = run.or_insert_with(new);
                (run.trained, run.aside) = (true, None);
                run.bar.set_length(*total as u64);
                run.bar.set_position(*done as u64);
                run.bar.set_message(name.clone());
                // On a terminal the bar says it.
                if let Kind::Lines = kind {
                    let after =
                        if *done == 0 { String::new() } else { format!(", going on after step {done} of {total}") };
                    run.line(kind, format!("{place}: {name}{after}"));
                }
            }
            Happening::Training(Event::Step { done, total, epoch, loss, accuracy }, left) => {
                let run = run.or_insert_with(new);
                let (run_left, all_left) = (FormattedDuration(left.run), FormattedDuration(left.all));
                let so_far = format!("loss {loss:.3}, accuracy {:.1} %, {run_left} left", 100.0 * accuracy);
                if run.aside.take().is_some_and(|aside| aside.told) {
                    run.bar.set_message(name);
                }
                match kind {
                    Kind::Bars { all, .. } => {
                        run.bar.set_position(*done as u64);
                        run.bar.set_prefix(format!("epoch {epoch}/{}, {so_far}", planned.config.recipe.epochs));
                        all.set_message(format!("{} of {} runs, {all_left} left for all", self.ended, self.runs));
                    }
                    Kind::Lines if run.told.elapsed() >= LINE_EVERY => run.line(
                        kind,
                        format!("  run {number}, step {done} of {total}, epoch {epoch}: {so_far}, {all_left} for all"),
                    ),
                    Kind::Lines | Kind::Quiet => {}
                }
            }
            Happening::Training(Event::Epoch(record), _) => {
                run.or_insert_with(new).line(kind, format!("  run {number}, {}", epoch(planned, record)));
            }
            Happening::Training(Event::Pass { pass, done, total }, _) => {
                let images = match pass {
                    Pass::TeacherLogits => "the teacher's logits",
                    Pass::HeldOut => "the held-out images",
                    Pass::Test => "the test images",
                };
                let text = || format!("{place}, {name}: {images}, {done} of {total}");
                run.or_insert_with(new).aside(kind, Doing::Pass(*pass), text);
            }
            Happening::Training(Event::Waiting(id), _) => {
                let text = || format!("{place}, {name}: waiting for whoever has the teacher's run {id} in hand");
                run.or_insert_with(new).aside(kind, Doing::Waiting, text);
            }
            Happening::Waiting => {
                let others = "other processes, which have it or its teachers in hand";
                run.or_insert_with(new)
                    .aside(kind, Doing::Waiting, || format!("{place}, {name}: waiting for {others}"));
            }
            Happening::Ended(outcome) => {
                let run = if let Entry::Occupied(run) = run { Some(run.remove()) } else { None };
                kind.line(format!("{place}: {}", ended(planned, outcome, run.as_ref().is_some_and(|run| run.trained))));
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
    fn line(&self, line: String) {
        match self {
            Self::Quiet => {}
            Self::Bars { screen, .. } => {
                // A line that cannot be written to the terminal is nobody's loss.
                let _ = screen.println(line);
            }
            Self::Lines => note(&line),
        }
    }
}

impl Begun {
    fn new(planned: &PlannedRun, kind: &Kind) -> Self {
        let bar = match kind {
            Kind::Bars { all, screen } => screen.insert_before(all, ProgressBar::new(0)),
            Kind::Lines | Kind::Quiet => ProgressBar::hidden(),
        };
        bar.set_style(style_of("{msg}\n{wide_bar} {prefix}"));
        bar.set_message(planned.name());
        Self { bar, trained: false, told: Instant::now(), aside: None }
    }

    fn line(&mut self, kind: &Kind, line: String) {
        self.told = Instant::now();
        kind.line(line);
    }

    /// Shows what is done beside the training, if it takes longer than a moment.
    fn aside(&mut self, kind: &Kind, what: Doing, text: impl FnOnce() -> String) {
        let aside = match self.aside.take() {
            Some(aside) if aside.what == what => aside,
            _ => Aside { what, since: Instant::now(), told: false },
        };
        let long = aside.since.elapsed() >= MOMENT;
        match kind {
            Kind::Bars { .. } if long => self.bar.set_message(text()),
            // Waiting is told at once, since nothing else is: a pass has its end soon.
            Kind::Lines if self.told.elapsed() >= LINE_EVERY || (long && !aside.told && what == Doing::Waiting) => {
                self.line(kind, text());
            }
            _ => {}
        }
        self.aside = Some(Aside { told: aside.told || long, ..aside });
    }
}

fn epoch(run: &PlannedRun, record: &EpochRecord) -> String {
    let on = |name: &str, evaluation: &Option<Evaluation>| match evaluation {
        Some(evaluation) => format!(", {name} {:.2} %", 100.0 * evaluation.accuracy),
        None => String::new(),
    };
    format!(
        "epoch {} of {}: loss {:.4}, training {:.2} %{}{}",
        record.epoch,
        run.config.recipe.epochs,
        record.train_loss,
        100.0 * record.train_accuracy,
        on("held out", &record.held_out),
        on("test", &record.test)
    )
}

fn ended(run: &PlannedRun, outcome: &Outcome, trained: bool) -> String {
    let name = run.name();
    match outcome {
        Outcome::Finished(result) => format!(
            "{name}: {}, {:.2} % of the test images (epoch {} of {}), {:.0} s",
            // By an earlier command, or by another process meanwhile.
            if trained { "trained" } else { "already trained" },
            100.0 * result.test.accuracy,
            result.epoch,
            run.config.recipe.epochs,
            result.seconds
        ),
        Outcome::Diverged(error) => format!("{name}: {error}"),
        Outcome::NoTeacher => format!("{name}: not begun, since its teacher has no result"),
    }
}

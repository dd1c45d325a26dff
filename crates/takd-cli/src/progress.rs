//! What a person sees while it runs, on standard error: bars on a terminal, plain lines elsewhere.

use crate::output::note;
use indicatif::{FormattedDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use takd_datasets::Stage;
use takd_distill::{EpochRecord, Evaluation, Event, Pass};
use takd_grid::{Happening, Outcome, Plan, PlannedRun, TimeLeft};

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
    runs: usize,
    kind: Kind,
    /// Whether the run in hand is trained here, and not only looked at.
    trained: bool,
    aside: Option<Aside>,
}

enum Kind {
    Quiet,
    Bars { all: ProgressBar, run: ProgressBar, lines: MultiProgress },
    Lines { last: Instant },
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
            let run = screen.add(ProgressBar::new(0));
            run.set_style(style_of("{msg}\n{wide_bar} {prefix}"));
            let all = screen.add(ProgressBar::new(runs as u64));
            all.set_style(style_of("{wide_bar} {msg}"));
            Kind::Bars { all, run, lines: screen.clone() }
        } else {
            Kind::Lines { last: Instant::now() }
        };
        Self { runs, kind, trained: false, aside: None }
    }

    pub(crate) fn show(&mut self, index: usize, planned: &PlannedRun, what: &Happening<'_>) {
        let place = format!("run {} of {}", index + 1, self.runs);
        match what {
            Happening::Ended(outcome) => {
                let line = format!("{place}: {}", ended(planned, outcome, self.trained));
                (self.trained, self.aside) = (false, None);
                self.line(line);
                if let Kind::Bars { run, .. } = &self.kind {
                    run.set_position(0);
                    run.set_prefix("");
                }
            }
            Happening::Training(Event::Started { done, total }, _) => {
                (self.trained, self.aside) = (true, None);
                let name = planned.name();
                match &self.kind {
                    Kind::Quiet => {}
                    Kind::Bars { all, run, .. } => {
                        run.set_length(*total as u64);
                        run.set_position(*done as u64);
                        run.set_message(name);
                        all.set_position(index as u64);
                        all.set_message(place);
                    }
                    Kind::Lines { .. } if *done == 0 => self.line(format!("{place}: {name}")),
                    Kind::Lines { .. } => {
                        self.line(format!("{place}: {name}, going on after step {done} of {total}"));
                    }
                }
            }
            Happening::Training(Event::Step { done, total, epoch, loss, accuracy }, left) => {
                self.step(planned, &place, (*done, *total), (*epoch, *loss, *accuracy), *left);
            }
            Happening::Training(Event::Epoch(record), _) => self.line(epoch(planned, record)),
            Happening::Training(Event::Pass { pass, done, total }, _) => {
                let name = match pass {
                    Pass::TeacherLogits => "the teacher's logits",
                    Pass::HeldOut => "the held-out images",
                    Pass::Test => "the test images",
                };
                self.aside(Doing::Pass(*pass), || format!("{place}, {}: {name}, {done} of {total}", planned.name()));
            }
            Happening::Training(Event::Waiting(id), _) => self.aside(Doing::Waiting, || {
                format!(
                    "{place}, {}: waiting for another process, which has the teacher's run {id} in hand",
                    planned.name()
                )
            }),
            Happening::Waiting => self.aside(Doing::Waiting, || {
                format!(
                    "{place}, {}: waiting for other processes, which have it or its teachers in hand",
                    planned.name()
                )
            }),
        }
    }

    fn step(
        &mut self,
        planned: &PlannedRun,
        place: &str,
        (done, total): (usize, usize),
        (epoch, loss, accuracy): (usize, f64, f64),
        left: TimeLeft,
    ) {
        let (run_left, all_left) = (FormattedDuration(left.run), FormattedDuration(left.all));
        let accuracy = 100.0 * accuracy;
        match &self.kind {
            Kind::Bars { all, run, .. } => {
                if self.aside.take().is_some_and(|aside| aside.told) {
                    run.set_message(planned.name());
                }
                run.set_position(done as u64);
                let epochs = planned.config.recipe.epochs;
                run.set_prefix(format!(
                    "epoch {epoch}/{epochs}, loss {loss:.3}, accuracy {accuracy:.1} %, {run_left} left"
                ));
                all.set_message(format!("{place}, {all_left} left for all"));
            }
            Kind::Lines { last } if last.elapsed() >= LINE_EVERY => self.line(format!(
                "  step {done} of {total}, epoch {epoch}: loss {loss:.3}, accuracy {accuracy:.1} %, {run_left} left, \
                 {all_left} for all"
            )),
            Kind::Lines { .. } | Kind::Quiet => {}
        }
    }

    /// Shows what is done beside the training, if it takes longer than a moment.
    fn aside(&mut self, what: Doing, text: impl FnOnce() -> String) {
        let aside = match self.aside.take() {
            Some(aside) if aside.what == what => aside,
            _ => Aside { what, since: Instant::now(), told: false },
        };
        let long = aside.since.elapsed() >= MOMENT;
        match &self.kind {
            Kind::Bars { run, .. } if long => run.set_message(text()),
            // Waiting is told at once, since nothing else is: a pass has its end soon.
            Kind::Lines { last } if last.elapsed() >= LINE_EVERY || (long && !aside.told && what == Doing::Waiting) => {
                self.line(text());
            }
            _ => {}
        }
        self.aside = Some(Aside { told: aside.told || long, ..aside });
    }

    /// Writes a line that stays.
    fn line(&mut self, line: String) {
        match &mut self.kind {
            Kind::Quiet => {}
            Kind::Bars { lines, .. } => {
                // A line that cannot be written to the terminal is nobody's loss.
                let _ = lines.println(line);
            }
            Kind::Lines { last } => {
                *last = Instant::now();
                note(&line);
            }
        }
    }

    pub(crate) fn end(&self) {
        if let Kind::Bars { all, run, .. } = &self.kind {
            run.finish_and_clear();
            all.finish_and_clear();
        }
    }
}

fn epoch(run: &PlannedRun, record: &EpochRecord) -> String {
    let on = |name: &str, evaluation: &Option<Evaluation>| match evaluation {
        Some(evaluation) => format!(", {name} {:.2} %", 100.0 * evaluation.accuracy),
        None => String::new(),
    };
    format!(
        "  epoch {} of {}: loss {:.4}, training {:.2} %{}{}",
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

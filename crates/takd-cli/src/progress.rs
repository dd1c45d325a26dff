//! What a person sees while it runs, on standard error: bars on a terminal, plain lines elsewhere.

use indicatif::{FormattedDuration, MultiProgress, ProgressBar, ProgressStyle};
use std::io::IsTerminal;
use std::time::{Duration, Instant};
use takd_datasets::Stage;
use takd_distill::{EpochRecord, Evaluation, Event};
use takd_grid::{Happening, Outcome, Plan, PlannedRun};

/// Without a terminal, how often a line is written within an epoch.
const LINE_EVERY: Duration = Duration::from_secs(30);

/// Loads something while its progress is shown.
pub(crate) fn loading<T>(quiet: bool, load: impl FnOnce(&mut dyn FnMut(takd_datasets::Progress<'_>)) -> T) -> T {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
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
                eprintln!("{verb} {}", progress.what);
            }
        }
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    result
}

fn style_of(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// How far the runs of a plan have come.
pub(crate) struct Progress {
    runs: usize,
    kind: Kind,
}

enum Kind {
    Quiet,
    Bars { all: ProgressBar, run: ProgressBar, lines: MultiProgress },
    Lines { last: Instant },
}

impl Progress {
    pub(crate) fn new(plan: &Plan, quiet: bool) -> Self {
        let runs = plan.runs.len();
        let kind = if quiet {
            Kind::Quiet
        } else if std::io::stderr().is_terminal() {
            let lines = MultiProgress::new();
            let run = lines.add(ProgressBar::new(0));
            run.set_style(style_of("{msg}\n{wide_bar} {prefix}"));
            let all = lines.add(ProgressBar::new(runs as u64));
            all.set_style(style_of("{wide_bar} {msg}"));
            Kind::Bars { all, run, lines }
        } else {
            Kind::Lines { last: Instant::now() }
        };
        Self { runs, kind }
    }

    pub(crate) fn show(&mut self, index: usize, planned: &PlannedRun, what: &Happening<'_>) {
        let place = format!("run {} of {}", index + 1, self.runs);
        match &mut self.kind {
            Kind::Quiet => {}
            Kind::Bars { all, run, lines } => {
                let line = match what {
                    Happening::Ended(outcome) => Some(format!("{place}: {}", ended(planned, outcome))),
                    Happening::Training(Event::Epoch(record), _) => Some(epoch(planned, record)),
                    Happening::Waiting | Happening::Training(Event::Waiting(_), _) => {
                        run.set_message(format!("{place}: {WAITING}"));
                        None
                    }
                    Happening::Training(Event::Pass { .. }, _) => None,
                    Happening::Training(Event::Started { done, total }, _) => {
                        run.set_length(*total as u64);
                        run.set_position(*done as u64);
                        run.set_message(planned.name());
                        all.set_position(index as u64);
                        all.set_message(place);
                        None
                    }
                    Happening::Training(Event::Step { done, epoch, loss, accuracy, .. }, left) => {
                        run.set_position(*done as u64);
                        run.set_prefix(format!(
                            "epoch {epoch}/{}, loss {loss:.3}, accuracy {:.1} %, {} left",
                            planned.config.recipe.epochs,
                            100.0 * accuracy,
                            FormattedDuration(left.run)
                        ));
                        all.set_message(format!("{place}, {} left for all", FormattedDuration(left.all)));
                        None
                    }
                };
                if let Some(line) = line {
                    // A line that cannot be written to the terminal is nobody's loss.
                    let _ = lines.println(line);
                }
            }
            Kind::Lines { last } => {
                let due = last.elapsed() >= LINE_EVERY;
                let line = match what {
                    Happening::Ended(outcome) => format!("{place}: {}", ended(planned, outcome)),
                    Happening::Training(Event::Epoch(record), _) => epoch(planned, record),
                    Happening::Waiting | Happening::Training(Event::Waiting(_), _) if due => {
                        format!("{place}: {WAITING}")
                    }
                    Happening::Training(Event::Started { done: 0, .. }, _) => format!("{place}: {}", planned.name()),
                    Happening::Training(Event::Started { done, total }, _) => {
                        format!("{place}: {}, going on after step {done} of {total}", planned.name())
                    }
                    Happening::Training(Event::Step { done, total, epoch, loss, accuracy }, left) if due => format!(
                        "  step {done} of {total}, epoch {epoch}: loss {loss:.3}, accuracy {:.1} %, {} left, {} for all",
                        100.0 * accuracy,
                        FormattedDuration(left.run),
                        FormattedDuration(left.all)
                    ),
                    Happening::Waiting
                    | Happening::Training(Event::Waiting(_) | Event::Pass { .. } | Event::Step { .. }, _) => return,
                };
                *last = Instant::now();
                eprintln!("{line}");
            }
        }
    }

    pub(crate) fn end(&self) {
        if let Kind::Bars { lines, .. } = &self.kind {
            // A bar that cannot be cleared is nobody's loss either.
            let _ = lines.clear();
        }
    }
}

const WAITING: &str = "another process works on it; waiting until that has ended";

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

fn ended(run: &PlannedRun, outcome: &Outcome) -> String {
    let name = run.name();
    match outcome {
        Outcome::Finished(result) => format!(
            "{name}: {:.2} % of the test images (epoch {} of {}), {:.0} s",
            100.0 * result.test.accuracy,
            result.epoch,
            run.config.recipe.epochs,
            result.seconds
        ),
        Outcome::Diverged(error) => format!("{name}: {error}"),
        Outcome::NoTeacher => format!("{name}: not begun, since its teacher has no result"),
    }
}

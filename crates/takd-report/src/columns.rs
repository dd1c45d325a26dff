//! Columns that tables of several layouts have.

use crate::comparison::OverImages;
use crate::number::{self, GLUE, dash, percent};
use crate::report::{CellReport, PathComparison, PathReport, Report};
use crate::run::RunState;
use crate::statistics::Summary;
use crate::table::{Column, Entry, Table};

/// Begins a table whose rows say of which cell they are, if there are several.
pub(crate) fn table(report: &Report, columns: impl IntoIterator<Item = Column>) -> Table {
    let cell = has_cell(report).then(|| Column::text("cell"));
    Table::new(cell.into_iter().chain(columns).collect())
}

/// Adds a row of a cell.
pub(crate) fn add(table: &mut Table, report: &Report, cell: &str, row: impl IntoIterator<Item = Entry>) {
    let cell = has_cell(report).then(|| Entry::from(cell));
    table.rows.push(cell.into_iter().chain(row).collect());
}

/// Whether a row says of which cell it is.
pub(crate) fn has_cell(report: &Report) -> bool {
    report.cells.len() + report.missing.len() > 1
}

/// Whether there is a number of the paper.
pub(crate) fn has_paper(report: &Report) -> bool {
    let own = report.cells.iter().flat_map(|cell| &cell.paths).any(|path| path.paper_accuracy.is_some());
    own || report.missing.iter().flat_map(|cell| &cell.paths).any(|path| path.paper_accuracy.is_some())
}

pub(crate) fn several_seeds(report: &Report) -> bool {
    report.cells.iter().any(|cell| cell.seeds.len() > 1)
}

/// The stages as they print; a line may end after an arrow.
pub(crate) fn joined(stages: &[Vec<String>]) -> String {
    let stages: Vec<String> = stages.iter().map(|networks| networks.join(" + ")).collect();
    stages.join(&format!("{GLUE}→ "))
}

/// The mean accuracy, or why there is none.
pub(crate) fn accuracy(path: &PathReport) -> Entry {
    let has = |wanted: fn(&RunState) -> bool| path.runs.iter().any(|run| wanted(&run.state));
    let text = match &path.test_accuracy {
        Some(summary) => number::mean(summary, path.distinct_runs().count()),
        None if has(|state| matches!(state, RunState::Diverged { .. })) => "diverged".to_owned(),
        None if has(|state| matches!(state, RunState::Unreadable { .. })) => "unreadable".to_owned(),
        None if has(|state| *state == RunState::NoTeacher) => format!("no{GLUE}teacher"),
        None => dash(),
    };
    Entry { text, of: path.runs.first().map(|run| run.run.clone()) }
}

/// The accuracy of a path, if the cell has it.
pub(crate) fn accuracy_of(path: Option<&PathReport>) -> Entry {
    path.map_or_else(|| dash().into(), accuracy)
}

pub(crate) fn paper(path: &PathReport) -> Entry {
    path.paper_accuracy.map_or_else(dash, percent).into()
}

/// The titles of [`compared`]: what is compared, and how sure that is.
pub(crate) fn comparison(title: &'static str) -> [Column; 3] {
    [Column::number(title), Column::number(BY_IMAGES), Column::text(VERDICT)]
}

/// How far the interval over the test images reaches to either side.
pub(crate) const BY_IMAGES: &str = "images";
pub(crate) const VERDICT: &str = "better?";

/// A difference with its interval over the seeds, the half width of that over the images, the verdict.
pub(crate) fn compared(cell: &CellReport, found: Option<&PathComparison>) -> [Entry; 3] {
    let Some(PathComparison { path, comparison, .. }) = found else { return [dash(), dash(), dash()].map(Entry::from) };
    let half =
        |images: OverImages| format!("±{GLUE}{}", percent((images.interval_95.high - images.interval_95.low) / 2.0));
    let mut difference = number::difference(&comparison.test_accuracy, cell.seeds.len());
    if !comparison.diverged.is_empty() {
        difference += &format!(" ({}{GLUE}diverged)", comparison.diverged.len());
    }
    let first = cell.named(path).and_then(|path| path.runs.first());
    [
        Entry { text: difference, of: first.map(|run| run.run.clone()) },
        comparison.over_images.map_or_else(dash, half).into(),
        comparison.in_words().into(),
    ]
}

/// The titles of [`add_best`].
pub(crate) fn best() -> [Column; 5] {
    let [difference, images, verdict] = comparison("best less other");
    [Column::text("best by mean"), Column::text("other"), difference, images, verdict]
}

/// Adds a row for each of some paths but the best of them: how much better the best is. A path without a seed to compare is there
/// too, and why.
pub(crate) fn add_best(
    table: &mut Table,
    report: &Report,
    cell: &CellReport,
    paths: &[&PathReport],
    name: fn(&PathReport) -> String,
) {
    let Some(best) = paths.iter().find_map(|path| cell.named(&cell.best_less(path)?.path)) else { return };
    for path in paths.iter().filter(|path| path.path != best.path) {
        let mut row = vec![name(best).into(), name(path).into()];
        let found = cell.best_less(path);
        row.extend(compared(cell, found));
        if found.is_none() && path.test_accuracy.is_none() {
            row[4] = accuracy(path);
        }
        add(table, report, &cell.name, row);
    }
}

/// The titles of [`of_teacher`]: what the paper explains the teachers' effect by.
pub(crate) const OF_TEACHER: [&str; 4] = ["entropy", "agreement %", "KL", "calibration %"];

/// Of the runs that are taught, over the seeds: the entropy of the soft targets, agreement, KL; and of those that teach them the
/// calibration error.
pub(crate) fn of_teacher(cell: &CellReport, path: &PathReport) -> [Entry; 4] {
    let entry = |path: Option<&PathReport>, text: Option<String>| match (path.and_then(|path| path.runs.first()), text)
    {
        (Some(run), Some(text)) => Entry { text, of: Some(run.run.clone()) },
        _ => dash().into(),
    };
    let nats = |summary: Option<Summary>| entry(Some(path), summary.map(|summary| format!("{:.4}", summary.mean)));
    let share =
        |of: Option<&PathReport>, summary: Option<Summary>| entry(of, summary.map(|summary| percent(summary.mean)));
    let teacher = path.stages.split_last().and_then(|(_, teachers)| cell.path(teachers));
    let calibration = teacher.and_then(|teacher| teacher.summary(|result| Some(result.calibration_error)));
    [
        nats(path.summary(|result| result.soft_target_entropy)),
        share(Some(path), path.summary(|result| result.agreement)),
        nats(path.summary(|result| result.kl)),
        share(teacher, calibration),
    ]
}

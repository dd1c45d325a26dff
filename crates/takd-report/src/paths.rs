//! The layout with a row for each path.

use crate::columns::{self, has_paper, joined};
use crate::number::{self, GLUE, dash, percent};
use crate::report::{CellReport, MissingPathReport, PathReport, Report};
use crate::run::{Measurements, RunReport, RunState};
use crate::table::{Column, Entry, Section};

/// Columns that are left out of a narrow table, one after the other; all are in the forms for programs.
const LEAVE_OUT: [&str; 7] = ["calibration %", "entropy", "KL", "top-5 %", "agreement %", "loss", "time"];

/// The tables of a report.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let several_seeds = columns::several_seeds(report);
    let mut sections = Vec::new();
    if several_seeds {
        sections.push(means(report));
    }
    let paper = if several_seeds { Paper::Elsewhere } else { Paper::Here };
    let runs = runs(report, paper);
    if !runs.whole().rows.is_empty() {
        sections.push(runs);
    }
    sections
}

/// Whether the table of single runs has the paper's numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Paper {
    Here,
    /// They are in the table of means.
    Elsewhere,
}

/// A row for each path, over its seeds.
fn means(report: &Report) -> Section {
    let mut titles = vec![
        Column::text("path"),
        Column::number("accuracy %"),
        Column::number("95 % interval"),
        Column::number("seeds"),
    ];
    if has_paper(report) {
        titles.push(Column::number("paper"));
    }
    let mut table = columns::table(report, titles);
    let mut add = |cell: &str, row: [Entry; 4], paper: Option<f64>| {
        let mut row = row.to_vec();
        if has_paper(report) {
            row.push(paper.map_or_else(dash, percent).into());
        }
        columns::add(&mut table, report, cell, row);
    };
    for cell in &report.cells {
        for path in &cell.paths {
            let (all, summary) = (path.distinct_runs().count(), path.test_accuracy.as_ref());
            let n = summary.map_or(0, |summary| summary.n);
            let columns = [
                joined(&path.stages).into(),
                Entry {
                    text: summary.map_or_else(dash, |summary| number::mean(summary, summary.n)),
                    ..columns::accuracy(path)
                },
                number::interval(summary.and_then(|summary| summary.interval_95)).into(),
                if n == all { n.to_string() } else { format!("{n}{GLUE}of{GLUE}{all}") }.into(),
            ];
            add(&cell.name, columns, path.paper_accuracy);
        }
    }
    for cell in &report.missing {
        for path in &cell.paths {
            let row = [joined(&path.stages), dash(), dash(), format!("not{GLUE}run")].map(Entry::from);
            add(&cell.name, row, path.paper_accuracy);
        }
    }
    Section::new("Test accuracy, mean over the seeds", table, &["95 % interval"])
}

/// A row for each run.
fn runs(report: &Report, paper: Paper) -> Section {
    let paper = paper == Paper::Here && has_paper(report);
    let mut titles =
        vec![Column::text("network"), Column::text("taught by"), Column::number("seed"), Column::number("accuracy %")];
    if paper {
        titles.push(Column::number("paper"));
    }
    titles.extend(["top-5 %", "loss", "calibration %", "agreement %", "KL", "entropy", "time"].map(Column::number));
    titles.push(Column::text("run"));

    let mut table = columns::table(report, titles);
    let mut add = |cell: &str, stages: &[Vec<String>], run: Option<&RunReport>, paper_accuracy: Option<f64>| {
        let (network, teachers) = stages
            .split_last()
            .map_or((String::new(), [].as_slice()), |(network, teachers)| (network.join(" + "), teachers));
        let mut row = vec![
            network,
            if teachers.is_empty() { dash() } else { joined(teachers) },
            run.map_or_else(dash, |run| run.seed.to_string()),
            run.map_or_else(|| format!("not{GLUE}run"), |run| accuracy(&run.state)),
        ];
        if paper {
            row.push(paper_accuracy.map_or_else(dash, percent));
        }
        row.extend(measured(run.and_then(|run| run.state.measurements())));
        row.push(run.map_or_else(dash, |run| run.run.to_string()));
        columns::add(&mut table, report, cell, row.into_iter().map(Entry::from));
    };
    for CellReport { name, paths, .. } in &report.cells {
        for PathReport { stages, runs, paper_accuracy, .. } in paths {
            runs.iter().for_each(|run| add(name, stages, Some(run), *paper_accuracy));
        }
    }
    if paper {
        for cell in &report.missing {
            for MissingPathReport { stages, paper_accuracy, .. } in &cell.paths {
                add(&cell.name, stages, None, *paper_accuracy);
            }
        }
    }
    Section::new("Single runs", table, &LEAVE_OUT)
}

/// The accuracy in percent, or why there is none.
fn accuracy(state: &RunState) -> String {
    match state {
        RunState::Finished(result) => percent(result.test_accuracy),
        RunState::NoTeacher => format!("no{GLUE}teacher"),
        state => state.as_str().to_owned(),
    }
}

/// Top-5 accuracy, loss, calibration, agreement, KL, entropy, time.
fn measured(result: Option<&Measurements>) -> [String; 7] {
    let share = |value: Option<f64>| value.map_or_else(dash, percent);
    let nats = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:.4}"));
    [
        share(result.map(|result| result.top5)),
        nats(result.map(|result| result.loss)),
        share(result.map(|result| result.calibration_error)),
        share(result.and_then(|result| result.agreement)),
        nats(result.and_then(|result| result.kl)),
        nats(result.and_then(|result| result.soft_target_entropy)),
        result.map_or_else(dash, |result| number::duration(result.seconds)),
    ]
}

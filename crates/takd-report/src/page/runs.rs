//! The runs behind a page's numbers.

use super::{text, trials};
use crate::columns::{accuracy, joined};
use crate::number::{GLUE, dash, duration, percent};
use crate::report::{CellReport, PathReport, Report};
use crate::run::{RunReport, RunState};
use crate::table::anchor;
use maud::{Markup, html};
use std::collections::HashSet;
use takd_distill::Runs;
use takd_store::{Configuration, RunId, date};

/// Every run of every path.
pub(super) fn of(report: &Report, runs: &Runs) -> Markup {
    let mut anchors = HashSet::new();
    html! {
        section {
            h2 { "Runs" }
            p { "What stands behind each number: one run for each seed, with all that its outcome depends on." }
            @for cell in &report.cells {
                h3 { (text(&cell.name)) }
                @for path in &cell.paths { (of_path(cell, path, runs, &mut anchors)) }
                (trials::of(cell))
            }
        }
    }
}

fn of_path(cell: &CellReport, path: &PathReport, runs: &Runs, anchors: &mut HashSet<RunId>) -> Markup {
    let is_taught = path.stages.len() > 1;
    let first = path.runs.first();
    // Within the details, so that a link to it opens them. Runs that several cells have are found in the first.
    let id = first.filter(|run| anchors.insert(run.run.clone())).map(|run| anchor(&run.run));
    html! {
        details.runs {
            summary { (text(&joined(&path.stages))) " " span.mean { (text(&accuracy(path).text)) } }
            p id=[id] { (described(cell, path)) }
            div.table tabindex="0" {
                table {
                    thead { tr {
                        th.number { "seed" } th.number { "accuracy %" } th.number { "top-5 %" } th.number { "loss" }
                        th.number { "calibration %" }
                        @if is_taught { th.number { "agreement %" } th.number { "KL" } th.number { "entropy" } }
                        th.number { "time" } th { "run" } th { "by" } th { "on" } th { "at" } th { "command" }
                    } }
                    tbody { @for run in &path.runs { (row(run, is_taught, runs)) } }
                }
            }
            @if let Some(config) = first.and_then(|run| runs.config(&run.run).ok().flatten()) {
                details {
                    summary { "Configuration of the first, whose hash is its id" }
                    pre { (config.canonical()) }
                }
            }
        }
    }
}

/// `plane2, taught by plane4, on cifar10: 150 epochs, λ = 0.5, τ = 5`.
fn described(cell: &CellReport, path: &PathReport) -> String {
    if path.epochs == 0 {
        return text(&format!("{}, trained elsewhere, on {}.", path.network, cell.dataset));
    }
    let mut words = format!("{} on {}: {} epochs", path.network, cell.dataset, path.epochs);
    if let (Some(lambda), Some(temperature)) = (path.lambda, path.temperature) {
        words += &format!(", λ{GLUE}={GLUE}{lambda}, τ{GLUE}={GLUE}{temperature}");
    }
    words += &format!(", protocol \"{}\".", cell.protocol);
    text(&words)
}

fn row(run: &RunReport, is_taught: bool, runs: &Runs) -> Markup {
    let result = run.state.measurements();
    let nats = |value: Option<f64>| value.map_or_else(dash, |value| format!("{value:.4}"));
    let share = |value: Option<f64>| value.map_or_else(dash, percent);
    let state = match &run.state {
        RunState::Finished(result) => percent(result.test_accuracy),
        state => state.as_str().to_owned(),
    };
    let start = runs.starts(&run.run).unwrap_or_default().pop();
    html! {
        tr {
            td.number { (run.seed) }
            td.number title=[run.state.reason().map(text)] { (state) }
            td.number { (share(result.map(|result| result.top5))) }
            td.number { (nats(result.map(|result| result.loss))) }
            td.number { (share(result.map(|result| result.calibration_error))) }
            @if is_taught {
                td.number { (share(result.and_then(|result| result.agreement))) }
                td.number { (nats(result.and_then(|result| result.kl))) }
                td.number { (nats(result.and_then(|result| result.soft_target_entropy))) }
            }
            td.number { (text(&result.map_or_else(dash, |result| duration(result.seconds)))) }
            td { code { (run.run) } }
            @match &start {
                Some(start) => {
                    td { (text(&start.program)) }
                    td { (text(&start.host)) }
                    td.number { (date(start.time).unwrap_or_else(dash)) }
                    td.command { code { (text(&start.command_line())) } }
                },
                None => { td { "–" } td { "–" } td { "–" } td { "–" } },
            }
        }
    }
}

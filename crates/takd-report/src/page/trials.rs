//! The trials of a page's searches.

use super::text;
use crate::number::{dash, duration};
use crate::report::CellReport;
use crate::studies;
use crate::study::{StudyReport, TrialReport};
use maud::{Markup, html};

/// Every trial of every search of a cell.
pub(super) fn of(cell: &CellReport) -> Markup {
    html! { @for study in &cell.studies { (of_study(study)) } }
}

fn of_study(study: &StudyReport) -> Markup {
    let best = study.best();
    html! {
        details.runs {
            summary {
                "Trials of " (text(&study.path)) " "
                span.mean { (best.map_or_else(dash, TrialReport::point)) }
            }
            p { "Judged by " (study.judged_by) ". All trials took " (text(&duration(study.seconds))) "." }
            div.table tabindex="0" {
                table {
                    thead { tr {
                        th.number { "trial" }
                        @for value in study.trials.first().iter().flat_map(|trial| &trial.values) {
                            th.number { (value.setting.symbol()) }
                        }
                        @for rung in &study.rungs { th.number { "epoch " (rung) } }
                        th { "state" } th { "runs" }
                    } }
                    tbody { @for trial in &study.trials { (row(study, trial)) } }
                }
            }
        }
    }
}

fn row(study: &StudyReport, trial: &TrialReport) -> Markup {
    // A run goes on from the one of the rung before: the last has all epochs.
    let runs = trial.runs.last().map_or(&[][..], Vec::as_slice);
    html! {
        tr {
            td.number { (trial.number) }
            @for value in &trial.values { td.number { (text(&value.value.to_string())) } }
            @for rung in 0..study.rungs.len() {
                td.number { (trial.scores.get(rung).map_or_else(dash, |score| text(&studies::score(study, *score)))) }
            }
            td { (trial.state.as_str()) }
            td { @for run in runs { code { (run) } " " } }
        }
    }
}

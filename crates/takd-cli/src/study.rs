//! `takd study`: what searches have found.

use crate::common::{Format, Printed};
use crate::output::{self, List};
use crate::report::Finished;
use anyhow::{Result, bail, ensure};
use clap::Subcommand;
use serde::Serialize;
use takd_report::{Report, StudyReport, TrialReport};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Print every trial of a recipe's searches: what was tried, how far it came, and what is best so far
    ///
    /// Nothing is trained, and no data set is needed: a search is known by its recipe and by the runs in --out, while it goes on too.
    #[command(after_help = "\
Examples:
  takd study show mine.toml
      the searches of a recipe that was trained with `takd run mine.toml`
  takd study show table1 --search --cells plain/cifar10 --json
      those of `takd reproduce-table1 --search --cells plain/cifar10`, for a script

Exit status: 0, ended or not; 1 on an error, 2 on a wrong argument.")]
    Show(ShowArgs),
}

#[derive(clap::Args)]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    finished: Finished,
    #[command(flatten)]
    printed: Printed,
}

/// A study, and the cell that it is of.
#[derive(Serialize)]
struct Shown<'a> {
    cell: &'a str,
    #[serde(flatten)]
    study: &'a StudyReport,
}

pub(crate) fn run(command: &Command) -> Result<()> {
    let Command::Show(ShowArgs { finished, printed }) = command;
    let (_, reports) = finished.reports("study")?;
    let shown: Vec<Shown<'_>> = reports.iter().flat_map(|(_, report)| studies(report)).collect();
    ensure!(
        !shown.is_empty(),
        "nothing is searched here: a recipe has a table `search`, or --search asks for the usual one; and the networks that come \
         before the first search are trained first"
    );
    match printed.format() {
        Format::Json => output::print_json(&shown),
        Format::Text => output::print(&shown.iter().map(text).collect::<Vec<_>>().join("\n\n")),
        _ => bail!("searches are printed as text or json; `takd report` has them as markdown, html and csv"),
    }
}

fn studies(report: &Report) -> impl Iterator<Item = Shown<'_>> {
    report.cells.iter().flat_map(|cell| cell.studies.iter().map(|study| Shown { cell: &cell.name, study }))
}

fn text(shown: &Shown<'_>) -> String {
    let Shown { cell, study } = shown;
    let score = |trial: &TrialReport, rung: usize| match trial.scores.get(rung) {
        None => "–".to_owned(),
        Some(None) => "diverged".to_owned(),
        Some(Some(score)) if study.judged_by.ends_with("accuracy") => format!("{:.2} %", 100.0 * score),
        Some(Some(score)) => format!("{score:.4}"),
    };
    let row = |trial: &TrialReport| {
        let run = trial.runs.last().and_then(|runs| runs.first()).map(ToString::to_string);
        let last = trial.scores.len().saturating_sub(1);
        let epochs = trial.scores.len().checked_sub(1).map_or(0, |rung| study.rungs[rung]);
        vec![
            run.unwrap_or_default(),
            trial.number.to_string(),
            trial.point(),
            epochs.to_string(),
            score(trial, last),
            trial.state.as_str().to_owned(),
        ]
    };
    let list = List {
        header: vec!["run", "trial", "settings", "epochs", "score", "state"],
        rows: study.trials.iter().map(row).collect(),
        dispensable: &["run"],
    };
    let best = match study.best() {
        Some(best) => format!("Best: trial {}, {}.", best.number, best.point()),
        None if study.ended => "All trials diverged.".to_owned(),
        None => format!("Not ended: {} trials are known of {}.", study.trials.len(), study.size),
    };
    let explains: Vec<String> =
        study.importances.iter().map(|of| format!("{} {:.2}", of.setting.symbol(), of.share)).collect();
    let explains =
        if explains.is_empty() { String::new() } else { format!(" Explained (ω²): {}.", explains.join(", ")) };
    format!(
        "{cell}: {}, by {} after {} epochs\n\n{}\n\n{best}{explains} {} epochs were trained, and whole trials would take {}.",
        study.path,
        study.judged_by,
        study.rungs.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        list.to_text(),
        study.epochs,
        study.epochs_of_whole_trials,
    )
}

//! `takd runs verify`.

use super::{Place, Summary, again, named};
use crate::{output, progress};
use anyhow::{Result, bail};
use indicatif::MultiProgress;
use serde::Serialize;
use std::fmt::Write;
use takd_distill::{Finding, RunId, Store};

/// Check every file of some runs, or of all, and say what helps where one is damaged.
///
/// Every file carries a checksum, so that not a bit can change unnoticed. A damaged run is repaired by the command that
/// trained it: that goes on from the last whole checkpoint, or trains the run again where it was finished, and ends in the
/// same network.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs verify
  takd runs verify 7b76 eb23 --out ~/results

Exit status: 0 if all is whole, 1 if something is damaged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Runs: any beginnings of their ids that no other run's has [default: all]
    #[arg(value_name = "RUN")]
    runs: Vec<String>,
    #[command(flatten)]
    place: Place,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// A run with something wrong.
#[derive(Serialize)]
struct Damaged {
    run: RunId,
    findings: Vec<Finding>,
    /// The command that repairs it, where one is known.
    command: Option<String>,
}

pub(super) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let store = args.place.store()?;
    let runs = named(&store, &args.runs)?;
    let found = progress::each(&runs, "checking", screen, |id| match store.verify(id) {
        Ok(findings) => findings,
        // What cannot be read must not keep the other runs from being looked at.
        Err(error) => vec![Finding { file: store.dir(id), problem: error.to_string() }],
    });
    let found = runs.iter().zip(found).filter(|(_, findings)| !findings.is_empty());
    let damaged: Vec<Damaged> = found
        .map(|(id, findings)| Damaged {
            run: id.clone(),
            findings,
            command: again::command(id, &store, &args.place.out),
        })
        .collect();
    let of = match runs.len() {
        1 => "1 run".into(),
        runs => format!("{runs} runs"),
    };
    match damaged.as_slice() {
        damaged if args.json => output::print_json(&damaged)?,
        [] => output::print(&format!("{of}: all is whole"))?,
        damaged => output::print(&text(damaged, &store))?,
    }
    if damaged.is_empty() { Ok(()) } else { bail!("{of}, {} damaged", damaged.len()) }
}

fn text(damaged: &[Damaged], store: &Store) -> String {
    let mut text = String::new();
    for Damaged { run, findings, command } in damaged {
        let _ = writeln!(text, "run {run}: {}", Summary::of(run, store).name());
        for Finding { file, problem } in findings {
            let _ = writeln!(text, "  {}: {problem}", file.display());
        }
        let _ = writeln!(text, "  to repair it: {}\n", command.as_deref().unwrap_or(again::UNKNOWN));
    }
    text.trim_end().to_owned()
}

//! `takd runs verify`.

use super::place::{Place, named};
use super::summary::{Listing, State};
use super::words::command_line_in;
use crate::{output, progress};
use anyhow::{Result, bail};
use indicatif::MultiProgress;
use serde::Serialize;
use std::fmt::Write;
use takd_distill::Runs;
use takd_store::names::ANNOTATION;
use takd_store::{Finding, Findings, RunId};

/// Check every file of some runs, or of all, and say what helps if one is damaged.
///
/// Every file carries a checksum, so that not a bit can change unnoticed. A damaged run is repaired by the command that
/// trained it: that goes on from the last whole checkpoint, or trains the run again if it was finished, and ends in the
/// same network. (What is neither a file nor a folder has to be moved away first.) A run that another version of takd made is
/// named and left alone.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs verify
      all runs in results/
  takd runs verify 7b76 eb23 --out ~/results
      two of them, by the beginnings of their ids

Exit status: 0 if all is whole, 1 if something is damaged or a teacher's run is gone, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
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
struct Faulty {
    run: RunId,
    name: String,
    /// `damaged`; `foreign` or `no-teacher`, as in `takd runs ls`, if it is nothing worse.
    state: State,
    findings: Vec<Finding>,
    /// The command that trained it last, and repairs it, if a training does.
    command: Option<String>,
}

pub(super) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let runs = args.place.runs()?;
    let ids = named(&runs, &args.runs)?;
    let listing = Listing::of(&runs)?;
    let found = progress::each(&ids, "checking", screen, |id| findings(id, &runs));
    let faulty: Vec<Faulty> = ids
        .iter()
        .zip(found)
        .filter(|(_, findings)| !findings.is_empty())
        .map(|(id, findings)| {
            let summary = listing.get(id, &runs);
            let folder = runs.dir(id);
            let state = if summary.as_ref().is_some_and(|run| run.state == State::Foreign) {
                State::Foreign
            } else if findings.iter().any(|finding| finding.file.starts_with(&folder)) {
                State::Damaged
            } else {
                State::NoTeacher
            };
            Faulty {
                run: id.clone(),
                name: summary.map_or_else(String::new, |run| run.name()),
                state,
                command: runs
                    .starts(id)
                    .unwrap_or_default()
                    .last()
                    .filter(|_| !findings.iter().all(is_of_annotation))
                    .map(|start| command_line_in(start, &args.place.out)),
                findings,
            }
        })
        .collect();
    let of = match ids.len() {
        1 => "1 run".into(),
        runs => format!("{runs} runs"),
    };
    match faulty.as_slice() {
        faulty if args.json => output::print_json(&faulty)?,
        [] => output::print(&format!("{of}: all is whole"))?,
        faulty => output::print(&text(faulty))?,
    }
    let counted = [State::Damaged, State::NoTeacher, State::Foreign].map(|state| {
        let count = faulty.iter().filter(|run| run.state == state).count();
        (count > 0).then(|| format!("{count} {}", state.as_str()))
    });
    let counted = counted.into_iter().flatten().collect::<Vec<_>>().join(", ");
    if faulty.iter().any(|run| run.state != State::Foreign) {
        bail!("{of}, {counted}");
    }
    if !faulty.is_empty() {
        output::note(&format!("{of}, {counted}"));
    }
    Ok(())
}

/// Whether it is of what a person says of the run, which no training writes.
fn is_of_annotation(finding: &Finding) -> bool {
    finding.file.file_name().is_some_and(|name| name == ANNOTATION)
}

/// What is wrong with a run. What cannot be read must not keep the other runs from being looked at.
fn findings(id: &RunId, runs: &Runs) -> Vec<Finding> {
    let mut findings = match runs.verify(id) {
        Ok(findings) => findings,
        Err(error) => return vec![Finding { file: runs.dir(id), problem: error.to_string() }],
    };
    // No result depends on these, but no run can be started where they are something else than files.
    let mut others = Findings::new();
    let noted = others.note(runs.is_claimed(id)).and_then(|_| others.note(runs.starts(id)));
    if let Err(error) = noted {
        others.add(&runs.dir(id), &error.to_string());
    }
    for other in others.into_vec() {
        if !findings.iter().any(|finding| finding.file == other.file) {
            findings.push(other);
        }
    }
    findings
}

fn text(faulty: &[Faulty]) -> String {
    let mut text = String::new();
    for Faulty { run, name, state, findings, command } in faulty {
        let _ = writeln!(text, "run {run}: {name}: {}", state.as_str());
        for Finding { file, problem } in findings {
            let _ = writeln!(text, "  {}: {problem}", file.display());
        }
        if findings.iter().any(is_of_annotation) {
            let _ =
                writeln!(text, "  no training repairs {ANNOTATION}: correct it or delete it; no result depends on it");
        }
        if findings.iter().all(is_of_annotation) {
            text.push('\n');
            continue;
        }
        let remedy = match (state, command) {
            (State::Foreign, _) => "it is left alone; the version that made it reads it".to_owned(),
            (_, Some(command)) => format!("to repair it: {command}"),
            (_, None) => "the command that trained it repairs it".to_owned(),
        };
        let _ = writeln!(text, "  {remedy}\n");
    }
    text.trim_end().to_owned()
}

//! `takd doctor`: what takd finds here, and what is wrong with it.

mod data;
mod devices;
mod finding;
mod machine;
mod results;
mod storage;

use crate::data::Places;
use crate::output;
use anyhow::{Result, bail};
use finding::{Finding, Verdict};
use serde::Serialize;

/// Say what takd finds here: processor, devices, memory, disk, data sets, runs. What is wrong comes with its remedy.
///
/// Nothing is trained, nothing is downloaded and the network is not asked. If the results folder is there, a file is locked, renamed
/// and deleted again in it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd doctor
      before the first training, or if something is odd
  takd doctor --data-dir ~/data --out /scratch/results
      the places that a training will be given
  takd doctor --json | jq '.findings[] | select(.verdict != \"fine\")'

Exit status: 0 if nothing is wrong, 1 if something is or on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    #[command(flatten)]
    places: Places,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Found {
    /// How many findings are wrong.
    wrong: usize,
    findings: Vec<Finding>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let places = &args.places;
    let mut findings = vec![machine::version(), machine::processor(), machine::threads(), machine::memory()];
    findings.extend(devices::findings());
    findings.extend(storage::findings(&places.out));
    findings.extend(data::findings(places));
    findings.push(results::finding(&places.out));
    let wrong = findings.iter().filter(|finding| finding.verdict == Verdict::Wrong).count();
    let found = Found { wrong, findings };
    if args.json { output::print_json(&found) } else { output::print(&text(&found.findings)) }?;
    match wrong {
        0 => Ok(()),
        1 => bail!("1 thing is wrong"),
        wrong => bail!("{wrong} things are wrong"),
    }
}

fn text(findings: &[Finding]) -> String {
    let width = findings.iter().map(|finding| finding.what.len()).max().unwrap_or(0);
    let line = |finding: &Finding| {
        let Finding { verdict, what, found, remedy, .. } = finding;
        let verdict = verdict.in_words();
        // Under what was found.
        let remedy =
            remedy.as_ref().map_or_else(String::new, |remedy| format!("\n{:1$}{remedy}", "", 13 + 2 + width + 2));
        format!("{verdict:<13}  {what:<width$}  {found}{remedy}")
    };
    findings.iter().map(line).collect::<Vec<_>>().join("\n")
}

//! `takd runs rm`.

use super::place::{Place, named};
use super::summary::{Listing, Other};
use super::words::size;
use crate::output;
use anyhow::{Result, bail};
use takd_distill::Runs;
use takd_store::{Error, RunId};

/// Delete runs: their networks, results and measurements, and the logits that are kept for those they teach.
///
/// A run at work is not deleted, nor one that teaches others, because they could neither go on nor be compared with it. Files of
/// yours in a run's folder stay, and are named.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs rm 7b76 eb23
  takd runs rm eb23 --force
      although it teaches others

Exit status: 0 if all are deleted, 1 if one teaches others or is at work (then none is deleted) or on another error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Runs: any beginnings of their ids that no other run's has
    #[arg(required = true, value_name = "RUN")]
    runs: Vec<String>,
    /// Delete them although they teach others
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let ids = named(&runs, &args.runs)?;
    let listing = Listing::of(&runs)?;
    // All are looked at before the first is deleted.
    for id in &ids {
        if runs.is_claimed(id)? {
            return Err(Error::Claimed(id.clone()).into());
        }
        let mut students = listing.students(id);
        students.retain(|student| !ids.contains(&student.run));
        if !args.force && !students.is_empty() {
            bail!("{}", teaches(id, &students, &listing, &runs));
        }
    }
    for id in &ids {
        let (name, bytes) = listing.get(id, &runs).map_or_else(Default::default, |run| (run.name(), run.bytes));
        let removed = runs.remove(id)?;
        output::print(&format!("deleted run {id}: {name}, {}", size(bytes)))?;
        for path in &removed.left {
            output::note(&format!("left alone, because no run wrote it: {}", path.display()));
        }
    }
    Ok(())
}

fn teaches(id: &RunId, students: &[Other], listing: &Listing, runs: &Runs) -> String {
    let student = |student: &Other| {
        let name = listing.get(&student.run, runs).map_or_else(String::new, |run| run.name());
        format!("\n  {}  {name}", student.run)
    };
    let students: String = students.iter().map(student).collect();
    format!(
        "run {id} ({}) is not deleted, because it teaches:{students}\n\
         delete those with it, or give --force to delete it alone",
        listing.other(id).name()
    )
}

//! `takd runs rm`.

use super::{Other, Place, Summary, named, size};
use crate::output;
use anyhow::{Result, bail};
use std::fs;
use std::path::Path;
use takd_distill::{Error, RunId, Store};

/// Delete runs: their networks, results and measurements, and the logits that are kept for those they teach.
///
/// A run at work is not deleted, nor one that teaches others, since they could not go on nor be compared with it.
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
    let store = args.place.store()?;
    let runs = named(&store, &args.runs)?;
    // All are looked at before the first is deleted.
    for id in &runs {
        if store.is_running(id) {
            return Err(Error::Claimed(id.clone()).into());
        }
        let mut students = store.taught_by(id)?;
        students.retain(|student| !runs.contains(student));
        if !args.force && !students.is_empty() {
            bail!("{}", teaches(id, &students, &store));
        }
    }
    for id in &runs {
        let (name, bytes) = (Summary::of(id, &store).name(), bytes(&store.dir(id)));
        store.remove(id)?;
        output::print(&format!("deleted run {id}: {name}, {}", size(bytes)))?;
    }
    Ok(())
}

fn teaches(id: &RunId, students: &[RunId], store: &Store) -> String {
    let student = |id| format!("\n  {id}  {}", Summary::of(id, store).name());
    let students: String = students.iter().map(student).collect();
    format!(
        "run {id} ({}) is not deleted, for it teaches:{students}\n\
         delete those with it, or give --force to delete it alone",
        Other::of(id, store).name()
    )
}

/// What the folder holds, about: what cannot be read counts as nothing.
fn bytes(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

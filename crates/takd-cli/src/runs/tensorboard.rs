//! `takd runs tensorboard`.

use super::curve_names::names;
use super::filter::Filter;
use super::place::Place;
use super::summary::{Listing, Summary};
use crate::output;
use anyhow::{Context, Result};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use takd_store::RunId;

/// Lay out a folder for TensorBoard in which each curve is called by its network, teachers and seed, not by its run's id.
///
/// The folder holds links to the runs' own files, so that runs in progress are seen as they go on; and nothing else that is in it
/// is touched. Given again, the command adds runs that are new and takes away those that are gone or not meant any more;
/// TensorBoard need not be started again.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs tensorboard
  tensorboard --logdir results/tensorboard
      shows curves such as cifar10/plane2 ← plane4 ← plane10, seed 31
  takd runs tensorboard --tag for-the-paper --logdir curves
      some runs, in a folder of their own

Exit status: 0; 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The folder [default: tensorboard, in the results folder]
    #[arg(long, value_name = "DIR")]
    logdir: Option<PathBuf>,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    place: Place,
    /// Print which run is called how as JSON
    #[arg(long)]
    json: bool,
}

/// A run that is shown.
#[derive(Serialize)]
struct Shown {
    run: RunId,
    /// What TensorBoard calls it.
    name: String,
    /// The link to its event file.
    link: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let listed = Listing::of(&runs)?.summaries(&runs);
    let logdir = args.logdir.clone().unwrap_or_else(|| args.place.out.join("tensorboard"));
    // A run that was not begun has no curves, and one whose configuration cannot be read has no name.
    let has_curves = |run: &&Summary| run.path.is_some() && runs.curves(&run.id).is_file();
    let wanted: Vec<&Summary> = listed.iter().filter(|run| args.filter.fits(run)).filter(has_curves).collect();
    takd_store::make_folder(&logdir)?;
    let mut shown = Vec::new();
    for (run, name) in wanted.iter().zip(names(&wanted)) {
        let curves = runs.curves(&run.id);
        let link = logdir.join(&name).join(curves.file_name().unwrap_or_default());
        put_link(&link, &curves, &args.place.out)?;
        shown.push(Shown { run: run.id.clone(), name, link });
    }
    let kept: BTreeSet<&Path> = shown.iter().map(|shown| shown.link.as_path()).collect();
    take_away_others(&logdir, &kept)?;
    if args.json {
        return output::print_json(&shown);
    }
    let count = if shown.len() == 1 { "1 run".to_owned() } else { format!("{} runs", shown.len()) };
    output::print(&format!("{count} in {0}; to see the curves: tensorboard --logdir {0}", logdir.display()))
}

/// Makes the link, unless it is there already. A file of somebody's in its place stays, and is an error.
fn put_link(link: &Path, curves: &Path, out: &Path) -> Result<()> {
    let folder = link.parent().unwrap_or(link);
    takd_store::make_folder(folder)?;
    let target = target(folder, curves, out).with_context(|| format!("cannot read the folder {}", folder.display()))?;
    let made = match fs::read_link(link) {
        Ok(found) if found == target => return Ok(()),
        Ok(_) => fs::remove_file(link).and_then(|()| make_link(&target, link)),
        Err(_) => make_link(&target, link),
    };
    made.with_context(|| format!("cannot make the link {}", link.display()))
}

/// How the curves are reached from a folder: within the results folder by a relative path, which stays right if that is moved.
fn target(folder: &Path, curves: &Path, out: &Path) -> io::Result<PathBuf> {
    let (folder, curves, out) = (folder.canonicalize()?, curves.canonicalize()?, out.canonicalize()?);
    Ok(match (folder.strip_prefix(&out), curves.strip_prefix(&out)) {
        (Ok(down), Ok(curves)) => down.components().map(|_| "..").collect::<PathBuf>().join(curves),
        _ => curves,
    })
}

#[cfg(unix)]
fn make_link(target: &Path, link: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, link)
}

#[cfg(windows)]
fn make_link(target: &Path, link: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target, link)
}

/// Takes away the links to runs that are not among `kept`, and their folders if nothing else is in them.
fn take_away_others(logdir: &Path, kept: &BTreeSet<&Path>) -> Result<()> {
    for data in folders(logdir)? {
        for run in folders(&data)? {
            for link in entries(&run)? {
                if is_to_a_run(&link) && !kept.contains(link.as_path()) {
                    fs::remove_file(&link).with_context(|| format!("cannot delete the link {}", link.display()))?;
                    let _ = fs::remove_dir(&run);
                }
            }
        }
        // Only an empty one goes.
        let _ = fs::remove_dir(&data);
    }
    Ok(())
}

/// Whether it is a link as this command makes them.
fn is_to_a_run(link: &Path) -> bool {
    let Ok(target) = fs::read_link(link) else { return false };
    let names: Vec<&OsStr> = target.iter().rev().take(3).collect();
    let [file, run, runs] = names.as_slice() else { return false };
    Some(*file) == link.file_name()
        && file.to_string_lossy().contains("tfevents")
        && run.to_string_lossy().parse::<RunId>().is_ok()
        && *runs == "runs"
}

/// The folders in a folder, no links.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut folders = entries(folder)?;
    folders.retain(|entry| entry.symlink_metadata().is_ok_and(|found| found.is_dir()));
    Ok(folders)
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>();
    read().with_context(|| format!("cannot read the folder {}", folder.display()))
}

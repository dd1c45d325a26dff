//! `takd runs tag`.

use super::place::Place;
use super::words::tags;
use crate::output;
use anyhow::{Result, ensure};
use takd_store::Tag;

/// Give a run tags, or take some away, to find it again with `takd runs ls --tag`.
///
/// A tag is a word of your own. Tags are kept beside the run and are no part of it: nothing is trained again for them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs tag 7b76 baseline for-the-paper
  takd runs tag 7b76 --remove baseline
      and `takd runs ls --tag for-the-paper` lists those that have the other

Exit status: 0 if it is done, also if nothing changes; 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The run: any beginning of its id that no other run's has
    run: String,
    /// Tags: up to 64 characters each, without spaces and commas; without any, those that the run has are printed
    #[arg(value_name = "TAG")]
    tags: Vec<Tag>,
    /// Take these tags away
    #[arg(long)]
    remove: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let id = runs.find(&args.run)?;
    ensure!(
        !args.remove || !args.tags.is_empty(),
        "--remove takes tags away, and none is named; `takd runs tag {id}` lists them"
    );
    let mut annotation = runs.annotation(&id)?;
    let before = annotation.clone();
    for tag in &args.tags {
        if args.remove {
            annotation.tags.remove(tag);
        } else {
            annotation.tags.insert(tag.clone());
        }
    }
    if annotation != before {
        runs.annotate(&id, &annotation)?;
    }
    let all: Vec<Tag> = annotation.tags.into_iter().collect();
    output::print(&format!("run {id}: {}", if all.is_empty() { "no tags".to_owned() } else { tags(&all) }))
}

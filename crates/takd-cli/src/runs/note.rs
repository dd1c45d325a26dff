//! `takd runs note`.

use super::place::Place;
use crate::output;
use anyhow::Result;

/// Keep a note on a run, in place of the one that it has.
///
/// It is kept beside the run and is no part of it: nothing is trained again for it. `takd runs show` prints it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs note 7b76 'the first with λ from the search'
  takd runs note 7b76
      print it
  takd runs note 7b76 --remove

Exit status: 0 if it is done; 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The run: any beginning of its id that no other run's has
    run: String,
    /// The note, up to 8 KiB; without it, the one that the run has is printed
    text: Option<String>,
    /// Take the note away
    #[arg(long, conflicts_with = "text")]
    remove: bool,
    #[command(flatten)]
    place: Place,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let id = runs.find(&args.run)?;
    let mut annotation = runs.annotation(&id)?;
    if args.remove || args.text.is_some() {
        // A note without a word is none.
        annotation.note = args.text.clone().filter(|text| !text.trim().is_empty());
        runs.annotate(&id, &annotation)?;
    }
    output::print(annotation.note.as_deref().unwrap_or("no note"))
}

//! `takd reproduce-table1`.

use crate::common::Common;
use crate::recipe;
use crate::run::{self, Choice};
use anyhow::Result;
use indicatif::MultiProgress;
use takd_grid::Preset;

/// Train what Table 1 of the paper needs and print it beside the paper's own numbers.
///
/// The same as `takd run table1`. For each cell and seed five networks are trained: the teacher, the assistant taught by it,
/// and the student alone (NoKD), taught by the teacher (BLKD) and taught by the assistant (TAKD). Runs that are finished in
/// --out are not trained again; a run that was broken off, by Ctrl-C or by anything else, goes on from where it was. Several of
/// these commands may work in one --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(
    mut_arg("epochs", |arg| arg.help("Epochs of every run [default: those of the preset and the protocol]")),
    mut_arg("seeds", |arg| {
        arg.help("Seeds, with commas between, or a range such as 1..5 [default: 20,31,55; 31 for the quick preset]")
    }),
    after_help = "\
Examples:
  takd reproduce-table1 --preset quick
      all cells on built-in images, minutes on a laptop, nothing to download
  takd reproduce-table1 --cells plain/cifar10 --protocol code --epochs 10
      one cell on CIFAR-10 as the published code trains it, cut short
  takd reproduce-table1 --protocol paper --data-dir ~/data
      all cells in full, on images in ~/data/cifar10 and ~/data/cifar100

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C."
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    if args.choice.preset == Preset::Quick {
        args.common.no_data_dir("reproduce-table1", "--preset quick")?;
    }
    let recipe = recipe::open("table1")?;
    run::train("reproduce-table1", &recipe, &args.choice, &args.common, screen)
}

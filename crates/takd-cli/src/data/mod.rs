//! `takd data`: what there is to train on.

mod check;
mod list;
mod show;

pub(crate) use list::{Listed, known};

use crate::common::DEFAULT_OUT;
use anyhow::Result;
use clap::Subcommand;
use indicatif::MultiProgress;
use std::path::PathBuf;
use takd_datasets::{Catalog, DatasetRef, Sources};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the known data sets, and which of them are here
    #[command(after_help = "\
Examples:
  takd data list
  takd data list --data-dir ~/data --json

Exit status: 0; 1 on an error, 2 on a wrong argument.")]
    List(list::Args),
    /// Download known data sets into the hub's cache, unless they are there, and read them once
    #[command(after_help = "\
Examples:
  takd data get cifar10 cifar100
  takd data get mnist && takd distill plane4 plane2 --data mnist@32
      then a training needs no network

Exit status: 0 if all of them are here now, 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    Get(show::GetArgs),
    /// Show what is known of a data set: classes, sizes, mean and deviation, origin, licence, what is odd
    #[command(after_help = "\
Examples:
  takd data show my-photos
      a folder of your own: a folder of images for each class, train and val with such folders, parquet files, WebDataset shards, …
  takd data show cifar10 --sheet cifar10.png
      and a picture of some images of each class, as a network will see them

Exit status: 0; 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    Show(show::Args),
    /// Read every image of a data set: which cannot be decoded, which are there twice, how many each class has
    #[command(after_help = "\
Examples:
  takd data check my-photos
  takd data check cifar10 --data-dir ~/data --json

Exit status: 0; 1 if an image cannot be decoded or is among the training and the test images, or on an error; 2 on a wrong argument,
130 if stopped by Ctrl-C.")]
    Check(check::Args),
}

/// Which data set, and where it is looked for.
#[derive(clap::Args)]
struct Which {
    /// cifar10, cifar100, mnist, fashion-mnist, shapes10, shapes100, or the file or folder of your own images
    #[arg(value_name = "NAME|PATH")]
    data: DatasetRef,
    #[command(flatten)]
    places: Places,
}

/// Where data sets are looked for.
#[derive(clap::Args)]
pub(crate) struct Places {
    /// The folder in which known data sets are looked for, and no other place
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Stay off the network; what the hub's cache holds is used
    #[arg(long)]
    pub offline: bool,
    /// Where what is known of a data set is kept, beside the runs
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    pub out: PathBuf,
}

impl Places {
    fn sources(&self) -> Sources {
        Sources { folder: self.data_dir.clone(), offline: self.offline, ..Sources::default() }
    }

    fn catalog(&self, sources: Sources) -> Catalog {
        Catalog::new(sources, self.out.join("cards"))
    }
}

pub(crate) fn run(command: &Command, screen: &MultiProgress) -> Result<()> {
    match command {
        Command::List(args) => list::run(args),
        Command::Get(args) => show::get(args, screen),
        Command::Show(args) => show::run(args, screen),
        Command::Check(args) => check::run(args, screen),
    }
}

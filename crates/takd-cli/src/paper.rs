//! The commands that reproduce a table or a figure of the paper: each is a recipe that comes with takd.

use crate::common::Common;
use crate::run::{self, Choice};
use crate::{recipe, values};
use anyhow::Result;
use clap::Subcommand;
use indicatif::MultiProgress;
use takd_grid::Preset;

/// A table or a figure of the paper.
///
/// The same as `takd run` of the recipe of that name, but that `--preset quick` refuses --data-dir. Runs that are finished in --out
/// are not trained again, whichever command trained them.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Train what Table 1 of the paper needs and print it beside the paper's own numbers
    ///
    /// The same as `takd run table1`. For each cell and seed five networks are trained: the teacher, the assistant taught by it, and
    /// the student alone (NoKD), taught by the teacher (BLKD) and taught by the assistant (TAKD).
    #[command(after_help = "\
Examples:
  takd reproduce-table1 --preset quick
      all cells on built-in images, minutes on a laptop, nothing to download
  takd reproduce-table1 --cells plain/cifar10 --protocol code --epochs 10
      one cell on CIFAR-10 as the published code trains it, cut short
  takd reproduce-table1 --protocol paper --data-dir ~/data
      all cells in full, on images in ~/data/cifar10 and ~/data/cifar100

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    ReproduceTable1(Args),
    /// Try every assistant between teacher and student: which is best, and which one the paper's heuristic would pick (Tables 2 and
    /// 3, Figure 4)
    ///
    /// The same as `takd run sweep-ta`. The table says how surely the best assistant is better than each other one, how far every
    /// size alone stands from the heuristic's line, what choosing by the heuristic loses, and what either way of choosing takes.
    #[command(after_help = "\
Examples:
  takd sweep-ta --preset quick
      both kinds of networks on built-in images, minutes on a laptop, nothing to download
  takd sweep-ta --cells plain/cifar10 --seeds 1..5 --data-dir ~/data
      one cell in full, with five seeds

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    SweepTa(Args),
    /// Teach one student by teachers of every size: does it rise and then fall? (Figure 2)
    ///
    /// The same as `takd run sweep-teacher`. Beside the accuracies stand the entropy of the soft targets, agreement, KL and
    /// calibration, by which the paper explains them.
    #[command(after_help = "\
Examples:
  takd sweep-teacher --preset quick
      on built-in images, minutes on a laptop, nothing to download
  takd sweep-teacher --cells plain/cifar100 --data-dir ~/data

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    SweepTeacher(Args),
    /// Teach students of every size by one teacher: which of them gain? (Figure 3)
    ///
    /// The same as `takd run sweep-student`.
    #[command(after_help = "\
Examples:
  takd sweep-student --preset quick
      on built-in images, minutes on a laptop, nothing to download
  takd sweep-student --cells plain/cifar10 --epochs 20 --data-dir ~/data

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    SweepStudent(Args),
    /// Take every path from the largest network down to the smallest: which is best, and which for a given cost? (Figure 5)
    ///
    /// The same as `takd run paths`. Students between are shown too, as in the paper.
    #[command(after_help = "\
Examples:
  takd paths --preset quick
      on built-in images, minutes on a laptop, nothing to download
  takd paths --cells plain/cifar100 --data-dir ~/data
  takd paths --preset quick --budget 1e13
      and the best path whose runs take at most so many multiplications

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    Paths(PathsArgs),
    /// Set a teacher assistant beside the published numbers of other ways to teach (Figure 6, right)
    ///
    /// The same as `takd run versus`: teacher ResNet-26, 80 epochs. The other methods are not run; their numbers are those published.
    #[command(after_help = "\
Examples:
  takd versus --preset quick
      on built-in images, minutes on a laptop, nothing to download
  takd versus --cells resnet8/cifar10 --data-dir ~/data

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
    Versus(Args),
}

/// Runs that are finished in --out are not trained again; a run that was broken off, by Ctrl-C or by anything else, goes on from
/// where it was. Several of these commands may work in one --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(
    mut_arg("epochs", |arg| arg.help("Epochs of every run, or of some networks and the rest, as in plane2=150,20 [default: the preset's]")),
    mut_arg("seeds", |arg| {
        arg.help("Seeds, with commas between, or a range such as 1..5 [default: 20,31,55; 31 for the quick preset]")
    }),
)]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    pub common: Common,
}

/// What `takd paths` can be told besides.
#[derive(clap::Args)]
pub(crate) struct PathsArgs {
    /// Name the best path whose runs, all that lead to it included, take at most so many multiplications, such as 2.5e14
    #[arg(long, value_name = "MULTIPLY-ADDS", value_parser = values::multiply_adds, allow_negative_numbers = true)]
    budget: Option<f64>,
    #[command(flatten)]
    args: Args,
}

impl Command {
    pub(crate) fn args(&self) -> &Args {
        self.parts().2
    }

    fn budget(&self) -> Option<f64> {
        match self {
            Self::Paths(PathsArgs { budget, .. }) => *budget,
            _ => None,
        }
    }

    /// The command's name, that of its recipe, its arguments.
    fn parts(&self) -> (&'static str, &'static str, &Args) {
        match self {
            Self::ReproduceTable1(args) => ("reproduce-table1", "table1", args),
            Self::SweepTa(args) => ("sweep-ta", "sweep-ta", args),
            Self::SweepTeacher(args) => ("sweep-teacher", "sweep-teacher", args),
            Self::SweepStudent(args) => ("sweep-student", "sweep-student", args),
            Self::Paths(PathsArgs { args, .. }) => ("paths", "paths", args),
            Self::Versus(args) => ("versus", "versus", args),
        }
    }
}

pub(crate) fn run(command: &Command, screen: &MultiProgress) -> Result<()> {
    let (name, recipe, args) = command.parts();
    if args.choice.preset == Preset::Quick {
        args.common.no_data_dir(name, "--preset quick")?;
    }
    let recipe = recipe::open(recipe)?;
    run::train(name, &recipe, &args.choice, &args.common, screen, |report| {
        if let Some(budget) = command.budget() {
            report.add_best_within(budget);
        }
    })
}

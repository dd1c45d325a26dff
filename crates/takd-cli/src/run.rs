//! `takd run`.

use crate::common::{Asked, Common, Searched};
use crate::exit::WrongArgument;
use crate::recipe::open;
use crate::{experiment, imagenet, values};
use anyhow::Result;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use takd_datasets::DatasetRef;
use takd_distill::DeviceType;
use takd_grid::recipe::{PerStep, Recipe, Settings};
use takd_grid::{Changes, Experiment, ExperimentError, Preset};
use takd_report::Report;

/// Train what a recipe asks for and print its table.
///
/// A recipe is a file that describes an experiment: networks trained along distillation paths on some images with some seeds.
/// `takd recipe show table1 > mine.toml` gives one to start from. Runs that are finished in --out are not trained again; a run
/// that was broken off, by Ctrl-C or by anything else, goes on from where it was. Several of these commands may work in one
/// --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd run mine.toml
      everything in the recipe
  takd run table1 --preset quick
      a recipe that comes with takd, in its quick form
  takd run mine.toml --dry-run
      which runs it has, which are done, what the others take
  takd run mine.toml --cells plain/cifar10 --epochs 10 --seeds 1..3
      a part of it, with other settings

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// A file, or the name of a recipe that comes with takd
    #[arg(value_name = "RECIPE")]
    recipe: String,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    pub common: Common,
}

/// What can be changed of a recipe beside what all commands can be told.
#[derive(clap::Args)]
pub(crate) struct Choice {
    /// How large the experiment is: `full` is the recipe as it is; `quick` is what its table `quick` puts in place of it
    #[arg(long, default_value = "full", value_name = "full|quick")]
    pub preset: Preset,
    /// Cells of the recipe, with commas between [default: all]
    #[arg(long, value_delimiter = ',', value_name = "CELL,…")]
    pub cells: Vec<String>,
    /// λ: the teacher's share of the loss, from 0 to 1; one for all steps of a path, or one for each with commas between
    /// [default: the recipe's, or 0.5]
    #[arg(long, value_parser = values::lambda, value_name = "λ", allow_negative_numbers = true)]
    pub lambda: Option<PerStep>,
    /// τ: what the logits are divided by, above 0; one for all steps of a path, or one for each with commas between
    /// [default: the recipe's, or 5]
    #[arg(long, value_parser = values::temperature, value_name = "τ", allow_negative_numbers = true)]
    pub temperature: Option<PerStep>,
    /// What one cell, named with --cells, is trained on in place of its own data: a known name, or the file or folder of your own
    /// images, such as one with a folder for each class
    #[arg(long, value_name = "NAME|PATH")]
    pub data: Option<DatasetRef>,
    #[command(flatten)]
    pub searched: Searched,
}

impl Choice {
    pub(crate) fn changes(&self, asked: &Asked) -> Result<Changes> {
        let (lambda, temperature) = (self.lambda.clone(), self.temperature.clone());
        let settings = asked.settings(&Settings { lambda, temperature, ..Settings::default() })?;
        let (cells, data) = (self.cells.clone(), self.data.clone());
        Ok(Changes {
            preset: self.preset,
            cells,
            settings,
            search: self.searched.settings(),
            data,
            ..Changes::default()
        })
    }
}

impl Args {
    /// Whether the recipe has a quick form.
    pub(crate) fn has_quick_preset(&self) -> bool {
        open(&self.recipe).is_ok_and(|recipe| recipe.quick.is_some())
    }
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let recipe = open(&args.recipe)?;
    train("run", &recipe, &args.choice, &args.common, screen, |_| ())
}

/// Trains what the recipe asks for, as `command` was told to change it. The report is finished before it is printed.
pub(crate) fn train(
    command: &'static str,
    recipe: &Recipe,
    choice: &Choice,
    common: &Common,
    screen: &MultiProgress,
    mut finish: impl FnMut(&mut Report),
) -> Result<()> {
    let mut changes = choice.changes(&common.asked)?;
    if (common.dry_run || common.print_config) && changes.data.is_none() {
        changes.data = imagenet::wanted(recipe, &changes);
    }
    // Checked here, so that what does not fit the recipe is refused as an argument.
    Experiment::new(recipe, &changes, DeviceType::Cpu).map_err(|error| match error {
        ExperimentError::Recipe(_) => error.into(),
        ExperimentError::Missing { .. } => {
            WrongArgument::error(command, ErrorKind::ValueValidation, format!("{error}\n\n{}", imagenet::HOW_TO_GET_IT))
        }
        error => WrongArgument::error(command, ErrorKind::ValueValidation, error),
    })?;
    let experiments = |device| Ok(vec![Experiment::new(recipe, &changes, device)?]);
    experiment::run_and(common, screen, experiments, |report, _| {
        finish(report);
        Ok(())
    })
}

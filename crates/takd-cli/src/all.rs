//! `takd all`.

use crate::common::Common;
use crate::exit::WrongArgument;
use crate::run::Choice;
use crate::{experiment, landscape, recipe};
use anyhow::Result;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use takd_distill::DeviceType;
use takd_grid::recipe::{Recipe, shipped};
use takd_grid::{Experiment, ExperimentError, Preset};

/// Train everything of the paper that takd has, each run once, and print every table.
///
/// The recipes of `takd recipe list` in one plan: what several of them need is trained once. Runs that are finished in --out are
/// not trained again; a run that was broken off goes on from where it was.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd all --preset quick
      everything on built-in images, minutes on a laptop, nothing to download
  takd all --dry-run --data-dir ~/data
      what the whole paper takes here

Exit status: 0 if all tables are complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    if args.choice.preset == Preset::Quick {
        args.common.no_data_dir("all", "--preset quick")?;
    }
    let recipes = shipped().iter().map(|shipped| recipe::open(shipped.name)).collect::<Result<Vec<Recipe>>>()?;
    let changes = args.choice.changes(&args.common.asked)?;
    let experiments = |device: DeviceType| -> Result<(Vec<&str>, Vec<Experiment>), ExperimentError> {
        let (mut names, mut experiments) = (Vec::new(), Vec::new());
        for recipe in &recipes {
            // A recipe without one of the cells that are wanted takes part with those that it has.
            let own = |name: &&String| recipe.cells.iter().any(|cell| cell.name == **name);
            let cells: Vec<String> = changes.cells.iter().filter(own).cloned().collect();
            if cells.is_empty() && !changes.cells.is_empty() {
                continue;
            }
            let changes = takd_grid::Changes { cells, ..changes.clone() };
            names.push(recipe.origin());
            experiments.push(Experiment::new(recipe, &changes, device)?);
        }
        Ok((names, experiments))
    };
    let wrong = |error: &dyn std::fmt::Display| WrongArgument::error("all", ErrorKind::ValueValidation, error);
    let (names, _) = experiments(DeviceType::Cpu).map_err(|error| wrong(&error))?;
    let known = |name: &String| recipes.iter().any(|recipe| recipe.cells.iter().any(|cell| cell.name == *name));
    if let Some(unknown) = changes.cells.iter().find(|name| !known(name)) {
        return Err(wrong(&format!("no recipe has a cell `{unknown}`")));
    }
    let landscape_at = names.iter().position(|name| *name == landscape::RECIPE);
    experiment::run_and(
        &args.common,
        screen,
        |device| Ok(experiments(device)?.1),
        |report, place| {
            if landscape_at != Some(place.place) {
                return Ok(());
            }
            landscape::add(&args.common, report, place, landscape::usual_plane(args.choice.preset), screen)
        },
    )
}

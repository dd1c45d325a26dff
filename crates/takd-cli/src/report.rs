//! `takd report`.

use crate::common::{Asked, DEFAULT_OUT, Printed};
use crate::device::DeviceKind;
use crate::exit::WrongArgument;
use crate::found::Reach;
use crate::recipe::open;
use crate::run::Choice;
use crate::{elsewhere, known_files, landscape, output, reports, values};
use anyhow::{Context, Result, ensure};
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use takd_datasets::{Catalog, Sources};
use takd_distill::Runs;
use takd_figures::Palette;
use takd_grid::{Changes, Experiment, ExperimentError, Plan};
use takd_report::{Figure, Report};
use takd_store::RunId;

/// Print what came of recipes, from the runs that there are. Nothing is trained, and no image is read.
///
/// The recipe, the preset and all other settings are those that were trained with: they say which runs are meant. Runs may come
/// from another machine; then --device says on what they were trained. What is not finished is said.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd report table1 --preset quick --format html > table1.html
      one page with figures, learning curves and every run
  takd report paths --preset quick --budget 1e13
      the best path whose runs take at most so many multiplications
  takd report sweep-ta sweep-teacher --device cuda --out from-the-cluster --format markdown
      runs that were trained on a GPU elsewhere
  takd report paths --preset quick --figures figures
      the figures as SVG files, and as PNG if takd was built with --features png

Exit status: 0, finished or not; 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    #[command(flatten)]
    finished: Finished,
    /// Name the best path whose runs, all that lead to it included, take at most so many multiplications, such as 2.5e14
    #[arg(long, value_name = "MULTIPLY-ADDS", value_parser = values::multiply_adds, allow_negative_numbers = true)]
    budget: Option<f64>,
    /// Write the figures into this folder
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    #[command(flatten)]
    printed: Printed,
}

/// Recipes, and where their finished runs are.
#[derive(clap::Args)]
pub(crate) struct Finished {
    /// Files, or names of recipes that come with takd
    #[arg(value_name = "RECIPE", required = true)]
    pub recipes: Vec<String>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    asked: Asked,
    /// What the runs were trained on
    #[arg(long, value_name = "auto|cpu|cuda|cuda-tf32|metal", default_value = "auto")]
    device: DeviceKind,
    /// Where the runs are kept
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    out: PathBuf,
}

impl Finished {
    /// Their reports with the names of their recipes, as `command` was asked for them; and the runs.
    pub(crate) fn reports(&self, command: &'static str) -> Result<(Runs, Vec<(&str, Report)>)> {
        let folder = self.out.join("runs");
        ensure!(
            folder.is_dir(),
            "there are no runs: {} does not exist; --out names another folder, takd run and its kin train into one",
            folder.display()
        );
        let runs = Runs::open(&folder)?;
        let mut made = Vec::new();
        for name in &self.recipes {
            let recipe = open(name)?;
            let changes = Changes { found_before: known_files::read(&self.out), ..self.choice.changes(&self.asked)? };
            let mut experiment =
                Experiment::new(&recipe, &changes, self.device.device_type()).map_err(|error| match error {
                    ExperimentError::Recipe(_) => error.into(),
                    error => WrongArgument::error(command, ErrorKind::ValueValidation, error),
                })?;
            // As the hub's cache has them: a report asks nothing of the network.
            let reach = Reach { offline: true, quiet: true, screen: &MultiProgress::new() };
            elsewhere::find_models(std::slice::from_mut(&mut experiment), &reach)?;
            // Results outlive networks that were deleted.
            let ended = |id: &RunId| Some(runs.ending_file(id).ok().flatten()?.ending);
            let plan = Plan::new(&experiment, &cards(&experiment, &self.out)?, &ended)?;
            made.push((name.as_str(), Report::new(&experiment, &plan, &runs)?));
        }
        Ok((runs, made))
    }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    reports::check("report", &args.printed, args.finished.recipes.len())?;
    let (runs, mut made) = args.finished.reports("report")?;
    for (name, report) in &mut made {
        if *name == landscape::RECIPE {
            let kept = report.kept_plane(&runs);
            let usual = landscape::usual_plane(args.finished.choice.preset);
            report.add_landscapes(&runs, kept.unwrap_or(usual));
        }
        if let Some(budget) = args.budget {
            report.add_best_within(budget);
        }
    }
    let made: Vec<Report> = made.into_iter().map(|(_, report)| report).collect();
    if let Some(folder) = &args.figures {
        let figures = made.iter().flat_map(|report| {
            let named = |figure: Figure| (report.file_stem().to_owned(), figure);
            let learning_curves = report.learning_curves(&runs);
            report.figures().into_iter().chain(learning_curves).map(named).collect::<Vec<_>>()
        });
        write_figures(&figures.collect::<Vec<_>>(), folder)?;
    }
    reports::print(&args.printed, &made, &runs)
}

/// The cards of the experiment's data sets that are kept beside the runs.
fn cards(experiment: &Experiment, out: &Path) -> Result<BTreeMap<takd_datasets::DatasetName, takd_datasets::Card>> {
    let sources = Sources { offline: true, drawn: experiment.drawn, ..Sources::default() };
    let sources = experiment.sources(sources)?;
    let folder = out.join("cards");
    let catalog = Catalog::new(sources, folder.clone());
    let card = |name| {
        let card = catalog.kept_card(&name)?.with_context(|| {
            format!(
                "nothing is known of {name}: {} holds no card of it, or several; commands that train keep one beside their runs",
                folder.display()
            )
        })?;
        Ok((name, card))
    };
    experiment.datasets().into_iter().map(card).collect()
}

fn write_figures(figures: &[(String, Figure)], folder: &Path) -> Result<()> {
    takd_store::make_folder(folder)?;
    for (report, figure) in figures {
        let stem = folder.join(format!("{report}-{}", figure.name));
        let svg = figure.to_svg(&Palette::LIGHT);
        takd_store::write_file(&stem.with_extension("svg"), svg.as_bytes())?;
        #[cfg(feature = "png")]
        {
            // Two pixels for each of the figure's own: sharp in print.
            let png = takd_figures::png(&svg, Palette::LIGHT.ground, 2.0)?;
            takd_store::write_file(&stem.with_extension("png"), &png)?;
        }
    }
    let endings = if cfg!(feature = "png") { "SVG and PNG" } else { "SVG" };
    output::note(&format!("{} figures as {endings} in {}", figures.len(), folder.display()));
    Ok(())
}

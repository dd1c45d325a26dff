//! `takd landscape`.

use crate::common::Common;
use crate::exit::WrongArgument;
use crate::experiment::{self, Workplace};
use crate::progress::counting;
use crate::run::Choice;
use crate::{recipe, values};
use anyhow::Result;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use takd_distill::{DeviceType, Plane, landscape};
use takd_grid::{Experiment, ExperimentError, Preset};
use takd_models::Family;
use takd_report::Report;

/// The recipe whose networks are looked at.
pub(crate) const RECIPE: &str = "landscape";

/// Look at the loss around the student, alone, taught, and taught by way of an assistant (Figure 7)
///
/// The networks are those of `takd run landscape`, which are trained first unless they are finished. The loss of each is computed on a
/// plane of two random directions, filter by filter as long as its weights, and kept in its folder. The page in the folder
/// `tables` of --out has it as maps with contour lines.
#[derive(clap::Args)]
#[command(
    mut_arg("epochs", |arg| arg.help("Epochs of every run, or of some networks and the rest, as in plane2=150,20 [default: the preset's]")),
    mut_arg("seeds", |arg| {
        arg.help("Seeds, with commas between, or a range such as 1..5 [default: 20,31,55; 31 for the quick preset]")
    }),
    after_help = "\
Examples:
  takd landscape --preset quick
      on built-in images, minutes on a laptop, nothing to download
  takd landscape --cells plain/cifar100 --points 51 --data-dir ~/data
      a finer map of one cell

Exit status: 0 if all is complete, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C."
)]
pub(crate) struct Args {
    /// Points to a side of the map, an odd number [default: 21; 11 for the quick preset]
    #[arg(long, value_parser = values::count, allow_negative_numbers = true)]
    points: Option<usize>,
    /// How far the map goes, in lengths of the weights
    #[arg(long, default_value_t = 1.0, allow_negative_numbers = true)]
    reach: f64,
    /// Training images whose loss is measured, the first ones [default: 1000; 500 for the quick preset]
    #[arg(long, value_parser = values::images, value_name = "IMAGES", allow_negative_numbers = true)]
    look_at: Option<usize>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    pub common: Common,
}

impl Args {
    fn plane(&self) -> Plane {
        let usual = usual_plane(self.choice.preset);
        Plane {
            points: self.points.unwrap_or(usual.points),
            reach: self.reach,
            images: self.look_at.unwrap_or(usual.images),
            ..usual
        }
    }
}

/// What is looked at unless something else is asked for.
pub(crate) fn usual_plane(preset: Preset) -> Plane {
    match preset {
        Preset::Full => Plane::default(),
        Preset::Quick => Plane { points: 11, images: 500, ..Plane::default() },
    }
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let Args { choice, common, .. } = args;
    if choice.preset == Preset::Quick {
        common.no_data_dir("landscape", "--preset quick")?;
    }
    let plane = args.plane();
    let wrong = |error: &dyn std::fmt::Display| WrongArgument::error("landscape", ErrorKind::ValueValidation, error);
    plane.check().map_err(|problem| wrong(&problem))?;
    let recipe = recipe::open(RECIPE)?;
    let changes = choice.changes(&common.asked)?;
    Experiment::new(&recipe, &changes, DeviceType::Cpu).map_err(|error| match error {
        ExperimentError::Recipe(_) => error.into(),
        error => wrong(&error),
    })?;
    let experiments = |device| Ok(vec![Experiment::new(&recipe, &changes, device)?]);
    experiment::run_and(common, screen, experiments, |report, place| add(common, report, place, plane, screen))
}

/// Computes what is not known yet of the loss around the finished networks that are asked for, and adds it to the report.
pub(crate) fn add(
    common: &Common,
    report: &mut Report,
    place: &Workplace<'_>,
    plane: Plane,
    screen: &MultiProgress,
) -> Result<()> {
    let paths = report.cells.iter().flat_map(|cell| cell.paths.iter().filter(|path| path.requested));
    let finished = paths.flat_map(|path| path.runs.iter().filter(|run| run.state.measurements().is_some()));
    for run in finished {
        let planned = place.plan.run(&run.run).filter(|planned| planned.config.model.family() != Family::Logits);
        let Some(planned) = planned else { continue };
        if place.runs.kept_landscape(&planned.config, plane).is_ok_and(|kept| kept.is_some()) {
            continue;
        }
        let data = &planned.config.data;
        let data = place.catalog.load_limited(&data.dataset, data.train_images, &mut |_| {})?;
        let what = format!("the loss around {}", planned.name());
        counting(common.quiet, screen, &what, |count| {
            landscape(&planned.config, &data, place.runs, place.compute, plane, &mut |done, total| {
                count(done, total);
                if place.stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            })
        })?;
    }
    report.add_landscapes(place.runs, plane);
    Ok(())
}

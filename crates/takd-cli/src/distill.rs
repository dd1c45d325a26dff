//! `takd distill`.

use crate::experiment::{Common, complete, lambda, temperature};
use crate::{misfit, output};
use anyhow::Result;
use clap::error::ErrorKind;
use comfy_table::{CellAlignment, Table, presets};
use indicatif::MultiProgress;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write;
use std::num::NonZeroUsize;
use takd_datasets::{DatasetName, Drawn};
use takd_distill::{DeviceType, RunConfig, RunId, RunResult, Store};
use takd_grid::{DistillationPath, Outcome, PathExperiment, Plan, PlannedRun, Strength};
use takd_models::ModelSpec;

/// Train networks one after the other, each taught by the one before it, and print how each does.
///
/// The path may have any length. A run that is finished in --out, also as a part of another path, is not trained again; a
/// run that was broken off, by Ctrl-C or by anything else, goes on where it was. Several of these commands may work in one
/// --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(after_help = format!(
    "\
Examples:
  takd distill plane10 plane4 plane2
      plane10 alone, then plane4 taught by it, then plane2 taught by plane4, on CIFAR-10
  takd distill 'plane10->plane4->plane2'
      the same; the quotes keep the shell from taking > for a redirection
  takd distill plane10+resnet20 plane2
      plane2 taught by two networks together
  takd distill plane10 plane4 plane2 --lambda 0.3,0.7 --temperature 4
      plane4 taught with λ = 0.3, plane2 with λ = 0.7, both at τ = 4
  takd distill plane2 --dataset shapes10 --epochs 5
      one network alone, on images drawn by code: seconds, nothing to download

Networks: {}.

Exit status: 0 if every network is trained, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.",
    ModelSpec::all().map(|model| model.to_string()).collect::<Vec<_>>().join(", ")
))]
pub(crate) struct Args {
    /// The networks, the first alone, each other one taught by the one before it
    #[arg(required = true, value_name = "PATH")]
    path: Vec<String>,
    /// What all of them are trained on
    #[arg(long, default_value = "cifar10", value_name = "cifar10|cifar100|shapes10|shapes100")]
    dataset: DatasetName,
    /// λ: the teacher's share of the loss, from 0 to 1; one for all steps of the path, or one for each with commas between
    #[arg(long, default_value = "0.5", value_delimiter = ',', value_parser = lambda, value_name = "λ,…")]
    lambda: Vec<f64>,
    /// τ: what the logits are divided by, above 0; one for all steps of the path, or one for each with commas between
    #[arg(long, default_value = "5", value_delimiter = ',', value_parser = temperature, value_name = "τ,…")]
    temperature: Vec<f64>,
    /// Where images are augmented, draw so many forms of each once and see them in turn, so that a teacher's logits can be
    /// kept; fresh ones in every epoch, and the teacher at work in every step, where absent
    #[arg(long, value_name = "FORMS")]
    replays: Option<NonZeroUsize>,
    #[command(flatten)]
    pub common: Common,
}

/// A run, for a script.
#[derive(Serialize)]
struct Run<'a> {
    id: &'a RunId,
    path: String,
    config: &'a RunConfig,
    /// Nothing where the run has none.
    result: Option<&'a RunResult>,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let common = &args.common;
    if args.dataset.is_builtin() {
        common.no_data_dir("distill", &format!("--dataset {}", args.dataset))?;
    }
    let path: DistillationPath =
        args.path.join("->").parse().map_err(|error| misfit("distill", ErrorKind::ValueValidation, error))?;
    let lambdas = one_a_step("--lambda", &args.lambda, &path)?;
    let temperatures = one_a_step("--temperature", &args.temperature, &path)?;
    let strengths = lambdas.into_iter().zip(temperatures);
    let device = common.device.open()?;
    let experiment = PathExperiment {
        path,
        protocol: common.protocol,
        device: DeviceType::of(&device),
        epochs: common.epochs.map(|epochs| epochs.get() as usize),
        replays: args.replays,
        seeds: common.seeds_or(&[31]),
        strengths: strengths.map(|(lambda, temperature)| Strength { lambda, temperature }).collect(),
    };
    let store = common.store()?;
    let data = common.load([args.dataset], Drawn::default(), screen)?;
    let plan = experiment.plan(&data[&args.dataset])?;
    let outcomes = common.train(&plan, &data, &store, &device, screen)?;
    if common.json {
        let runs = plan.runs.iter().map(|run| {
            let (path, result) = (run.path.to_string(), result(run, &outcomes));
            Run { id: &run.id, path, config: &run.config, result }
        });
        output::print_json(&runs.collect::<Vec<_>>())?;
    } else {
        output::print(&report(&plan, &outcomes, &store, args)?)?;
    }
    complete(&plan, &outcomes)
}

/// A value for each step of the path.
fn one_a_step(flag: &str, values: &[f64], path: &DistillationPath) -> Result<Vec<f64>> {
    let steps = path.stages().len() - 1;
    match values {
        [one] => Ok(vec![*one; steps]),
        values if values.len() == steps => Ok(values.to_vec()),
        values => {
            let steps = match steps {
                0 => "no step".into(),
                1 => "1 step".into(),
                steps => format!("{steps} steps"),
            };
            let message = format!(
                "{flag} has {} values, and the path {path} has {steps}: give one value, or one a step",
                values.len()
            );
            Err(misfit("distill", ErrorKind::WrongNumberOfValues, message))
        }
    }
}

fn result<'a>(run: &PlannedRun, outcomes: &'a HashMap<RunId, Outcome>) -> Option<&'a RunResult> {
    match outcomes.get(&run.id) {
        Some(Outcome::Finished(result)) => Some(result),
        _ => None,
    }
}

/// The table, what its numbers are, and where the last networks lie.
fn report(plan: &Plan, outcomes: &HashMap<RunId, Outcome>, store: &Store, args: &Args) -> Result<String> {
    let Common { protocol, .. } = args.common;
    let mut table = Table::new();
    table.load_preset(presets::UTF8_FULL_CONDENSED).set_header([
        "network",
        "taught by",
        "seed",
        "accuracy %",
        "top-5 %",
        "loss",
        "calibration %",
        "agreement %",
        "KL",
        "entropy",
        "time",
        "run",
    ]);
    for column in table.column_iter_mut().skip(2).take(9) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for run in &plan.runs {
        let result = result(run, outcomes);
        let number = |value: Option<f64>, digits| value.map_or_else(dash, |value| format!("{value:.digits$}"));
        let percent = |value: Option<f64>| number(value.map(|value| 100.0 * value), 2);
        let test = result.map(|result| result.test);
        let teachers = result.and_then(|result| result.teachers);
        table.add_row([
            run.config.model.to_string(),
            taught_by(run, plan),
            run.config.seed.to_string(),
            percent(test.map(|test| test.accuracy)),
            percent(test.map(|test| test.top5_accuracy)),
            number(test.map(|test| test.loss), 4),
            percent(test.map(|test| test.calibration_error)),
            percent(teachers.map(|teachers| teachers.agreement)),
            number(teachers.map(|teachers| teachers.kl), 4),
            number(teachers.map(|teachers| teachers.soft_target_entropy), 4),
            result.map_or_else(dash, |result| format!("{:.0} s", result.seconds)),
            run.id.to_string(),
        ]);
    }
    let classes = args.dataset.classes();
    let images = plan.runs.iter().find_map(|run| Some(result(run, outcomes)?.test.images));
    let images = images.map_or_else(String::new, |images| format!("On the {images} test images of {}. ", args.dataset));
    let mut text = format!(
        "{table}\n\n\
         {images}Protocol `{protocol}`. Loss: cross-entropy, nats. Calibration: expected calibration error.\n\
         Agreement: how often network and teacher give the same class. KL: from the teacher to the network at temperature τ, \
         nats.\n\
         Entropy: of the teacher's soft targets at temperature τ, nats; at most ln {classes} = {:.4}.\n",
        (classes as f64).ln()
    );
    let stages = |run: &PlannedRun| run.path.stages().len();
    let last = plan.runs.iter().map(stages).max();
    for run in plan.runs.iter().filter(|run| Some(stages(run)) == last && result(run, outcomes).is_some()) {
        let _ = write!(text, "\n{}: {}", run.name(), store.model(&run.id)?.display());
    }
    Ok(text)
}

/// The networks that teach a run.
fn taught_by(run: &PlannedRun, plan: &Plan) -> String {
    let Some(kd) = &run.config.distillation else { return dash() };
    let teacher = |id: &RunId| plan.runs.iter().find(|run| run.id == *id).map(|run| run.config.model.to_string());
    kd.teachers.iter().filter_map(teacher).collect::<Vec<_>>().join(" + ")
}

fn dash() -> String {
    "–".into()
}

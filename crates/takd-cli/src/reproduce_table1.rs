//! `takd reproduce-table1`.

use crate::device::DeviceKind;
use crate::progress::{Progress, loading};
use anyhow::{Context, Result, bail};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use takd_datasets::{Sources, load};
use takd_distill::{DeviceType, Protocol, Store, limit_training_images};
use takd_grid::{Cell, Outcome, Plan, Preset, Table1, execute};

/// Train what Table 1 of the paper needs and print it beside the paper's own numbers.
///
/// For each cell and seed five networks are trained: the teacher, the assistant taught by it, and the student alone
/// (NoKD), taught by the teacher (BLKD) and taught by the assistant (TAKD). Runs that are finished in --out are not
/// trained again; a run that was broken off, by Ctrl-C or by anything else, goes on where it was.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd reproduce-table1 --preset quick
      all cells on built-in images, minutes on a laptop, nothing to download
  takd reproduce-table1 --cells plain/cifar10 --protocol code --epochs 10
      one cell on CIFAR-10 as the published code trains it, cut short
  takd reproduce-table1 --protocol paper --data-dir ~/data
      all cells in full, on images in ~/data/cifar10 and ~/data/cifar100

Exit status: 0 if the table is complete, 1 on an error or if a run diverged, 2 on a wrong flag, 130 if stopped.")]
pub(crate) struct Args {
    /// How large the experiment is: `full` is the paper's networks, data and epochs; `quick` is built-in images, drawn by
    /// code, and few epochs
    #[arg(long, default_value = "full", value_name = "full|quick")]
    preset: Preset,
    /// Rows of the table, with commas between: plain/cifar10, plain/cifar100, resnet/cifar10, resnet/cifar100
    #[arg(long, value_delimiter = ',', default_values_t = Cell::RUNNABLE, hide_default_value = true, value_name = "CELL,…")]
    cells: Vec<Cell>,
    /// Whose rules: `code` is what the published code does, defects included; `paper` is what the text says; `sound` is
    /// the text, but nothing is chosen by the test set
    #[arg(long, default_value = "sound", value_name = "code|paper|sound")]
    protocol: Protocol,
    /// Epochs of every run [default: those of the preset and the protocol]
    #[arg(long)]
    epochs: Option<NonZeroUsize>,
    /// Seeds, with commas between; one experiment each [default: 20,31,55 for full sound runs, else 31]
    #[arg(long, value_delimiter = ',', value_name = "SEED,…")]
    seeds: Vec<u64>,
    /// λ: the teacher's share of the loss, from 0 to 1
    #[arg(long, default_value_t = 0.5, value_parser = lambda)]
    lambda: f64,
    /// τ: what the logits are divided by, above 0
    #[arg(long, default_value_t = 5.0, value_parser = temperature)]
    temperature: f64,
    /// Use so many of the training images, the classes in their proportions [default: all]
    #[arg(long, value_name = "IMAGES")]
    limit: Option<NonZeroUsize>,
    /// A folder with data sets in the hub's layout: cifar10/plain_text/train-*.parquet, …
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Stay off the network; what the hub's cache holds is used
    #[arg(long)]
    offline: bool,
    /// What to train on
    #[arg(long, value_enum, default_value_t = DeviceKind::Auto)]
    device: DeviceKind,
    /// Where runs and tables are kept
    #[arg(long, default_value = "results", value_name = "DIR")]
    out: PathBuf,
    /// Print the table as JSON, with the run behind every number
    #[arg(long)]
    json: bool,
    /// No progress, only the table
    #[arg(long)]
    quiet: bool,
}

fn lambda(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("λ is from 0 to 1".into()) }
}

fn temperature(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err("τ is above 0".into()) }
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.preset == Preset::Quick && args.data_dir.is_some() {
        bail!(
            "--preset quick trains on built-in images and reads no --data-dir; for a short run on your data use --epochs and --limit"
        );
    }
    let mut cells = args.cells.clone();
    cells.sort();
    cells.dedup();
    let mut seeds = if args.seeds.is_empty() { args.preset.seeds(args.protocol) } else { args.seeds.clone() };
    seeds.sort_unstable();
    seeds.dedup();
    let device = args.device.open()?;
    let request = Table1 {
        device: DeviceType::of(&device),
        cells,
        preset: args.preset,
        protocol: args.protocol,
        epochs: args.epochs.map(NonZeroUsize::get),
        seeds,
        lambda: args.lambda,
        temperature: args.temperature,
    };
    let store = Store::open(&args.out.join("runs"))?;
    let sources = Sources { data_dir: args.data_dir.clone(), offline: args.offline, drawn: args.preset.drawn() };
    let mut data = BTreeMap::new();
    for name in request.datasets() {
        let mut set = loading(args.quiet, |progress| load(name, &sources, progress))?;
        limit_training_images(&mut set, args.limit.map(NonZeroUsize::get));
        data.insert(name, set);
    }
    let plan = request.plan(&data)?;

    let stop = stop_flag()?;
    let mut progress = Progress::new(&plan, args.quiet);
    let outcomes = execute(&plan, &data, &store, &device, &mut |index, run, what| {
        progress.show(index, run, &what);
        if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    progress.end();
    let outcomes = outcomes?;

    let table = takd_report::Table1::new(&request, &plan, &store)?;
    let path = args.out.join(format!("table1-{}-{}.md", args.preset, args.protocol));
    std::fs::write(&path, table.to_markdown()).with_context(|| format!("cannot write {}", path.display()))?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&table)?);
    } else {
        println!("{}\nThe same in Markdown: {}", table.to_text(), path.display());
    }
    match failures(&plan, &outcomes).as_slice() {
        [] => Ok(()),
        failures => bail!("the table is not complete:\n{}", failures.join("\n")),
    }
}

/// What runs have no result, and why.
fn failures(plan: &Plan, outcomes: &std::collections::HashMap<takd_distill::RunId, Outcome>) -> Vec<String> {
    let failures = plan.runs.iter().filter_map(|run| match outcomes.get(&run.id)? {
        Outcome::Finished(_) => None,
        Outcome::Diverged(error) => Some(format!("  {}: {error}", run.name())),
        Outcome::NoTeacher => Some(format!("  {}: not begun, since its teacher has no result", run.name())),
    });
    failures.collect()
}

/// Set by Ctrl-C and SIGTERM; the second time the program ends at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag is not yet set when the first signal comes.
        let second = flag::register_conditional_shutdown(signal, i32::from(crate::STOPPED), stop.clone());
        second.and_then(|_| flag::register(signal, stop.clone())).context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

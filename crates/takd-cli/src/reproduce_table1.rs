//! `takd reproduce-table1`.

use crate::experiment::{Common, complete, lambda, temperature};
use crate::output;
use anyhow::Result;
use indicatif::MultiProgress;
use takd_distill::DeviceType;
use takd_grid::{Cell, Preset, Table1};

/// Train what Table 1 of the paper needs and print it beside the paper's own numbers.
///
/// For each cell and seed five networks are trained: the teacher, the assistant taught by it, and the student alone
/// (NoKD), taught by the teacher (BLKD) and taught by the assistant (TAKD). Runs that are finished in --out are not
/// trained again; a run that was broken off, by Ctrl-C or by anything else, goes on where it was. Several of these
/// commands may work in one --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(
    mut_arg("epochs", |arg| arg.help("Epochs of every run [default: those of the preset and the protocol]")),
    mut_arg("seeds", |arg| {
        arg.help("Seeds, with commas between; one experiment each [default: 20,31,55 for full sound runs, else 31]")
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
    /// How large the experiment is: `full` is the paper's networks, data and epochs; `quick` is built-in images, drawn by
    /// code, and few epochs
    #[arg(long, default_value = "full", value_name = "full|quick")]
    preset: Preset,
    /// Rows of the table, with commas between: plain/cifar10, plain/cifar100, resnet/cifar10, resnet/cifar100
    #[arg(long, value_delimiter = ',', default_values_t = Cell::RUNNABLE, hide_default_value = true, value_name = "CELL,…")]
    cells: Vec<Cell>,
    /// λ: the teacher's share of the loss, from 0 to 1
    #[arg(long, default_value_t = 0.5, value_parser = lambda)]
    lambda: f64,
    /// τ: what the logits are divided by, above 0
    #[arg(long, default_value_t = 5.0, value_parser = temperature)]
    temperature: f64,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let Args { preset, common, .. } = args;
    if *preset == Preset::Quick {
        common.no_data_dir("reproduce-table1", "--preset quick")?;
    }
    let mut cells = args.cells.clone();
    cells.sort();
    cells.dedup();
    let device = common.device.open()?;
    let request = Table1 {
        device: DeviceType::of(&device),
        cells,
        preset: *preset,
        protocol: common.protocol,
        epochs: common.epochs.map(|epochs| epochs.get() as usize),
        seeds: common.seeds_or(&preset.seeds(common.protocol)),
        lambda: args.lambda,
        temperature: args.temperature,
    };
    let store = common.store()?;
    let data = common.load(request.datasets(), preset.drawn(), screen)?;
    let plan = request.plan(&data)?;
    let outcomes = common.train(&plan, &data, &store, &device, screen)?;

    let table = takd_report::Table1::new(&request, &plan, &store)?;
    let path = common.out.join(format!("table1-{preset}-{}.md", common.protocol));
    output::write_file(&path, &table.to_markdown())?;
    if common.json {
        output::print_json(&table)?;
    } else {
        output::print(&format!("{}\nThe same in Markdown: {}", table.to_text(), path.display()))?;
    }
    complete(&plan, &outcomes)
}

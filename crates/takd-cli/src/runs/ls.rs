//! `takd runs ls`.

use super::place::Place;
use super::summary::{Listing, State, Summary};
use super::words::{date, size};
use crate::output::{self, List};
use anyhow::Result;
use std::cmp::Ordering;

/// List the runs in the order in which they were last started, a line each.
///
/// A run is `finished`, `running` (a process trains it), `unfinished` (its command, started again, goes on with it), `diverged`
/// (its loss ceased to be a number), `no-teacher` (finished, but its teacher's run is gone), `foreign` (made by another version of
/// takd) or `damaged` (`takd runs verify` says what is wrong). Nothing is read but small files: `takd runs verify` looks deeper.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs ls
  takd runs ls --data cifar10 --state finished --sort accuracy
  takd runs ls --json | jq '.[] | select(.test_accuracy > 0.7) | .id'

Exit status: 0, damaged runs or not; 1 if the folder cannot be read, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Only runs whose path holds this network, such as plane4
    #[arg(long, value_name = "NETWORK")]
    network: Option<String>,
    /// Only runs on this data set
    #[arg(long, value_name = "DATASET")]
    data: Option<String>,
    /// Only runs of this seed
    #[arg(long)]
    seed: Option<u64>,
    /// Only runs in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// What they are sorted by
    #[arg(long, value_enum, default_value_t = Sort::Date)]
    sort: Sort,
    #[command(flatten)]
    place: Place,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Sort {
    /// When they were last started.
    Date,
    /// Test accuracy, the best last.
    Accuracy,
    /// Data set, path and seed.
    Path,
    /// Bytes on the disk.
    Size,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let mut listed = Listing::of(&runs)?.summaries(&runs);
    listed.retain(|run| is_wanted(run, args));
    match args.sort {
        Sort::Date => {}
        Sort::Accuracy => listed.sort_by(by_accuracy),
        Sort::Path => listed.sort_by(|a, b| (&a.dataset, &a.path, a.seed).cmp(&(&b.dataset, &b.path, b.seed))),
        Sort::Size => listed.sort_by_key(|run| run.bytes),
    }
    if args.json {
        return output::print_json(&listed);
    }
    let header =
        ["run", "path", "data", "images", "seed", "λ", "τ", "protocol", "epochs", "state", "test %", "started", "size"];
    let row = |run: &Summary| {
        let text = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        let number = |value: Option<usize>| text(value.map(|number| number.to_string()));
        vec![
            run.id.to_string(),
            text(run.path.clone()),
            text(run.dataset.clone()),
            number(run.train_images),
            text(run.seed.map(|seed| seed.to_string())),
            text(run.lambda.map(|lambda| lambda.to_string())),
            text(run.temperature.map(|temperature| temperature.to_string())),
            text(run.path.as_ref().map(|_| run.protocol.unwrap_or("own").to_owned())),
            format!("{}/{}", number(run.epochs_done), number(run.epochs)),
            run.state.as_str().into(),
            text(run.test_accuracy.map(|share| format!("{:.2}", 100.0 * share))),
            text(run.started.map(date)),
            size(run.bytes),
        ]
    };
    let list = List {
        header: header.to_vec(),
        rows: listed.iter().map(row).collect(),
        dispensable: &["size", "protocol", "images", "started", "τ", "λ", "epochs", "data"],
    };
    output::print(&list.to_text())
}

fn is_wanted(run: &Summary, args: &Args) -> bool {
    let on_path = |network: &String| {
        run.path.as_ref().is_some_and(|path| path.split([' ', '→', '+']).any(|name| name == network))
    };
    args.network.as_ref().is_none_or(on_path)
        && args.data.as_ref().is_none_or(|dataset| run.dataset.as_ref() == Some(dataset))
        && args.seed.is_none_or(|seed| run.seed == Some(seed))
        && args.state.is_none_or(|state| run.state == state)
}

fn by_accuracy(a: &Summary, b: &Summary) -> Ordering {
    a.test_accuracy.partial_cmp(&b.test_accuracy).unwrap_or(Ordering::Equal)
}

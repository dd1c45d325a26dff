//! `takd runs ls`.

use super::filter::Filter;
use super::place::Place;
use super::summary::{Listing, State, Summary};
use super::words::{date, size, tags};
use crate::list_format::PrintedList;
use crate::output::{self, List};
use anyhow::Result;
use serde::Serialize;
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
  takd runs ls --data cifar10 --state finished --sort accuracy --reverse
      the best first
  takd runs ls --tag for-the-paper --format csv > runs.csv
  takd runs ls --json | jq '.[] | select(.test_accuracy > 0.7) | .id'

Exit status: 0, damaged runs or not; 1 if the folder cannot be read, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    #[command(flatten)]
    filter: Filter,
    /// What they are sorted by
    #[arg(long, value_enum, default_value_t = Sort::Date)]
    sort: Sort,
    /// In the opposite order
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    printed: PrintedList,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Sort {
    /// When they were last started.
    Date,
    /// Test accuracy, the best last.
    Accuracy,
    /// Data set, path and seed.
    Path,
    /// λ, then τ.
    Lambda,
    /// Seed, then data set and path.
    Seed,
    /// State, then data set and path.
    State,
    /// Bytes on the disk.
    Size,
}

/// A run as a row for a spreadsheet.
#[derive(Serialize)]
struct Row<'a> {
    id: &'a str,
    path: Option<&'a str>,
    dataset: Option<&'a str>,
    train_images: Option<usize>,
    seed: Option<u64>,
    lambda: Option<f64>,
    temperature: Option<f64>,
    protocol: Option<&'a str>,
    epochs_done: Option<usize>,
    epochs: Option<usize>,
    state: &'a str,
    test_accuracy: Option<f64>,
    /// Seconds since the start of 1970.
    started: Option<u64>,
    bytes: u64,
    /// With spaces between.
    tags: String,
    note: Option<&'a str>,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let mut listed = Listing::of(&runs)?.summaries(&runs);
    listed.retain(|run| args.filter.fits(run));
    sort(&mut listed, args.sort);
    if args.reverse {
        listed.reverse();
    }
    args.printed.print(&listed, listed.iter().map(row), &list(&listed), "")?;
    let untold = listed.iter().filter(|run| run.state == State::Unfinished).find_map(|run| run.problem.as_ref());
    if let Some(problem) = untold {
        output::note(&format!("whether a process works on the unfinished runs cannot be told: {problem}"));
    }
    Ok(())
}

fn sort(listed: &mut [Summary], by: Sort) {
    // All of these keep the order of the last start among equals.
    match by {
        Sort::Date => {}
        Sort::Accuracy => listed.sort_by(|a, b| compare(a.test_accuracy, b.test_accuracy)),
        Sort::Path => listed.sort_by(|a, b| (&a.dataset, &a.path, a.seed).cmp(&(&b.dataset, &b.path, b.seed))),
        Sort::Lambda => {
            listed.sort_by(|a, b| compare(a.lambda, b.lambda).then_with(|| compare(a.temperature, b.temperature)));
        }
        Sort::Seed => listed.sort_by(|a, b| (a.seed, &a.dataset, &a.path).cmp(&(b.seed, &b.dataset, &b.path))),
        Sort::State => listed.sort_by(|a, b| (a.state, &a.dataset, &a.path).cmp(&(b.state, &b.dataset, &b.path))),
        Sort::Size => listed.sort_by_key(|run| run.bytes),
    }
}

/// What is not there comes first.
fn compare(a: Option<f64>, b: Option<f64>) -> Ordering {
    a.partial_cmp(&b).unwrap_or(Ordering::Equal)
}

fn row(run: &Summary) -> Row<'_> {
    Row {
        id: run.id.as_str(),
        path: run.path.as_deref(),
        dataset: run.dataset.as_deref(),
        train_images: run.train_images,
        seed: run.seed,
        lambda: run.lambda,
        temperature: run.temperature,
        protocol: run.protocol,
        epochs_done: run.epochs_done,
        epochs: run.epochs,
        state: run.state.as_str(),
        test_accuracy: run.test_accuracy,
        started: run.started,
        bytes: run.bytes,
        tags: run.tags.iter().map(|tag| tag.as_str()).collect::<Vec<_>>().join(" "),
        note: run.note.as_deref(),
    }
}

fn list(listed: &[Summary]) -> List {
    let mut header = vec![
        "run", "path", "data", "images", "seed", "λ", "τ", "protocol", "epochs", "state", "test %", "started", "size",
    ];
    let tagged = listed.iter().any(|run| !run.tags.is_empty());
    if tagged {
        header.push("tags");
    }
    let row = |run: &Summary| {
        let text = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        let number = |value: Option<usize>| text(value.map(|number| number.to_string()));
        let mut row = vec![
            run.id.to_string(),
            text(run.path.clone()),
            text(run.dataset.clone()),
            number(run.train_images),
            text(run.seed.map(|seed| seed.to_string())),
            text(run.lambda.map(|lambda| lambda.to_string())),
            text(run.temperature.map(|temperature| temperature.to_string())),
            // What was trained elsewhere has no epochs.
            text(run.path.as_ref().map(|_| {
                let without = if run.epochs == Some(0) { "elsewhere" } else { "own" };
                run.protocol.unwrap_or(without).to_owned()
            })),
            format!("{}/{}", number(run.epochs_done), number(run.epochs)),
            run.state.as_str().into(),
            text(run.test_accuracy.map(|share| format!("{:.2}", 100.0 * share))),
            text(run.started.map(date)),
            size(run.bytes),
        ];
        if tagged {
            row.push(if run.tags.is_empty() { "–".into() } else { tags(&run.tags) });
        }
        row
    };
    List {
        header,
        rows: listed.iter().map(row).collect(),
        dispensable: &["size", "protocol", "images", "started", "τ", "λ", "epochs", "data"],
    }
}

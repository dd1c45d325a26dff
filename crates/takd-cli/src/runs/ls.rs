//! `takd runs ls`.

use super::{Place, Summary, names};
use crate::{output, progress};
use anyhow::Result;
use comfy_table::{Table, presets};
use indicatif::MultiProgress;
use std::time::SystemTime;

/// List the runs in the order in which they were begun, a line each.
///
/// A run is `finished`, `running` (a process trains it), `unfinished` (its command, started again, goes on with it) or
/// `damaged` (`takd runs verify` says what is wrong).
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs ls
  takd runs ls --json | jq '.[] | select(.test_accuracy > 0.7) | .id'

Exit status: 0, damaged runs or not; 1 if the folder cannot be read, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    #[command(flatten)]
    place: Place,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let store = args.place.store()?;
    let mut runs = store.runs()?;
    runs.sort_by_cached_key(|id| {
        let dir = store.dir(id);
        // Of a run that cannot be asked, its folder's time.
        let written = dir.join("config.toml").metadata().or_else(|_| dir.metadata());
        written.and_then(|file| file.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    });
    let runs = progress::each(&runs, "reading", screen, |id| Summary::of(id, &store));
    if args.json {
        return output::print_json(&runs);
    }
    let mut table = Table::new();
    // Without lines, for `grep` and `awk`.
    table.load_preset(presets::NOTHING);
    table.set_header(["run", "network", "data", "taught by", "seed", "epochs", "state", "test %"]);
    for run in &runs {
        let text = |value: Option<String>| value.unwrap_or_else(|| "–".into());
        let number = |value: Option<usize>| text(value.map(|number| number.to_string()));
        table.add_row([
            run.id.to_string(),
            text(run.network.clone()),
            text(run.dataset.clone()),
            text((!run.taught_by.is_empty()).then(|| names(&run.taught_by))),
            text(run.seed.map(|seed| seed.to_string())),
            format!("{}/{}", number(run.epochs_done), number(run.epochs)),
            run.state.as_str().into(),
            text(run.test_accuracy.map(|share| format!("{:.2}", 100.0 * share))),
        ]);
    }
    // The first column needs no space before it.
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    output::print(&table.trim_fmt())
}

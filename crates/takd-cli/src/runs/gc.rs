//! `takd runs gc`.

use super::place::Place;
use super::strays::{self, Strays};
use super::summary::{Listing, State, Summary};
use super::words::size;
use crate::output::{self, List};
use anyhow::Result;
use serde::Serialize;
use std::path::PathBuf;
use takd_distill::{Runs, Spare};
use takd_store::{Ending, Error as StoreError, RunId};

/// Say what can be deleted of the runs, and how much that frees; with --yes delete it.
///
/// Without further flags that is what no result needs: logits that are kept for students, which are computed again if another
/// student needs them; what a kill left half written; folders of runs that were not begun. Nothing is deleted that no run wrote,
/// nor of a run that is at work, or that teaches one at work, or that is damaged or another version's; nor, as a whole, a run that
/// teaches others that stay, or that has tags or a note.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs gc
      what can go, and how much that frees; nothing is deleted
  takd runs gc --yes
      delete that
  takd runs gc --stopped --checkpoints --yes
      and runs that are not finished, and the checkpoints from which finished ones would go on for more epochs

Exit status: 0, whether anything can go or not; 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Also the last checkpoints of finished runs: without them, --epochs of more begins anew instead of going on
    #[arg(long)]
    checkpoints: bool,
    /// Also whole runs that diverged: they are then trained again, and diverge again, if a recipe or a search has them
    #[arg(long)]
    failed: bool,
    /// Also whole runs that were stopped or killed, which their commands would go on with
    #[arg(long)]
    stopped: bool,
    /// Delete nothing, and say what would be; this is the default
    #[arg(long, conflicts_with = "yes")]
    dry_run: bool,
    /// Delete it
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    place: Place,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// What can go, and what of it is asked for.
#[derive(Serialize)]
struct Collected {
    /// Whether it was deleted.
    deleted: bool,
    /// Of all that is asked for.
    bytes: u64,
    items: Vec<Item>,
    /// What could go too, with further flags.
    more: Vec<Item>,
    /// What was asked for and stays, and why.
    kept: Vec<Kept>,
}

#[derive(Clone, Serialize)]
struct Item {
    /// Nothing for what lies beside the runs.
    run: Option<RunId>,
    /// Of the run, or else of the folder.
    name: String,
    what: What,
    folder: PathBuf,
    /// Names in the folder; none if the whole run goes.
    files: Vec<String>,
    bytes: u64,
}

#[derive(Serialize)]
struct Kept {
    run: RunId,
    name: String,
    why: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
enum What {
    Leftover,
    NotBegun,
    KeptLogits,
    Checkpoint,
    FailedRun,
    StoppedRun,
}

impl What {
    fn in_words(self) -> &'static str {
        match self {
            Self::Leftover => "half written",
            Self::NotBegun => "run that was not begun",
            Self::KeptLogits => "kept logits",
            Self::Checkpoint => "last checkpoint",
            Self::FailedRun => "run that diverged",
            Self::StoppedRun => "run that is not finished",
        }
    }

    /// What asks for it, if it does not go without being asked for.
    fn flag(self) -> Option<&'static str> {
        match self {
            Self::Leftover | Self::NotBegun | Self::KeptLogits => None,
            Self::Checkpoint => Some("--checkpoints"),
            Self::FailedRun => Some("--failed"),
            Self::StoppedRun => Some("--stopped"),
        }
    }

    /// The files of a run that go for it; nothing if all of it does.
    fn spare(self) -> Option<Spare> {
        match self {
            Self::Leftover => Some(Spare::Leftover),
            Self::KeptLogits => Some(Spare::KeptLogits),
            Self::Checkpoint => Some(Spare::Checkpoint),
            Self::NotBegun | Self::FailedRun | Self::StoppedRun => None,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let listing = Listing::of(&runs)?;
    let mut items = Vec::new();
    for run in listing.summaries(&runs) {
        items.extend(of_run(&run, &listing, &runs)?);
    }
    items.extend(strays::find(&args.place.out).into_iter().map(|Strays { folder, files, bytes }| Item {
        run: None,
        name: folder.display().to_string(),
        what: What::Leftover,
        folder,
        files,
        bytes,
    }));
    let is_asked = |what: What| match what {
        What::Leftover | What::NotBegun | What::KeptLogits => true,
        What::Checkpoint => args.checkpoints,
        What::FailedRun => args.failed,
        What::StoppedRun => args.stopped,
    };
    let (asked, more): (Vec<Item>, Vec<Item>) = items.into_iter().partition(|item| is_asked(item.what));
    let (mut items, mut kept) = without_needed(asked, &listing, &runs);
    if args.yes {
        items = delete(items, &runs, &mut kept)?;
    }
    let bytes = items.iter().map(|item| item.bytes).sum();
    let collected = Collected { deleted: args.yes, bytes, items, more, kept };
    if args.json { output::print_json(&collected) } else { output::print(&text(&collected)) }
}

/// What can go of a run.
fn of_run(run: &Summary, listing: &Listing, runs: &Runs) -> Result<Vec<Item>> {
    let item = |what, files, bytes| Item {
        run: Some(run.id.clone()),
        name: run.name(),
        what,
        folder: runs.dir(&run.id),
        files,
        bytes,
    };
    // A run that another version made, or that is damaged, is not understood well enough to say what of it can go.
    if matches!(run.state, State::Running | State::Foreign | State::Damaged) || listing.has_student_at_work(&run.id) {
        return Ok(Vec::new());
    }
    if !runs.was_begun(&run.id)? {
        return Ok(vec![item(What::NotBegun, Vec::new(), runs.own_size(&run.id)?)]);
    }
    // `takd runs verify` calls it damaged: its configuration is gone.
    if run.path.is_none() {
        return Ok(Vec::new());
    }
    match run.state {
        State::Diverged => return Ok(vec![item(What::FailedRun, Vec::new(), runs.own_size(&run.id)?)]),
        State::Unfinished => return Ok(vec![item(What::StoppedRun, Vec::new(), runs.own_size(&run.id)?)]),
        _ => {}
    }
    let spare = runs.spare_files(&run.id)?;
    let of_kind = |what: What| {
        let files = || spare.iter().filter(|file| Some(file.spare) == what.spare());
        let item = item(what, files().map(|file| file.name.clone()).collect(), files().map(|file| file.bytes).sum());
        (!item.files.is_empty()).then_some(item)
    };
    Ok([What::Leftover, What::KeptLogits, What::Checkpoint].into_iter().filter_map(of_kind).collect())
}

/// The items without whole runs that somebody needs: with them a person's own words would go, or what other runs stand on.
fn without_needed(asked: Vec<Item>, listing: &Listing, runs: &Runs) -> (Vec<Item>, Vec<Kept>) {
    let (mut items, mut kept) = (asked, Vec::new());
    // A run that stays may need another that was to go, so until nothing changes.
    loop {
        let leaving: Vec<&RunId> = items.iter().filter_map(Item::whole_run).collect();
        let needed =
            |item: &Item| Some((item.whole_run()?.clone(), why_needed(item.whole_run()?, &leaving, listing, runs)?));
        let found = items.iter().enumerate().find_map(|(place, item)| Some((place, needed(item)?)));
        let Some((place, (run, why))) = found else { return (items, kept) };
        kept.push(Kept { run, name: items.remove(place).name, why });
    }
}

/// Why a run has to stay if those that are leaving go.
fn why_needed(run: &RunId, leaving: &[&RunId], listing: &Listing, runs: &Runs) -> Option<String> {
    if !runs.annotation(run).is_ok_and(|annotation| annotation.is_empty()) {
        return Some("it has tags or a note; `takd runs rm` deletes it".to_owned());
    }
    let student = listing.students(run).into_iter().find(|student| !leaving.contains(&&student.run))?;
    Some(format!("it teaches {}, run {}", student.name(), student.run))
}

impl Item {
    /// The run, if all of it goes.
    fn whole_run(&self) -> Option<&RunId> {
        self.run.as_ref().filter(|_| self.what.spare().is_none())
    }
}

/// Deletes the items; returns those that are gone. What somebody began to work on meanwhile stays.
fn delete(items: Vec<Item>, runs: &Runs, kept: &mut Vec<Kept>) -> Result<Vec<Item>> {
    let mut gone = Vec::new();
    for item in items {
        let why = match (&item.run, item.what.spare()) {
            (None, _) => strays::delete(&item.folder, &item.files).map(|()| None)?,
            (Some(run), Some(spare)) => why_at_work(runs.remove_spare(run, &[spare]).map_err(anyhow::Error::from))?,
            // Another process may have gone on with it, and be done.
            (Some(run), None) if is_finished(run, runs) => Some("it is finished by now"),
            (Some(run), None) => {
                let removed = runs.remove(run);
                for path in removed.iter().flat_map(|removed| &removed.left) {
                    output::note(&format!("left alone, because no run wrote it: {}", path.display()));
                }
                why_at_work(removed.map_err(anyhow::Error::from))?
            }
        };
        match (why, &item.run) {
            (Some(why), Some(run)) => {
                kept.push(Kept { run: run.clone(), name: item.name, why: why.to_owned() });
            }
            _ => gone.push(item),
        }
    }
    Ok(gone)
}

fn is_finished(run: &RunId, runs: &Runs) -> bool {
    runs.ending_file(run).is_ok_and(|file| file.is_some_and(|file| matches!(file.ending, Ending::Finished(_))))
}

/// That a process works on the run, if that is what went wrong.
fn why_at_work<T>(deleted: Result<T>) -> Result<Option<&'static str>> {
    match deleted {
        Ok(_) => Ok(None),
        Err(error) if is_at_work(&error) => Ok(Some("a process works on it")),
        Err(error) => Err(error),
    }
}

fn is_at_work(error: &anyhow::Error) -> bool {
    let store = match error.downcast_ref() {
        Some(takd_distill::Error::Store(error)) => Some(error),
        _ => error.downcast_ref::<StoreError>(),
    };
    matches!(store, Some(StoreError::Claimed(_)))
}

fn text(collected: &Collected) -> String {
    let Collected { deleted, bytes, items, more, kept } = collected;
    let mut parts = Vec::new();
    if !items.is_empty() {
        let row = |item: &Item| {
            let run = item.run.as_ref().map_or_else(|| "–".to_owned(), ToString::to_string);
            vec![run, item.what.in_words().to_owned(), item.name.clone(), size(item.bytes)]
        };
        let header = vec!["run", "what", "of", "size"];
        parts.push(List { header, rows: items.iter().map(row).collect(), dispensable: &[] }.to_text());
    }
    parts.push(match (items.len(), deleted) {
        (0, _) => "Nothing is left over.".to_owned(),
        (_, true) => format!("{} deleted.", size(*bytes)),
        (_, false) => format!("{} can go. Nothing is deleted yet: --yes does it.", size(*bytes)),
    });
    let mut lines: Vec<String> = Vec::new();
    for what in [What::Checkpoint, What::FailedRun, What::StoppedRun] {
        let of_kind: Vec<&Item> = more.iter().filter(|item| item.what == what).collect();
        let Some(flag) = what.flag().filter(|_| !of_kind.is_empty()) else { continue };
        let bytes = size(of_kind.iter().map(|item| item.bytes).sum());
        lines.push(format!("  {flag:<13}  {bytes:>10}  {}", counted(what, of_kind.len())));
    }
    if !lines.is_empty() {
        parts.push(format!("More can go if it is not wanted any more:\n{}", lines.join("\n")));
    }
    let line = |Kept { run, name, why }: &Kept| format!("  run {run}, {name}: {why}");
    if !kept.is_empty() {
        parts.push(format!("What stays:\n{}", kept.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    parts.join("\n\n")
}

fn counted(what: What, count: usize) -> String {
    match (what, count) {
        (What::Checkpoint, 1) => {
            "last checkpoint of a finished run, from which --epochs of more would go on".to_owned()
        }
        (What::Checkpoint, _) => {
            format!("last checkpoints of {count} finished runs, from which --epochs of more would go on")
        }
        (What::FailedRun, 1) => "1 run that diverged".to_owned(),
        (What::FailedRun, _) => format!("{count} runs that diverged"),
        (_, 1) => "1 run that is not finished".to_owned(),
        (..) => format!("{count} runs that are not finished"),
    }
}

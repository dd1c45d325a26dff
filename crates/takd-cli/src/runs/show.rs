//! `takd runs show`.

use super::place::Place;
use super::summary::{Listing, Other, State, Summary};
use super::words::{date, size, tags};
use crate::output;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use takd_distill::{Evaluation, Record, RunResult, RunSettings, Runs};
use takd_store::{Configuration, Start};

/// Show what a run is, how it ended or how far it is, its files, and the commands that trained it.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs show 7b76
      the run whose id begins so
  takd runs show 7b76 --json | jq .result.test.accuracy

Exit status: 0, damaged or not; 1 if there is no such run, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// The run: any beginning of its id that no other run's has
    run: String,
    #[command(flatten)]
    place: Place,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// All there is to know of a run.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    summary: Summary,
    folder: PathBuf,
    config: Option<RunSettings>,
    /// The runs that it teaches.
    students: Vec<Other>,
    result: Option<RunResult>,
    files: Vec<File>,
    /// Who trained it, when and with which command; the first start and the latest.
    starts: Vec<Start>,
}

#[derive(Serialize)]
struct File {
    name: String,
    bytes: u64,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let runs = args.place.runs()?;
    let id = runs.find(&args.run)?;
    let listing = Listing::of(&runs)?;
    let folder = runs.dir(&id);
    let config = runs.config(&id).ok().flatten();
    let canonical = config.as_ref().map(Configuration::canonical);
    let shown = Shown {
        summary: listing.get(&id, &runs).with_context(|| format!("the run {id} was deleted meanwhile"))?,
        config: config.map(|config| config.settings().clone()),
        students: listing.students(&id),
        result: runs.outcome(&id).ok().flatten(),
        files: files(&folder)?,
        starts: runs.starts(&id).unwrap_or_default(),
        folder,
    };
    if args.json { output::print_json(&shown) } else { output::print(&text(&shown, canonical.as_deref(), &runs)) }
}

fn files(folder: &Path) -> Result<Vec<File>> {
    let read = || {
        let mut files = Vec::new();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            files.push(File { name: entry.file_name().to_string_lossy().into_owned(), bytes: entry.metadata()?.len() });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok::<_, std::io::Error>(files)
    };
    read().with_context(|| format!("cannot read the folder {}", folder.display()))
}

fn text(shown: &Shown, canonical: Option<&str>, runs: &Runs) -> String {
    let Shown { summary, folder, students, result, files, starts, .. } = shown;
    let mut text = format!("run {}: {}\nfolder: {}\n", summary.id, summary.name(), folder.display());
    let (done, epochs) = (summary.epochs_done.unwrap_or(0), summary.epochs.map_or("?".into(), |n| n.to_string()));
    let problem = summary.problem.as_deref().unwrap_or_default();
    let state = match summary.state {
        State::Finished => "finished".into(),
        State::NoTeacher => "finished; a teacher of it has no result any more".into(),
        State::Running => format!("running: {done} of {epochs} epochs are over"),
        State::Unfinished if problem.is_empty() => format!("unfinished: {done} of {epochs} epochs are over"),
        State::Unfinished => {
            format!(
                "unfinished: {done} of {epochs} epochs are over; whether a process works on it cannot be told: {problem}"
            )
        }
        State::Diverged => problem.to_owned(),
        State::Foreign => format!("foreign: {problem}"),
        State::Damaged => format!("damaged: {problem}"),
    };
    let _ = writeln!(text, "state: {state}");
    if !summary.tags.is_empty() {
        let _ = writeln!(text, "tags: {}", tags(&summary.tags));
    }
    if let Some(note) = &summary.note {
        // A line of the note is none of the program's.
        let _ = writeln!(text, "note: {}", note.replace('\n', "\n      "));
    }
    for (what, others) in [("taught by", &summary.taught_by), ("teaches", students)] {
        for other in others {
            let _ = writeln!(text, "{what}: {}, run {}", other.name(), other.run);
        }
    }
    if let Some(result) = result {
        let _ = writeln!(text, "\nResult, of epoch {}:\n{}", result.epoch, outcome(result));
    } else if let Some(Record::Epoch(record)) =
        runs.records(&summary.id).unwrap_or_default().iter().rfind(|record| matches!(record, Record::Epoch(_)))
    {
        let _ = writeln!(
            text,
            "\nSo far, after epoch {}:\n  training accuracy {:.2} %, loss {:.4}",
            record.epoch,
            100.0 * record.train.accuracy,
            record.train.loss.loss
        );
        let evaluations = [("held-out", record.held_out), ("test", record.test)];
        for (name, evaluation) in evaluations.into_iter().filter_map(|(name, found)| Some((name, found?))) {
            let _ = writeln!(text, "{}", evaluated(name, &evaluation));
        }
    }
    if let Some(canonical) = canonical {
        let _ = writeln!(text, "\nConfiguration, whose hash is the run's id:");
        for line in canonical.lines() {
            let _ = writeln!(text, "{}", format!("  {line}").trim_end());
        }
    }
    let _ = writeln!(text, "\nFiles:");
    for File { name, bytes } in files {
        let _ = writeln!(text, "  {:>10}  {name}", size(*bytes));
    }
    let _ = writeln!(text, "\nStarted (the last command trains it again, or goes on with it):");
    for start in starts {
        let Start { program, host, time, .. } = start;
        let _ = writeln!(text, "  {} on {host} by {program}\n    {}", date(*time), start.command_line());
    }
    text.trim_end().to_owned()
}

fn evaluated(name: &str, of: &Evaluation) -> String {
    format!(
        "  {} {name} images: accuracy {:.2} %, top-5 accuracy {:.2} %, loss {:.4}, calibration error {:.2} %",
        of.images,
        100.0 * of.accuracy,
        100.0 * of.top5_accuracy,
        of.loss,
        100.0 * of.calibration_error
    )
}

fn outcome(result: &RunResult) -> String {
    let untested = || "  not tested: its file has no logits of the test images".to_owned();
    let mut lines = vec![result.test.map_or_else(untested, |test| evaluated("test", &test))];
    lines.extend(result.held_out.map(|held_out| evaluated("held-out", &held_out)));
    lines.extend(result.teachers.map(|teachers| {
        format!(
            "  with the teacher: agreement {:.2} %, KL {:.4}, entropy of the soft targets {:.4}",
            100.0 * teachers.agreement,
            teachers.kl,
            teachers.soft_target_entropy
        )
    }));
    lines.push(format!("  {} trained values, {:.0} s", result.parameters, result.seconds));
    lines.join("\n")
}

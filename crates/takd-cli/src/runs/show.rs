//! `takd runs show`.

use super::{Other, Place, State, Summary, again, names, size};
use crate::output;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use takd_distill::{Evaluation, Record, RunConfig, RunResult, Store};

/// Show what a run is, what it came to or how far it is, its files, and the command that trains it again.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd runs show 7b76
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
    config: Option<RunConfig>,
    /// The runs that it teaches.
    students: Vec<Other>,
    result: Option<RunResult>,
    files: Vec<File>,
    /// What trains it again.
    command: Option<String>,
}

#[derive(Serialize)]
struct File {
    name: String,
    bytes: u64,
}

pub(super) fn run(args: &Args) -> Result<()> {
    let store = args.place.store()?;
    let id = store.find(&args.run)?;
    let folder = store.dir(&id);
    let shown = Shown {
        summary: Summary::of(&id, &store),
        config: store.config(&id).ok().flatten(),
        students: store.taught_by(&id)?.iter().map(|id| Other::of(id, &store)).collect(),
        result: store.finished(&id).ok().flatten(),
        files: files(&folder)?,
        command: again::command(&id, &store, &args.place.out),
        folder,
    };
    if args.json { output::print_json(&shown) } else { output::print(&text(&shown, &store)?) }
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

fn text(shown: &Shown, store: &Store) -> Result<String> {
    let Shown { summary, folder, config, students, result, files, command } = shown;
    let mut text = format!("run {}: {}\nfolder: {}\n", summary.id, summary.name(), folder.display());
    let (done, epochs) = (summary.epochs_done.unwrap_or(0), summary.epochs.map_or("?".into(), |n| n.to_string()));
    let state = match summary.state {
        State::Finished => "finished".into(),
        State::Running => format!("running: {done} of {epochs} epochs are over"),
        State::Unfinished => format!("unfinished: {done} of {epochs} epochs are over"),
        State::Damaged => format!("damaged: {}", summary.problem.as_deref().unwrap_or_default()),
    };
    let _ = writeln!(text, "state: {state}");
    for (what, runs) in [("taught by", &summary.taught_by), ("teaches", students)] {
        for other in runs {
            let _ = writeln!(text, "{what}: {}, run {}", names(std::slice::from_ref(other)), other.run);
        }
    }
    if let Some(result) = result {
        let _ = writeln!(text, "\nResult, of epoch {}:\n{}", result.epoch, outcome(result));
    } else if let Some(Record::Epoch(record)) =
        store.records(&summary.id).unwrap_or_default().iter().rfind(|record| matches!(record, Record::Epoch(_)))
    {
        let _ = writeln!(
            text,
            "\nSo far, after epoch {}:\n  training: {:.2} % right, loss {:.4}",
            record.epoch,
            100.0 * record.train_accuracy,
            record.train_loss
        );
        let evaluations = [("held-out", record.held_out), ("test", record.test)];
        for (name, evaluation) in evaluations.into_iter().filter_map(|(name, found)| Some((name, found?))) {
            let _ = writeln!(text, "{}", evaluated(name, &evaluation));
        }
    }
    if let Some(config) = config {
        let toml = toml::to_string(config).context("the configuration cannot be shown")?;
        let _ = writeln!(text, "\nConfiguration:");
        for line in toml.lines() {
            let _ = writeln!(text, "{}", format!("  {line}").trim_end());
        }
    }
    let _ = writeln!(text, "\nFiles:");
    for File { name, bytes } in files {
        let _ = writeln!(text, "  {:>10}  {name}", size(*bytes));
    }
    let command = command.as_deref().unwrap_or(again::UNKNOWN);
    let _ = write!(text, "\nTo train it again, or go on with it:\n  {command}");
    Ok(text)
}

fn evaluated(name: &str, of: &Evaluation) -> String {
    format!(
        "  {} {name} images: {:.2} % right, {:.2} % among the first five, loss {:.4}, calibration error {:.2} %",
        of.images,
        100.0 * of.accuracy,
        100.0 * of.top5_accuracy,
        of.loss,
        100.0 * of.calibration_error
    )
}

fn outcome(result: &RunResult) -> String {
    let mut lines = vec![evaluated("test", &result.test)];
    lines.extend(result.held_out.map(|held_out| evaluated("held-out", &held_out)));
    lines.extend(result.teachers.map(|teachers| {
        format!(
            "  with the teacher: {:.2} % of the classes alike, KL {:.4}, entropy of the soft targets {:.4}",
            100.0 * teachers.agreement,
            teachers.kl,
            teachers.soft_target_entropy
        )
    }));
    lines.push(format!("  {} trained values, {:.0} s", result.parameters, result.seconds));
    lines.join("\n")
}

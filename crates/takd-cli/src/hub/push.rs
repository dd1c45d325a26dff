//! `takd hub push`.

use crate::output;
use crate::progress::transferring;
use anyhow::{Context, Result};
use indicatif::MultiProgress;
use serde::Serialize;
use std::path::{Path, PathBuf};
use takd_hub::{Hub, Push, Pushed, Repository, Visibility};
use takd_store::printable_path;
use takd_zoo::Model;

/// Push the folder of a model to the Hugging Face hub.
///
/// The folder is one that `takd export` made; it is checked first. Its files become one commit, the repository is made if there is none, and
/// what the hub has already is not sent again. Other files in the folder are not sent, and others in the repository stay as they are. The
/// token is that of HF_TOKEN or of the file that the hub's own tools keep it in.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd hub push my-model me/my-model
  takd hub push my-model me/my-model --private --message 'Trained for longer'
      for yourself alone

Exit status: 0 if the model is on the hub, 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// The folder of a model
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// The model on the hub: your name there or your organisation's, and the model's
    #[arg(value_name = "USER/NAME", value_parser = Repository::model)]
    repository: Repository,
    /// Nobody else may see it; refused if there is such a model already that everyone may see
    #[arg(long)]
    private: bool,
    /// What the commit says [default: which network it is]
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,
    /// Print what was pushed as JSON
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// What was pushed.
#[derive(Serialize)]
struct Printed<'a> {
    model: &'a str,
    address: &'a str,
    commit: Option<&'a str>,
    new: Option<bool>,
    files: Vec<File<'a>>,
}

#[derive(Serialize)]
struct File<'a> {
    name: &'a str,
    bytes: u64,
    sent: bool,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let Args { dir, repository, .. } = args;
    let model = Model::open(dir).with_context(|| format!("{} cannot be pushed", printable_path(dir)))?;
    let files = Model::files_in(dir)?;
    let files: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let others = others(dir, &files);
    if !others.is_empty() && !args.quiet {
        output::note(&format!("not pushed, because a model has no such files: {}", others.join(", ")));
    }
    let usual = || format!("Upload {} by takd {}", model.config().architecture, env!("CARGO_PKG_VERSION"));
    let message = args.message.clone().filter(|message| !message.trim().is_empty()).unwrap_or_else(usual);
    let visibility = if args.private { Visibility::Private } else { Visibility::OwnersDefault };
    let push = Push { repository, files: &files, message: &message, visibility };
    let hub = Hub::from_env();
    let pushed = transferring(args.quiet, screen, |progress| hub.push(&push, progress))?;
    if args.json { output::print_json(&printed(repository, &pushed)) } else { output::print(&text(&pushed)) }
}

/// What else is in the folder.
fn others(dir: &Path, files: &[(&str, &[u8])]) -> Vec<String> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut others: Vec<String> = names.filter(|name| !files.iter().any(|(file, _)| file == name)).collect();
    others.sort();
    others
}

fn printed<'a>(repository: &'a Repository, pushed: &'a Pushed) -> Printed<'a> {
    let files = pushed.files.iter().map(|file| File { name: &file.name, bytes: file.bytes, sent: file.is_sent });
    Printed {
        model: repository.id(),
        address: &pushed.address,
        commit: pushed.commit.as_deref(),
        new: pushed.is_new,
        files: files.collect(),
    }
}

fn text(pushed: &Pushed) -> String {
    let files = pushed.files.iter().map(|file| {
        let unchanged = if file.is_sent { "" } else { ", which the hub had" };
        format!("{:<18} {:>10} bytes{unchanged}\n", file.name, file.bytes)
    });
    files.collect::<String>() + &pushed.address
}

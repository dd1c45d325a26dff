//! `takd runs`: what was trained, and where it lies.

mod compare;
mod ls;
mod place;
mod rm;
mod show;
mod summary;
mod verify;
mod words;

use anyhow::Result;
use clap::Subcommand;
use indicatif::MultiProgress;

#[derive(Subcommand)]
pub(crate) enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Compare(compare::Args),
    Verify(verify::Args),
    Rm(rm::Args),
}

pub(crate) fn run(command: &Command, screen: &MultiProgress) -> Result<()> {
    match command {
        Command::Ls(args) => ls::run(args),
        Command::Show(args) => show::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Verify(args) => verify::run(args, screen),
        Command::Rm(args) => rm::run(args),
    }
}

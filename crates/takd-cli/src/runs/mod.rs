//! `takd runs`: what was trained, and where it lies.

mod compare;
mod curve_names;
mod filter;
mod gc;
mod ls;
mod note;
mod place;
mod rm;
mod show;
mod strays;
mod summary;
mod tag;
mod tensorboard;
mod verify;
mod words;

pub(crate) use summary::{State, states};

use anyhow::Result;
use clap::Subcommand;
use indicatif::MultiProgress;

#[derive(Subcommand)]
pub(crate) enum Command {
    Ls(ls::Args),
    Show(show::Args),
    Compare(compare::Args),
    Verify(verify::Args),
    Tag(tag::Args),
    Note(note::Args),
    Tensorboard(tensorboard::Args),
    Gc(gc::Args),
    Rm(rm::Args),
}

pub(crate) fn run(command: &Command, screen: &MultiProgress) -> Result<()> {
    match command {
        Command::Ls(args) => ls::run(args),
        Command::Show(args) => show::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Verify(args) => verify::run(args, screen),
        Command::Tag(args) => tag::run(args),
        Command::Note(args) => note::run(args),
        Command::Tensorboard(args) => tensorboard::run(args),
        Command::Gc(args) => gc::run(args),
        Command::Rm(args) => rm::run(args),
    }
}

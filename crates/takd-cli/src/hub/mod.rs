//! `takd hub`.

mod push;

use anyhow::Result;
use indicatif::MultiProgress;

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    Push(push::Args),
}

pub(crate) fn run(command: &Command, screen: &MultiProgress) -> Result<()> {
    match command {
        Command::Push(args) => push::run(args, screen),
    }
}

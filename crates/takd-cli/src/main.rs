//! The `takd` command: knowledge distillation with teacher assistants (arXiv 1902.03393).

mod device;
mod progress;
mod reproduce_table1;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Knowledge distillation with teacher assistants: a large network teaches one of middle size, which teaches a small one
/// (Mirzadeh et al., arXiv 1902.03393).
#[derive(Parser)]
#[command(name = "takd", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    ReproduceTable1(reproduce_table1::Args),
}

/// What a program says that was asked to stop, as shells have it for Ctrl-C.
const STOPPED: u8 = 130;

fn main() -> ExitCode {
    let Cli { command: Command::ReproduceTable1(args) } = Cli::parse();
    match reproduce_table1::run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            match error.downcast_ref() {
                Some(takd_distill::Error::Stopped) => ExitCode::from(STOPPED),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

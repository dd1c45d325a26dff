//! The `takd` command: knowledge distillation with teacher assistants (arXiv 1902.03393).

mod device;
mod distill;
mod experiment;
mod logging;
mod output;
mod progress;
mod reproduce_table1;
mod runs;

use clap::{CommandFactory, Parser, Subcommand, error::ErrorKind};
use std::process::ExitCode;

/// Knowledge distillation with teacher assistants: a large network teaches one of middle size, which teaches a small one
/// (Mirzadeh et al., arXiv 1902.03393).
#[derive(Parser)]
#[command(
    name = "takd",
    version,
    arg_required_else_help = true,
    after_help = "\
Results go to standard output, everything else to standard error. Warnings are always shown; TAKD_LOG=info shows more, as does TAKD_LOG=takd_distill=debug of one part.

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Distill(distill::Args),
    ReproduceTable1(reproduce_table1::Args),
    /// Look at what was trained, check it, delete it
    #[command(
        subcommand,
        after_help = "\
Exit status: 0 if all went well, 1 on an error or if something is damaged, 2 on a wrong argument, 130 if stopped by Ctrl-C."
    )]
    Runs(runs::Command),
}

/// What a program says that was asked to stop, as shells have it for Ctrl-C.
const STOPPED: u8 = 130;

fn main() -> ExitCode {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // Beside the pool everything runs in, candle would start threads of its own, which spin while they wait.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    let Cli { command } = Cli::parse();
    // Shared by whatever writes to the terminal, so that no line lands within a bar.
    let screen = indicatif::MultiProgress::new();
    let ended = logging::install(&screen).and_then(|()| match &command {
        Command::Distill(args) => args.common.in_pool(|| distill::run(args, &screen)),
        Command::ReproduceTable1(args) => args.common.in_pool(|| reproduce_table1::run(args, &screen)),
        Command::Runs(command) => runs::run(command, &screen),
    });
    let Err(error) = ended else { return ExitCode::SUCCESS };
    if let Some(wrong) = error.downcast_ref::<clap::Error>() {
        wrong.exit();
    }
    output::note(&message(&error));
    match error.downcast_ref() {
        Some(takd_distill::Error::Stopped) => ExitCode::from(STOPPED),
        _ => ExitCode::FAILURE,
    }
}

/// The error with its causes, but for those that it tells itself.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |message, cause| match message.as_str() {
        "" => cause,
        told if told.contains(&cause) => message,
        told => format!("{told}: {cause}"),
    })
}

/// Arguments that do not fit each other, as clap reports its own: with the command's usage and exit status 2.
fn misfit(command: &str, kind: ErrorKind, message: impl std::fmt::Display) -> anyhow::Error {
    let mut cli = Cli::command();
    cli.build();
    match cli.find_subcommand_mut(command) {
        Some(command) => command.error(kind, message).into(),
        None => cli.error(kind, message).into(),
    }
}

//! The `takd` command: knowledge distillation with teacher assistants (arXiv 1902.03393).

mod all;
mod common;
mod completions;
mod data;
mod device;
mod distill;
mod doctor;
mod dry_run;
mod elsewhere;
mod exit;
mod experiment;
mod foreign_config;
mod found;
mod hub;
mod imagenet;
mod import;
mod known_files;
mod landscape;
mod list_format;
mod logging;
mod man;
mod models;
mod other_epochs;
mod output;
mod paper;
mod paths;
mod progress;
mod recipe;
mod remedy;
mod report;
mod reports;
mod run;
mod runs;
mod sheet;
mod shrink;
mod study;
mod text_file;
mod train;
mod values;
mod zoo;

use clap::{CommandFactory, Parser, Subcommand};
use exit::WrongArgument;
use remedy::WithoutData;
use std::ffi::OsString;
use std::process::ExitCode;

/// Knowledge distillation with teacher assistants: a large network teaches one of middle size, which teaches a small one
/// (Mirzadeh et al., arXiv 1902.03393).
#[derive(Parser)]
#[command(
    name = "takd",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  takd reproduce-table1 --preset quick
      Table 1 of the paper in small: minutes on a laptop, nothing to download
  takd distill plane10 plane4 plane2 --data shapes10 --epochs 5
      a large network, which teaches one of middle size, which teaches a small one

Results go to standard output, everything else to standard error. Warnings are always shown; TAKD_LOG=info shows more.

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Shrink(shrink::Args),
    Run(run::Args),
    Train(train::Args),
    Distill(distill::Args),
    Import(import::Args),
    Export(zoo::ExportArgs),
    Predict(zoo::PredictArgs),
    Evaluate(zoo::EvaluateArgs),
    Logits(zoo::LogitsArgs),
    /// Give models away on the Hugging Face hub
    #[command(
        subcommand,
        after_help = "\
Examples:
  takd hub push my-model me/my-model
      the folder my-model, which `takd export` made
  takd hub push models/plane2-cifar10-takd me/plane2 --private

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument."
    )]
    Hub(hub::Command),
    #[command(flatten)]
    Paper(paper::Command),
    Landscape(landscape::Args),
    All(all::Args),
    Report(report::Args),
    /// Look at what there is to train on: known data sets, and your own
    #[command(
        subcommand,
        after_help = "\
Examples:
  takd data list
      the known data sets, and which of them are here
  takd data check my-photos
      every image of a folder of your own

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C."
    )]
    Data(data::Command),
    /// Look at the recipes that come with takd, to start one of your own from
    #[command(
        subcommand,
        after_help = "\
Examples:
  takd recipe list
  takd recipe show table1 > mine.toml
      then change a few lines, and `takd run mine.toml`

Exit status: 0 if all went well, 1 if there is no such recipe, 2 on a wrong argument."
    )]
    Recipe(recipe::Command),
    /// Look at searches: which settings were tried, and what is best
    #[command(
        subcommand,
        after_help = "\
Examples:
  takd study show mine.toml
      every trial of the searches of a recipe
  takd study show table1 --search --json
      those of `takd reproduce-table1 --search`, for a script

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument."
    )]
    Study(study::Command),
    /// Look at what was trained, check it, delete it
    #[command(
        subcommand,
        after_help = "\
Examples:
  takd runs ls
      what is in results/
  takd runs show 7b76 --out ~/results
      all that is known of a run, by the beginning of its id

Exit status: 0 if all went well, 1 on an error or if something is damaged, 2 on a wrong argument, 130 if stopped by Ctrl-C."
    )]
    Runs(runs::Command),
    Models(models::Args),
    Doctor(doctor::Args),
    Completions(completions::Args),
    Man(man::Args),
}

fn main() -> ExitCode {
    if std::env::var_os("CANDLE_NUM_THREADS").is_none() {
        // Beside the pool everything runs in, candle would start threads of its own, which spin while they wait.
        // SAFETY: no other thread runs yet.
        unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    }
    let arrow = |argument: OsString| if argument == "->" { distill::ARROW.into() } else { argument };
    let Cli { command } = Cli::parse_from(std::env::args_os().map(arrow));
    // Shared by whatever writes to the terminal, so that no line lands within a bar.
    let screen = indicatif::MultiProgress::new();
    let ended = logging::install(&screen).and_then(|()| match &command {
        Command::Shrink(args) => args.common.in_pool(|| shrink::run(args, &screen)),
        Command::Run(args) => args.common.in_pool(|| run::run(args, &screen)),
        Command::Train(args) => args.common.in_pool(|| train::run(args, &screen)),
        Command::Distill(args) => args.common.in_pool(|| distill::run(args, &screen)),
        Command::Import(args) => common::in_pool(None, || import::run(args, &screen)),
        Command::Export(args) => common::in_pool(None, || zoo::export(args, &screen)),
        Command::Predict(args) => common::in_pool(None, || zoo::predict(args, &screen)),
        Command::Evaluate(args) => common::in_pool(None, || zoo::evaluate(args, &screen)),
        Command::Logits(args) => common::in_pool(None, || zoo::logits(args, &screen)),
        Command::Hub(command) => hub::run(command, &screen),
        Command::Paper(command) => command.args().common.in_pool(|| paper::run(command, &screen)),
        Command::Landscape(args) => args.common.in_pool(|| landscape::run(args, &screen)),
        Command::All(args) => args.common.in_pool(|| all::run(args, &screen)),
        Command::Report(args) => report::run(args),
        Command::Data(command) => data::run(command, &screen),
        Command::Recipe(command) => recipe::run(command),
        Command::Study(command) => study::run(command),
        Command::Runs(command) => runs::run(command, &screen),
        Command::Models(args) => models::run(args, &screen),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => completions::run(args, Cli::command()),
        Command::Man(args) => man::run(args, Cli::command()),
    });
    let Err(error) = ended else { return ExitCode::SUCCESS };
    if let Some(wrong) = error.downcast_ref::<WrongArgument>() {
        wrong.of(Cli::command()).exit();
    }
    output::note(&remedy::message(&error, without_data(&command)));
    match error.downcast_ref() {
        Some(takd_distill::Error::Stopped) => ExitCode::from(exit::STOPPED),
        _ => ExitCode::FAILURE,
    }
}

/// How the command could do without the images that it did not find.
fn without_data(command: &Command) -> WithoutData {
    match command {
        Command::Run(args) if args.has_quick_preset() => WithoutData::QuickPreset,
        Command::Paper(_) | Command::Landscape(_) | Command::All(_) => WithoutData::QuickPreset,
        Command::Train(_) | Command::Distill(_) | Command::Shrink(_) => WithoutData::DrawnDataset,
        _ => WithoutData::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every command, with its whole name.
    fn commands() -> Vec<(String, clap::Command)> {
        fn walk(command: &clap::Command, above: &str, found: &mut Vec<(String, clap::Command)>) {
            let name = format!("{above}{}", command.get_name());
            found.push((name.clone(), command.clone()));
            command.get_subcommands().for_each(|below| walk(below, &format!("{name} "), found));
        }
        let mut found = Vec::new();
        walk(&Cli::command(), "", &mut found);
        found
    }

    #[test]
    fn description_of_all_commands_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_help_has_two_examples_of_that_command_and_says_the_exit_status() {
        let commands = commands();
        assert!(commands.len() > 30, "{}", commands.len());
        for (name, command) in commands {
            let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            let examples = after.split("Examples:\n").nth(1).unwrap_or_else(|| panic!("{name} has no examples"));
            let of_command = examples
                .lines()
                .filter(|line| line.starts_with(&format!("  {name} ")) || line.trim_end() == format!("  {name}"))
                .count();
            assert!(of_command >= 2, "{name}: {after}");
            assert!(after.contains("\n\nExit status: 0"), "{name}: {after}");
        }
    }
}

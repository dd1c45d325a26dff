//! Development tasks and whole experiments: `cargo xtask <task>`.

mod bench;
mod cargo;
mod ci;
mod emulator;
mod gpu;
mod pack;
mod takd;

use anyhow::{Result, bail};
use bench::{Bench, Beside};
use clap::{Arg, ArgMatches, FromArgMatches, Subcommand, value_parser};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

// The tasks that are not commands of `takd`.
#[derive(Subcommand)]
enum Task {
    /// Build a benchmark in release and run it; its options come after `--`
    #[command(after_help = BENCH_EXAMPLES)]
    Bench {
        /// What is measured
        what: Bench,
        /// Measure PyTorch in turns with it, set up from PyPI in the target folder the first time (some GB on Linux)
        #[arg(long)]
        pytorch: bool,
        /// The benchmark's own options, described at the head of its source; those of `step` by `-- --help`
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Run cargo with an emulated GPU, to test the CUDA code where there is none; needs a C++ compiler, no CUDA toolkit
    #[command(after_help = EMULATE_EXAMPLES)]
    EmulateCuda {
        /// What cargo is to do [default: test the crates that have CUDA code]
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Build all that a GPU is to be tested and measured with into one folder, and the script that does it, for a machine
    /// that has the GPU and nothing else of ours
    PackGpu {
        /// The folder, empty or laid out by this task before [default: `gpu` in cargo's target folder]
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        /// A folder with data sets in the hub's layout, to go along; without it Table 1 is left out
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// A folder with PyTorch's tensors, to go along; without it the tests go by those they carry
        #[arg(long, value_name = "DIR")]
        reference: Option<PathBuf>,
    },
    /// Check everything: format, clippy with warnings denied, all tests and doc tests, documentation; the dependencies' licences
    /// if cargo-deny is installed; if there is nvcc the CUDA code too, and its tests on an emulated GPU
    Ci,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  cargo xtask bench epoch
  cargo xtask bench step --pytorch -- --mode train plane2 resnet20
  cargo xtask bench step --pytorch -- --memory
  cargo xtask bench loss --pytorch -- 128x10 1024x32000
  cargo xtask bench data --pytorch -- imagenet/val";

const EMULATE_EXAMPLES: &str = "\
The device is slow and exact about mistakes: an access out of bounds or to released memory, a barrier that not all threads
reach and a launch that no GPU would take end the program with the kernel's name and line. xtask/emulator/README.md says what
is emulated. Linux only.

Examples:
  cargo xtask emulate-cuda
  cargo xtask emulate-cuda -- test -p takd-ops --features cuda
  cargo xtask emulate-cuda -- run -p takd-cli --features cuda -- distill plane4 plane2 --device cuda --epochs 1";

fn command() -> clap::Command {
    let passed = takd::PASSED.iter().map(|passed| {
        let args = Arg::new("args").num_args(0..).value_parser(value_parser!(OsString));
        clap::Command::new(passed.name)
            .about(format!("takd: {}", passed.about))
            .disable_help_flag(true)
            .arg(args.trailing_var_arg(true).allow_hyphen_values(true))
    });
    let command = Task::augment_subcommands(clap::Command::new("xtask").bin_name("cargo xtask").subcommands(passed));
    command
        .about("Development tasks and whole experiments")
        .after_help("Commands of takd build it in release first; `--help` behind one lists its options.")
        .subcommand_required(true)
        .arg_required_else_help(true)
}

fn main() -> ExitCode {
    match run(&command().get_matches()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(matches: &ArgMatches) -> Result<()> {
    if let Some((name, matches)) = matches.subcommand()
        && let Some(passed) = takd::PASSED.iter().find(|passed| passed.name == name)
    {
        let args: Vec<OsString> = matches.get_many("args").unwrap_or_default().cloned().collect();
        return takd::run(passed.name, &args);
    }
    match Task::from_arg_matches(matches)? {
        Task::Bench { what, pytorch, args } => {
            bench::run(what, if pytorch { Beside::PyTorch } else { Beside::Nothing }, &args)
        }
        Task::EmulateCuda { args } => {
            if !emulator::run(&args)? {
                bail!("emulate-cuda: cargo failed");
            }
            Ok(())
        }
        Task::PackGpu { out, data_dir, reference } => {
            let out = out.map_or_else(|| Ok(cargo::target_folder()?.join("gpu")), anyhow::Ok)?;
            pack::run(&out, data_dir.as_deref(), reference.as_deref())
        }
        Task::Ci => ci::run(),
    }
}

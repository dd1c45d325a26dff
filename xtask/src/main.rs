//! Development tasks and whole experiments: `cargo xtask <task>`.

mod bench;
mod ci;
mod emulator;
mod pack;
mod takd;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// Development tasks and whole experiments.
#[derive(Parser)]
#[command(name = "cargo xtask", arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build takd in release, train what Table 1 of the paper needs and print it; `--help` lists the options
    #[command(disable_help_flag = true)]
    ReproduceTable1(Passed),
    /// Build takd in release and train networks along a path, each taught by the one before; `--help` lists the options
    #[command(disable_help_flag = true)]
    Distill(Passed),
    /// Build takd in release and look at what was trained, check it or delete it; `--help` lists the commands
    #[command(disable_help_flag = true, disable_help_subcommand = true)]
    Runs(Passed),
    /// Build a benchmark in release and run it; its options come after `--`
    #[command(after_help = BENCH_EXAMPLES)]
    Bench {
        /// What is measured
        what: bench::Bench,
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
        /// The folder
        #[arg(long, default_value = "target/gpu", value_name = "DIR")]
        out: PathBuf,
        /// A folder with data sets in the hub's layout, to go along; without it Table 1 is left out
        #[arg(long, value_name = "DIR")]
        data_dir: Option<PathBuf>,
        /// A folder with PyTorch's tensors, to go along; without it the tests go by those they carry
        #[arg(long, value_name = "DIR")]
        reference: Option<PathBuf>,
    },
    /// Check everything: format, clippy with warnings denied, all tests and doc tests, documentation; where there is nvcc the
    /// CUDA code too, and its tests on an emulated GPU
    Ci,
}

const BENCH_EXAMPLES: &str = "\
Examples:
  cargo xtask bench epoch
  cargo xtask bench step --pytorch -- --mode train plane2 resnet20
  cargo xtask bench step --pytorch -- --memory
  cargo xtask bench loss --pytorch -- 128x10 1024x32000";

const EMULATE_EXAMPLES: &str = "\
The device is slow and exact about mistakes: an access out of bounds or to released memory, a barrier that not all threads
reach and a launch that no GPU would take end the program with the kernel's name and line. xtask/emulator/README.md says what
is emulated. Linux only.

Examples:
  cargo xtask emulate-cuda
  cargo xtask emulate-cuda -- test -p takd-ops --features cuda
  cargo xtask emulate-cuda -- run -p takd-cli --features cuda -- distill plane4 plane2 --device cuda --epochs 1";

/// What is takd's own to understand.
#[derive(clap::Args)]
struct Passed {
    /// As for the command of `takd` that is called the same
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<OsString>,
}

fn main() -> ExitCode {
    match run(Cli::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: Task) -> Result<()> {
    match task {
        Task::ReproduceTable1(Passed { args }) => takd::run("reproduce-table1", &args),
        Task::Distill(Passed { args }) => takd::run("distill", &args),
        Task::Runs(Passed { args }) => takd::run("runs", &args),
        Task::Bench { what, pytorch, args } => bench::run(what, pytorch, &args),
        Task::EmulateCuda { args } => match emulator::run(&args)? {
            true => Ok(()),
            false => bail!("emulate-cuda: cargo failed"),
        },
        Task::PackGpu { out, data_dir, reference } => pack::run(&out, data_dir.as_deref(), reference.as_deref()),
        Task::Ci => ci::run(),
    }
}

/// The workspace's folder.
fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Where cargo puts what it builds.
fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// The cargo that runs us.
fn cargo() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Whether a program is there and does what it is asked.
fn answers(program: &str, arg: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(arg).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

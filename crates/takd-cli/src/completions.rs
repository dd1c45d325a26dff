//! `takd completions`.

use crate::output;
use anyhow::Result;
use clap_complete::Shell;

/// Print what has a shell complete takd's commands and flags.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd completions bash > ~/.local/share/bash-completion/completions/takd
  takd completions zsh > ~/.zfunc/_takd
      with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
  takd completions fish > ~/.config/fish/completions/takd.fish

Exit status: 0; 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// `program` is the description of all commands.
pub(crate) fn run(args: &Args, mut program: clap::Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "takd", &mut script);
    output::print_as_it_is(&script)
}

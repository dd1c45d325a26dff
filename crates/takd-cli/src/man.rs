//! `takd man`.

use crate::output;
use anyhow::Result;
use clap_mangen::Man;
use std::path::{Path, PathBuf};

/// Print takd's manual page, or write a page for each command into a folder.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd man | man -l -
      read it
  takd man --out ~/.local/share/man/man1
      takd.1, takd-distill.1, takd-runs-ls.1, … for `man takd-runs-ls`

Exit status: 0; 1 on an error, 2 on a wrong argument.")]
pub(crate) struct Args {
    /// Write a page for each command into this folder, which is made if it is not there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// `program` is the description of all commands.
pub(crate) fn run(args: &Args, mut program: clap::Command) -> Result<()> {
    // Gives every command its full name.
    program.build();
    let Some(folder) = &args.out else { return output::print_as_it_is(&page(&program)?) };
    takd_store::make_folder(folder)?;
    let pages = write(&program, folder)?;
    output::note(&format!("{pages} pages in {}", folder.display()));
    Ok(())
}

/// Writes the pages of a command and of those below it; returns how many.
fn write(command: &clap::Command, folder: &Path) -> Result<usize> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    takd_store::write_file(&folder.join(format!("{name}.1")), &page(command)?)?;
    let mut pages = 1;
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        pages += write(below, folder)?;
    }
    Ok(pages)
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    Man::new(command.clone()).render(&mut page)?;
    Ok(page)
}

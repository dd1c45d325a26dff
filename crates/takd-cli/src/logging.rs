//! What the libraries warn and inform about, on standard error.

use anyhow::{Context, Result};
use indicatif::MultiProgress;
use std::io::{IsTerminal, Write};
use tracing_subscriber::filter::{EnvFilter, LevelFilter};

/// Shows warnings from now on, and whatever else the variable TAKD_LOG asks for.
pub(crate) fn install(screen: &MultiProgress) -> Result<()> {
    let filter = EnvFilter::builder().with_default_directive(LevelFilter::WARN.into()).with_env_var("TAKD_LOG");
    let filter =
        filter.from_env().context("TAKD_LOG is a level, as `info`, or levels of parts, as `takd_distill=debug`")?;
    let screen = screen.clone();
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .without_time()
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal() && !no_color)
        .with_writer(move || Above(screen.clone()))
        .init();
    Ok(())
}

/// Writes lines above the bars, if there are any.
struct Above(MultiProgress);

impl Write for Above {
    fn write(&mut self, line: &[u8]) -> std::io::Result<usize> {
        self.0.suspend(|| std::io::stderr().write(line))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        std::io::stderr().flush()
    }
}

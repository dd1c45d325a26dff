//! How the program ends if it does not end well. `README.md` of this crate has all exit statuses: 0, 1 (an error), 2 (a wrong
//! argument), 130 (asked to stop).

use clap::error::ErrorKind;

/// The exit status of a program that was asked to stop, as shells have it for Ctrl-C.
pub(crate) const STOPPED: u8 = 130;

/// An argument that does not fit the others, or what they name. It ends the program as clap's own errors do: with the
/// command's usage and exit status 2.
#[derive(Debug)]
pub(crate) struct WrongArgument {
    command: &'static str,
    kind: ErrorKind,
    message: String,
}

impl WrongArgument {
    pub(crate) fn error(command: &'static str, kind: ErrorKind, message: impl std::fmt::Display) -> anyhow::Error {
        Self { command, kind, message: message.to_string() }.into()
    }

    /// The error of that subcommand of the program.
    pub(crate) fn of(&self, mut program: clap::Command) -> clap::Error {
        program.build();
        match program.find_subcommand_mut(self.command) {
            Some(command) => command.error(self.kind, &self.message),
            None => program.error(self.kind, &self.message),
        }
    }
}

impl std::fmt::Display for WrongArgument {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for WrongArgument {}

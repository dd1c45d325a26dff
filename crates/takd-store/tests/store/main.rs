//! The store, as a program that uses it sees it.

mod annotations;
mod countdown;
mod endings;
mod examples;
#[cfg(unix)]
mod hostile;
mod journals;
mod listing;
#[cfg(unix)]
mod processes;
mod removal;
mod runs;
mod starts;
mod writing;

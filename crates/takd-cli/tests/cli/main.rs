//! The command line, as its user sees it.

mod common;
mod config;
mod data;
mod distill;
mod doctor;
#[cfg(unix)]
mod full_disk;
mod helps;
#[cfg(unix)]
mod hostile;
mod housekeeping;
mod hub;
mod import;
#[cfg(unix)]
mod jobs;
mod json_fields;
mod listing;
mod logits;
mod messages;
mod models;
#[cfg(target_os = "linux")]
mod no_locks;
mod output;
mod own_data;
mod paper;
mod processes;
mod recipes;
mod reproduce_table1;
mod runs_command;
mod search;
mod shell_files;
mod shrink;
#[cfg(unix)]
mod signals;
#[path = "../../../takd-hub/tests/stub/mod.rs"]
mod stub;
mod tables;
#[cfg(unix)]
mod tensorboard;
mod zoo;

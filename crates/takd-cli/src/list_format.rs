//! How a list is printed.

use crate::output::{self, List};
use anyhow::Result;
use serde::Serialize;

/// How a list is printed.
#[derive(clap::Args)]
pub(crate) struct PrintedList {
    /// How the list is printed: `csv` and `json` are for scripts, with plain numbers, and shares from 0 to 1
    #[arg(long, value_enum, default_value_t = ListFormat::Text, value_name = "text|markdown|csv|json", hide_possible_values = true)]
    format: ListFormat,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ListFormat {
    Text,
    Markdown,
    Csv,
    Json,
}

impl PrintedList {
    /// Prints `rows` for a script, one line of `flat` each as CSV, or else `list`, with `below` under it.
    pub(crate) fn print<F: Serialize>(
        &self,
        rows: &impl Serialize,
        flat: impl Iterator<Item = F>,
        list: &List,
        below: &str,
    ) -> Result<()> {
        let gap = if below.is_empty() { "" } else { "\n\n" };
        match self.format {
            _ if self.json => output::print_json(rows),
            ListFormat::Json => output::print_json(rows),
            ListFormat::Csv => output::print(output::csv(flat)?.trim_end()),
            ListFormat::Markdown => output::print(&format!("{}{gap}{below}", list.to_markdown())),
            ListFormat::Text => output::print(&format!("{}{gap}{below}", list.to_text())),
        }
    }
}

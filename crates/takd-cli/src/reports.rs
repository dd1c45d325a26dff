//! What came of experiments, printed and kept.

use crate::common::{Format, Place, Printed};
use crate::exit::WrongArgument;
use crate::output;
use anyhow::Result;
use clap::error::ErrorKind;
use takd_distill::Runs;
use takd_report::Report;

/// Refuses, before anything is trained, what could not be printed.
pub(crate) fn check(command: &'static str, printed: &Printed, reports: usize) -> Result<()> {
    if reports == 1 || printed.format() != Format::Html {
        return Ok(());
    }
    let message = "several reports are several pages: they are kept in the folder `tables` of --out; name one recipe to print its page";
    Err(WrongArgument::error(command, ErrorKind::ArgumentConflict, message))
}

/// Prints the reports one after the other; as JSON, several are a list.
pub(crate) fn print(printed: &Printed, reports: &[Report], runs: &Runs) -> Result<()> {
    let joined = |text: fn(&Report) -> String| {
        reports.iter().map(|report| text(report).trim_end().to_owned()).collect::<Vec<_>>().join("\n\n")
    };
    match (printed.format(), reports) {
        (Format::Json, [report]) => output::print_json(report),
        (Format::Json, reports) => output::print_json(&reports),
        (Format::Csv, reports) => {
            let mut csv = String::new();
            for (place, report) in reports.iter().enumerate() {
                // One header is enough.
                let rows = report.to_csv();
                csv.extend(rows.split_inclusive('\n').skip(usize::from(place > 0)));
            }
            output::print(csv.trim_end())
        }
        (Format::Html, reports) => reports.iter().try_for_each(|report| output::print(report.to_html(runs).trim_end())),
        (Format::Markdown, _) => output::print(&joined(Report::to_markdown)),
        (Format::Text, _) => {
            let (style, width) = output::table_style();
            let texts: Vec<String> = reports.iter().map(|report| report.to_text(width, style)).collect();
            output::print(texts.join("\n\n").trim_end())
        }
    }
}

/// Writes a report beside the runs, in files that are its experiment's alone; gives their path without an ending.
pub(crate) fn keep(place: &Place, report: &Report, runs: &Runs) -> Result<String> {
    let folder = place.out.join("tables");
    takd_store::make_folder(&folder)?;
    let stem = folder.join(report.file_stem());
    takd_store::write_file(&stem.with_extension("html"), report.to_html(runs).as_bytes())?;
    takd_store::write_file(&stem.with_extension("md"), report.to_markdown().as_bytes())?;
    takd_store::write_file(&stem.with_extension("csv"), report.to_csv().as_bytes())?;
    Ok(stem.display().to_string())
}

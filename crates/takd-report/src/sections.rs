//! The tables of a report, as its layout has them.

use crate::report::Report;
use crate::table::Section;
use crate::{methods, paths};
use takd_grid::recipe::Layout;

/// The tables, in the order in which they are read.
pub(crate) fn of(report: &Report) -> Vec<Section> {
    match report.layout {
        Layout::Methods => methods::sections(report),
        Layout::Paths | Layout::Assistants | Layout::Teachers | Layout::Students | Layout::Graph => {
            paths::sections(report)
        }
    }
}

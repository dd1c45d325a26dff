//! The tables of a report, as its layout has them.

use crate::report::Report;
use crate::table::Section;
use crate::{assistants, graph, landscapes, methods, paths, students, studies, teachers};
use takd_grid::recipe::Layout;

/// The tables, in the order in which they are read.
pub(crate) fn of(report: &Report) -> Vec<Section> {
    let mut sections = match report.layout {
        Layout::Methods => methods::sections(report),
        Layout::Paths => paths::sections(report),
        Layout::Assistants => assistants::sections(report),
        Layout::Teachers => teachers::sections(report),
        Layout::Students => students::sections(report),
        Layout::Graph => graph::sections(report),
    };
    sections.extend(studies::section(report));
    sections.extend(landscapes::section(report));
    sections
}

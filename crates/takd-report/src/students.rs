//! The layout with a row for each student of a teacher: whom does the teacher help?

use crate::by_student::Student;
use crate::columns::{self, OF_TEACHER, accuracy, accuracy_of, joined};
use crate::report::Report;
use crate::table::{Column, Section};

/// What is left out of a narrow table, one after the other.
const LEAVE_OUT: [&str; 7] =
    ["calibration %", "KL", "agreement %", "entropy", columns::BY_IMAGES, "teacher", "alone %"];

/// The tables of a report.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let mut titles =
        vec![Column::text("teacher"), Column::text("student"), Column::number("alone %"), Column::number("taught %")];
    if columns::has_paper(report) {
        titles.push(Column::number("paper"));
    }
    titles.extend(columns::comparison("gain"));
    titles.extend(OF_TEACHER.map(Column::number));
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        // The smallest first.
        for student in Student::all(cell).iter().rev() {
            for path in &student.direct {
                let mut row = vec![
                    joined(&path.stages[..1]).into(),
                    path.student().join(" + ").into(),
                    accuracy_of(student.alone),
                    accuracy(path),
                ];
                if columns::has_paper(report) {
                    row.push(columns::paper(path));
                }
                let comparison = student.alone.and_then(|alone| cell.compared(path, alone));
                row.extend(columns::compared(cell, comparison));
                row.extend(columns::of_teacher(cell, path));
                columns::add(&mut table, report, &cell.name, row);
            }
        }
    }
    vec![Section::new("Each student, alone and taught", table, &LEAVE_OUT)]
}

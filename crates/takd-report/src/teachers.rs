//! The layout with a row for each teacher of a student: does a better teacher teach more?

use crate::by_student::Student;
use crate::columns::{self, OF_TEACHER, accuracy, accuracy_of, joined};
use crate::number::dash;
use crate::report::{CellReport, PathReport, Report};
use crate::table::{Column, Section, Table};

/// What is left out of a narrow table, one after the other.
const LEAVE_OUT: [&str; 7] =
    ["calibration %", "KL", "agreement %", "entropy", columns::BY_IMAGES, "alone %", "student"];

/// The tables of a report.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let mut titles =
        vec![Column::text("student"), Column::text("teacher"), Column::number("alone %"), Column::number("student %")];
    if columns::has_paper(report) {
        titles.push(Column::number("paper"));
    }
    titles.extend(columns::comparison("less alone"));
    titles.extend(OF_TEACHER.map(Column::number));
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for student in Student::all(cell).iter().filter(|student| !student.direct.is_empty()) {
            student.alone.into_iter().for_each(|alone| add(&mut table, report, cell, student, alone));
            student.direct.iter().for_each(|direct| add(&mut table, report, cell, student, direct));
        }
    }
    vec![Section::new("The student, by who teaches it", table, &LEAVE_OUT)]
}

fn add(table: &mut Table, report: &Report, cell: &CellReport, student: &Student<'_>, path: &PathReport) {
    let teachers = &path.stages[..path.stages.len() - 1];
    let teacher = cell.path(teachers).filter(|_| !teachers.is_empty());
    let mut row = vec![
        path.student().join(" + ").into(),
        if teachers.is_empty() { dash() } else { joined(teachers) }.into(),
        accuracy_of(teacher),
        accuracy(path),
    ];
    if columns::has_paper(report) {
        row.push(columns::paper(path));
    }
    let comparison = student.alone.and_then(|alone| cell.compared(path, alone));
    row.extend(columns::compared(cell, comparison));
    row.extend(columns::of_teacher(cell, path));
    columns::add(table, report, &cell.name, row);
}

//! The layout with every path to every student: which way is best, and which for a given cost?

use crate::by_student::Student;
use crate::columns::{self, accuracy, joined};
use crate::number;
use crate::report::{CellReport, PathReport, Report};
use crate::table::{Column, Section, Table};

/// What is left out of a narrow table, one after the other.
const LEAVE_OUT: [&str; 3] = [columns::BY_IMAGES, "multiply-adds", "less BLKD"];

/// The tables of a report.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let mut sections = vec![paths(report), best(report), front(report)];
    sections.retain(|section| !section.whole().rows.is_empty());
    sections
}

/// Every path to each student.
fn paths(report: &Report) -> Section {
    let mut titles = vec![Column::text("path"), Column::number("accuracy %")];
    if columns::has_paper(report) {
        titles.push(Column::number("paper"));
    }
    titles.extend(columns::comparison("less BLKD"));
    titles.push(Column::number("multiply-adds"));
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for student in Student::all(cell) {
            student.paths().for_each(|path| add(&mut table, report, cell, &student, path));
        }
    }
    Section::new("Every path, by the student that it leads to", table, &LEAVE_OUT)
}

fn add(table: &mut Table, report: &Report, cell: &CellReport, student: &Student<'_>, path: &PathReport) {
    let mut row = vec![joined(&path.stages).into(), accuracy(path)];
    if columns::has_paper(report) {
        row.push(columns::paper(path));
    }
    let comparison = student.direct_of(path).and_then(|direct| cell.compared(path, direct));
    row.extend(columns::compared(cell, comparison));
    row.push(number::count(path.path_multiply_adds).into());
    columns::add(table, report, &cell.name, row);
}

/// The best path to the smallest student less each other one.
fn best(report: &Report) -> Section {
    let mut table = columns::table(report, columns::best());
    for cell in &report.cells {
        if let Some(smallest) = Student::all(cell).last() {
            columns::add_best(&mut table, report, cell, &smallest.taught(), |path| joined(&path.stages));
        }
    }
    Section::new("The best path to the smallest student, against each other one", table, &[columns::BY_IMAGES])
}

/// The paths that no cheaper one surpasses.
fn front(report: &Report) -> Section {
    let titles = [
        Column::number("multiply-adds"),
        Column::text("best path for at most that"),
        Column::number("accuracy %"),
        Column::number("95 % interval"),
    ];
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for path in cell.front() {
            let row = [
                number::count(path.path_multiply_adds).into(),
                joined(&path.stages).into(),
                accuracy(path),
                number::interval(path.test_accuracy.and_then(|summary| summary.interval_95)).into(),
            ];
            columns::add(&mut table, report, &cell.name, row);
        }
    }
    Section::new("The best path to the smallest student for a given cost", table, &["95 % interval"])
}

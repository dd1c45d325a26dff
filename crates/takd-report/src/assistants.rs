//! The layout with a row for each assistant between a teacher and a student: which is best, and how is it found?

use crate::by_student::Student;
use crate::choice::{Choice, Spent};
use crate::columns::{self, OF_TEACHER, accuracy, accuracy_of, compared, joined};
use crate::number::{self, dash, percent, signed};
use crate::report::{CellReport, PathReport, Report};
use crate::table::{Column, Section, Table};

/// What is left out of a narrow table of assistants, one after the other.
const LEAVE_OUT: [&str; 7] =
    ["calibration %", "KL", "agreement %", "entropy", columns::BY_IMAGES, "student", "less BLKD"];

/// The tables of a report.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let mut sections = vec![assistants(report), best(report)];
    if report.cells.iter().any(|cell| !cell.choices.is_empty()) {
        sections.extend([alone(report), ways(report)]);
    }
    sections.retain(|section| !section.whole().rows.is_empty());
    sections
}

/// The student by each assistant.
fn assistants(report: &Report) -> Section {
    let mut titles = vec![Column::text("student"), Column::text("by way of"), Column::number("student %")];
    if columns::has_paper(report) {
        titles.push(Column::number("paper"));
    }
    titles.extend(columns::comparison("less BLKD"));
    titles.extend(OF_TEACHER.map(Column::number));
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for student in Student::all(cell).iter().filter(|student| !student.assisted.is_empty()) {
            for path in student.paths() {
                let between = path.stages.len().saturating_sub(1);
                let way = match path.stages.len() {
                    0 | 1 => "alone (NoKD)".to_owned(),
                    2 => format!("no assistant (BLKD, {})", joined(&path.stages[..1])),
                    _ => joined(&path.stages[1..between]),
                };
                let mut row = vec![path.student().join(" + ").into(), way.into(), accuracy(path)];
                if columns::has_paper(report) {
                    row.push(columns::paper(path));
                }
                let direct = student.direct_of(path);
                let comparison = direct.and_then(|direct| cell.compared(path, direct));
                row.extend(compared(cell, comparison));
                row.extend(columns::of_teacher(cell, path));
                columns::add(&mut table, report, &cell.name, row);
            }
        }
    }
    Section::new("The student, by who stands between it and the teacher", table, &LEAVE_OUT)
}

/// The best assistant less each other one.
fn best(report: &Report) -> Section {
    let mut table = columns::table(report, columns::best());
    for cell in &report.cells {
        for student in Student::all(cell) {
            for teacher in student.teachers() {
                columns::add_best(&mut table, report, cell, &student.by_assistant(teacher), assistant);
            }
        }
    }
    Section::new("The best assistant, against each other one", table, &[columns::BY_IMAGES])
}

/// Every size alone, and how far it stands from the heuristic's line.
fn alone(report: &Report) -> Section {
    let titles =
        [Column::text("network"), Column::number("alone %"), Column::number("from the line"), Column::text("role")];
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for choice in &cell.choices {
            let network = |name: &str| cell.named(name);
            let mut add = |name: &str, distance: Option<f64>, role: &str| {
                let distance = distance.map_or_else(dash, signed);
                let row = [name.into(), accuracy_of(network(name)), distance.into(), role.into()];
                columns::add(&mut table, report, &cell.name, row);
            };
            let from_line = |name: &str| Some(network(name)?.test_accuracy?.mean - choice.line?);
            add(&choice.teacher, from_line(&choice.teacher), "teacher");
            for candidate in &choice.candidates {
                let role = match (is(&choice.by_heuristic, &candidate.path), is(&choice.by_trying, &candidate.path)) {
                    (true, true) => "nearest, and the best",
                    (true, false) => "nearest",
                    (false, true) => "the best",
                    (false, false) => "",
                };
                add(&candidate.assistant, candidate.above_line, role);
            }
            add(&choice.student, from_line(&choice.student), "student");
            let line = choice.line.map_or_else(dash, percent);
            columns::add(
                &mut table,
                report,
                &cell.name,
                ["the line".into(), line.into(), dash().into(), "their mean".into()],
            );
        }
    }
    Section::new("Every size alone, and the line of the paper's heuristic", table, &[])
}

fn is(chosen: &Option<String>, path: &str) -> bool {
    chosen.as_deref() == Some(path)
}

/// What the two ways of choosing give and take.
fn ways(report: &Report) -> Section {
    let titles = [
        Column::text("way"),
        Column::text("chooses"),
        Column::number("student %"),
        Column::number("runs"),
        Column::number("multiply-adds"),
        Column::number("training"),
    ];
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for Choice { by_heuristic, by_trying, heuristic_takes, trying_takes, .. } in &cell.choices {
            way(&mut table, report, cell, "nearest to the line", by_heuristic, *heuristic_takes);
            way(&mut table, report, cell, "trying each", by_trying, Some(*trying_takes));
        }
    }
    Section::new("Two ways to choose the assistant", table, &[])
}

fn way(
    table: &mut Table,
    report: &Report,
    cell: &CellReport,
    name: &str,
    chosen: &Option<String>,
    takes: Option<Spent>,
) {
    let path = chosen.as_deref().and_then(|path| cell.named(path));
    let row = [
        name.into(),
        path.map_or_else(dash, assistant).into(),
        accuracy_of(path),
        takes.map_or_else(dash, |takes| takes.runs.to_string()).into(),
        takes.map_or_else(dash, |takes| number::count(takes.multiply_adds)).into(),
        takes.and_then(|takes| takes.seconds).map_or_else(dash, number::duration).into(),
    ];
    columns::add(table, report, &cell.name, row);
}

/// What stands between teacher and student.
pub(crate) fn assistant(path: &PathReport) -> String {
    match path.stages.as_slice() {
        [_, between @ .., _] if !between.is_empty() => joined(between),
        stages => joined(stages),
    }
}

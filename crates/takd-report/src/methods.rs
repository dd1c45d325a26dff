//! The layout with a row for each cell and a column for each method.

use crate::columns::{self, accuracy};
use crate::comparisons::METHODS;
use crate::number::{self, GLUE, dash, percent};
use crate::report::{CellReport, Method, MissingCellReport, PathReport, Report};
use crate::table::{Column, Entry, Section, Table};

/// The tables of a report.
pub(crate) fn sections(report: &Report) -> Vec<Section> {
    let mut sections = vec![students(report)];
    if !report.cells.is_empty() {
        sections.push(above(report));
    }
    if report.cells.iter().any(|cell| !cell.published.is_empty()) {
        sections.push(published(report));
    }
    if columns::several_seeds(report) {
        sections.push(differences(report));
    }
    sections
}

/// The student by each method, beside the paper's numbers.
fn students(report: &Report) -> Section {
    let mut table = Table::new(vec![
        Column::text("cell"),
        Column::text("trained on"),
        Column::text("epochs"),
        Column::text("S / TA / T"),
        Column::number("NoKD"),
        Column::number("paper"),
        Column::number("BLKD"),
        Column::number("paper"),
        Column::number("TAKD"),
        Column::number("paper"),
    ]);
    // With the paper's numbers in the columns of ours.
    let mut narrow = Table::new(vec![
        Column::text("cell"),
        Column::text("S / TA / T"),
        Column::number("NoKD"),
        Column::number("BLKD"),
        Column::number("TAKD"),
    ]);
    narrow.left_out = vec!["trained on", "epochs"];
    let with_paper = |own: Entry, paper: &str| Entry { text: format!("{} (paper{GLUE}{paper})", own.text), ..own };

    for cell in &report.cells {
        let roles = Roles::of(cell);
        let mut row = vec![
            cell.name.as_str().into(),
            format!("{}, {}{GLUE}images", cell.dataset, cell.train_images).into(),
            roles.epochs().into(),
            roles.names().into(),
        ];
        let mut narrow_row: Vec<Entry> = vec![cell.name.as_str().into(), roles.names().into()];
        for method in Method::ALL {
            let path = cell.method(method);
            let own = columns::accuracy_of(path);
            let paper = path.and_then(|path| path.paper_accuracy).map(percent);
            narrow_row.push(paper.as_ref().map_or_else(|| own.clone(), |paper| with_paper(own.clone(), paper)));
            row.extend([own, paper.unwrap_or_else(dash).into()]);
        }
        table.rows.push(row);
        narrow.rows.push(narrow_row);
    }
    for cell in &report.missing {
        let not_run = || Entry::from(format!("not{GLUE}run"));
        let mut row = vec![cell.name.as_str().into(), not_run(), "".into(), "".into()];
        let mut narrow_row = vec![cell.name.as_str().into(), not_run()];
        for method in Method::ALL {
            let paper = missing_paper(cell, method).map(percent);
            narrow_row.push(paper.as_ref().map_or_else(|| dash().into(), |paper| with_paper(dash().into(), paper)));
            row.extend([dash(), paper.unwrap_or_else(dash)].map(Entry::from));
        }
        table.rows.push(row);
        narrow.rows.push(narrow_row);
    }
    let mut section = Section::new("Test accuracy of the student, %", table, &["epochs"]);
    section.forms.push(narrow);
    section
}

fn missing_paper(cell: &MissingCellReport, method: Method) -> Option<f64> {
    cell.paths.iter().find(|path| Method::of(&path.stages) == method)?.paper_accuracy
}

/// The networks that teach, and how long everything took.
fn above(report: &Report) -> Section {
    let mut table = Table::new(vec![
        Column::text("cell"),
        Column::text("teacher alone"),
        Column::text("assistant, taught"),
        Column::text("student alone"),
        Column::number("training"),
    ]);
    for cell in &report.cells {
        let roles = Roles::of(cell);
        let results = cell.paths.iter().flat_map(PathReport::results);
        let seconds: f64 = results.map(|(_, result)| result.seconds).sum();
        table.rows.push(vec![
            cell.name.as_str().into(),
            with_accuracy(&roles.teachers),
            with_accuracy(&roles.assistants),
            with_accuracy(roles.alone.as_slice()),
            number::duration(seconds).into(),
        ]);
    }
    Section::new("The networks above the student, test accuracy, %", table, &[])
}

/// What others reached.
fn published(report: &Report) -> Section {
    let titles = [Column::text("method"), Column::number("published %")];
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for other in &cell.published {
            columns::add(
                &mut table,
                report,
                &cell.name,
                [other.method.as_str().into(), percent(other.test_accuracy).into()],
            );
        }
    }
    Section::new("Other methods, as published; not run here", table, &[])
}

/// How much better each method is than those before it.
fn differences(report: &Report) -> Section {
    let mut titles = vec![Column::text("difference")];
    titles.extend(columns::comparison("points"));
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for [method, minus] in METHODS {
            let (Some(path), Some(other)) = (cell.method(method), cell.method(minus)) else { continue };
            let comparison = cell.compared(path, other);
            let mut row = vec![format!("{method}{GLUE}-{GLUE}{minus}").into()];
            row.extend(columns::compared(cell, comparison));
            columns::add(&mut table, report, &cell.name, row);
        }
    }
    Section::new("Differences, percentage points", table, &[columns::BY_IMAGES])
}

/// The networks of a cell, by what they are for.
struct Roles<'a> {
    /// The path with all of them: the longest that the cell has.
    stages: &'a [Vec<String>],
    /// Those of the first stage, each alone; none if nobody teaches.
    teachers: Vec<&'a PathReport>,
    /// Those of the stages between, each taught by the stage before.
    assistants: Vec<&'a PathReport>,
    /// The student alone.
    alone: Option<&'a PathReport>,
    /// The student as it is trained last.
    student: Option<&'a PathReport>,
}

impl<'a> Roles<'a> {
    fn of(cell: &'a CellReport) -> Self {
        let methods = [Method::Takd, Method::Blkd, Method::NoKd];
        let student = methods.into_iter().find_map(|method| cell.method(method));
        let stages: &[Vec<String>] = student.map_or(&[], |path| &path.stages);
        let stage = |place: usize| {
            let to = |network: &String| {
                let mut path = stages[..place].to_vec();
                path.push(vec![network.clone()]);
                cell.path(&path)
            };
            stages[place].iter().filter_map(to).collect::<Vec<_>>()
        };
        let last = stages.len().saturating_sub(1);
        Self {
            stages,
            teachers: if last > 0 { stage(0) } else { Vec::new() },
            assistants: (1..last).flat_map(stage).collect(),
            alone: cell.method(Method::NoKd),
            student,
        }
    }

    /// `plane2 / plane4 / plane10`: student, assistants, teacher.
    fn names(&self) -> String {
        let stage = |networks: &Vec<String>| networks.join(" + ");
        let (student, teacher, assistants) = match self.stages {
            [] => (dash(), dash(), dash()),
            [student] => (stage(student), dash(), dash()),
            [teacher, student] => (stage(student), stage(teacher), dash()),
            [teacher, assistants @ .., student] => {
                let assistants: Vec<String> = assistants.iter().map(stage).collect();
                (stage(student), stage(teacher), assistants.join(&format!("{GLUE}→ ")))
            }
        };
        format!("{student}{GLUE}/ {assistants}{GLUE}/ {teacher}")
    }

    /// The epochs of student, assistants and teacher: one number if they are the same.
    fn epochs(&self) -> String {
        let paths = self.student.iter().chain(self.assistants.iter().rev()).chain(&self.teachers);
        let epochs = paths.map(|path| if path.epochs == 0 { dash() } else { path.epochs.to_string() });
        let mut epochs: Vec<String> = epochs.collect();
        if epochs.iter().all(|other| *other == epochs[0]) {
            epochs.truncate(1);
        }
        epochs.join(&format!("{GLUE}/ "))
    }
}

/// `plane10 93.00 ± 0.25`, one after the other.
fn with_accuracy(paths: &[&PathReport]) -> Entry {
    let last = |path: &PathReport| path.stages.last().map_or_else(String::new, |networks| networks.join(" + "));
    let shown: Vec<String> = paths.iter().map(|path| format!("{} {}", last(path), accuracy(path).text)).collect();
    let text = if shown.is_empty() { dash() } else { shown.join(", ") };
    Entry { text, of: paths.first().and_then(|path| accuracy(path).of) }
}

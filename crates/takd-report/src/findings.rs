//! What the numbers say, in sentences that follow from them.

use crate::by_student::Student;
use crate::choice::Choice;
use crate::comparison::{Comparison, Verdict, common_means};
use crate::number::{self, GLUE, percent, signed};
use crate::report::{CellReport, PathReport};
use crate::run::RunReport;
use crate::studies;
use takd_grid::recipe::Layout;

/// The sentences, a line for each student, or for each choice.
pub(crate) fn lines(layout: Layout, cells: &[CellReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for cell in cells {
        let of_cell = match layout {
            Layout::Paths | Layout::Methods => Vec::new(),
            Layout::Assistants => assistants(cell),
            Layout::Teachers => Student::all(cell).iter().filter_map(|student| teachers(cell, student)).collect(),
            Layout::Students => students(cell).into_iter().collect(),
            Layout::Graph => graph(cell),
        };
        let of_studies = cell.studies.iter().filter_map(|study| studies::finding(cell, study));
        let of_cell = of_cell.into_iter().chain(of_studies);
        let name = |line: String| if cells.len() == 1 { line } else { format!("{}: {line}", cell.name) };
        lines.extend(of_cell.map(name));
    }
    lines
}

/// The best assistant, and what the heuristic loses.
fn assistants(cell: &CellReport) -> Vec<String> {
    let mut lines = Vec::new();
    for student in Student::all(cell) {
        for teacher in student.teachers() {
            lines.extend(best_of(cell, &student.by_assistant(teacher), Best::Assistant));
        }
    }
    lines.extend(cell.choices.iter().filter_map(|choice| heuristic(cell, choice)));
    lines
}

fn heuristic(cell: &CellReport, choice: &Choice) -> Option<String> {
    let line = choice.line?;
    let chosen = cell.named(choice.by_heuristic.as_deref()?)?;
    let mut by_distance: Vec<(&str, f64)> =
        choice.candidates.iter().filter_map(|of| Some((of.assistant.as_str(), of.above_line?))).collect();
    by_distance.sort_by(|one, other| one.1.abs().total_cmp(&other.1.abs()));
    let &(nearest, above) = by_distance.first()?;
    let mut text = format!(
        "The paper's heuristic chooses {nearest}, whose accuracy alone lies {} points from the line at {}{GLUE}%",
        signed(above),
        percent(line)
    );
    if let Some((next, above)) = by_distance.get(1) {
        text += &format!("; next comes {next} at {}", signed(*above));
    }
    let best = cell.named(choice.by_trying.as_deref()?)?;
    if best.path == chosen.path {
        return Some(text + ". It is the best by mean: choosing by the heuristic loses nothing.");
    }
    if let Some(lost) = cell.best_less(chosen).map(|found| &found.comparison) {
        text += &format!(
            ". The best by mean, {}, is {} points better; that it is better: {}",
            crate::assistants::assistant(best).replace(GLUE, " "),
            number::difference(&lost.test_accuracy, lost.test_accuracy.n),
            lost.in_words()
        );
    }
    Some(text + ".")
}

/// Whether the student becomes better with its teacher, and then worse.
fn teachers(cell: &CellReport, student: &Student<'_>) -> Option<String> {
    let text = best_of(cell, &student.direct, Best::Teacher)?;
    let runs: Vec<&[RunReport]> = student.direct.iter().map(|path| path.runs.as_slice()).collect();
    // Before all teachers have a result nobody knows where the best stands among them.
    let means: Option<Vec<f64>> = common_means(&runs)?.into_iter().collect();
    let Some(means) = means else { return Some(text) };
    let highest = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let shape = match (means[0] == highest, means[means.len() - 1] == highest) {
        (_, true) => {
            "By the means no teacher is better than the largest: the student does not fall with its teacher's size."
        }
        (true, false) => "By the means the smallest teacher is the best.",
        (false, false) => "By the means the best teacher stands between the smallest and the largest.",
    };
    Some(format!("{text} {shape}"))
}

/// Which students gain.
fn students(cell: &CellReport) -> Option<String> {
    let mut gains = Vec::new();
    for student in Student::all(cell).iter().rev() {
        for path in &student.direct {
            let Some(found) = student.alone.and_then(|alone| cell.compared(path, alone)) else { continue };
            let gain = signed(found.comparison.test_accuracy.mean);
            gains.push(format!("{} {gain} ({})", path.student().join(" + "), found.comparison.in_words()));
        }
    }
    (!gains.is_empty()).then(|| format!("What the teacher gives its student, in points: {}.", gains.join("; ")))
}

/// The best path to each student.
fn graph(cell: &CellReport) -> Vec<String> {
    Student::all(cell).iter().filter_map(|student| best_of(cell, &student.taught(), Best::Path)).collect()
}

/// What is chosen among several.
#[derive(Clone, Copy)]
enum Best {
    Assistant,
    Teacher,
    Path,
}

impl Best {
    fn what(self) -> &'static str {
        match self {
            Self::Assistant => "The best assistant",
            Self::Teacher => "The best teacher",
            Self::Path => "The best taught path",
        }
    }

    /// What of a path it is.
    fn name(self, path: &PathReport) -> String {
        match self {
            Self::Assistant => crate::assistants::assistant(path).replace(GLUE, " "),
            Self::Teacher => path.stages[0].join(" + "),
            Self::Path => path.path.clone(),
        }
    }
}

/// The most that are named one by one if none of them stands out.
const MOST_NAMED: usize = 3;

/// The best of some paths to one student, and how surely it is better than each other.
fn best_of(cell: &CellReport, paths: &[&PathReport], of: Best) -> Option<String> {
    let found: Vec<(&PathReport, &Comparison)> =
        paths.iter().filter_map(|path| Some((*path, &cell.best_less(path)?.comparison))).collect();
    let best = cell.named(&cell.best_less(found.first()?.0)?.path)?;
    let mean = best.test_accuracy?.mean;
    let mut text = format!(
        "{} for {} is {} by mean, {}{GLUE}%",
        of.what(),
        best.student().join(" + "),
        of.name(best),
        percent(mean)
    );
    let names = |wanted: &dyn Fn(&Comparison) -> bool| {
        let wanted = found.iter().filter(|(_, comparison)| wanted(comparison));
        wanted.map(|(path, _)| of.name(path)).collect::<Vec<_>>()
    };
    let by_chance = |comparison: &Comparison| comparison.over_images.is_some_and(|images| images.may_be_chance());
    let holds = |comparison: &Comparison| comparison.verdict == Verdict::Holds;
    let surely = names(&|comparison| holds(comparison) && !by_chance(comparison));
    let here = names(&|comparison| holds(comparison) && by_chance(comparison));
    let not = names(&|comparison| !holds(comparison));
    if !surely.is_empty() {
        text += &format!("; surely better than {}", surely.join(", "));
    }
    if !here.is_empty() {
        text += &format!("; better for these images than {}", here.join(", "));
    }
    if found.iter().all(|(_, comparison)| comparison.seeds.len() == 1) {
        text += "; how surely, a single seed does not tell";
    } else if not.len() == found.len() && not.len() > MOST_NAMED {
        text += &format!("; these seeds do not tell it from any of the {} others", not.len());
    } else if !not.is_empty() {
        text += &format!("; these seeds do not tell it from {}", not.join(", "));
    }
    Some(text + ".")
}

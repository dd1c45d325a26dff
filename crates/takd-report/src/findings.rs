//! What the numbers say, in sentences that follow from them.

use crate::by_student::Student;
use crate::choice::Choice;
use crate::comparison::{Comparison, Verdict};
use crate::number::{self, GLUE, percent, signed};
use crate::report::{CellReport, PathReport};
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
        let name = |line: String| if cells.len() == 1 { line } else { format!("{}: {line}", cell.name) };
        lines.extend(of_cell.into_iter().map(name));
    }
    lines
}

/// The best assistant, and what the heuristic loses.
fn assistants(cell: &CellReport) -> Vec<String> {
    let mut lines = Vec::new();
    for student in Student::all(cell) {
        lines.extend(best_of(cell, &student.assisted, "The best assistant"));
    }
    lines.extend(cell.choices.iter().filter_map(|choice| heuristic(cell, choice)));
    lines
}

fn heuristic(cell: &CellReport, choice: &Choice) -> Option<String> {
    let line = choice.line?;
    let chosen = cell.named(choice.by_heuristic.as_deref()?)?;
    let candidate = choice.candidates.iter().find(|candidate| candidate.path == chosen.path)?;
    let begin = format!(
        "The paper's heuristic chooses {}, whose accuracy alone lies {} points from the line at {}{GLUE}%",
        candidate.assistant,
        signed(candidate.above_line?),
        percent(line)
    );
    let best = cell.named(choice.by_trying.as_deref()?)?;
    if best.path == chosen.path {
        return Some(format!("{begin}. It is the best by mean: choosing by the heuristic loses nothing."));
    }
    let lost = &cell.best_less(chosen)?.comparison;
    Some(format!(
        "{begin}. The best by mean is {} points better; that it is better: {}.",
        interval(lost),
        lost.in_words()
    ))
}

/// Whether the student becomes better with its teacher, and then worse.
fn teachers(cell: &CellReport, student: &Student<'_>) -> Option<String> {
    let best = best_of(cell, &student.direct, "The best teacher")?;
    let &largest = student.direct.last()?;
    let &smallest = student.direct.first()?;
    let mean = |path: &PathReport| path.test_accuracy.map(|summary| summary.mean);
    let highest = student.direct.iter().filter_map(|path| mean(path)).fold(f64::NEG_INFINITY, f64::max);
    let is_best = |path: &PathReport| mean(path) == Some(highest);
    let shape = match (is_best(smallest), is_best(largest)) {
        (_, true) => "By the means the largest teacher is the best: the student does not fall with its teacher's size.",
        (true, false) => "By the means the smallest teacher is the best: the student falls with its teacher's size.",
        (false, false) => {
            "By the means the best teacher stands between the smallest and the largest, as in the paper's figure."
        }
    };
    Some(format!("{best} {shape}"))
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

/// The best path to each student, and what more cost gives.
fn graph(cell: &CellReport) -> Vec<String> {
    let mut lines = Vec::new();
    for student in Student::all(cell) {
        lines.extend(best_of(cell, &student.taught(), "The best path"));
    }
    lines
}

/// The most paths that are named one by one if none of them stands out.
const MOST_NAMED: usize = 3;

/// The best of some paths to one student, and how surely it is better than each other.
fn best_of(cell: &CellReport, paths: &[&PathReport], what: &str) -> Option<String> {
    let found: Vec<_> = paths.iter().filter_map(|path| Some((*path, cell.best_less(path)?))).collect();
    let best = cell.named(&found.first()?.1.path)?;
    let name = |path: &PathReport| match path.stages.as_slice() {
        _ if what == "The best path" => path.path.clone(),
        [teacher, _] => teacher.join(" + "),
        _ => crate::assistants::assistant(path).replace(GLUE, " "),
    };
    let mean = best.test_accuracy?.mean;
    let mut text =
        format!("{what} for {} is {} by mean, {}{GLUE}%", best.student().join(" + "), name(best), percent(mean));
    let names = |decided: bool| {
        let of = found.iter().filter(|(_, found)| (found.comparison.verdict == Verdict::Holds) == decided);
        of.map(|(path, _)| name(path)).collect::<Vec<_>>().join(", ")
    };
    let (surely, not) = (names(true), names(false));
    if !surely.is_empty() {
        text += &format!("; surely better than {surely}");
    }
    if surely.is_empty() && found.len() > MOST_NAMED {
        text += &format!("; these seeds do not tell it from any of the {} others", found.len());
    } else if !not.is_empty() {
        text += &format!("; these seeds do not tell it from {not}");
    }
    Some(text + ".")
}

/// `0.41 (-0.32 to +1.14)`.
fn interval(comparison: &Comparison) -> String {
    number::difference(&comparison.test_accuracy, comparison.test_accuracy.n)
}

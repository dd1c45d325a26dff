//! Two ways to choose an assistant: the paper's heuristic, and trying each.
//!
//! The paper (Section 4.2, Figure 4) proposes the size whose accuracy, trained alone, is nearest to the mean of the student's and
//! the teacher's. That takes a training of every size; so does trying each assistant, which then knows.

use crate::by_student::Student;
use crate::choice::{Candidate, Choice, Spent};
use crate::comparison::{best, common_means};
use crate::report::{CellReport, PathReport};
use crate::run::RunReport;

/// The choices of a cell: one for each pair of teacher and student with assistants of one network each between them.
///
/// `spent` says what the runs of some paths take, with all that lead to them.
pub(crate) fn of(cell: &CellReport, spent: impl Fn(&[&PathReport]) -> Spent) -> Vec<Choice> {
    let mut choices = Vec::new();
    for student in Student::all(cell) {
        choices.extend(student.teachers().into_iter().filter_map(|teacher| choice(cell, &student, teacher, &spent)));
    }
    choices
}

fn choice(
    cell: &CellReport,
    student: &Student<'_>,
    teacher: &[String],
    spent: &impl Fn(&[&PathReport]) -> Spent,
) -> Option<Choice> {
    let alone = |network: &[String]| cell.path(&[network.to_vec()]);
    let paths = student.by_assistant(teacher);
    let first = paths.first()?;
    // All sizes alone, by the seeds that all of them have: student, teacher, assistants.
    let sizes: Vec<Option<&PathReport>> = std::iter::once(student.alone)
        .chain([alone(teacher)])
        .chain(paths.iter().map(|path| alone(&path.stages[1])))
        .collect();
    let sets: Vec<&[RunReport]> = sizes.iter().map(|path| path.map_or(&[][..], |path| &path.runs)).collect();
    let means = common_means(&sets).unwrap_or_else(|| vec![None; sets.len()]);
    let line = means[0].zip(means[1]).map(|(low, high)| f64::midpoint(low, high));
    let above = |place: usize| Some(means[2 + place]? - line?);
    let candidates = paths.iter().enumerate().map(|(place, path)| Candidate {
        path: path.path.clone(),
        assistant: path.stages[1].join(" + "),
        above_line: above(place),
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let distance = |place: usize| above(place).map_or(f64::INFINITY, f64::abs);
    // As long as a size has no result, nobody knows which is nearest, or best.
    let all = candidates.iter().all(|candidate| candidate.above_line.is_some());
    let nearest = (0..paths.len()).min_by(|&one, &other| distance(one).total_cmp(&distance(other)));
    let by_heuristic = nearest.filter(|_| all).map(|place| paths[place]);
    let tried = paths.iter().all(|path| path.test_accuracy.is_some());
    let runs: Vec<&[RunReport]> = paths.iter().map(|path| path.runs.as_slice()).collect();
    let by_trying = best(&runs).filter(|_| tried).map(|place| paths[place]);
    let mut sizes: Vec<&PathReport> = student.alone.into_iter().chain(alone(teacher)).collect();
    sizes.extend(paths.iter().filter_map(|path| alone(&path.stages[1])));
    sizes.extend(by_heuristic);
    Some(Choice {
        student: first.student().join(" + "),
        teacher: teacher.join(" + "),
        line,
        candidates,
        by_heuristic: by_heuristic.map(|path| path.path.clone()),
        by_trying: by_trying.map(|path| path.path.clone()),
        heuristic_takes: by_heuristic.map(|_| spent(&sizes)),
        trying_takes: spent(&paths),
    })
}

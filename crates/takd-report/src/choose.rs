//! Two ways to choose an assistant: the paper's heuristic, and trying each.
//!
//! The paper (Section 4.2, Figure 4) proposes the size whose accuracy, trained alone, is nearest to the mean of the student's and
//! the teacher's. That takes a training of every size; so does trying each assistant, which then knows.

use crate::by_student::Student;
use crate::choice::{Candidate, Choice, Spent};
use crate::report::{CellReport, PathReport};

/// The choices of a cell: one for each pair of teacher and student with assistants of one network each between them.
///
/// `spent` says what the runs of some paths take, with all that lead to them.
pub(crate) fn of(cell: &CellReport, spent: impl Fn(&[&PathReport]) -> Spent) -> Vec<Choice> {
    let mut choices = Vec::new();
    for student in Student::all(cell) {
        let mut teachers: Vec<&[String]> = Vec::new();
        for path in &student.assisted {
            if !teachers.contains(&path.stages[0].as_slice()) {
                teachers.push(&path.stages[0]);
            }
        }
        choices.extend(teachers.into_iter().filter_map(|teacher| choice(cell, &student, teacher, &spent)));
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
    let mean = |path: &PathReport| path.test_accuracy.map(|summary| summary.mean);
    let one_between = |path: &&&PathReport| path.stages.len() == 3 && path.stages[1].len() == 1;
    let paths = student.assisted.iter().filter(|path| path.stages[0] == *teacher).filter(one_between);
    let paths: Vec<&PathReport> = paths.copied().collect();
    let first = paths.first()?;
    let line =
        student.alone.and_then(mean).zip(alone(teacher).and_then(mean)).map(|(low, high)| f64::midpoint(low, high));
    let above = |path: &PathReport| Some(alone(&path.stages[1]).and_then(mean)? - line?);
    let candidates = paths.iter().map(|path| Candidate {
        path: path.path.clone(),
        assistant: path.stages[1].join(" + "),
        above_line: above(path),
    });
    let candidates: Vec<Candidate> = candidates.collect();
    let nearest = |one: &&PathReport, other: &&PathReport| {
        let distance = |path| above(path).map_or(f64::INFINITY, f64::abs);
        distance(one).total_cmp(&distance(other))
    };
    // As long as a size has no result, nobody knows which is nearest, or best.
    let all = candidates.iter().all(|candidate| candidate.above_line.is_some());
    let by_heuristic = paths.iter().copied().min_by(nearest).filter(|_| all);
    let tried = paths.iter().all(|path| path.test_accuracy.is_some());
    let by_trying = paths.iter().copied().filter(|_| tried).max_by(|one, other| {
        let accuracy = |path| mean(path).unwrap_or(0.0);
        accuracy(one).total_cmp(&accuracy(other))
    });
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

//! Which path for a given cost.

use crate::by_student::Student;
use crate::number::{count, dash, percent};
use crate::report::{CellReport, PathReport, Report};

impl Report {
    /// Adds to what the numbers say the best path to each cell's smallest student whose runs take at most so many
    /// multiplications.
    pub fn add_best_within(&mut self, multiply_adds: f64) {
        let several = self.cells.len() > 1;
        for cell in &self.cells {
            let place = if several { format!("{}: ", cell.name) } else { String::new() };
            let budget = count(multiply_adds);
            let line = match cell.best_within(multiply_adds) {
                Some(path) => format!(
                    "{place}For at most {budget} multiply-adds the best path by mean is {}, {} %; it takes {}.",
                    path.path,
                    path.test_accuracy.map_or_else(dash, |summary| percent(summary.mean)),
                    count(path.path_multiply_adds)
                ),
                None => format!("{place}No path that has a result takes at most {budget} multiply-adds."),
            };
            self.findings.push(line);
        }
    }
}

impl CellReport {
    /// The paths to the cell's smallest student that no other path of at most the same cost surpasses, by mean accuracy over the
    /// seeds: the Pareto front of cost and accuracy, the cheapest first. Paths without a result are not on it.
    pub fn front(&self) -> Vec<&PathReport> {
        let students = Student::all(self);
        let Some(smallest) = students.last() else { return Vec::new() };
        let accuracy = |path: &PathReport| path.test_accuracy.map_or(f64::NEG_INFINITY, |summary| summary.mean);
        let mut paths: Vec<&PathReport> = smallest.paths().filter(|path| path.test_accuracy.is_some()).collect();
        paths.sort_by(|one, other| {
            let cost = one.path_multiply_adds.total_cmp(&other.path_multiply_adds);
            cost.then(accuracy(other).total_cmp(&accuracy(one)))
        });
        let mut best = f64::NEG_INFINITY;
        paths.retain(|path| {
            let better = accuracy(path) > best;
            best = best.max(accuracy(path));
            better
        });
        paths
    }

    /// The best path to the smallest student whose runs, all that lead to it included, take at most so many multiplications.
    pub fn best_within(&self, multiply_adds: f64) -> Option<&PathReport> {
        self.front().into_iter().rfind(|path| path.path_multiply_adds <= multiply_adds)
    }
}

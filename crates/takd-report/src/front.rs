//! Which path for a given cost.

use crate::by_student::Student;
use crate::report::{CellReport, PathReport};

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

//! Which path for a given cost.

use crate::by_student::Student;
use crate::comparison::common_means;
use crate::number::{count, dash, interval, mean};
use crate::report::{CellReport, PathReport, Report};
use crate::run::RunReport;

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
                    "{place}For at most {budget} multiply-adds the best path by mean is {}: {} % (95 %: {}); it takes {}.",
                    path.path,
                    path.test_accuracy.map_or_else(dash, |summary| mean(&summary, path.distinct_runs().count())),
                    interval(path.test_accuracy.and_then(|summary| summary.interval_95)),
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
    /// seeds that all have: the Pareto front of cost and accuracy, the cheapest first. Paths without a result are not on it.
    pub fn front(&self) -> Vec<&PathReport> {
        let students = Student::all(self);
        let Some(smallest) = students.last() else { return Vec::new() };
        let paths: Vec<&PathReport> = smallest.paths().filter(|path| path.test_accuracy.is_some()).collect();
        let runs: Vec<&[RunReport]> = paths.iter().map(|path| path.runs.as_slice()).collect();
        let Some(means) = common_means(&runs) else { return Vec::new() };
        let mut paths: Vec<(&PathReport, f64)> =
            paths.into_iter().zip(means).filter_map(|(path, mean)| Some((path, mean?))).collect();
        paths.sort_by(|one, other| {
            let cost = one.0.path_multiply_adds.total_cmp(&other.0.path_multiply_adds);
            cost.then(other.1.total_cmp(&one.1))
        });
        let mut best = f64::NEG_INFINITY;
        paths.retain(|(_, mean)| {
            let better = *mean > best;
            best = best.max(*mean);
            better
        });
        paths.into_iter().map(|(path, _)| path).collect()
    }

    /// The best path to the smallest student whose runs, all that lead to it included, take at most so many multiplications.
    pub fn best_within(&self, multiply_adds: f64) -> Option<&PathReport> {
        self.front().into_iter().rfind(|path| path.path_multiply_adds <= multiply_adds)
    }
}

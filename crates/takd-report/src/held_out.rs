//! Which path trains a student best, by images that were held out of its training: what the test images say is not looked at.

use crate::report::{CellReport, PathReport};
use crate::run::RunReport;

/// A run's share of held-out images that are classified correctly, if it is finished and has such images.
fn accuracy(run: &RunReport) -> Option<f64> {
    run.state.measurements()?.held_out_accuracy
}

impl CellReport {
    /// The paths of the recipe that end with the network of this name, the best first by their mean accuracy on held-out images; of
    /// equal ones that with more teachers. A path counts if all its runs have a result.
    pub fn by_held_out(&self, student: &str) -> Vec<&PathReport> {
        let is_of_student =
            |path: &&PathReport| path.requested && path.stages.last().is_some_and(|last| last == &[student]);
        let with_mean = |path| Some((path, PathReport::held_out_accuracy(path)?));
        let mut ranked: Vec<_> = self.paths.iter().filter(is_of_student).filter_map(with_mean).collect();
        ranked.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(other.stages.len().cmp(&one.stages.len())));
        ranked.into_iter().map(|(path, _)| path).collect()
    }
}

impl PathReport {
    /// The mean share of held-out images that its runs classify correctly, 0 to 1; nothing if one of them has no result, or held none out.
    pub fn held_out_accuracy(&self) -> Option<f64> {
        let each: Vec<f64> = self.runs.iter().map(accuracy).collect::<Option<_>>()?;
        (!each.is_empty()).then(|| each.iter().sum::<f64>() / each.len() as f64)
    }

    /// Its run that does best on held-out images.
    pub fn best_by_held_out(&self) -> Option<&RunReport> {
        let with_accuracy = self.runs.iter().filter_map(|run| Some((run, accuracy(run)?)));
        with_accuracy.max_by(|(_, a), (_, b)| a.total_cmp(b)).map(|(run, _)| run)
    }
}

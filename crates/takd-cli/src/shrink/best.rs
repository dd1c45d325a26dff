//! Which student is the best, by images that were held out of its training.

use takd_report::{CellReport, PathReport, RunReport};

/// A run's share of held-out images that are classified correctly, if it is finished.
pub(super) fn held_out(run: &RunReport) -> Option<f64> {
    run.state.measurements()?.held_out_accuracy
}

/// The paths that end with the student, each with its mean accuracy on held-out images: the best first, and of equal ones that with more
/// teachers. A path counts if all its seeds have a result.
pub(super) fn ranked<'a>(cell: &'a CellReport, student: &str) -> Vec<(&'a PathReport, f64)> {
    let is_of_student =
        |path: &&PathReport| path.requested && path.stages.last().is_some_and(|last| last == &[student]);
    let mean = |path: &'a PathReport| {
        let each: Vec<f64> = path.runs.iter().map(held_out).collect::<Option<_>>()?;
        Some((path, each.iter().sum::<f64>() / each.len().max(1) as f64))
    };
    let mut ranked: Vec<_> = cell.paths.iter().filter(is_of_student).filter_map(mean).collect();
    ranked.sort_by(|(one, a), (other, b)| b.total_cmp(a).then(other.stages.len().cmp(&one.stages.len())));
    ranked
}

/// Of a path's runs the best on held-out images.
pub(super) fn best_run(path: &PathReport) -> Option<&RunReport> {
    path.runs.iter().max_by(|a, b| held_out(a).unwrap_or(-1.0).total_cmp(&held_out(b).unwrap_or(-1.0)))
}

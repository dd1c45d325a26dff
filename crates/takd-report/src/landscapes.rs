//! The loss around trained networks: the paper's Figure 7.

use crate::columns::{self, joined};
use crate::number::{GLUE, dash};
use crate::path_landscape::{PathLandscape, SeedLandscape};
use crate::report::{CellReport, PathReport, Report};
use crate::statistics::Summary;
use crate::table::{Column, Section};
use std::collections::HashSet;
use takd_distill::{Landscape, Plane, Runs};

impl Report {
    /// The plane on which the loss around most of the networks that the recipe asks for was computed before, the finest of several.
    pub fn kept_plane(&self, runs: &Runs) -> Option<Plane> {
        let paths = self.cells.iter().flat_map(|cell| cell.paths.iter().filter(|path| path.requested));
        let kept = paths.flat_map(|path| &path.runs).flat_map(|run| runs.kept_landscapes(&run.run).unwrap_or_default());
        let mut planes: Vec<(Plane, usize)> = Vec::new();
        for Landscape { plane, .. } in kept {
            match planes.iter_mut().find(|(known, _)| *known == plane) {
                Some((_, count)) => *count += 1,
                None => planes.push((plane, 1)),
            }
        }
        planes.into_iter().max_by_key(|(plane, count)| (*count, plane.points)).map(|(plane, _)| plane)
    }

    /// Adds the loss around the networks that the recipe asks for, as far as it was computed on this plane before
    /// ([`takd_distill::landscape`](fn@takd_distill::landscape)). What cannot be read counts as not computed.
    pub fn add_landscapes(&mut self, runs: &Runs, plane: Plane) {
        for cell in &mut self.cells {
            let wanted = cell.paths.iter().filter(|path| path.requested);
            cell.landscapes = wanted.filter_map(|path| of_path(path, runs, plane)).collect();
        }
        let several = self.cells.len() > 1;
        for cell in &self.cells {
            let line = flattest(cell).map(|line| if several { format!("{}: {line}", cell.name) } else { line });
            self.findings.extend(line);
        }
        let Plane { points, reach, images, .. } = plane;
        if self.cells.iter().all(|cell| cell.landscapes.is_empty()) {
            self.legend.push(format!(
                "The loss around the networks was not looked at yet, at least not at {points} × {points} points up to {reach} \
                 by {images} images."
            ));
        } else {
            self.legend.push(format!(
                "The loss around a network: mean cross-entropy of the first {images} training images, nats, at {points} × {points} \
                 points of a plane through the network. Its two directions are random, filter by filter as long as the network's own \
                 weights (Li et al. 2018), and the same for all networks of a kind; at a distance of {reach} they have been moved by \
                 {reach} times their length. Rise: the mean over the points within that distance, less the loss of the network itself."
            ));
        }
    }
}

fn of_path(path: &PathReport, runs: &Runs, plane: Plane) -> Option<PathLandscape> {
    let seeds: Vec<SeedLandscape> = path
        .runs
        .iter()
        .filter_map(|run| {
            let config = runs.config(&run.run).ok()??;
            let landscape = runs.kept_landscape(&config, plane).ok()??;
            Some(SeedLandscape { seed: run.seed, run: run.run.clone(), landscape })
        })
        .collect();
    let summary = |of: &dyn Fn(&Landscape) -> Option<f64>| {
        // The run of a network that was trained elsewhere is that of all seeds.
        let mut seen = HashSet::new();
        let distinct = seeds.iter().filter(|seed| seen.insert(&seed.run));
        let values: Vec<f64> = distinct.filter_map(|seed| of(&seed.landscape)).collect();
        Summary::of(&values)
    };
    let reach = plane.reach;
    let (loss, half, whole) = (
        summary(&Landscape::center),
        summary(&|landscape| landscape.rise(reach / 2.0)),
        summary(&|landscape| landscape.rise(reach)),
    );
    let path = path.path.clone();
    (!seeds.is_empty()).then_some(PathLandscape { path, loss, rise_within_half: half, rise: whole, seeds })
}

/// Which of a cell's networks lies in the flattest surroundings.
fn flattest(cell: &CellReport) -> Option<String> {
    let rises = cell.landscapes.iter().filter_map(|of| Some((of, of.rise_within_half?.mean)));
    let mut rises: Vec<(&PathLandscape, f64)> = rises.collect();
    rises.sort_by(|one, other| one.1.total_cmp(&other.1));
    let ((flattest, rise), others) = rises.split_first()?;
    let others: Vec<String> = others.iter().map(|(other, rise)| format!("{} {rise:.3}", other.path)).collect();
    if others.is_empty() {
        return None;
    }
    Some(format!(
        "By the means the loss rises least around {}, by {rise:.3} nats within half the reach; around {}.",
        flattest.path,
        others.join(", around ")
    ))
}

/// How the loss rises around each network, if that was looked at.
pub(crate) fn section(report: &Report) -> Option<Section> {
    let titles = [
        Column::text("path"),
        Column::number("loss here"),
        Column::number("rise within half"),
        Column::number("rise within reach"),
        Column::number("seeds"),
    ];
    let mut table = columns::table(report, titles);
    let nats = |summary: Option<Summary>| {
        summary.map_or_else(dash, |summary| match summary.standard_deviation {
            Some(deviation) => format!("{:.3}{GLUE}±{GLUE}{deviation:.3}", summary.mean),
            None => format!("{:.3}", summary.mean),
        })
    };
    for cell in &report.cells {
        for of in &cell.landscapes {
            let row = [
                cell.named(&of.path).map_or_else(|| of.path.clone(), |path| joined(&path.stages)).into(),
                nats(of.loss).into(),
                nats(of.rise_within_half).into(),
                nats(of.rise).into(),
                of.loss.map_or(of.seeds.len(), |loss| loss.n).to_string().into(),
            ];
            columns::add(&mut table, report, &cell.name, row);
        }
    }
    (!table.rows.is_empty()).then(|| Section::new("The loss around the networks, nats", table, &["loss here"]))
}

//! The figures of a report, in the paper's form: from its numbers to what `takd_figures` draws.

use crate::by_student::Student;
use crate::columns::joined;
use crate::comparison::best;
use crate::figure::{Drawing, Figure};
use crate::number::{GLUE, percent};
use crate::path_landscape::PathLandscape;
use crate::report::{CellReport, Method, PathReport, Report};
use crate::run::RunReport;
use crate::statistics::Summary;
use crate::study_figures;
use crate::table::anchor;
use std::collections::BTreeMap;
use takd_distill::{Landscape, Record, Runs};
use takd_figures::{
    Bar, Costed, Curve, CurveFigure, CurvePoint, Guide, HeatMap, LineFigure, NodePlace, PathColumn, PathGraph,
    PathKind, PathNode, Point, ScatterFigure, Series,
};
use takd_grid::recipe::Layout;

/// The name of a figure's only series.
const OURS: &str = "ours";

const ACCURACY: &str = "test accuracy, %";

impl Report {
    /// The figures of its results: those of the paper that its layout has. None before there is a result.
    pub fn figures(&self) -> Vec<Figure> {
        let cell = |cell| of_cell(self.layout, cell).into_iter().chain(study_figures::of(cell)).chain(landscapes(cell));
        self.cells.iter().flat_map(cell).collect()
    }

    /// The learning curves of each cell: accuracy over the epochs, the mean over the seeds, for the paths that the recipe asks for.
    /// They are read from `runs`; what cannot be read is left out.
    pub fn learning_curves(&self, runs: &Runs) -> Vec<Figure> {
        self.cells.iter().filter_map(|cell| curves_of(cell, runs)).collect()
    }
}

/// What is drawn of a cell, by the layout.
fn of_cell(layout: Layout, cell: &CellReport) -> Vec<Figure> {
    if cell.paths.iter().all(|path| path.test_accuracy.is_none()) {
        return Vec::new();
    }
    match layout {
        Layout::Methods => vec![methods(cell)],
        Layout::Teachers => Student::all(cell).iter().filter_map(|student| teachers(cell, student)).collect(),
        Layout::Students => students(cell).into_iter().collect(),
        Layout::Assistants => assistants(cell),
        Layout::Graph => vec![graph(cell), front(cell)],
        Layout::Paths => Vec::new(),
    }
}

/// A mean with its interval, in percent.
fn point(summary: Option<Summary>) -> Option<Point> {
    let summary = summary?;
    let bar = summary.interval_95.map(|interval| Bar { low: 100.0 * interval.low, high: 100.0 * interval.high });
    Some(Point { value: 100.0 * summary.mean, bar })
}

/// Where a page lists its runs.
fn link(path: &PathReport) -> Option<String> {
    path.runs.first().map(|run| format!("#{}", anchor(&run.run)))
}

fn measured(path: Option<&PathReport>) -> Option<Point> {
    point(path?.test_accuracy)
}

fn published(path: Option<&PathReport>) -> Option<Point> {
    Some(Point { value: 100.0 * path?.paper_accuracy?, bar: None })
}

/// Ours and the paper's points of some paths; the paper's are left out if it has none, or if ours are of other images.
fn ours_and_papers(cell: &CellReport, name: &str, paths: &[Option<&PathReport>]) -> Vec<Series> {
    let ours = Series {
        name: name.to_owned(),
        joined: true,
        published: false,
        points: paths.iter().map(|path| measured(*path)).collect(),
        links: paths.iter().map(|path| link((*path)?)).collect(),
    };
    let papers = Series {
        name: if name == OURS { "the paper's".to_owned() } else { format!("{name}, the paper's") },
        joined: true,
        published: true,
        points: paths.iter().map(|path| published(*path)).collect(),
        links: Vec::new(),
    };
    // Numbers of other images are no points beside ours.
    let has_paper = cell.stands_for.is_none() && papers.points.iter().any(Option::is_some);
    std::iter::once(ours).chain(has_paper.then_some(papers)).collect()
}

/// What error bars are, where there are some.
fn bars(cell: &CellReport) -> &'static str {
    if cell.seeds.len() > 1 { " Bars: 95 % confidence intervals over the seeds." } else { "" }
}

fn methods(cell: &CellReport) -> Figure {
    let paths = Method::ALL.map(|method| cell.method(method));
    let figure = LineFigure {
        title: format!("{}: the student by each method", cell.name),
        description: in_words(&paths),
        y_label: ACCURACY.to_owned(),
        names: Method::ALL.iter().map(ToString::to_string).collect(),
        series: ours_and_papers(cell, OURS, &paths)
            .into_iter()
            .map(|series| Series { joined: false, ..series })
            .collect(),
        ..LineFigure::default()
    };
    let caption = format!("The student by each method.{}", bars(cell));
    Figure::new(cell, "methods", Drawing::Line(figure), caption)
}

/// The paper's Figure 2.
fn teachers(cell: &CellReport, student: &Student<'_>) -> Option<Figure> {
    let first = student.direct.first()?;
    let paths: Vec<Option<&PathReport>> = student.direct.iter().map(|path| Some(*path)).collect();
    let figure = LineFigure {
        title: format!("{}: {} by its teacher", cell.name, first.student().join(" + ")),
        description: in_words(&paths),
        x_label: "teacher".to_owned(),
        y_label: format!("{ACCURACY}, of the student"),
        names: student.direct.iter().map(|path| joined(&path.stages[..1]).replace(GLUE, " ")).collect(),
        series: ours_and_papers(cell, OURS, &paths),
        guides: student
            .alone
            .and_then(|alone| alone.test_accuracy)
            .map(|summary| Guide { label: "the student alone".to_owned(), value: 100.0 * summary.mean })
            .into_iter()
            .collect(),
    };
    let caption = format!("The student by its teacher, in the form of Figure 2 of arXiv 1902.03393.{}", bars(cell));
    Some(Figure::new(cell, &format!("teachers of {}", first.student().join(" and ")), Drawing::Line(figure), caption))
}

/// The paper's Figure 3.
fn students(cell: &CellReport) -> Option<Figure> {
    let mut students = Student::all(cell);
    students.reverse();
    students.retain(|student| !student.direct.is_empty());
    let first = students.first()?.direct.first()?;
    let taught: Vec<Option<&PathReport>> = students.iter().map(|student| student.direct.first().copied()).collect();
    let alone: Vec<Option<&PathReport>> = students.iter().map(|student| student.alone).collect();
    let mut series = ours_and_papers(cell, &format!("taught by {}", first.stages[0].join(" + ")), &taught);
    series.extend(ours_and_papers(cell, "alone", &alone));
    let figure = LineFigure {
        title: format!("{}: students alone and taught", cell.name),
        description: in_words(&taught),
        x_label: "student".to_owned(),
        y_label: ACCURACY.to_owned(),
        names: taught.iter().flatten().map(|path| path.student().join(" + ")).collect(),
        series,
        ..LineFigure::default()
    };
    let caption = format!("Each student alone and taught, in the form of Figure 3 of arXiv 1902.03393.{}", bars(cell));
    Some(Figure::new(cell, "students", Drawing::Line(figure), caption))
}

/// The paper's Tables 2 and 3, and its Figure 4.
fn assistants(cell: &CellReport) -> Vec<Figure> {
    let mut drawn = Vec::new();
    for choice in &cell.choices {
        let alone = |name: &str| cell.named(name);
        let mut by_size: Vec<_> = choice.candidates.iter().collect();
        let size = |name: &str| alone(name).map_or(0, |path| path.forward_multiply_adds(cell));
        by_size.sort_by_key(|candidate| size(&candidate.assistant));

        let paths: Vec<Option<&PathReport>> = by_size.iter().map(|candidate| cell.named(&candidate.path)).collect();
        let direct = cell.paths.iter().find(|path| {
            path.stages.len() == 2
                && path.stages[0].join(" + ") == choice.teacher
                && path.student().join(" + ") == choice.student
        });
        let guide = |path: Option<&PathReport>, label: &str| {
            Some(Guide { label: label.to_owned(), value: 100.0 * path?.test_accuracy?.mean })
        };
        let figure = LineFigure {
            title: format!("{}: {} by the assistant", cell.name, choice.student),
            description: in_words(&paths),
            x_label: "assistant".to_owned(),
            y_label: format!("{ACCURACY}, of the student"),
            names: by_size.iter().map(|candidate| candidate.assistant.clone()).collect(),
            series: ours_and_papers(cell, OURS, &paths),
            guides: guide(direct, "without an assistant (BLKD)").into_iter().collect(),
        };
        let caption = format!("The student by the assistant between it and {}.{}", choice.teacher, bars(cell));
        drawn.push(Figure::new(
            cell,
            &format!("assistants from {} to {}", choice.teacher, choice.student),
            Drawing::Line(figure),
            caption,
        ));

        let mut names = vec![choice.student.clone()];
        names.extend(by_size.iter().map(|candidate| candidate.assistant.clone()));
        names.push(choice.teacher.clone());
        let sizes: Vec<Option<&PathReport>> = names.iter().map(|name| alone(name)).collect();
        let line = choice.line.map(|line| Guide {
            label: format!("the mean of {} and {}", choice.student, choice.teacher),
            value: 100.0 * line,
        });
        let figure = LineFigure {
            title: format!("{}: every size alone", cell.name),
            description: in_words(&sizes),
            x_label: "network".to_owned(),
            y_label: format!("{ACCURACY}, alone"),
            names,
            series: ours_and_papers(cell, "alone", &sizes),
            guides: line.into_iter().collect(),
        };
        let caption = format!(
            "Every size alone, in the form of Figure 4 of arXiv 1902.03393: its heuristic takes the assistant that is nearest to the line.{}",
            bars(cell)
        );
        drawn.push(Figure::new(
            cell,
            &format!("sizes from {} to {}", choice.teacher, choice.student),
            Drawing::Line(figure),
            caption,
        ));
    }
    drawn
}

/// The paper's Figure 5.
fn graph(cell: &CellReport) -> Figure {
    let students = Student::all(cell);
    let mut columns: Vec<PathColumn> = Vec::new();
    let mut stages: Vec<Vec<&[Vec<String>]>> = Vec::new();
    for student in &students {
        // Those from one oval stand together; NoKD is in the last row.
        let mut paths: Vec<&PathReport> = student.taught();
        let place_of = |of: &[Vec<String>]| {
            stages.iter().enumerate().find_map(|(column, nodes)| {
                let node = nodes.iter().position(|known| *known == of)?;
                Some(NodePlace { column, node })
            })
        };
        let teacher = |path: &PathReport| place_of(&path.stages[..path.stages.len() - 1]);
        paths.sort_by_key(|path| teacher(path).map(|at| (at.column, at.node)));
        paths.extend(student.alone);
        let mean = |path: &PathReport| path.test_accuracy.map(|summary| summary.mean);
        let runs: Vec<&[RunReport]> = paths.iter().map(|path| path.runs.as_slice()).collect();
        let best = best(&runs).filter(|_| paths.len() > 1);
        let nodes = paths.iter().enumerate().map(|(place, path)| PathNode {
            path: path.path.clone(),
            value: mean(path).map_or_else(|| "–".to_owned(), percent),
            kind: match path.stages.len() {
                0 | 1 => PathKind::Alone,
                2 => PathKind::Direct,
                _ => PathKind::Assisted,
            },
            best: best == Some(place),
            taught_by: if path.stages.len() > 1 { teacher(path) } else { None },
            link: link(path),
        });
        columns.push(PathColumn { name: paths[0].student().join(" + "), nodes: nodes.collect() });
        stages.push(paths.iter().map(|path| path.stages.as_slice()).collect());
    }
    let all: Vec<Option<&PathReport>> = cell.paths.iter().map(Some).collect();
    let figure = PathGraph { title: format!("{}: every path", cell.name), description: in_words(&all), columns };
    let caption = "Every path, in the form of Figure 5 of arXiv 1902.03393: mean test accuracy in %, an arrow from each teacher to what it teaches.";
    Figure::new(cell, "paths", Drawing::Paths(figure), caption.to_owned())
}

/// What the paper leaves open: the best path for a given cost.
fn front(cell: &CellReport) -> Figure {
    let students = Student::all(cell);
    let on_front: Vec<&str> = cell.front().iter().map(|path| path.path.as_str()).collect();
    let paths: Vec<&PathReport> = students.last().map(|student| student.paths().collect()).unwrap_or_default();
    let short = |path: &PathReport| {
        let stages: Vec<String> = path.stages.iter().map(|networks| networks.join(" + ")).collect();
        stages.join(" → ")
    };
    // Logits alone cost nothing, which has no place on a logarithmic axis.
    let points = paths.iter().filter(|path| path.path_multiply_adds > 0.0).filter_map(|path| {
        Some(Costed {
            name: short(path),
            cost: path.path_multiply_adds,
            gives: point(path.test_accuracy)?,
            on_front: on_front.contains(&path.path.as_str()),
            link: link(path),
        })
    });
    let all: Vec<Option<&PathReport>> = paths.iter().map(|path| Some(*path)).collect();
    let figure = ScatterFigure {
        title: format!("{}: cost and accuracy of each path", cell.name),
        description: in_words(&all),
        x_label: "multiply-adds of all runs of the path, for one seed".to_owned(),
        y_label: ACCURACY.to_owned(),
        points: points.collect(),
    };
    let caption = format!(
        "What each path to the smallest student takes and gives; the line is the best for at most that cost.{}",
        bars(cell)
    );
    Figure::new(cell, "cost", Drawing::Scatter(figure), caption)
}

/// `plane2 70.16 %; plane10 → plane2 72.57 %`.
fn in_words(paths: &[Option<&PathReport>]) -> String {
    let words = paths.iter().flatten().map(|path| {
        let value =
            path.test_accuracy.map_or_else(|| "no result".to_owned(), |summary| format!("{} %", percent(summary.mean)));
        format!("{} {value}", path.path)
    });
    words.collect::<Vec<_>>().join("; ")
}

/// The paper's Figure 7: the first seed's network of each path, all in the same colours.
fn landscapes(cell: &CellReport) -> Vec<Figure> {
    let first = |of: &PathLandscape| of.seeds.first().cloned();
    let logarithm = |landscape: &Landscape| -> Vec<Option<f64>> {
        landscape.losses.iter().map(|loss| loss.filter(|loss| *loss > 0.0).map(f64::log10)).collect()
    };
    let all = cell.landscapes.iter().filter_map(first).flat_map(|seed| logarithm(&seed.landscape)).flatten();
    let (low, high) =
        all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| (low.min(value), high.max(value)));
    let figure = |of: &PathLandscape| {
        let seed = first(of)?;
        let steps: Vec<String> = seed.landscape.plane.steps().iter().map(|step| format!("{step:.2}")).collect();
        let figure = HeatMap {
            title: format!("{}: the loss around {}", cell.name, of.path),
            description: format!(
                "Logarithm of the loss on a plane around {}; at the network itself the loss is {:.3}",
                of.path,
                seed.landscape.center().unwrap_or(f64::NAN)
            ),
            x_label: "first direction, in lengths of the weights".to_owned(),
            y_label: "second direction".to_owned(),
            value_label: "log10 of the loss".to_owned(),
            columns: steps.clone(),
            rows: steps,
            values: logarithm(&seed.landscape),
            colours: Some(Bar { low, high }),
            numbers: false,
        };
        let caption =
            format!("The loss around {}, seed {}, in the form of Figure 7 of arXiv 1902.03393.", of.path, seed.seed);
        Some(Figure::new(cell, &format!("landscape of {}", of.path), Drawing::Map(figure), caption))
    };
    cell.landscapes.iter().filter_map(figure).collect()
}

/// The most curves that one figure holds.
const MOST_CURVES: usize = 12;

fn curves_of(cell: &CellReport, runs: &Runs) -> Option<Figure> {
    let wanted: Vec<&PathReport> = cell.paths.iter().filter(|path| path.requested).collect();
    let curves = wanted
        .iter()
        .take(MOST_CURVES)
        .map(|path| Curve { name: joined(&path.stages).replace(GLUE, " "), points: curve(path, runs) });
    let curves: Vec<Curve> = curves.filter(|curve| curve.points.len() > 1).collect();
    if curves.is_empty() {
        return None;
    }
    let more = match wanted.len().saturating_sub(MOST_CURVES) {
        0 => String::new(),
        more => format!(" {more} more paths are not drawn."),
    };
    let figure = CurveFigure {
        title: format!("{}: learning curves", cell.name),
        description: format!(
            "Accuracy over the epochs of {}",
            curves.iter().map(|curve| curve.name.as_str()).collect::<Vec<_>>().join(", ")
        ),
        x_label: "epoch".to_owned(),
        y_label: "accuracy, %".to_owned(),
        curves,
    };
    let caption = format!(
        "Accuracy on the held-out images (or, where there are none, on the test images), mean over the seeds that are finished.{more}"
    );
    Some(Figure::new(cell, "learning curves", Drawing::Curves(figure), caption))
}

/// The mean over the seeds that are finished.
fn curve(path: &PathReport, runs: &Runs) -> Vec<CurvePoint> {
    let mut sums: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
    let finished = path.runs.iter().filter(|run| run.state.measurements().is_some());
    let mut read = 0;
    for run in finished {
        let Ok(records) = runs.records(&run.run) else { continue };
        let mut epochs = records.iter().filter_map(|record| match record {
            Record::Epoch(epoch) => Some((epoch.epoch, epoch.held_out.or(epoch.test)?.accuracy)),
            Record::Step(_) => None,
        });
        let first = epochs.next();
        read += usize::from(first.is_some());
        for (epoch, accuracy) in first.into_iter().chain(epochs) {
            let (sum, count) = sums.entry(epoch).or_default();
            (*sum, *count) = (*sum + accuracy, *count + 1);
        }
    }
    let of_all = sums.into_iter().filter(|(_, (_, count))| *count == read);
    of_all.map(|(epoch, (sum, count))| CurvePoint { x: epoch as f64, y: 100.0 * sum / count as f64 }).collect()
}

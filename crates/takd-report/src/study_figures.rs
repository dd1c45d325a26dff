//! The figures of a search: its trials in their order, and the map of two settings.

use crate::figure::{Drawing, Figure};
use crate::report::CellReport;
use crate::study::{StudyReport, TrialReport};
use takd_figures::{Curve, CurveFigure, CurvePoint, HeatMap};
use takd_grid::study::Value;

/// More columns or rows than these are no map.
const MOST_PLACES: usize = 40;

pub(crate) fn of(cell: &CellReport) -> Vec<Figure> {
    cell.studies.iter().flat_map(|study| history(cell, study).into_iter().chain(map(cell, study))).collect()
}

/// A score as it is drawn: accuracies in percent.
fn drawn(study: &StudyReport, score: f64) -> f64 {
    if is_loss(study) { score } else { 100.0 * score }
}

fn is_loss(study: &StudyReport) -> bool {
    study.judged_by.ends_with("loss")
}

fn unit(study: &StudyReport) -> String {
    format!("{}{}", study.judged_by, if is_loss(study) { ", nats" } else { ", %" })
}

/// The score of each trial where it ended, and the best whole one so far.
fn history(cell: &CellReport, study: &StudyReport) -> Option<Figure> {
    let ended: Vec<(&TrialReport, f64)> =
        study.trials.iter().filter_map(|trial| Some((trial, drawn(study, trial.score()?)))).collect();
    if ended.len() < 2 {
        return None;
    }
    let point = |trial: &TrialReport, y: f64| CurvePoint { x: trial.number as f64, y };
    let mut best = Vec::new();
    for (trial, score) in ended.iter().filter(|(trial, _)| trial.scores.len() == study.rungs.len()) {
        let so_far = best.last().map_or(
            *score,
            |last: &CurvePoint| {
                if is_loss(study) { score.min(last.y) } else { score.max(last.y) }
            },
        );
        best.push(point(trial, so_far));
    }
    let curves = vec![
        Curve {
            name: "where the trial ended".to_owned(),
            points: ended.iter().map(|(trial, y)| point(trial, *y)).collect(),
        },
        Curve { name: "best whole trial so far".to_owned(), points: best },
    ];
    let figure = CurveFigure {
        title: format!("{}: trials of {}", cell.name, study.path),
        description: format!("The {} of each trial, and the best so far", study.judged_by),
        x_label: "trial".to_owned(),
        y_label: unit(study),
        curves: curves.into_iter().filter(|curve| curve.points.len() > 1).collect(),
    };
    let caption = format!(
        "The {} trials of {}: where each ended, after {} epochs, and the best of those that were trained to the end.",
        study.trials.len(),
        study.path,
        study.rungs.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")
    );
    Some(Figure::new(cell, &format!("trials of {}", study.path), Drawing::Curves(figure), caption))
}

/// The scores at the first rung over the first two settings; of several trials of a place the best.
fn map(cell: &CellReport, study: &StudyReport) -> Option<Figure> {
    let first = study.trials.first()?;
    let [across, down] = first.values.get(..2)? else { return None };
    let (across, down) = (across.setting, down.setting);
    let values = |setting| {
        let mut values: Vec<&Value> = Vec::new();
        for value in study.trials.iter().filter_map(|trial| trial.value(setting)) {
            if !values.contains(&value) {
                values.push(value);
            }
        }
        let number = |value: &Value| if let Value::Number(number) = value { *number } else { 0.0 };
        values.sort_by(|a, b| number(a).total_cmp(&number(b)));
        values
    };
    let (columns, rows) = (values(across), values(down));
    // A place for each trial is no map either.
    if columns.len() < 2 || rows.len() < 2 || columns.len().max(rows.len()) > MOST_PLACES {
        return None;
    }
    let at = |column: &Value, row: &Value| {
        let here =
            study.trials.iter().filter(|trial| trial.value(across) == Some(column) && trial.value(down) == Some(row));
        let scores = here.filter_map(|trial| trial.scores.first().copied().flatten()).map(|score| drawn(study, score));
        scores.reduce(|a, b| if is_loss(study) { a.min(b) } else { a.max(b) })
    };
    let cells: Vec<Option<f64>> =
        rows.iter().flat_map(|row| columns.iter().map(|column| at(column, row)).collect::<Vec<_>>()).collect();
    let figure = HeatMap {
        title: format!("{}: {} and {} of {}", cell.name, across.symbol(), down.symbol(), study.path),
        description: format!("The {} of the trials after {} epochs", study.judged_by, study.rungs[0]),
        x_label: across.symbol().to_owned(),
        y_label: down.symbol().to_owned(),
        value_label: unit(study),
        columns: columns.iter().map(ToString::to_string).collect(),
        rows: rows.iter().map(ToString::to_string).collect(),
        values: cells,
        colours: None,
        numbers: columns.len() <= 8,
    };
    let best = study.best().map_or_else(String::new, |best| format!(" The best at the end: {}.", best.point()));
    let caption = format!(
        "Where the trials of {} were, and their {} after {} epochs, where all can be compared.{best}",
        study.path, study.judged_by, study.rungs[0]
    );
    Some(Figure::new(cell, &format!("map of {}", study.path), Drawing::Map(figure), caption))
}

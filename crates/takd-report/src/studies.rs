//! From the trials of a plan to the searches of a report, and what is said of them.

use crate::columns;
use crate::number::{GLUE, dash, duration, percent, signed};
use crate::report::{CellReport, Report};
use crate::run::RunState;
use crate::study::{Importance, SettingValue, StudyReport, TrialReport, TrialState};
use crate::table::{Column, Section};
use takd_grid::study::{Objective, Search, Setting, Value};
use takd_grid::{PlannedStudy, PlannedTrial};
use takd_store::RunId;

/// The search of a plan, with how each of its runs ended.
pub(crate) fn of<'a>(
    study: &PlannedStudy,
    search: &Search,
    state: impl Fn(&RunId) -> Option<&'a RunState>,
) -> StudyReport {
    let measured = |id: &RunId| state(id)?.measurements();
    let first = study.trials.iter().flat_map(|trial| trial.runs.iter().flatten()).find_map(measured);
    let as_published = first.is_some_and(|run| run.held_out_accuracy.is_none());
    let trials: Vec<TrialReport> =
        study.trials.iter().enumerate().map(|(place, trial)| trial_report(place + 1, trial, search, study)).collect();
    let seeds = search.seeds.len().max(1);
    let reached = |trial: &TrialReport| trial.scores.len().checked_sub(1).map_or(0, |rung| study.rungs[rung]);
    // A run goes on from the one of its rung before, and its time includes that one's.
    let last = |trial: &PlannedTrial| -> f64 {
        let runs = trial.runs.iter().rev().find(|runs| runs.iter().all(|run| measured(run).is_some()));
        runs.map_or(0.0, |runs| runs.iter().filter_map(measured).map(|run| run.seconds).sum())
    };
    StudyReport {
        path: study.path.to_string(),
        judged_by: match (as_published, search.objective) {
            (false, Objective::Accuracy) => "held-out accuracy",
            (false, Objective::Loss) => "held-out loss",
            (true, Objective::Accuracy) => "test accuracy",
            (true, Objective::Loss) => "test loss",
        },
        as_published,
        size: study.size,
        rungs: study.rungs.clone(),
        ended: study.ended,
        winner: study.winner.map(|number| number + 1),
        importances: importances(study),
        epochs: seeds * trials.iter().map(reached).sum::<usize>(),
        epochs_of_whole_trials: seeds * study.rungs.last().unwrap_or(&0) * trials.len(),
        seconds: study.trials.iter().map(last).sum(),
        trials,
    }
}

fn trial_report(number: usize, trial: &PlannedTrial, search: &Search, study: &PlannedStudy) -> TrialReport {
    let diverged = trial.scores.last() == Some(&f64::NEG_INFINITY);
    let score = |score: &f64| match search.objective {
        _ if *score == f64::NEG_INFINITY => None,
        Objective::Accuracy => Some(*score),
        Objective::Loss => Some(-score),
    };
    TrialReport {
        number,
        values: trial
            .point
            .values()
            .iter()
            .map(|(setting, value)| SettingValue { setting: *setting, value: value.clone() })
            .collect(),
        scores: trial.scores.iter().map(score).collect(),
        state: match trial.ended {
            _ if diverged => TrialState::Diverged,
            false => TrialState::Running,
            true if trial.scores.len() == study.rungs.len() => TrialState::Whole,
            true => TrialState::Early,
        },
        runs: trial.runs.clone(),
    }
}

/// So many groups have the values of a range, each as many trials as the others.
const GROUPS: usize = 4;

/// ω² of each setting: (SSB − (k − 1)·MSW) / (SST + MSW), at least 0, over the trials' scores at the first rung, where all of them were;
/// k groups of equal values, or quarters of them where there are many.
fn importances(study: &PlannedStudy) -> Vec<Importance> {
    let scored: Vec<(&PlannedTrial, f64)> = study
        .trials
        .iter()
        .filter_map(|trial| Some((trial, *trial.scores.first()?)))
        .filter(|(_, score)| score.is_finite())
        .collect();
    let settings = scored.first().map_or(&[][..], |(trial, _)| trial.point.values());
    settings
        .iter()
        .filter_map(|(setting, _)| Some(Importance { setting: *setting, share: share_explained(*setting, &scored)? }))
        .collect()
}

fn share_explained(setting: Setting, scored: &[(&PlannedTrial, f64)]) -> Option<f64> {
    let value = |trial: &PlannedTrial| trial.point.get(setting).cloned();
    let mut groups: Vec<(Option<Value>, Vec<f64>)> = Vec::new();
    for (trial, score) in scored {
        match groups.iter_mut().find(|(known, _)| *known == value(trial)) {
            Some((_, scores)) => scores.push(*score),
            None => groups.push((value(trial), vec![*score])),
        }
    }
    let mut groups: Vec<Vec<f64>> = if 2 * groups.len() > scored.len() {
        let mut ordered: Vec<(f64, f64)> =
            scored.iter().filter_map(|(trial, score)| Some((trial.point.number(setting)?, *score))).collect();
        ordered.sort_by(|a, b| a.0.total_cmp(&b.0));
        let size = ordered.len().div_ceil(GROUPS).max(1);
        ordered.chunks(size).map(|chunk| chunk.iter().map(|(_, score)| *score).collect()).collect()
    } else {
        groups.into_iter().map(|(_, scores)| scores).collect()
    };
    groups.retain(|group| !group.is_empty());
    let (n, k) = (groups.iter().map(Vec::len).sum::<usize>(), groups.len());
    if k < 2 || n <= k {
        return None;
    }
    let mean = |scores: &[f64]| scores.iter().sum::<f64>() / scores.len() as f64;
    let all: Vec<f64> = groups.concat();
    let squares = |scores: &[f64], around: f64| scores.iter().map(|score| (score - around).powi(2)).sum::<f64>();
    let total = squares(&all, mean(&all));
    let within: f64 = groups.iter().map(|group| squares(group, mean(group))).sum();
    let error = within / (n - k) as f64;
    (total > 0.0).then(|| ((total - within - (k - 1) as f64 * error) / (total + error)).max(0.0))
}

/// A score as people read it.
pub(crate) fn score(study: &StudyReport, score: Option<f64>) -> String {
    match score {
        None => dash(),
        Some(score) if study.judged_by.ends_with("loss") => format!("{score:.4}"),
        Some(score) => format!("{}{GLUE}%", percent(score)),
    }
}

/// What each search has found, and what it took.
pub(crate) fn section(report: &Report) -> Option<Section> {
    let titles = [
        Column::text("path"),
        Column::text("found"),
        Column::number("judged at"),
        Column::number("afresh, %"),
        Column::number("trials"),
        Column::number("ended early"),
        Column::number("epochs"),
        Column::number("of whole trials'"),
        Column::text("explains most"),
        Column::number("time"),
    ];
    let mut table = columns::table(report, titles);
    for cell in &report.cells {
        for study in &cell.studies {
            let ended = study.trials.iter().filter(|trial| trial.state != TrialState::Running).count();
            let trials = if study.ended { study.size.to_string() } else { format!("{ended} of {}", study.size) };
            let best = study.best();
            let found = match best {
                Some(best) => best.point(),
                None if study.ended => "nothing: all diverged".to_owned(),
                None => "not ended".to_owned(),
            };
            let afresh = cell.named(&study.path).and_then(|path| path.test_accuracy);
            let most = study.importances.iter().max_by(|a, b| a.share.total_cmp(&b.share));
            let row = [
                study.path.clone().into(),
                found.into(),
                score(study, best.and_then(TrialReport::score)).into(),
                afresh.map_or_else(dash, |summary| crate::number::mean(&summary, cell.seeds.len())).into(),
                trials.into(),
                study.early().to_string().into(),
                study.epochs.to_string().into(),
                format!("{:.0}{GLUE}%", 100.0 * study.epochs as f64 / study.epochs_of_whole_trials.max(1) as f64)
                    .into(),
                most.map_or_else(dash, |most| format!("{} {:.2}", most.setting.symbol(), most.share)).into(),
                duration(study.seconds).into(),
            ];
            columns::add(&mut table, report, &cell.name, row);
        }
    }
    let leave_out = ["time", "explains most", "ended early", "of whole trials'", "epochs", "afresh, %"];
    (!table.rows.is_empty()).then(|| Section::new("What was found by trials", table, &leave_out))
}

/// Where the test images chose: how much of what they show is choosing.
pub(crate) fn finding(cell: &CellReport, study: &StudyReport) -> Option<String> {
    let best = study.best()?;
    let shown = score(study, best.score()).replace(GLUE, " ");
    if !study.as_published {
        return Some(format!(
            "{}: {} is the best of {} trials by {}, {shown}.",
            study.path,
            best.point(),
            study.size,
            study.judged_by
        ));
    }
    let mut text = format!(
        "{}: as published, the best of {} trials on the test images themselves ({}) shows {shown}",
        study.path,
        study.size,
        best.point()
    );
    if let (Some(score), Some(fresh)) = (best.score(), cell.named(&study.path).and_then(|path| path.test_accuracy))
        && study.judged_by == "test accuracy"
    {
        text += &format!(
            "; the same settings on seeds that were not searched show {} %: choosing gave {} points",
            percent(fresh.mean),
            signed(score - fresh.mean)
        );
    }
    Some(text + ".")
}

/// How a search was made, for the legend.
pub(crate) fn legend(search: &Search, cell: &CellReport) -> String {
    let settings: Vec<&str> = search.space.dimensions().iter().map(|dimension| dimension.setting().symbol()).collect();
    let as_published = cell.studies.iter().any(|study| study.as_published);
    let judged = if as_published {
        "judged by the test images at the best epoch, as in the published code, which flatters what is judged"
            .to_owned()
    } else {
        format!(
            "judged by the held-out images, on {} that the experiment does not have",
            crate::number::seeds(&search.seeds)
        )
    };
    let pruning = match search.pruning.as_str() {
        "none" => "none ends early".to_owned(),
        pruning => format!("ended early by \"{pruning}\""),
    };
    format!(
        "Searched: {}, for each step by itself, by trials of \"{}\" in windows of {}, {pruning}, {judged}. The best of a step is trained \
         afresh on the experiment's seeds, and figures of paths are of those alone. Explains most: ω², the share of the variance \
         of the trials' scores at their first rung.",
        settings.join(", "),
        search.sampler.as_str(),
        search.window,
    )
}

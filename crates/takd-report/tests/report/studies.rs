//! Searches in reports, of made-up runs whose best is known.

use crate::common::{World, card};
use std::collections::{BTreeMap, HashMap};
use takd_datasets::Known;
use takd_distill::{Evaluation, RunConfig, RunResult};
use takd_grid::study::{Setting, Value};
use takd_grid::{Changes, Plan};
use takd_report::{Style, TrialState};
use takd_store::Ending;

const RECIPE: &str = r#"
title = "Found"

[defaults]
epochs = 9
seeds = [1, 2]

[[cell]]
name = "plain"
data = "cifar10"
paths = ["plane10 -> plane2", "plane10 -> plane4 -> plane2"]

[search]
trials = 24

[search.space]
lambda = { from = 0.05, to = 1.0, step = 0.05 }
temperature = [1, 2, 5, 10, 15, 20]
"#;

/// λ = 0.35 is best, τ says nothing, seeds differ a little, and more epochs are better.
fn accuracy(config: &RunConfig) -> f64 {
    let lambda = config.distillation.as_ref().map_or(0.35, |kd| kd.lambda);
    let seed = (config.seed % 7) as f64 / 100.0;
    0.6 - 0.2 * (lambda - 0.35).abs() + seed + 0.01 * config.training.epochs as f64
}

fn result(config: &RunConfig) -> RunResult {
    let images =
        |accuracy| Evaluation { loss: 1.0, accuracy, top5_accuracy: 0.95, calibration_error: 0.05, images: 10_000 };
    let held_out = config.training.held_out(50_000) > 0;
    RunResult {
        epoch: config.training.epochs,
        test: Some(images(accuracy(config))),
        held_out: held_out.then(|| images(accuracy(config) + 0.01)),
        teachers: None,
        parameters: 1,
        seconds: 2.0 * config.training.epochs as f64,
    }
}

/// Ends every run that has a name, so many times, or until none is left.
fn go_on(world: &mut World, times: usize) {
    let cards: BTreeMap<_, _> = [Known::Cifar10].map(|known| (known.into(), card(known.into()))).into();
    let mut ended = HashMap::new();
    for _ in 0..times {
        let left: Vec<_> = world.plan.runs.iter().filter(|run| !ended.contains_key(&run.id)).collect();
        if left.is_empty() {
            break;
        }
        for run in left {
            let ending = Ending::Finished(result(&run.config));
            world.end(&run.id, &ending);
            ended.insert(run.id.clone(), ending);
        }
        world.plan = Plan::new(&world.experiment, &cards, &|id| ended.get(id).cloned()).unwrap();
    }
}

#[test]
fn search_is_reported_with_what_it_found_what_matters_and_what_it_saved() {
    let mut world = World::new(RECIPE, &Changes::default());
    go_on(&mut world, 1);
    let begun = world.report();
    let text = begun.to_text(None, Style::Plain);
    assert!(text.contains("Not found yet: 2 of 2 paths wait for searches that have not ended"), "{text}");
    let stem = begun.file_stem().to_owned();
    go_on(&mut world, usize::MAX);
    let report = world.report();
    assert_eq!(report.file_stem(), stem, "the same experiment, more of it ended");
    let paths: Vec<&str> = report.cells[0].studies.iter().map(|study| study.path.as_str()).collect();
    assert_eq!(paths, ["plane10 → plane2", "plane10 → plane4", "plane10 → plane4 → plane2"]);
    for study in &report.cells[0].studies {
        let best = study.best().unwrap();
        let Some(Value::Number(lambda)) = best.value(Setting::Lambda) else { panic!("{best:?}") };
        assert!((lambda - 0.35).abs() < 0.11, "λ = {lambda}");
        assert_eq!(best.state, TrialState::Whole);
        let [lambda, temperature] = study.importances.as_slice() else { panic!("{:?}", study.importances) };
        assert!(lambda.share > 0.5 && temperature.share < lambda.share, "{:?}", study.importances);
        // Of eight three go on to the second rung, and one to the last; a third of the trials twice that.
        assert_eq!((study.rungs.as_slice(), study.epochs, study.epochs_of_whole_trials), (&[1, 3, 9][..], 60, 216));
        assert_eq!((study.early(), study.seconds), (21, 120.0));
    }
    let text = report.to_text(None, Style::Plain);
    assert!(text.contains("is the best of 24 trials by held-out accuracy"), "{text}");
    let names: Vec<String> = report.figures().into_iter().map(|figure| figure.name).collect();
    assert!(names.contains(&"plain-trials-of-plane10-plane2".to_owned()), "{names:?}");
    assert!(names.contains(&"plain-map-of-plane10-plane2".to_owned()), "{names:?}");
    let page = report.to_html(&world.runs);
    assert!(page.contains("Trials of plane10 → plane4 → plane2"));
    let run = &report.cells[0].studies[0].trials[0].runs.last().unwrap()[0];
    assert!(page.contains(run.as_str()), "{run} is not on the page");
}

/// As the paper chose: by the test images, and the seed is among what is searched.
#[test]
fn where_the_test_images_chose_it_is_told_what_choosing_gave() {
    let recipe =
        RECIPE.replace("epochs = 9", "epochs = 9\nprotocol = \"code\"").replace("trials = 24", "pruning = \"none\"");
    let recipe = recipe.replace("[1, 2, 5, 10, 15, 20]", "[5]\nseed = [20, 31, 55]");
    let mut world = World::new(&recipe, &Changes::default());
    go_on(&mut world, usize::MAX);
    let report = world.report();
    let alone = &report.cells[0].studies[0];
    assert_eq!((alone.path.as_str(), alone.judged_by, alone.as_published), ("plane10", "test accuracy", true));
    // 20, 31 and 55 are 6, 3 and 6 more than a multiple of seven; the earlier trial of equals wins. Fresh ones are 1 and 2.
    assert_eq!(alone.best().unwrap().score(), Some(0.6 + 0.06 + 0.09));
    let findings = report.findings.join("\n");
    assert!(
        findings.contains("plane10: as published, the best of 3 trials on the test images themselves"),
        "{findings}"
    );
    assert!(findings.contains("show 70.50 %: choosing gave +4.50 points"), "{findings}");
}

//! Searches for the settings of the steps of paths, trained for real on few images.

use crate::common::{cards, data, runs, sessions};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::ops::ControlFlow;
use takd_distill::{DeviceType, Error, Retry, Runs};
use takd_grid::recipe::Recipe;
use takd_grid::{Changes, Experiment, ExperimentError, Outcome, Plan, PlanEvent, PlannedStudy, execute_growing};
use takd_rng::stream;
use takd_store::{Ending, RunId};

const RECIPE: &str = r#"
title = "Which λ and τ?"

[defaults]
seeds = [20, 31]
epochs = 4

[[cell]]
name = "plain"
data = "shapes10"
paths = ["plane4 -> plane2", "plane6 -> plane4 -> plane2", "plane6 -> plane4"]

[search]
trials = 5
window = 3
epochs = 3
seeds = [7]

[search.space]
lambda = { from = 0.25, to = 1.0, step = 0.25 }
temperature = [1, 5, 20]
"#;

fn experiment(recipe: &str) -> Result<Experiment, ExperimentError> {
    let recipe = Recipe::parse(recipe, "test.toml").map_err(|error| ExperimentError::Recipe(Box::new(error)))?;
    Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu)
}

fn plan(experiment: &Experiment, outcomes: &HashMap<RunId, Outcome>) -> Plan {
    let ended = |id: &RunId| {
        outcomes.get(id).map(|outcome| match outcome {
            Outcome::Finished(result) => Ending::Finished(result.clone()),
            _ => Ending::Failed(String::new()),
        })
    };
    Plan::new(experiment, &cards(), &ended).unwrap()
}

/// Executes the experiment with so many jobs until it is stopped after so many events, if at all.
fn run(experiment: &Experiment, runs: &Runs, jobs: usize, mut events: usize) -> Result<Plan, Error> {
    let mut grow = |outcomes: &HashMap<RunId, Outcome>| Ok(Some(plan(experiment, outcomes)));
    let begin = plan(experiment, &HashMap::new());
    let observer = &mut |index: usize, _: &_, event: PlanEvent<'_>| {
        events = events.saturating_sub(1);
        assert!(!matches!(event, PlanEvent::Grown(plan) if plan.runs.len() <= index));
        if events == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (sessions, data) = (sessions(jobs, Retry::Never), data());
    execute_growing(begin, &mut grow, &data, runs, &sessions, observer).map(|(plan, _)| plan)
}

/// The ids of the runs in the folder.
fn ids(runs: &Runs) -> BTreeSet<String> {
    runs.ids().unwrap().into_iter().map(|id| id.to_string()).collect()
}

fn all_studies(plan: &Plan) -> Vec<PlannedStudy> {
    plan.cells.iter().flat_map(|cell| cell.studies.clone()).collect()
}

#[test]
fn study_broken_off_at_random_moments_ends_with_the_same_trials_runs_and_winners() {
    use rand::RngExt;
    let experiment = experiment(RECIPE).unwrap();
    let (_folder, whole) = runs();
    let at_once = run(&experiment, &whole, 1, usize::MAX).unwrap();
    let studies = all_studies(&at_once);
    let paths: Vec<String> = studies.iter().map(|study| study.path.to_string()).collect();
    // Each step once, whichever paths share it.
    assert_eq!(paths, ["plane4 → plane2", "plane6 → plane4", "plane6 → plane4 → plane2"]);
    assert!(studies.iter().all(|study| study.ended && study.trials.len() == 5 && study.winner.is_some()));
    assert_eq!(studies[0].rungs, [1, 3]);
    // Of three the best goes on, then of two.
    let whole_trials = |study: &PlannedStudy| study.trials.iter().filter(|trial| trial.scores.len() == 2).count();
    assert_eq!(studies.iter().map(whole_trials).collect::<Vec<_>>(), [2, 2, 2]);
    let (_folder, broken) = runs();
    let (jobs, mut stopped, mut rng) = (3, 0, stream(3, "moments"));
    for _ in 0..10 {
        // Few, so that the last of the ten still stops it in its midst.
        match run(&experiment, &broken, jobs, rng.random_range(1..40)) {
            Err(Error::Stopped) => stopped += 1,
            Ok(_) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(stopped >= 5, "stopped {stopped} times");
    let plan = run(&experiment, &broken, jobs, usize::MAX).unwrap();
    assert_eq!(all_studies(&plan), studies);
    assert_eq!(ids(&broken), ids(&whole));
    for run in &plan.runs {
        let model = |runs: &Runs| fs::read(runs.dir(&run.id).join("model.safetensors")).unwrap();
        assert!(model(&broken) == model(&whole), "{}", run.name());
    }
}

#[test]
fn winner_is_trained_afresh_on_the_experiments_seeds_and_teaches_its_own_students() {
    let experiment = experiment(RECIPE).unwrap();
    let (_folder, runs) = runs();
    let plan = run(&experiment, &runs, 2, usize::MAX).unwrap();
    let cell = &plan.cells[0];
    let winner = |path: &str| {
        let study = cell.studies.iter().find(|study| study.path.to_string() == path).unwrap();
        study.trials[study.winner.unwrap()].point.to_string()
    };
    let planned = cell.paths.iter().find(|planned| planned.path.to_string() == "plane6 → plane4 → plane2").unwrap();
    assert_eq!(planned.runs.iter().map(|run| run.seed).collect::<Vec<_>>(), [20, 31]);
    for seed_run in &planned.runs {
        let student = &plan.run(&seed_run.run).unwrap().config;
        let assistant = &plan.run(&student.teachers()[0]).unwrap().config;
        for (run, path) in [(student, "plane6 → plane4 → plane2"), (assistant, "plane6 → plane4")] {
            let teaching = run.distillation.as_ref().unwrap();
            assert_eq!(format!("λ {}, τ {}", teaching.lambda, teaching.temperature), winner(path));
            assert_eq!((run.seed, run.training.epochs), (seed_run.seed, 4));
        }
    }
    // Trials have the search's own seed and epochs, and teachers of that seed in full.
    let study = &cell.studies[2];
    for (trial, runs) in study.trials.iter().flat_map(|trial| trial.runs.iter().enumerate()) {
        let config = &plan.run(&runs[0]).unwrap().config;
        let teacher = &plan.run(&config.teachers()[0]).unwrap().config;
        assert_eq!((config.seed, config.training.epochs), (7, [1, 3][trial]));
        assert_eq!((teacher.seed, teacher.training.epochs), (7, 4));
    }
}

#[test]
fn published_way_searches_the_seed_too_and_goes_on_with_the_winner() {
    let published =
        RECIPE.replace("epochs = 4", "epochs = 2\nprotocol = \"code\"").replace("seeds = [20, 31]", "seeds = [1]");
    let published = published.replace("epochs = 3\nseeds = [7]", "pruning = \"none\"\nseeds = []");
    // A list of seeds has one at least.
    assert!(experiment(&published).unwrap_err().to_string().contains("there is no seed"));
    let published = published.replace("seeds = []\n", "").replace("[1, 5, 20]", "[1, 5, 20]\nseed = [20, 31, 55]");
    let experiment = experiment(&published).unwrap();
    let (_folder, runs) = runs();
    let plan = run(&experiment, &runs, 2, usize::MAX).unwrap();
    let studies = &plan.cells[0].studies;
    let paths: Vec<(String, usize)> =
        studies.iter().map(|study| (study.path.to_string(), study.trials.len())).collect();
    let expected = [("plane4", 3), ("plane4 → plane2", 5), ("plane6", 3), ("plane6 → plane4", 5)];
    assert_eq!(paths[..4], expected.map(|(path, trials)| (path.to_owned(), trials)));
    let winner = |study: &PlannedStudy| study.trials[study.winner.unwrap()].runs.last().unwrap()[0].clone();
    // The best of the teacher's seeds teaches every trial.
    for trial in &studies[1].trials {
        assert_eq!(plan.run(&trial.runs[0][0]).unwrap().config.teachers(), [winner(&studies[0])]);
    }
    for trial in &studies[1].trials {
        let Outcome::Finished(result) = Outcome::Finished(runs.finished(&trial.runs[0][0]).unwrap().unwrap()) else {
            unreachable!()
        };
        assert_eq!(trial.scores, [result.test.unwrap().accuracy]);
    }
}

#[test]
fn search_that_nobody_could_trust_is_refused() {
    let refused = |from: &str, to: &str, why: &str| {
        let error = experiment(&RECIPE.replacen(from, to, 1)).unwrap_err().to_string();
        assert!(error.contains(why), "{error}");
    };
    refused("seeds = [20, 31]", "seeds = [7]", "seed 7 is the experiment's too");
    refused("[1, 5, 20]", "[1, 5, 20]\nseed = [20, 55]", "which the protocol `sound` does not have");
    refused("epochs = 4", "epochs = 4\ntraining = { plain = { hold_out = \"nothing\" } }", "no images are held out");
    refused(
        "paths = [",
        "training = { resnet = { hold_out = \"nothing\", pick = \"best-test-epoch\" } }\npaths = [\"resnet8 -> plane2\", ",
        "no images are held out to judge resnet8 by",
    );
    let code = "protocol = \"code\"\ntraining = { plain = { hold_out = \"tenth\" } }\npaths = [\"resnet8 -> plane2\", ";
    refused("paths = [", code, "a teacher must not have seen them");
}

//! Each layout of a report, of made-up runs whose truth is known.

use crate::common::World;
use takd_report::{Report, Style, Verdict};

const SEEDS: [u64; 3] = [20, 31, 55];

/// A recipe of one cell.
fn recipe(layout: &str, paths: &str) -> String {
    format!(
        "title = \"Made up\"\nlayout = \"{layout}\"\n\n[[cell]]\nname = \"plain\"\ndata = \"cifar10\"\nseeds = [20, 31, 55]\n\
         paths = [{paths}]\npaper = {{ \"plane10 -> plane4 -> plane2\" = 73.51 }}\n"
    )
}

/// Each path's mean accuracy in percent; the seeds lie a little above and below it, each path's in another way.
fn world(recipe: &str, accuracies: &[(&str, f64)]) -> World {
    let world = World::with_seeds(recipe, &SEEDS);
    for (place, (path, accuracy)) in accuracies.iter().enumerate() {
        for (step, seed) in SEEDS.into_iter().enumerate() {
            let common = [-0.5, 0.0, 0.5][step];
            let own = ((step * step * 3 + step * place * 7 + place * 5) % 13) as f64 / 60.0 - 0.1;
            world.finish("plain", path, seed, (accuracy + common + own) / 100.0);
        }
    }
    world
}

fn assistants() -> World {
    let paths = "\"{plane2, plane4, plane6, plane8, plane10}\", \"plane10 -> {plane4, plane6, plane8}? -> plane2\"";
    world(
        &recipe("assistants", paths),
        &[
            ("plane2", 70.0),
            ("plane4", 78.0),
            ("plane6", 84.0),
            ("plane8", 88.0),
            ("plane10", 90.0),
            ("plane10 -> plane2", 71.0),
            ("plane10 -> plane4", 79.0),
            ("plane10 -> plane6", 85.0),
            ("plane10 -> plane8", 89.0),
            ("plane10 -> plane4 -> plane2", 72.15),
            ("plane10 -> plane6 -> plane2", 72.0),
            ("plane10 -> plane8 -> plane2", 70.0),
        ],
    )
}

fn text(world: &World, report: &Report) -> String {
    world.numbered(&report.to_text(Some(160), Style::Plain))
}

#[test]
fn assistants_are_compared_and_both_ways_of_choosing_one() {
    let world = assistants();
    let report = world.report();
    let [choice] = report.cells[0].choices.as_slice() else { panic!("{:?}", report.cells[0].choices) };
    // The line is at (70 + 90)/2; plane4 stands 2 points below it, plane6 4 above.
    assert!((choice.line.unwrap() - 0.8).abs() < 0.002);
    assert_eq!(choice.by_heuristic.as_deref(), Some("plane10 → plane4 → plane2"));
    assert_eq!(choice.by_trying.as_deref(), Some("plane10 → plane4 → plane2"));
    // Every size alone, plane4 taught and the student: 7 runs a seed; trying takes the teacher, 3 assistants, 3 students.
    assert_eq!((choice.heuristic_takes.unwrap().runs, choice.trying_takes.runs), (21, 21));
    assert!(choice.trying_takes.multiply_adds > 0.0 && choice.trying_takes.seconds.is_some());

    let verdict = |path: &str, minus: &str, best| {
        let mut found = report.cells[0].comparisons.iter();
        let found = found.find(|found| found.path == path && found.minus == minus && found.best_of_several == best);
        found.unwrap_or_else(|| panic!("{path} - {minus}")).comparison.verdict
    };
    assert_eq!(verdict("plane10 → plane4 → plane2", "plane10 → plane2", false), Verdict::Holds);
    assert_eq!(verdict("plane10 → plane8 → plane2", "plane10 → plane2", false), Verdict::DoesNotHold);
    assert_eq!(verdict("plane10 → plane4 → plane2", "plane10 → plane8 → plane2", true), Verdict::Holds);
    let near = verdict("plane10 → plane4 → plane2", "plane10 → plane6 → plane2", true);
    assert!(matches!(near, Verdict::Undecided { .. }), "{near:?}");
    insta::assert_snapshot!("assistants", text(&world, &report));
    insta::assert_snapshot!("assistants_narrow", world.numbered(&report.to_text(Some(80), Style::Boxes)));
}

#[test]
fn heuristic_that_misses_the_best_says_what_it_loses() {
    let world = assistants();
    for (step, seed) in SEEDS.into_iter().enumerate() {
        world.finish("plain", "plane10 -> plane6 -> plane2", seed, 0.75 + [0.001, 0.004, 0.002][step]);
    }
    let report = world.report();
    let choice = &report.cells[0].choices[0];
    assert_eq!(choice.by_trying.as_deref(), Some("plane10 → plane6 → plane2"));
    let heuristic = report.findings.iter().find(|line| line.contains("heuristic")).unwrap();
    let mut lost = report.cells[0].comparisons.iter().filter(|found| found.best_of_several);
    let lost = lost.find(|found| found.minus == "plane10 → plane4 → plane2").unwrap().comparison.test_accuracy.mean;
    let points = format!("is +{:.2} points", 100.0 * lost);
    assert!(
        heuristic.contains("chooses plane4") && heuristic.replace(" (", " points").contains(&points),
        "{heuristic}"
    );
}

#[test]
fn nothing_is_chosen_before_everything_is_tried() {
    let paths = "\"{plane2, plane4, plane6, plane10}\", \"plane10 -> {plane4, plane6} -> plane2\"";
    let world = world(&recipe("assistants", paths), &[("plane2", 70.0), ("plane10", 90.0), ("plane4", 80.0)]);
    let choice = &world.report().cells[0].choices[0];
    assert_eq!((&choice.by_heuristic, &choice.by_trying, choice.trying_takes.seconds), (&None, &None, None));
}

#[test]
fn teachers_are_laid_out_with_what_they_give() {
    let paths = "\"{plane2, plane4, plane6, plane10}\", \"{plane4, plane6, plane10} -> plane2\"";
    let world = world(
        &recipe("teachers", paths).replace("paper = { \"plane10 -> plane4 -> plane2\" = 73.51 }\n", ""),
        &[
            ("plane2", 70.0),
            ("plane4", 78.0),
            ("plane6", 84.0),
            ("plane10", 90.0),
            ("plane4 -> plane2", 71.0),
            ("plane6 -> plane2", 73.0),
            ("plane10 -> plane2", 71.5),
        ],
    );
    let report = world.report();
    insta::assert_snapshot!("teachers", text(&world, &report));
    let [finding] = report.findings.as_slice() else { panic!("{:?}", report.findings) };
    assert!(
        finding.starts_with("The best teacher for plane2 is plane6")
            && finding.contains("between the smallest and the largest"),
        "{finding}"
    );
}

/// With the largest teachers missing nobody knows whether the student falls again.
#[test]
fn where_the_best_teacher_stands_is_said_only_when_all_have_a_result() {
    let paths = "\"{plane2, plane4, plane6, plane10}\", \"{plane4, plane6, plane10} -> plane2\"";
    let recipe = recipe("teachers", paths).replace("paper = { \"plane10 -> plane4 -> plane2\" = 73.51 }\n", "");
    let mut accuracies = vec![("plane2", 70.0), ("plane4 -> plane2", 71.0), ("plane6 -> plane2", 73.0)];
    let [so_far] = <[String; 1]>::try_from(world(&recipe, &accuracies).report().findings).unwrap();
    assert!(
        so_far.starts_with("The best teacher for plane2 is plane6") && !so_far.contains("By the means"),
        "{so_far}"
    );
    accuracies.push(("plane10 -> plane2", 74.0));
    let [whole] = <[String; 1]>::try_from(world(&recipe, &accuracies).report().findings).unwrap();
    assert!(whole.contains("no teacher is better than the largest"), "{whole}");
}

/// Equal assistants: the same one is the best everywhere, and the heuristic's sentence is there.
#[test]
fn tie_between_assistants_is_broken_in_one_way() {
    let paths = "\"{plane2, plane4, plane6, plane10}\", \"plane10 -> {plane4, plane6} -> plane2\"";
    let world = World::with_seeds(&recipe("assistants", paths), &[31]);
    for (path, accuracy) in [
        ("plane2", 0.70),
        ("plane4", 0.79),
        ("plane6", 0.84),
        ("plane10", 0.90),
        ("plane10 -> plane4 -> plane2", 0.72),
        ("plane10 -> plane6 -> plane2", 0.72),
    ] {
        world.finish("plain", path, 31, accuracy);
    }
    let report = world.report();
    let choice = &report.cells[0].choices[0];
    let best: Vec<_> = report.cells[0].comparisons.iter().filter(|found| found.best_of_several).collect();
    assert_eq!((best.len(), Some(&best[0].path)), (1, choice.by_trying.as_ref()));
    assert!(report.findings.iter().any(|line| line.contains("chooses plane4")), "{:?}", report.findings);
    assert!(report.findings[0].contains("a single seed does not tell"), "{:?}", report.findings);
}

/// An assistant all of whose runs diverged is a row of every table of assistants.
#[test]
fn assistant_that_diverged_is_shown_among_the_others() {
    let paths = "\"{plane2, plane4, plane6, plane10}\", \"plane10 -> {plane4, plane6, plane8} -> plane2\"";
    let world = world(
        &recipe("assistants", paths),
        &[("plane10 -> plane4 -> plane2", 72.0), ("plane10 -> plane6 -> plane2", 71.0)],
    );
    for seed in SEEDS {
        world.diverge("plain", "plane10 -> plane8 -> plane2", seed, "the loss is NaN in epoch 3");
    }
    let text = world.report().to_text(Some(160), Style::Plain);
    let best = text.split("against each other one").nth(1).unwrap();
    let row = best.lines().find(|line| line.starts_with("plane4 ") && line.contains("plane8")).unwrap();
    assert!(row.trim_end().ends_with("diverged"), "{row}");
}

#[test]
fn students_are_laid_out_with_their_gain() {
    let paths = "\"{plane2, plane4, plane8}\", \"plane10 -> {plane2, plane4, plane8}\"";
    let world = world(
        &recipe("students", paths).replace("paper = { \"plane10 -> plane4 -> plane2\" = 73.51 }\n", ""),
        &[
            ("plane2", 70.0),
            ("plane4", 78.0),
            ("plane8", 88.0),
            ("plane10", 90.0),
            ("plane10 -> plane2", 71.0),
            ("plane10 -> plane4", 80.0),
            ("plane10 -> plane8", 88.05),
        ],
    );
    insta::assert_snapshot!("students", text(&world, &world.report()));
}

#[test]
fn graph_names_the_best_path_for_a_given_cost() {
    let world = world(
        &recipe("graph", "\"{plane4, plane2}\", \"plane10 -> plane6? -> plane4? -> plane2\""),
        &[
            ("plane2", 70.0),
            ("plane4", 78.0),
            ("plane10", 90.0),
            ("plane10 -> plane6", 85.0),
            ("plane10 -> plane4", 79.0),
            ("plane10 -> plane6 -> plane4", 80.0),
            ("plane10 -> plane2", 71.0),
            ("plane10 -> plane4 -> plane2", 73.0),
            ("plane10 -> plane6 -> plane2", 72.0),
            ("plane10 -> plane6 -> plane4 -> plane2", 74.0),
        ],
    );
    let report = world.report();
    let cell = &report.cells[0];
    let front: Vec<&str> = cell.front().iter().map(|path| path.path.as_str()).collect();
    assert_eq!(
        front,
        ["plane2", "plane10 → plane2", "plane10 → plane4 → plane2", "plane10 → plane6 → plane4 → plane2"]
    );
    let costs: Vec<f64> = cell.front().iter().map(|path| path.path_multiply_adds).collect();
    assert!(costs.windows(2).all(|pair| pair[0] < pair[1]), "{costs:?}");
    let within = |budget| cell.best_within(budget).map(|path| path.path.as_str());
    assert_eq!(within(costs[0] * 0.99), None);
    assert_eq!(within(costs[1]), Some("plane10 → plane2"));
    assert_eq!(within(costs[3] * 0.999), Some("plane10 → plane4 → plane2"));
    assert_eq!(within(f64::INFINITY), Some(front[3]));
    insta::assert_snapshot!("graph", text(&world, &report));
}

/// A report is a table for people; two thousand runs must not keep them waiting.
#[test]
fn two_thousand_runs_are_laid_out() {
    let recipe = recipe("graph", "\"plane10 -> plane8? -> plane6? -> plane4? -> plane2\"");
    let seeds: Vec<u64> = (1..=134).collect();
    let world = World::with_seeds(&recipe, &seeds);
    assert!(world.plan.runs.len() >= 2000, "{}", world.plan.runs.len());
    for path in &world.plan.cells[0].paths {
        for run in &path.runs {
            let noise = (run.seed * 7919 % 101) as f64 / 10_000.0;
            let path = path.path.to_string().replace('→', "->");
            world.finish("plain", &path, run.seed, 0.7 + noise);
        }
    }
    let report = world.report();
    assert!(report.to_text(Some(80), Style::Boxes).contains("134"));
    assert_eq!(report.to_csv().lines().count(), 1 + world.plan.runs.len());
}

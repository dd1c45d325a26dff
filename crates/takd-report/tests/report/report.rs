//! Reports of made-up runs: nothing is trained, and there is neither an image nor a network to read.

use crate::common::World;
use takd_grid::recipe::{Epochs, Settings};
use takd_grid::{Changes, FromElsewhere, Preset};
use takd_models::ModelName;
use takd_report::{Error, Report, RunState, Style, Summary};
use takd_store::{Ending, names};
use unicode_width::UnicodeWidthStr;

/// Two cells of the methods' layout and one that cannot be run.
const METHODS: &str = r#"
title = "Helpers: is a student better with an assistant?"
source = "A paper, Table 7"
layout = "methods"
notes = ["Cells have the order of the paper."]

[defaults]
seeds = [20, 31, 55]

[[cell]]
name = "plain/cifar10"
data = "cifar10"
paths = ["plane2", "plane10 -> plane2", "plane10 -> plane4 -> plane2"]
paper = { "plane2" = 70.16, "plane10 -> plane2" = 72.57, "plane10 -> plane4 -> plane2" = 73.51 }
paper_source = "row 1"

[[cell]]
name = "resnet/cifar100"
data = "cifar100"
paths = ["resnet8", "resnet110 -> resnet8", "resnet110 -> resnet20 -> resnet8"]
paper = { "resnet8" = 61.37, "resnet110 -> resnet8" = 61.41, "resnet110 -> resnet20 -> resnet8" = 88.98 }
note = "the paper gives two numbers for TAKD."

[[cell]]
name = "resnet/imagenet"
data = "imagenet"
missing = "there are no such images yet"
paths = ["big2", "big8 -> big2", "big8 -> big4 + big5 -> big2"]
paper = { "big2" = 65.20, "big8 -> big2" = 66.60 }

[quick]
data = { cifar10 = "shapes10", cifar100 = "shapes100" }
networks = { resnet110 = "resnet20", resnet20 = "resnet14" }
seeds = [31]
epochs = 6

[quick.training.resnet]
batch_size = 32
lr = [{ from = 0.0, rate = 0.02 }, { from = 0.8, rate = 0.002 }]
augmentation = "none"
"#;

/// The paths' layout.
const PATHS: &str = r#"
title = "Which assistant?"

[[cell]]
name = "plain/cifar10"
data = "cifar10"
paths = ["plane10 -> plane4? -> plane2", "plane10 + resnet20 -> plane2"]
paper = { "plane10 -> plane4 -> plane2" = 73.51 }
"#;

/// The first cell complete but for a seed of BLKD, which diverged; the second with one seed.
fn methods() -> World {
    let world = World::new(METHODS, &Changes::default());
    for (step, seed) in [20, 31, 55].into_iter().enumerate() {
        let more = step as f64 / 128.0;
        world.finish("plain/cifar10", "plane10", seed, 0.875 + more);
        world.finish("plain/cifar10", "plane10 -> plane4", seed, 0.78125 + more);
        world.finish("plain/cifar10", "plane2", seed, 0.6875 + more);
        if seed == 31 {
            world.diverge("plain/cifar10", "plane10 -> plane2", seed, "the loss is NaN in epoch 3.");
        } else {
            world.finish("plain/cifar10", "plane10 -> plane2", seed, 0.71875 + 1.5 * more);
        }
        world.finish("plain/cifar10", "plane10 -> plane4 -> plane2", seed, 0.73437 + more);
    }
    world.finish("resnet/cifar100", "resnet8", 20, 0.625);
    world
}

/// The first seed of each path complete, the second partly.
fn paths(seeds: &[u64]) -> World {
    let world = World::with_seeds(PATHS, seeds);
    let cell = "plain/cifar10";
    for (step, &seed) in seeds.iter().enumerate() {
        let more = step as f64 / 64.0;
        world.finish(cell, "plane10", seed, 0.875 + more);
        world.finish(cell, "plane10 -> plane2", seed, 0.71875 + more);
        world.finish(cell, "plane10 -> plane4", seed, 0.78125 - more);
    }
    world.finish(cell, "plane10 -> plane4 -> plane2", seeds[0], 0.73437);
    world.diverge(cell, "resnet20", seeds[0], "the loss is NaN in epoch 3");
    world
}

#[test]
fn methods_are_laid_out_beside_the_papers_numbers() {
    let world = methods();
    let report = world.report();
    insta::assert_snapshot!("methods_wide", world.numbered(&report.to_text(Some(160), Style::Boxes)));
    insta::assert_snapshot!("methods_narrow", world.numbered(&report.to_text(Some(80), Style::Boxes)));
    insta::assert_snapshot!("methods_plain", world.numbered(&report.to_text(None, Style::Plain)));
    insta::assert_snapshot!("methods_markdown", world.numbered(&report.to_markdown()));
}

#[test]
fn quick_form_says_what_stands_in_for_what_and_what_differs_from_the_protocol() {
    let world = World::new(METHODS, &Changes { preset: Preset::Quick, ..Changes::default() });
    world.finish("plain/cifar10", "plane2", 31, 0.1);
    world.finish("resnet/cifar100", "resnet20 -> resnet14 -> resnet8", 31, 0.5);
    insta::assert_snapshot!("quick_markdown", world.numbered(&world.report().to_markdown()));
}

#[test]
fn paths_of_several_seeds_are_summed_up_before_their_runs() {
    let world = paths(&[1, 2]);
    let report = world.report();
    insta::assert_snapshot!("paths_wide", world.numbered(&report.to_text(Some(160), Style::Boxes)));
    insta::assert_snapshot!("paths_narrow", world.numbered(&report.to_text(Some(80), Style::Boxes)));
    insta::assert_snapshot!("paths_csv", world.numbered(&report.to_csv()));
}

#[test]
fn paths_of_one_seed_have_the_papers_numbers_beside_their_runs() {
    let world = paths(&[31]);
    let report = world.report();
    insta::assert_snapshot!("paths_one_seed", world.numbered(&report.to_text(Some(100), Style::Plain)));
}

#[test]
fn means_are_over_the_seeds_that_have_a_result_and_differences_over_those_that_both_have() {
    let report = methods().report();
    let cell = &report.cells[0];
    let path = |name: &str| cell.paths.iter().find(|path| path.path == name).unwrap();
    assert_eq!(path("plane2").test_accuracy.unwrap().n, 3);
    assert_eq!(path("plane10 → plane2").test_accuracy.unwrap().n, 2);
    assert_eq!(path("plane10 → plane2").runs[1].state.as_str(), "diverged");

    let difference = |path: &str, minus: &str| {
        let found = cell.comparisons.iter().find(|found| found.path == path && found.minus == minus).unwrap();
        (found.comparison.seeds.clone(), found.comparison.test_accuracy)
    };
    let (seeds, blkd) = difference("plane10 → plane2", "plane2");
    // Without the seed 31, in which NoKD has a result and BLKD has none: 0.03125 and 0.03125 + 1/128.
    assert_eq!(seeds, [20, 55]);
    assert!((blkd.mean - (0.03125 + 0.5 / 128.0)).abs() < 1e-12);
    // Half a difference of 1/128 is the standard error of two values; Student's t with one degree of freedom is 12.7062.
    let half = 12.706_204_736 * 0.5 / 128.0;
    assert!((blkd.interval_95.unwrap().high - blkd.mean - half).abs() < 1e-9);
    let (seeds, takd) = difference("plane10 → plane4 → plane2", "plane2");
    assert_eq!((seeds, takd.n), (vec![20, 31, 55], 3));
    // Of the second cell only NoKD has a result.
    assert!(report.cells[1].comparisons.is_empty());
}

/// A network that was trained elsewhere is one run for all seeds.
#[test]
fn network_from_elsewhere_has_no_interval_over_seeds_and_its_students_have_one() {
    let recipe = r#"
title = "From elsewhere"

[[cell]]
name = "c"
data = "cifar10"
paths = ["plane10 -> plane2"]
import = { plane10 = "gone.pth" }
seeds = [1, 2, 3]
"#;
    let plane10 = FromElsewhere {
        name: "gone.pth".into(),
        path: "gone.pth".into(),
        model: "plane10".parse::<ModelName>().unwrap().spec(10),
        outputs: 10,
        hash: "0".repeat(64),
        normalization: None,
        order: Vec::new(),
        class_names: Vec::new(),
        logits: None,
    };
    let world = World::new(recipe, &Changes { found_before: vec![plane10], ..Changes::default() });
    world.finish("c", "plane10", 1, 0.875);
    for (seed, accuracy) in [(1, 0.5), (2, 0.5625), (3, 0.625)] {
        world.finish("c", "plane10 -> plane2", seed, accuracy);
    }
    let report = world.report();
    let [teacher, student] = report.cells[0].paths.as_slice() else { panic!("{:?}", report.cells[0].paths) };
    assert_eq!((teacher.runs.len(), teacher.test_accuracy), (3, Summary::of(&[0.875])));
    assert_eq!(student.test_accuracy, Summary::of(&[0.5, 0.5625, 0.625]));
    let text = report.to_text(Some(160), Style::Plain);
    let row = text.lines().find(|line| line.trim_start().starts_with("plane10 ")).unwrap();
    assert_eq!(row.split_whitespace().collect::<Vec<_>>(), ["plane10", "87.50", "–", "1"], "{text}");
}

#[test]
fn json_and_csv_have_named_fractions() {
    let report = methods().report();
    let json = serde_json::to_value(&report).unwrap();
    let path = &json["cells"][0]["paths"].as_array().unwrap().iter().find(|path| path["path"] == "plane2").unwrap();
    assert_eq!(path["paper_accuracy"].to_string(), "0.7016");
    assert_eq!(path["runs"][0]["test_accuracy"], 0.6875);
    assert_eq!(path["runs"][0]["state"], "finished");
    assert_eq!(path["test_accuracy"]["n"], 3);
    assert_eq!(json["missing"][0]["paths"][1]["paper_accuracy"].to_string(), "0.666");
    assert_eq!(json["cells"][1]["paths"][0]["network"], "resnet8");
    let comparison = &json["cells"][0]["comparisons"][0];
    assert_eq!((&comparison["path"], &comparison["minus"]), (&"plane10 → plane2".into(), &"plane2".into()));
    assert_eq!(comparison["verdict"]["is"], "undecided");
    assert_eq!(comparison["diverged"], serde_json::json!([31]));
    // 88.98 / 100 is not the number nearest to 0.8898.
    assert!(json.to_string().contains("\"paper_accuracy\":0.8898,"), "{json}");

    let csv = report.to_csv();
    let mut rows = csv::Reader::from_reader(csv.as_bytes());
    let headers = rows.headers().unwrap().clone();
    let column = |name: &str| headers.iter().position(|header| header == name).unwrap();
    let rows: Vec<csv::StringRecord> = rows.records().map(Result::unwrap).collect();
    assert_eq!(rows.len(), report.cells.iter().flat_map(|cell| &cell.paths).map(|path| path.runs.len()).sum::<usize>());
    let shares = ["test_accuracy", "top5", "calibration_error", "agreement", "held_out_accuracy"];
    for row in &rows {
        for share in shares {
            let value = &row[column(share)];
            assert!(value.is_empty() || (0.0..=1.0).contains(&value.parse::<f64>().unwrap()), "{share} {value}");
        }
        assert_eq!(row[column("test_accuracy")].is_empty(), &row[column("state")] != "finished");
    }
    let diverged = rows.iter().find(|row| &row[column("state")] == "diverged").unwrap();
    assert_eq!(&diverged[column("reason")], "the loss is NaN in epoch 3.");
    assert_eq!(&diverged[column("teachers")], "plane10");
}

#[test]
fn every_experiment_has_a_file_name_of_its_own_that_stays() {
    let world = methods();
    let stem = world.report().file_stem().to_owned();
    assert!(stem.starts_with("helpers-full-sound-"), "{stem}");
    assert_eq!(stem.len(), "helpers-full-sound-".len() + 8);

    let of = |recipe: &str, changes: &Changes| World::new(recipe, changes).report().file_stem().to_owned();
    // The same command again, with nothing trained.
    assert_eq!(of(METHODS, &Changes::default()), stem);
    let changed = |change: &dyn Fn(&mut Changes)| {
        let mut changes = Changes::default();
        change(&mut changes);
        of(METHODS, &changes)
    };
    let others = [
        changed(&|changes| changes.cells = vec!["plain/cifar10".into()]),
        changed(&|changes| changes.preset = Preset::Quick),
        changed(&|changes| changes.settings.epochs = Some(Epochs::All(1))),
        changed(&|changes| changes.settings.seeds = Some(vec![20, 31])),
        changed(&|changes| changes.settings.limit = Some(1_000)),
        changed(&|changes| changes.settings.temperature = Some(takd_grid::recipe::PerStep::All(4.0))),
        changed(&|changes| changes.settings.protocol = Some(takd_distill::Protocol::Code)),
        of(&METHODS.replace("Helpers: is", "Helpers: are"), &Changes::default()),
        of(&METHODS.replace("layout = \"methods\"", "layout = \"paths\""), &Changes::default()),
        of(&METHODS.replace("\"plain/cifar10\"", "\"plain/other\""), &Changes::default()),
    ];
    let mut all = others.to_vec();
    all.push(stem);
    all.sort();
    all.dedup();
    assert_eq!(all.len(), others.len() + 1, "{others:#?}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    for report in [methods().report(), paths(&[1, 2]).report(), paths(&[31]).report()] {
        for style in [Style::Boxes, Style::Plain] {
            for width in [50, 60, 72, 79, 80, 81, 100, 120, 132, 150, 200] {
                let text = report.to_text(Some(width), style);
                let widest = text.lines().max_by_key(|line| line.width()).unwrap();
                assert!(widest.width() <= width, "{width}, {style:?}: {widest}");
            }
            // Narrower than any terminal: something is printed all the same.
            for width in [0, 1, 7, usize::MAX] {
                assert!(report.to_text(Some(width), style).contains(|char: char| char.is_alphabetic()));
            }
        }
    }
}

#[test]
fn tables_of_the_recipes_that_come_with_the_program_fit_a_terminal_of_80_columns() {
    for shipped in takd_grid::recipe::shipped() {
        for preset in [Preset::Full, Preset::Quick] {
            let world = World::new(shipped.text, &Changes { preset, ..Changes::default() });
            for cell in &world.experiment.cells {
                for path in &cell.paths {
                    let path = path.path.to_string().replace('→', "->");
                    cell.seeds.iter().for_each(|&seed| world.finish(&cell.name, &path, seed, 0.75));
                }
            }
            let text = world.report().to_text(Some(80), Style::Boxes);
            assert!(text.lines().all(|line| line.width() <= 80), "{text}");
            // No word is broken.
            for cell in &world.experiment.cells {
                assert!(text.contains(&format!("│ {} ", cell.name)), "{text}");
            }
        }
    }
}

#[test]
fn plain_text_draws_no_boxes_and_ends_no_line_in_spaces() {
    for report in [methods().report(), paths(&[1, 2]).report()] {
        let text = report.to_text(None, Style::Plain);
        assert!(!text.contains(|char| ('\u{2500}'..='\u{257f}').contains(&char)), "{text}");
        assert!(text.lines().all(|line| line.trim_end() == line), "{text}");
    }
}

#[test]
fn names_from_outside_neither_act_on_a_terminal_nor_become_markdown() {
    let recipe = r##"
title = "\u001b]0;mine\u0007| `rm` \u202e"
notes = ["# not a heading", "a\nb"]

[[cell]]
name = "a|b`c`\n<img src=x>"
data = "cifar10"
paths = ["plane2"]
note = "[click](http://example.com)\u001b[2J"
"##;
    let world = World::with_seeds(recipe, &[1, 2]);
    let name = world.experiment.cells[0].name.clone();
    world.diverge(&name, "plane2", 1, "\u{1b}[31m| red `x`");
    let report = world.report();
    let texts = [report.to_text(Some(80), Style::Boxes), report.to_text(None, Style::Plain), report.to_markdown()];
    for text in &texts {
        assert!(!text.contains(|char: char| (char.is_control() && char != '\n') || char == '\u{202e}'), "{text:?}");
        assert!(text.contains("red"), "{text}");
    }
    let markdown = &texts[2];
    assert!(markdown.contains(r"a\|b\`c\`"), "{markdown}");
    assert!(markdown.contains(r"\[click\]"), "{markdown}");
    assert!(markdown.contains("- \\# not a heading\n"), "{markdown}");
    // Columns stay columns.
    let row = markdown.lines().find(|line| line.starts_with("| plane2")).unwrap();
    let header = markdown.lines().find(|line| line.starts_with("| path")).unwrap();
    let bars = |line: &str| line.replace(r"\|", "").matches('|').count();
    assert_eq!(bars(row), bars(header), "{markdown}");
    // Programs get what the recipe says.
    assert_eq!(serde_json::to_value(&report).unwrap()["cells"][0]["name"], name);
    assert!(csv::Reader::from_reader(report.to_csv().as_bytes()).records().all(|row| row.unwrap()[0] == *name));
    assert!(report.file_stem().starts_with("0-mine-rm-full-sound-"), "{}", report.file_stem());
}

#[test]
fn name_of_any_length_neither_fills_the_screen_nor_takes_its_time() {
    let long = "x".repeat(100_000);
    let world = World::new(&METHODS.replace("plain/cifar10", &long), &Changes::default());
    let report = world.report();
    for width in [Some(80), None] {
        let text = report.to_text(width, Style::Boxes);
        assert!(
            text.len() < 30_000 && text.replace(['│', '\n', ' '], "").contains("xxx…"),
            "{width:?}: {}",
            text.len()
        );
    }
    assert!(report.to_csv().contains(&long));
}

#[test]
fn network_that_is_no_better_than_a_guess_is_named() {
    let world = World::with_seeds(PATHS, &[1, 2, 3]);
    for (seed, accuracy) in [(1, 0.1), (2, 0.15), (3, 0.151)] {
        world.finish("plain/cifar10", "plane10", seed, accuracy);
    }
    let legend = world.report().legend;
    let line = legend.iter().find(|line| line.starts_with("At chance level")).unwrap();
    assert!(
        line.starts_with("At chance level: plane10, seeds 1, 2: an accuracy of 15.00 % or less, and guessing "),
        "{line}"
    );
    assert!(!methods().report().legend.iter().any(|line| line.starts_with("At chance level")));
}

#[test]
fn run_whose_teacher_diverged_and_run_that_stopped_are_told_from_those_that_were_not_begun() {
    let world = paths(&[1, 2]);
    world.end(&world.id("plain/cifar10", "resnet20", 2), &Ending::Stopped);
    let report = world.report();
    let state = |path: &str, seed: usize| {
        let path = report.cells[0].paths.iter().find(|known| known.path == path).unwrap();
        path.runs[seed - 1].state.clone()
    };
    assert!(matches!(state("resnet20", 1), RunState::Diverged { .. }));
    assert_eq!(state("plane10 + resnet20 → plane2", 1), RunState::NoTeacher);
    assert_eq!(state("resnet20", 2), RunState::Stopped);
    assert_eq!(state("plane10 + resnet20 → plane2", 2), RunState::Missing);
    let said = |line: &str| assert!(report.legend.iter().any(|known| known == line), "{:#?}", report.legend);
    said(
        "Not finished: 3 of 12 runs: plane10 → plane4 → plane2, seed 2; resnet20, seed 2; plane10 + resnet20 → plane2, seed 2.",
    );
    said("Not trained, because the training of a teacher diverged: 1 of 12 runs: plane10 + resnet20 → plane2, seed 1.");
}

#[test]
fn damaged_run_is_a_line_of_the_report_and_hides_no_other() {
    let world = paths(&[1, 2]);
    let id = world.id("plain/cifar10", "plane10", 1);
    std::fs::write(world.folder.path().join(id.as_str()).join(names::ENDING), "{}").unwrap();
    let report = world.report();
    let teacher = &report.cells[0].paths[0];
    assert!(matches!(teacher.runs[0].state, RunState::Unreadable { .. }));
    assert_eq!(teacher.test_accuracy.unwrap().n, 1);
    assert!(
        report.legend.iter().any(|line| line.starts_with("Unreadable: plane10, seed 1 (run ")),
        "{:?}",
        report.legend
    );
    assert!(report.to_csv().contains(",unreadable,"));
}

#[test]
fn what_large_trainings_change_of_the_protocol_is_told() {
    let recipe = |settings: &str| format!("{PATHS}{settings}");
    let changed = |settings: &str| {
        let legend = World::with_seeds(&recipe(settings), &[1]).report().legend;
        legend.into_iter().find(|line| line.starts_with("Changed from the protocol"))
    };
    assert_eq!(changed(""), None);
    assert_eq!(
        changed("training.plain = { gradient_accumulation = 4, warmup_epochs = 5 }").as_deref(),
        Some(
            "Changed from the protocol: each batch computed in 4 parts, each of which batch normalisation sees alone, the \
             learning rate rises step by step over the first 5 epochs (plain CNNs)."
        )
    );
    let one = changed("training.plain = { gradient_accumulation = 1, warmup_epochs = 1 }");
    assert_eq!(
        one.as_deref(),
        Some("Changed from the protocol: the learning rate rises step by step over the first epoch (plain CNNs).")
    );
    assert_eq!(
        changed("top_k = 5").as_deref(),
        Some(
            "Changed from the protocol: of the teachers' logits for an image those of the likeliest 5 classes are kept, and the \
             others count as one class."
        )
    );
}

#[test]
fn limit_above_the_data_is_told() {
    let settings = Settings { limit: Some(60_000), ..Settings::default() };
    let world = World::new(PATHS, &Changes { settings, ..Changes::default() });
    let line = "60000 training images were asked for; there are 50000, and all are used.";
    assert!(world.report().legend.iter().any(|known| known == line));
    assert!(!paths(&[1]).report().legend.iter().any(|known| known.contains("were asked for")));
}

#[test]
fn lambda_and_temperature_are_not_mentioned_if_nobody_teaches() {
    let mentions = |recipe: &str| {
        World::with_seeds(recipe, &[1]).report().legend.iter().any(|line| line.contains("λ = 0.5, τ = 5"))
    };
    assert!(mentions(PATHS));
    assert!(!mentions("title = \"a\"\n[[cell]]\nname = \"a\"\ndata = \"cifar10\"\npaths = [\"plane2\"]\n"));
}

#[test]
fn plan_of_another_experiment_is_refused() {
    let world = methods();
    let other = World::new(PATHS, &Changes::default());
    let refused = Report::new(&world.experiment, &other.plan, &world.runs).unwrap_err();
    assert_eq!(refused, Error::OtherPlan("the experiment has 2 cells, and the plan 1".into()));
    let fewer = World::new(
        &PATHS
            .replace("\"plane10 -> plane4? -> plane2\", ", "")
            .replace("plane10 -> plane4 -> plane2", "plane10 + resnet20 -> plane2"),
        &Changes::default(),
    );
    let refused = Report::new(&other.experiment, &fewer.plan, &world.runs).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the plan is not the experiment's: its cell `plain/cifar10` lacks the path plane10 → plane4 → plane2"
    );
}

#[test]
fn students_are_ranked_by_held_out_images_and_only_if_all_their_seeds_have_a_result() {
    let world = World::new(METHODS, &Changes::default());
    for (path, accuracies) in [
        ("plane2", [0.5, 0.625, 0.75]),
        ("plane10 -> plane2", [0.625, 0.625, 0.625]),
        ("plane10 -> plane4 -> plane2", [0.25, 0.375, 0.5]),
        ("plane10", [1.0, 1.0, 1.0]),
    ] {
        for (seed, accuracy) in [20, 31, 55].into_iter().zip(accuracies) {
            if (path, seed) != ("plane10 -> plane4 -> plane2", 55) {
                world.finish("plain/cifar10", path, seed, accuracy);
            }
        }
    }
    let ranked = |world: &World| -> Vec<String> {
        world.report().cells[0].by_held_out("plane2").into_iter().map(|path| path.path.clone()).collect()
    };
    // Equally good, and so that with a teacher; the teacher itself is no student.
    assert_eq!(ranked(&world), ["plane10 → plane2", "plane2"]);
    world.finish("plain/cifar10", "plane10 -> plane4 -> plane2", 55, 0.5);
    assert_eq!(ranked(&world), ["plane10 → plane2", "plane2", "plane10 → plane4 → plane2"]);
    let report = world.report();
    let alone = report.cells[0].by_held_out("plane2")[1];
    assert_eq!(alone.best_by_held_out().map(|run| run.seed), Some(55));
    assert_eq!(alone.held_out_accuracy(), Some(0.6328125));
    assert!(report.cells[1].by_held_out("resnet8").is_empty(), "nothing is finished there");
}

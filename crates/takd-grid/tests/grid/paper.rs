//! The recipes of the paper's tables and figures belong together: what several of them need is one run.

use std::collections::{BTreeMap, BTreeSet};
use takd_datasets::{Card, DatasetName, Known, Normalization};
use takd_distill::DeviceType;
use takd_grid::recipe::{Layout, Published, Recipe, shipped};
use takd_grid::{Changes, Experiment, Plan, Preset};
use takd_store::RunId;

fn plan(name: &str, preset: Preset) -> Plan {
    let recipe = shipped().iter().find(|recipe| recipe.name == name).unwrap();
    let recipe = Recipe::parse(recipe.text, name).unwrap();
    let changes = Changes { preset, ..Changes::default() };
    let experiment = Experiment::new(&recipe, &changes, DeviceType::Cpu).unwrap();
    let cards: BTreeMap<_, _> = experiment.datasets().into_iter().map(|name| (name.clone(), card(name))).collect();
    Plan::new(&experiment, &cards, &|_| None).unwrap()
}

/// A card as a plan needs it.
fn card(name: DatasetName) -> Card {
    Card {
        class_names: name.known().map(Known::class_names).unwrap_or_default(),
        name,
        height: 32,
        width: 32,
        train: 50_000,
        test: 10_000,
        normalization: Normalization::PUBLISHED_CODE,
        origin: "made up".to_owned(),
        licence: "none".to_owned(),
        checksum: "0".repeat(64),
        notes: Vec::new(),
    }
}

fn ids(plan: &Plan) -> BTreeSet<&RunId> {
    plan.runs.iter().map(|run| &run.id).collect()
}

#[test]
fn runs_of_one_table_are_those_of_the_others() {
    for preset in [Preset::Full, Preset::Quick] {
        let [table1, sweep_ta, sweep_teacher, sweep_student, paths, landscape] =
            ["table1", "sweep-ta", "sweep-teacher", "sweep-student", "paths", "landscape"]
                .map(|name| plan(name, preset));
        let missing = |of: &Plan, among: &[&Plan]| {
            let known: BTreeSet<&RunId> = among.iter().flat_map(|plan| ids(plan)).collect();
            of.runs.iter().filter(|run| !known.contains(&run.id)).map(|run| run.name()).collect::<Vec<_>>()
        };
        assert_eq!(missing(&table1, &[&sweep_ta]), [""; 0], "{preset}");
        assert_eq!(missing(&landscape, &[&table1]), [""; 0], "{preset}");
        assert_eq!(missing(&sweep_student, &[&sweep_ta]), [""; 0], "{preset}");
        // What the teachers' sweep adds are students of teachers that were trained alone.
        let added = missing(&sweep_teacher, &[&sweep_ta]);
        assert!(added.iter().all(|name| name.matches('→').count() == 1), "{preset}: {added:?}");
        // And the paths, those with two assistants or more, and the students between.
        let added = missing(&paths, &[&sweep_ta]);
        assert!(added.iter().all(|name| name.matches('→').count() >= 2), "{preset}: {added:?}");
    }
}

#[test]
fn plans_become_one_with_each_run_once_and_teachers_first() {
    let plans = ["sweep-student", "table1", "versus"].map(|name| plan(name, Preset::Quick));
    let merged = Plan::merged(&plans);
    let all: BTreeSet<&RunId> = plans.iter().flat_map(ids).collect();
    assert_eq!((ids(&merged), merged.runs.len()), (all.clone(), all.len()));
    assert!(merged.runs.len() < plans.iter().map(|plan| plan.runs.len()).sum());
    for (place, run) in merged.runs.iter().enumerate() {
        let before = |teacher: &RunId| merged.runs[..place].iter().any(|other| other.id == *teacher);
        assert!(run.config.teachers().iter().all(before), "{}", run.name());
    }
    assert_eq!(merged.cells.len(), plans.iter().map(|plan| plan.cells.len()).sum::<usize>());
    assert_eq!(Plan::merged(&[]), Plan::default());
}

#[test]
fn quick_forms_together_are_small() {
    let plans: Vec<Plan> = shipped().iter().map(|recipe| plan(recipe.name, Preset::Quick)).collect();
    assert!(Plan::merged(&plans).runs.len() <= 100, "{}", Plan::merged(&plans).runs.len());
}

#[test]
fn paths_that_become_the_same_in_the_quick_form_are_one() {
    let plan = plan("sweep-ta", Preset::Quick);
    for cell in &plan.cells {
        for path in &cell.paths {
            assert_eq!(cell.paths.iter().filter(|other| other.path == path.path).count(), 1, "{}", path.path);
        }
    }
}

#[test]
fn methods_that_are_not_run_have_their_published_numbers_in_the_order_of_the_recipe() {
    let text = shipped().iter().find(|recipe| recipe.name == "versus").unwrap().text;
    let recipe = Recipe::parse(text, "versus").unwrap();
    assert_eq!(recipe.layout, Layout::Methods);
    let names: Vec<&str> = recipe.cells[0].published.iter().map(|other| other.method.as_str()).collect();
    assert_eq!(names, ["FitNet", "AT", "FSP", "BSS", "Mutual"]);
    assert_eq!(recipe.cells[1].published[4], Published { method: "Mutual".to_owned(), percent: 90.54 });
    let wrong = Recipe::parse(&text.replace("FitNet = 86.73", "FitNet = 8673"), "versus").unwrap_err();
    assert!(wrong.to_string().contains("percent"), "{wrong}");
    let wrong = Recipe::parse(&text.replace("published = {", "publishd = {"), "versus").unwrap_err();
    assert!(wrong.to_string().contains("`published`"), "{wrong}");
}

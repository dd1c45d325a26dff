//! From a budget of time to a recipe.

use crate::common::cards;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::Duration;
use takd_datasets::{Augmentation, Card, DatasetRef, Known};
use takd_distill::{DeviceType, Pace, PaceOf, Pick, Protocol, Result};
use takd_grid::recipe::{Epochs, RateFrom, Recipe, Settings};
use takd_grid::shrink::{FEWEST_EPOCHS, Shrink, ShrinkError, ShrinkPlan, ShrinkTeacher, check, shrink};
use takd_grid::{Changes, Experiment, Plan, PlannedRun};
use takd_models::ModelName;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// `shapes10` with so many training images.
fn card(train: usize) -> Card {
    Card { train, ..cards()[&Known::Shapes10.into()].clone() }
}

/// 10¹¹ multiply-adds a second, and twice as many for the backward pass.
fn pace(PaceOf { model, classes, side, .. }: PaceOf) -> Result<Pace> {
    let forward_s = model.multiply_adds(classes, side) as f64 / 1e11;
    Ok(Pace { train_s: 3.0 * forward_s, forward_s })
}

fn name(name: &str) -> ModelName {
    name.parse().unwrap()
}

fn teacher(named: Option<&str>) -> ShrinkTeacher {
    named.map_or(ShrinkTeacher::Largest, |teacher| ShrinkTeacher::Named(name(teacher)))
}

fn choose(
    student: &str,
    named: Option<&str>,
    train: usize,
    seconds: u64,
    settings: &Settings,
) -> Result<ShrinkPlan, ShrinkError> {
    let data: DatasetRef = Known::Shapes10.into();
    let (budget, device) = (Duration::from_secs(seconds), DeviceType::Cpu);
    let wanted = Shrink { student: name(student), teacher: teacher(named), data: &data, settings, budget, device };
    shrink(&wanted, &card(train), &mut pace)
}

/// The plan of the recipe that was made.
fn plan(recipe: &str, train: usize) -> Plan {
    let recipe = Recipe::parse(recipe, "made.toml").unwrap();
    let experiment = Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).unwrap();
    let card = card(train);
    Plan::new(&experiment, &BTreeMap::from([(card.name.clone(), card)]), &|_| None).unwrap()
}

/// What the runs of a plan take at that pace.
fn seconds(plan: &Plan) -> f64 {
    let of = |(run, shares_logits): (&PlannedRun, bool)| {
        let config = &run.config;
        let of = PaceOf { model: config.model, classes: 10, side: 32, batch_size: config.training.batch_size };
        let cost = run.looks.seconds(of, run.path.teachers(), &mut pace).unwrap();
        cost.total() - if shares_logits { cost.teacher_logits } else { 0.0 }
    };
    plan.runs.iter().zip(plan.shares_logits()).map(of).sum()
}

#[test]
fn recipe_trains_the_student_alone_by_the_teacher_and_by_assistants() {
    let chosen = choose("resnet8", Some("resnet20"), 50_000, 100 * HOUR, &Settings::default()).unwrap();
    assert_eq!((chosen.teacher, chosen.assistants.as_slice()), (name("resnet20"), &[name("resnet14")][..]));
    assert_eq!((chosen.epochs, chosen.enough), (Some(160), true));
    let plan = plan(&chosen.recipe, 50_000);
    let mut paths: Vec<String> = plan.runs.iter().map(|run| run.path.to_string()).collect();
    paths.sort();
    let wanted = ["resnet20", "resnet20 → resnet14", "resnet20 → resnet14 → resnet8", "resnet20 → resnet8", "resnet8"];
    assert_eq!(paths, wanted);
    assert!(plan.runs.iter().all(|run| run.config.training.epochs == 160 && run.config.training.batch_size == 128));
    assert!((seconds(&plan) - chosen.takes.as_secs_f64()).abs() < 1.0, "{:?}", chosen.takes);
}

#[test]
fn longer_budget_gives_more_epochs_then_a_larger_teacher_then_more_assistants() {
    let at = |seconds: u64| choose("resnet8", None, 50_000, seconds, &Settings::default()).unwrap();
    let found: Vec<_> = [22, 28, 34, 45, 82, 89]
        .into_iter()
        .map(|minutes| at(minutes * MINUTE))
        .map(|plan| (plan.teacher.size(), plan.assistants.len(), plan.enough))
        .collect();
    assert_eq!(found, [(14, 0, false), (14, 0, false), (14, 0, true), (20, 0, true), (20, 1, true), (26, 1, true)]);
    assert!(at(28 * MINUTE).epochs > at(22 * MINUTE).epochs);
    let days = at(24 * 30 * HOUR);
    assert_eq!((days.teacher, days.epochs), (name("resnet110"), Some(160)));
    let all: Vec<String> = days.assistants.iter().map(ToString::to_string).collect();
    // The nearest to the geometric middle first.
    assert_eq!(all, ["resnet26", "resnet32", "resnet20", "resnet44", "resnet14", "resnet56"]);
}

#[test]
fn teacher_of_the_other_family_brings_its_own_assistants() {
    let chosen = choose("plane2", Some("resnet20"), 50_000, 24 * 30 * HOUR, &Settings::default()).unwrap();
    assert!(chosen.assistants.contains(&name("resnet8")) && chosen.assistants.contains(&name("plane4")), "{chosen:?}");
    let families = ["[defaults.training.plain]", "[defaults.training.resnet]"];
    assert!(families.iter().all(|family| chosen.recipe.contains(family)), "{}", chosen.recipe);
}

#[test]
fn small_data_set_has_small_batches_and_the_learning_rate_falls_with_them() {
    let chosen = choose("resnet8", Some("resnet20"), 2000, HOUR, &Settings::default()).unwrap();
    let plan = plan(&chosen.recipe, 2000);
    let training = &plan.runs[0].config.training;
    // 160 epochs of 2000 images are 10 000 steps of 32.
    assert_eq!((training.batch_size, training.lr[0].lr), (32, 0.025));
    let given = Settings { training: plan_of_batches(64), ..Settings::default() };
    let chosen = choose("resnet8", Some("resnet20"), 2000, HOUR, &given).unwrap();
    let training = self::plan(&chosen.recipe, 2000).runs[0].config.training.clone();
    assert_eq!((training.batch_size, training.lr[0].lr), (64, 0.1), "what is given is not changed");
}

#[test]
fn plain_cnns_are_trained_for_photographs_unless_it_is_said_otherwise() {
    let training = |known: Known, given: &Settings| {
        let data: DatasetRef = known.into();
        let card = Card { name: known.into(), ..card(50_000) };
        let (budget, device) = (Duration::from_secs(HOUR), DeviceType::Cpu);
        let (student, teacher) = (name("plane2"), teacher(Some("plane4")));
        let wanted = Shrink { student, teacher, data: &data, settings: given, budget, device };
        let recipe = Recipe::parse(&shrink(&wanted, &card, &mut pace).unwrap().recipe, "made.toml").unwrap();
        let experiment = Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).unwrap();
        experiment.cells[0].training(name("plane2").spec(10), 10)
    };
    let usual = training(Known::Cifar10, &Settings::default());
    assert_eq!(usual.augmentation, Augmentation::CROP_FLIP);
    assert_eq!(usual.lr.iter().map(|piece| piece.lr).collect::<Vec<_>>(), [0.01, 0.001, 0.0001]);
    let mut given = Settings::default();
    given.training.plain.augmentation = Some(Augmentation::NONE);
    given.training.plain.lr = Some(vec![RateFrom { from: 0.0, rate: 0.02 }]);
    let given = training(Known::Cifar10, &given);
    assert_eq!((given.augmentation, given.lr.len(), given.lr[0].lr), (Augmentation::NONE, 1, 0.02));
    let sound = Settings { protocol: Some(Protocol::Sound), ..Settings::default() };
    for (known, settings) in [(Known::Mnist, &Settings::default()), (Known::Cifar10, &sound)] {
        let protocols = training(known, settings);
        assert_eq!((protocols.augmentation, protocols.lr.len()), (Augmentation::NONE, 1), "{known:?}");
    }
}

fn plan_of_batches(batch_size: usize) -> takd_grid::recipe::TrainingByFamily {
    let mut training = takd_grid::recipe::TrainingByFamily::default();
    training.resnet.batch_size = Some(batch_size);
    training
}

#[test]
fn given_settings_stand_in_the_recipe() {
    let settings =
        Settings { seeds: Some(vec![1, 2]), epochs: Some(Epochs::All(7)), limit: Some(500), ..Settings::default() };
    let chosen = choose("resnet8", Some("resnet20"), 2000, HOUR, &settings).unwrap();
    assert_eq!((chosen.epochs, chosen.enough), (None, true));
    let plan = plan(&chosen.recipe, 2000);
    assert_eq!(plan.runs.len(), 10);
    assert!(plan.runs.iter().all(|run| run.config.training.epochs == 7 && run.config.data.train_images == 500));
}

#[test]
fn what_cannot_be_done_is_refused_with_what_can() {
    let none = Settings::default();
    let refused = |student, teacher, seconds, settings: &Settings| {
        choose(student, teacher, 50_000, seconds, settings).unwrap_err().to_string()
    };
    let cases = [
        (refused("resnet110", None, HOUR, &none), "resnet110 is the largest network of its family"),
        (
            refused("resnet20", Some("resnet8"), HOUR, &none),
            "resnet8 takes no more multiplications than the student resnet20",
        ),
        (
            refused("resnet8", Some("resnet110"), MINUTE, &none),
            "1m is too short: resnet8 alone and taught by resnet110 needs a budget of about",
        ),
        (
            refused("resnet8", None, HOUR, &Settings { protocol: Some(Protocol::Code), ..Settings::default() }),
            "no images are held out of the training of resnet",
        ),
        (
            refused("resnet8", None, MINUTE, &Settings { epochs: Some(Epochs::All(100)), ..Settings::default() }),
            "s here: give a longer one, fewer epochs, fewer or smaller images, or a smaller teacher",
        ),
        (
            refused("resnet8", None, 100 * HOUR, &unfair(Pick::BestTestEpoch)),
            "its best epoch is chosen by the test images",
        ),
        (refused("plane2", None, HOUR, &Settings { limit: Some(9), ..Settings::default() }), "no images are held out"),
        (refused("logits", None, HOUR, &none), "logits takes no images of 32x32"),
    ];
    for (message, expected) in cases {
        assert!(message.contains(expected), "{message}");
    }
}

/// ResNets whose epoch is chosen so.
fn unfair(pick: Pick) -> Settings {
    let mut settings = Settings::default();
    settings.training.resnet.pick = Some(pick);
    settings
}

#[test]
fn plain_cnn_is_not_said_to_be_the_largest_where_it_takes_no_such_images() {
    let data: DatasetRef = Known::Shapes10.into();
    let (settings, budget, device) = (Settings::default(), Duration::from_secs(HOUR), DeviceType::Cpu);
    let (student, teacher) = (name("plane2"), ShrinkTeacher::Largest);
    let wanted = Shrink { student, teacher, data: &data, settings: &settings, budget, device };
    let large = Card { height: 64, width: 64, ..card(1000) };
    let error = shrink(&wanted, &large, &mut pace).unwrap_err().to_string();
    assert_eq!(error, "plane2 takes no images of 64x64: plain CNNs take 32x32 alone, ResNets every size");
}

#[test]
fn edited_recipe_must_still_be_of_the_student() {
    let chosen = choose("resnet8", Some("resnet20"), 2000, HOUR, &Settings::default()).unwrap();
    let check = |text: &str| {
        let recipe = Recipe::parse(text, "made.toml").unwrap();
        let experiment = Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).unwrap();
        check(&experiment, name("resnet8"), &card(2000)).map_err(|error| error.to_string())
    };
    assert_eq!(check(&chosen.recipe), Ok(()));
    for (from, to, expected) in [
        ("-> resnet8\"", "-> resnet14\"", "it is not of resnet8"),
        ("    \"resnet8\",\n", "", "it is not of resnet8"),
        ("resnet20 ->", "resnet20+resnet14 ->", "it is not of resnet8"),
        ("hold_out = \"tenth\"", "hold_out = \"nothing\"", "no images are held out"),
    ] {
        let edited = chosen.recipe.replace(from, to);
        assert_ne!(edited, chosen.recipe);
        let refused = check(&edited).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn plan_fits_the_budget_and_twice_the_budget_gives_no_less(
        student in prop::sample::select(vec!["resnet8", "resnet20", "plane2", "plane6"]),
        train in 100_usize..60_000,
        seconds in MINUTE..100 * HOUR,
    ) {
        let none = Settings::default();
        let Ok(chosen) = choose(student, None, train, seconds, &none) else { return Ok(()) };
        let plan = plan(&chosen.recipe, train);
        prop_assert!(self::seconds(&plan) <= 0.901 * seconds as f64, "{} of {seconds} s", self::seconds(&plan));
        prop_assert!(plan.runs.iter().all(|run| Some(run.config.training.epochs) == chosen.epochs));
        let more = choose(student, None, train, 2 * seconds, &none).unwrap();
        prop_assert!(more.teacher.size() >= chosen.teacher.size());
        // A larger teacher costs epochs, but never more than are enough.
        let grew = more.teacher == chosen.teacher && more.assistants.len() == chosen.assistants.len();
        prop_assert!(more.enough || (grew && more.epochs >= chosen.epochs), "{chosen:?} {more:?}");
        prop_assert!(more.epochs.is_some_and(|epochs| epochs >= FEWEST_EPOCHS) || !more.enough);
    }
}

//! Files of settings: what is read, what is refused with its line, and that what is printed gives the same runs.

use proptest::prelude::*;
use std::collections::BTreeMap;
use takd_datasets::{Card, DatasetName, Known, Normalization};
use takd_distill::{DeviceType, Protocol};
use takd_grid::recipe::{
    Epochs, MAX_BYTES, PerStep, RateFrom, Recipe, RecipeProblem, SearchSettings, Settings, TrainingChanges, shipped,
};
use takd_grid::study::{Dimension, Setting, Space, Value};
use takd_grid::{Changes, Experiment, Plan, Preset, settings_in_force};
use takd_models::ModelName;

fn read(text: &str) -> Settings {
    Settings::parse(text, "settings.toml").unwrap_or_else(|error| panic!("{error}\n{text}"))
}

#[test]
fn file_has_the_keys_of_a_recipes_defaults_at_its_top() {
    let settings = "seeds = \"1..3\"\nlambda = [0.3, 0.7]\n";
    let training = "[training.resnet]\nbatch_size = 32\nlr = [{ from = 0, rate = 0.1 }, { from = 0.5, rate = 0.01 }]\n";
    let recipe = format!(
        "title = \"t\"\n[defaults]\n{settings}{}[[cell]]\nname = \"c\"\ndata = \"cifar10\"\npaths = [\"resnet20 -> resnet14 -> resnet8\"]\n",
        training.replace("[training", "[defaults.training")
    );
    let recipe = Recipe::parse(&recipe, "mine.toml").unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(read(&format!("{settings}{training}")), recipe.defaults);
    assert_eq!(read(""), Settings::default());
}

#[test]
fn wrong_file_is_refused_with_its_line_and_what_was_meant() {
    let refused = [
        ("epochs = 20\n\nlamda = 0.5", "settings.toml:3:1: unknown key `lamda`; did you mean `lambda`?"),
        ("lambda = 2", "settings.toml:1:10: `lambda` is 2; expected a number from 0 to 1"),
        (
            "batch_size = 32",
            "settings.toml:1:1: unknown key `batch_size`; it belongs in [training.plain] or [training.resnet]",
        ),
        ("data = \"cifar10\"", "settings.toml:1:1: unknown key `data`; it belongs in a recipe"),
        ("[defaults]\nepochs = 1", "settings.toml:1:2: unknown key `defaults`; it belongs in a recipe"),
        (
            "[training.resnet]\nlamda = 1",
            "settings.toml:2:1: unknown key `lamda` in [training.resnet]; there are: batch_size",
        ),
        (
            "[training.resnet]\nlambda = 1",
            "settings.toml:2:1: unknown key `lambda` in [training.resnet]; it belongs in the file, above its first header",
        ),
        ("training = 1", "expected a table for each family of networks, as in [training.plain]"),
        ("epochs = = 1", "settings.toml:1:10: not TOML"),
    ];
    for (text, expected) in refused {
        let error = Settings::parse(text, "settings.toml").expect_err(text).to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let long = Settings::parse(&" ".repeat(MAX_BYTES + 1), "settings.toml").unwrap_err();
    assert!(matches!(*long.problem, RecipeProblem::TooLong { limit: MAX_BYTES, .. }));
}

/// A card as a plan needs it.
fn card(name: DatasetName) -> Card {
    Card {
        class_names: name.known().map(Known::class_names).unwrap_or_default(),
        height: name.fit().map_or(32, |fit| fit.side()),
        width: name.fit().map_or(32, |fit| fit.side()),
        name,
        train: 50_000,
        test: 10_000,
        normalization: Normalization::PUBLISHED_CODE,
        origin: "made up".to_owned(),
        licence: "none".to_owned(),
        checksum: "0".repeat(64),
        notes: Vec::new(),
    }
}

/// The ids of all runs, in the plan's order.
fn ids(experiment: &Experiment) -> Vec<String> {
    let cards: BTreeMap<_, _> = experiment.datasets().into_iter().map(|name| (name.clone(), card(name))).collect();
    let plan = Plan::new(experiment, &cards, &|_| None).unwrap_or_else(|error| panic!("{error}"));
    plan.runs.iter().map(|run| run.id.to_string()).collect()
}

fn printed(experiment: &Experiment) -> Settings {
    read(&settings_in_force(std::slice::from_ref(experiment)).unwrap_or_else(|error| panic!("{error}")))
}

fn along(paths: &[&str], settings: &Settings, search: Option<&SearchSettings>) -> Experiment {
    let paths = paths.iter().map(|path| path.parse().unwrap()).collect();
    Experiment::of_paths(paths, &Known::Cifar10.into(), settings, search, DeviceType::Cpu).unwrap()
}

#[test]
fn recipes_that_come_with_the_program_have_the_same_runs_with_what_is_printed() {
    let mut compared = 0;
    for shipped in shipped() {
        let recipe = Recipe::parse(shipped.text, shipped.name).unwrap();
        for (preset, protocol) in [Preset::Full, Preset::Quick]
            .into_iter()
            .flat_map(|preset| [None, Some(Protocol::Code), Some(Protocol::Paper)].map(|protocol| (preset, protocol)))
        {
            let settings = Settings { protocol, ..Settings::default() };
            let changes = Changes { preset, settings, ..Changes::default() };
            let experiment = Experiment::new(&recipe, &changes, DeviceType::Cpu).unwrap();
            let settings = printed(&experiment);
            let again = Changes { settings, ..changes };
            let again = Experiment::new(&recipe, &again, DeviceType::Cpu).unwrap();
            assert_eq!(ids(&again), ids(&experiment), "{} {preset} {protocol:?}", shipped.name);
            assert_eq!(printed(&again), printed(&experiment));
            compared += 1;
        }
    }
    assert!(compared > 30, "{compared}");
}

#[test]
fn networks_along_paths_have_the_same_runs_with_what_is_printed_and_with_other_epochs() {
    let per_network = |text: &str, others| {
        let networks = [(text.parse::<ModelName>().unwrap(), 7)].into();
        Some(Epochs::ByNetwork { networks, others })
    };
    let mixed = ["plane10 -> resnet20 -> resnet8", "imagenet-resnet14"];
    let each = Some(PerStep::Each(vec![0.3, 0.7]));
    let cases: [(&[&str], Settings); 8] = [
        (&["plane10 -> plane4 -> plane2"], Settings::default()),
        (&mixed, Settings::default()),
        (&mixed[..1], Settings { lambda: each.clone(), temperature: each, ..Settings::default() }),
        (&mixed, Settings { epochs: per_network("resnet20", None), ..Settings::default() }),
        (&mixed, Settings { epochs: per_network("resnet20", Some(30)), ..Settings::default() }),
        // On ten classes it is the same network.
        (&["plane4 -> plane2"], Settings { epochs: per_network("plane2-narrow", None), ..Settings::default() }),
        (&["plane4 -> plane2"], Settings { epochs: per_network("plane2-wide", None), ..Settings::default() }),
        (
            &["resnet20 -> resnet8"],
            Settings {
                limit: Some(500),
                size: Some("24of28".parse().unwrap()),
                seeds: Some(vec![1, 2]),
                replays: 4.try_into().ok(),
                top_k: 3.try_into().ok(),
                ..Settings::default()
            },
        ),
    ];
    for (paths, settings) in cases {
        for protocol in Protocol::ALL {
            let settings = Settings { protocol: Some(*protocol), ..settings.clone() };
            let experiment = along(paths, &settings, None);
            let found = printed(&experiment);
            assert_eq!(ids(&along(paths, &found, None)), ids(&experiment), "{paths:?} {settings:?}");
            // The learning rate falls at the same shares of any number.
            for epochs in [1, 7, 160] {
                let with = |settings: &Settings| Settings { epochs: Some(Epochs::All(epochs)), ..settings.clone() };
                let [found, expected] = [&found, &settings].map(|settings| ids(&along(paths, &with(settings), None)));
                assert_eq!(found, expected, "{paths:?} {settings:?} in {epochs}");
            }
        }
    }
}

#[test]
fn everything_is_printed_with_a_comment_and_for_the_networks_of_the_paths_alone() {
    let experiment = along(&["resnet20 -> resnet8"], &Settings::default(), None);
    insta::assert_snapshot!("printed", settings_in_force(&[experiment]).unwrap());
}

#[test]
fn what_is_searched_is_left_out_and_said() {
    let dimension = |setting, value| Dimension::listed(setting, vec![Value::Number(value)]).unwrap();
    let space = vec![dimension(Setting::Lambda, 0.5), dimension(Setting::LearningRate, 0.1)];
    let search = SearchSettings { space: Some(Space::new(space).unwrap()), ..SearchSettings::default() };
    let experiment = along(&["resnet20 -> resnet8"], &Settings::default(), Some(&search));
    let text = settings_in_force(std::slice::from_ref(&experiment)).unwrap();
    assert!(text.starts_with("# Found by trials, and therefore left out here: lambda, lr\n"), "{text}");
    let settings = read(&text);
    assert_eq!((settings.lambda.clone(), settings.training.resnet.lr.clone()), (None, None));
    assert_eq!(settings.temperature, Some(PerStep::All(5.0)));
    assert_eq!(ids(&along(&["resnet20 -> resnet8"], &settings, Some(&search))), ids(&experiment));
}

#[test]
fn cells_that_differ_are_named_with_what_differs() {
    let recipe = |first: &str, second: &str| {
        let text = format!(
            "title = \"t\"\n[[cell]]\nname = \"a\"\ndata = \"cifar10\"\npaths = [\"resnet8\", \"resnet20 -> resnet8\"]\n{first}\n[[cell]]\n\
             name = \"b\"\ndata = \"cifar100\"\npaths = [\"resnet20 -> resnet8\"]\n{second}\n"
        );
        let recipe = Recipe::parse(&text, "mine.toml").unwrap_or_else(|error| panic!("{error}"));
        settings_in_force(&[Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).unwrap()])
    };
    let refused = [
        ("lambda = 0.3", "", "the cells `a` and `b` differ in `lambda`, and a file of settings says it once"),
        ("", "epochs = 3", "differ in `epochs`"),
        ("training.resnet.batch_size = 32", "", "differ in [training.resnet]"),
        ("size = 32", "", "differ in `size`"),
    ];
    for (first, second, expected) in refused {
        let error = recipe(first, second).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}");
    }
    // Said otherwise, and the same.
    assert_eq!(read(&recipe("lambda = 0.5", "epochs = 160").unwrap()).epochs, Some(Epochs::All(160)));
}

proptest! {
    #[test]
    fn settings_are_read_as_they_were_written(
        lambda in 0.0..=1.0_f64,
        temperatures in prop::collection::vec(1e-9..1e9_f64, 1..4),
        rates in prop::collection::vec(1e-12..10.0_f64, 1..5),
        decay in 0.0..1.0_f64,
        epochs in 1..1_000_000_000_usize,
        seeds in prop::collection::btree_set(0..=i64::MAX as u64, 1..5),
    ) {
        let pieces = rates.len() as f64;
        let lr = rates.iter().enumerate().map(|(at, &rate)| RateFrom { from: at as f64 / pieces, rate }).collect();
        let mut settings = Settings {
            lambda: Some(PerStep::All(lambda)),
            temperature: Some(PerStep::Each(temperatures)),
            epochs: Some(Epochs::All(epochs)),
            seeds: Some(seeds.into_iter().collect()),
            ..Settings::default()
        };
        settings.training.imagenet_resnet =
            TrainingChanges { lr: Some(lr), weight_decay: Some(decay), nesterov: Some(true), ..TrainingChanges::default() };
        prop_assert_eq!(read(&settings.to_toml()), settings);
    }
}

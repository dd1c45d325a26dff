//! Recipes: what is read, and what is refused with its line.

use takd_datasets::Augmentation;
use takd_distill::{DeviceType, KlReduction, Protocol};
use takd_grid::recipe::{
    CellPaths, DrawnImages, Epochs, Layout, MAX_SEED, PerStep, RateFrom, Recipe, RecipeError, RecipeProblem,
    SeedsError, Settings, parse_seeds, shipped,
};
use takd_grid::{Changes, Experiment};
use takd_models::{Family, ModelName};

pub(crate) const TABLE_1: &str = include_str!("../../recipes/table1.toml");
const ASSISTANTS: &str = include_str!("../recipes/assistants.toml");

/// A recipe in which one line after another is replaced by the tests.
const SMALL: &str = r#"title = "Does an assistant help?"

[defaults]
seeds = [20, 31]
lambda = 0.5

[[cell]]
name = "plain"
data = "cifar10"
paths = ["plane2", "plane10 -> plane4? -> plane2"]
paper = { "plane10 -> plane2" = 72.57 }

[quick]
data = { cifar10 = "shapes10" }
networks = { plane10 = "plane6" }
"#;

fn read(text: &str) -> Recipe {
    Recipe::parse(text, "mine.toml").unwrap_or_else(|error| panic!("{error}"))
}

fn refused(text: &str) -> RecipeError {
    Recipe::parse(text, "mine.toml").expect_err(text)
}

/// [`SMALL`] with one part replaced.
fn small_with(old: &str, new: &str) -> String {
    assert_eq!(SMALL.matches(old).count(), 1, "{old}");
    SMALL.replace(old, new)
}

#[test]
fn every_recipe_that_comes_with_the_program_is_read() {
    for shipped in shipped() {
        let recipe = Recipe::parse(shipped.text, shipped.name).unwrap_or_else(|error| panic!("{error}"));
        assert!(recipe.quick.is_some(), "{} has no quick form", shipped.name);
        assert_eq!((recipe.text(), recipe.origin()), (shipped.text, shipped.name));
    }
}

#[test]
fn table_1_has_the_papers_cells_paths_and_numbers() {
    let recipe = read(TABLE_1);
    assert_eq!(recipe.layout, Layout::Methods);
    let mut rows = Vec::new();
    for cell in &recipe.cells {
        let paths: Vec<(String, Option<f64>)> = match &cell.paths {
            CellPaths::Known(paths) => paths.iter().map(|path| (path.path.to_string(), path.paper)).collect(),
            CellPaths::Missing { paths, .. } => paths.iter().map(|path| (path.path.clone(), path.paper)).collect(),
        };
        rows.extend(paths.into_iter().map(|(path, paper)| format!("{}: {path}: {:.2}", cell.name, paper.unwrap())));
    }
    assert_eq!(
        rows,
        [
            "plain/cifar10: plane2: 70.16",
            "plain/cifar10: plane10 → plane2: 72.57",
            "plain/cifar10: plane10 → plane4 → plane2: 73.51",
            "plain/cifar100: plane2: 41.09",
            "plain/cifar100: plane10 → plane2: 44.57",
            "plain/cifar100: plane10 → plane4 → plane2: 44.92",
            "resnet/cifar10: resnet8: 88.52",
            "resnet/cifar10: resnet110 → resnet8: 88.65",
            "resnet/cifar10: resnet110 → resnet20 → resnet8: 88.98",
            "resnet/cifar100: resnet8: 61.37",
            "resnet/cifar100: resnet110 → resnet8: 61.41",
            "resnet/cifar100: resnet110 → resnet20 → resnet8: 61.82",
            "resnet/imagenet: imagenet-resnet14: 65.20",
            "resnet/imagenet: imagenet-resnet50 → imagenet-resnet14: 66.60",
            "resnet/imagenet: imagenet-resnet50 → imagenet-resnet20 → imagenet-resnet14: 67.36",
        ]
    );
    let missing = recipe.cells.iter().filter(|cell| matches!(cell.paths, CellPaths::Missing { .. }));
    assert_eq!(missing.map(|cell| cell.name.as_str()).collect::<Vec<_>>(), ["resnet/imagenet"]);
    assert!(recipe.cells[2].note.as_ref().unwrap().contains("88.90"));

    let settings = recipe.settings(&recipe.cells[0]);
    assert_eq!(settings.protocol, Some(Protocol::Sound));
    assert_eq!(settings.seeds, Some(vec![20, 31, 55]));
    assert_eq!((settings.lambda, settings.temperature), (Some(PerStep::All(0.5)), Some(PerStep::All(5.0))));
    assert_eq!((settings.epochs, settings.limit), (None, None));
}

#[test]
fn table_1_in_its_quick_form_is_small() {
    let recipe = read(TABLE_1);
    let quick = recipe.quick.as_ref().unwrap();
    let data: Vec<_> = quick.data.iter().map(|(old, new)| (old.as_str(), new.value.as_str())).collect();
    assert_eq!(data, [("cifar10", "shapes10"), ("cifar100", "shapes100")]);
    // Networks are replaced all at once: ResNet-110 by 20, not by 14.
    let paths: Vec<String> =
        recipe.cells[2].known_paths().iter().map(|path| quick.path(&path.path).to_string()).collect();
    assert_eq!(paths, ["resnet8", "resnet26 → resnet8", "resnet26 → resnet14 → resnet8"]);
    assert_eq!(quick.drawn, Some(DrawnImages { train: 2500, test: 1000 }));

    let settings = quick.settings.or(&recipe.settings(&recipe.cells[0]));
    assert_eq!((settings.seeds, settings.epochs), (Some(vec![31]), Some(Epochs::All(6))));
    assert_eq!((settings.protocol, settings.lambda), (Some(Protocol::Sound), Some(PerStep::All(0.5))));
    for (family, batch_size, rate) in [(Family::Plain, 128, 0.01), (Family::Resnet, 32, 0.02)] {
        let training = settings.training.of(family);
        assert_eq!((training.batch_size, training.augmentation), (Some(batch_size), Some(Augmentation::NONE)));
        let lr = training.lr.as_ref().unwrap();
        assert_eq!(*lr, [RateFrom { from: 0.0, rate }, RateFrom { from: 0.8, rate: rate / 10.0 }]);
        // The last of six epochs, and no other.
        assert_eq!((lr[1].from * 6.0).ceil(), 5.0);
    }
}

#[test]
fn recipe_of_which_assistant_teaches_best_is_read() {
    let recipe = read(ASSISTANTS);
    let paths: Vec<(String, Option<f64>)> =
        recipe.cells[0].known_paths().iter().map(|path| (path.path.to_string(), path.paper)).collect();
    assert_eq!(paths.len(), 9);
    assert_eq!(paths[0], ("plane2".into(), None));
    assert_eq!(paths[5], ("plane10 → plane2".into(), None));
    assert_eq!(paths[8], ("plane10 → plane4 → plane2".into(), Some(73.51)));
}

#[test]
fn settings_of_a_cell_win_over_the_defaults_and_those_of_quick_over_both() {
    let text = r#"
title = "Settings"
[defaults]
epochs = 100
limit = 1000
lambda = 0.5
seeds = "1..3, 7"
training.plain = { batch_size = 128, momentum = 0.9, nesterov = true }
training.resnet.batch_size = 32
[[cell]]
name = "plain"
data = "cifar10"
paths = ["plane10 -> plane4 -> plane2"]
epochs = 50
lambda = [0.3, 0.7]
kl_reduction = "mean"
training.plain.batch_size = 64
[quick]
epochs = 1
training.plain.momentum = 0
"#;
    let recipe = read(text);
    let settings = recipe.settings(&recipe.cells[0]);
    assert_eq!((settings.epochs.clone(), settings.limit), (Some(Epochs::All(50)), Some(1000)));
    assert_eq!(settings.seeds, Some(vec![1, 2, 3, 7]));
    assert_eq!(settings.kl_reduction, Some(KlReduction::Mean));
    let lambda = settings.lambda.clone().unwrap();
    assert_eq!([lambda.at(0), lambda.at(1), lambda.at(2)], [Some(0.3), Some(0.7), None]);
    let plain = &settings.training.plain;
    assert_eq!((plain.batch_size, plain.momentum, plain.nesterov), (Some(64), Some(0.9), Some(true)));
    assert_eq!(settings.training.resnet.batch_size, Some(32));

    let quick = recipe.quick.as_ref().unwrap().settings.or(&settings);
    assert_eq!((quick.epochs, quick.limit), (Some(Epochs::All(1)), Some(1000)));
    assert_eq!((quick.training.plain.batch_size, quick.training.plain.momentum), (Some(64), Some(0.0)));
}

#[test]
fn seeds_are_read_as_lists_and_ranges() {
    for (text, seeds) in [
        ("31", vec![31]),
        ("20,31, 55", vec![20, 31, 55]),
        ("1..5", vec![1, 2, 3, 4, 5]),
        ("9, 1..=2,0..0", vec![9, 1, 2, 0]),
    ] {
        assert_eq!(parse_seeds(text), Ok(seeds), "{text}");
    }
    for (text, error) in [
        ("", SeedsError::None),
        ("1,", SeedsError::NotASeed(String::new())),
        ("-1", SeedsError::NotASeed("-1".into())),
        ("1..x", SeedsError::NotASeed("1..x".into())),
        ("5..1", SeedsError::Falling { first: 5, last: 1 }),
        ("1..3,2", SeedsError::Twice(2)),
        ("9223372036854775808", SeedsError::TooLarge(MAX_SEED + 1)),
        ("0..1000", SeedsError::TooMany(1001)),
        ("0..18446744073709551615", SeedsError::TooMany(u64::MAX)),
    ] {
        assert_eq!(parse_seeds(text), Err(error), "{text}");
    }
}

#[test]
fn minus_zero_is_read_as_zero() {
    let recipe = read(&small_with("lambda = 0.5", "lambda = -0.0"));
    let Some(PerStep::All(lambda)) = recipe.defaults.lambda else { panic!("{:?}", recipe.defaults) };
    assert!(lambda == 0.0 && lambda.is_sign_positive());
}

#[test]
fn cell_that_cannot_be_run_yet_may_name_networks_that_do_not_exist() {
    let missing = small_with("\"plane2\", ", "\"huge7\", ")
        .replace("data = \"cifar10\"", "data = \"cifar10\"\nmissing = \"no data\"");
    let recipe = read(&missing.replace("networks = { plane10 = \"plane6\" }\n", ""));
    let CellPaths::Missing { why, paths, known } = &recipe.cells[0].paths else { panic!("{:?}", recipe.cells) };
    assert_eq!((why.as_str(), paths.len(), known.len()), ("no data", 3, 0));
    assert_eq!((paths[2].path.as_str(), paths[2].paper), ("plane10 → plane2", Some(72.57)));
    // Without the word, the network is looked for.
    let error = refused(&missing.replace("missing", "note"));
    assert!(matches!(*error.problem, RecipeProblem::Path(_)), "{error}");
}

#[test]
fn errors_of_a_recipes_user_have_its_line_too() {
    let recipe = read(SMALL);
    let error = recipe.error(recipe.cells[0].data.at, "there is no data set `cifar10`");
    assert_eq!(
        error.to_string(),
        "mine.toml:9:8: there is no data set `cifar10`\n  |\n9 | data = \"cifar10\"\n  |        ^^^^^^^^^"
    );
    assert_eq!((recipe.error(recipe.cells[0].at, "").line, recipe.error(recipe.cells[0].at, "").column), (7, 1));
}

#[test]
fn mistakes_are_refused_with_their_line_and_what_was_expected() {
    let wrong = [
        // Keys.
        small_with("lambda = 0.5", "lamda = 0.5"),
        small_with("lambda = 0.5", "tau = 5.0"),
        small_with("lambda = 0.5", "optimizer = \"adam\""),
        small_with("lambda = 0.5", "lambda = 0.5\nbatch_size = 64"),
        small_with("\n[defaults]", "epochs = 10\n[defaults]"),
        small_with("title = \"Does an assistant help?\"\n", ""),
        small_with("name = \"plain\"\n", ""),
        small_with("[defaults]", "[default]"),
        small_with("[[cell]]", "[cell]"),
        small_with("[quick]", "[quick.training.plain]\nlearning_rate = 0.1\n[quick]"),
        small_with("[quick]", "[cell.training.plain]\nkl_reduction = \"mean\"\n[quick]"),
        // Types and ranges.
        small_with("lambda = 0.5", "lambda = 1.5"),
        small_with("lambda = 0.5", "lambda = \"0.5\""),
        small_with("lambda = 0.5", "temperature = [5.0, 0]"),
        small_with("lambda = 0.5", "epochs = 0"),
        small_with("lambda = 0.5", "epochs = 2.5"),
        small_with("lambda = 0.5", "protocol = \"sond\""),
        small_with("[20, 31]", "[20, 31, 20]"),
        small_with("[20, 31]", "[20, 9223372036854775808]"),
        small_with("[20, 31]", "3"),
        small_with("[20, 31]", "\"5..1\""),
        small_with("lambda = 0.5", "training.plain.augmentation = \"crop-flop\""),
        small_with("lambda = 0.5", "training.plain.augmentation = 4"),
        small_with("lambda = 0.5", "size = 1024"),
        small_with("lambda = 0.5", "size = \"224of100\""),
        small_with("lambda = 0.5", "training.plain.lr = 0.1"),
        small_with("lambda = 0.5", "training.plain.lr = [{ from = 0.5, rate = 0.1 }]"),
        small_with("lambda = 0.5", "training.plain.lr = [{ from = 0.0, rate = 0.1 }, { from = 0.0, rate = 0.01 }]"),
        small_with("lambda = 0.5", "training.plain.lr = [{ from = 0.0, rate = inf }]"),
        small_with("lambda = 0.5", "training.plain.momentum = 1"),
        // Paths, networks, data sets.
        small_with("plane4? -> plane2\"", "plane3? -> plane2\""),
        small_with("plane4? -> plane2\"", "\""),
        small_with("{ \"plane10 -> plane2\" = 72.57 }", "{ \"plane10 -> plane6 -> plane2\" = 73.15 }"),
        small_with("72.57", "7257"),
        small_with("cifar10 = \"shapes10\"", "cifar100 = \"shapes100\""),
        small_with("plane10 = \"plane6\"", "plane8 = \"plane6\""),
        small_with("plane10 = \"plane6\"", "plane10 = \"Plane6\""),
        // Values that do not fit together.
        small_with("lambda = 0.5", "lambda = [0.3, 0.7]"),
        small_with("title", "layout = \"methods\"\ntitle").replace("plane4?", "{plane4, plane6}?"),
        small_with("title", "layout = \"methods\"\ntitle").replace("\"plane2\"", "\"plane4\""),
        small_with("[quick]", "[[cell]]\nname = \"plain\"\ndata = \"cifar100\"\npaths = [\"plane2\"]\n[quick]"),
        // Not TOML.
        small_with("lambda = 0.5", "lambda = 0,5"),
        small_with("[20, 31]", "[20, 31"),
        small_with("lambda = 0.5", "lambda = 0.5\nlambda = 0.7"),
        String::new(),
    ];
    let messages: Vec<String> = wrong.iter().map(|text| refused(text).to_string()).collect();
    insta::assert_snapshot!(messages.join("\n\n"));
}

#[test]
fn long_line_is_shown_around_the_mistake() {
    let many = vec!["\"plane2\""; 100].join(", ");
    let error = refused(&small_with("\"plane2\", ", &format!("{many}, \"plane5\", {many}, "))).to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert!(lines.iter().all(|line| line.chars().count() <= 120), "{error}");
    let mark = lines[3].find('^').unwrap();
    let marked: String = lines[2].chars().skip(mark).take(lines[3].matches('^').count()).collect();
    assert_eq!(marked, "plane5");
}

#[test]
fn control_characters_of_a_line_are_not_shown() {
    let error = refused("title = \"a\"\nnotes = [3, \"\u{1b}[31m\"]\r\n");
    assert!(!error.to_string().contains(['\u{1b}', '\r']), "{error:?}");
    let error = refused("title = \"a\"\n\tlayout\t=\t3\r\n");
    assert_eq!(error.to_string().lines().skip(2).collect::<Vec<_>>(), ["2 |  layout = 3", "  |           ^"]);
}

#[test]
fn file_that_is_larger_than_any_recipe_is_refused() {
    let text = format!("{SMALL}# {}", "x".repeat(300_000));
    assert!(matches!(*refused(&text).problem, RecipeProblem::TooLong { .. }));
}

#[test]
fn recipe_of_too_many_paths_is_refused_at_the_cell_that_has_them() {
    let pattern = format!("{{plane2, plane4}} {} -> plane2", "-> plane2? ".repeat(11));
    let cell =
        |name: &str, pattern: &str| format!("[[cell]]\nname = \"{name}\"\ndata = \"a\"\npaths = [\"{pattern}\"]\n");
    let distinct = "plane2 -> {plane2, plane4, plane6, plane8} -> ".to_owned()
        + &["{plane2, plane4, plane6, plane8, plane10}"; 4].join(" -> ");
    let text = |last: &str| format!("title = \"many\"\n{}{}", cell("a", &distinct), cell("b", last));
    assert_eq!(read(&text("plane2")).cells[0].known_paths().len(), 2500);
    let error = refused(&text(&distinct));
    assert_eq!((error.line, error.column), (6, 1), "{error}");
    assert!(error.to_string().contains("5000 paths; at most 4096"), "{error}");
    // Repeated paths are one.
    assert_eq!(read(&text(&pattern)).cells[1].known_paths().len(), 24);
}

#[test]
fn keys_nested_without_end_are_refused() {
    for text in [
        "a.".repeat(100_000) + "a = 1",
        "[".to_owned() + &"a.".repeat(100_000) + "a]",
        "a = ".to_owned() + &"[".repeat(100_000),
    ] {
        refused(&text);
    }
}

#[test]
fn epochs_may_differ_by_network() {
    let with = |epochs: &str| {
        let text = format!(
            "title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes100\"\nepochs = {epochs}\npaths = [\"plane10 -> plane2\"]\n"
        );
        Recipe::parse(&text, "mine.toml")
    };
    let epochs = |text: &str, changes: &Changes| {
        let experiment = Experiment::new(&with(text).unwrap(), changes, DeviceType::Cpu).unwrap();
        ["plane10", "plane2"].map(|name| experiment.cells[0].epochs(name.parse::<ModelName>().unwrap().spec(100), 100))
    };
    let as_it_is = Changes::default();
    assert_eq!(epochs("{ plane2 = 150, others = 20 }", &as_it_is), [20, 150]);
    assert_eq!(epochs("{ plane2 = 7 }", &as_it_is), [150, 7]);
    // A number on the command line is for all.
    let settings = Settings { epochs: Some(Epochs::All(3)), ..Settings::default() };
    assert_eq!(epochs("{ plane2 = 7 }", &Changes { settings, ..Changes::default() }), [3, 3]);
    for (wrong, expected) in [
        ("{ plane3 = 7 }", "did you mean `plane2`"),
        ("{ others = 7 }", "{ plane2 = 150, others = 20 }"),
        ("{ plane2 = 0 }", "a whole number"),
        ("[7, 8]", "a whole number"),
    ] {
        let message = with(wrong).unwrap_err().to_string();
        assert!(message.starts_with("mine.toml:5:") && message.contains(expected), "{message}");
    }
}

#[test]
fn search_is_read_and_what_it_leaves_out_is_as_usual() {
    use takd_distill::Protocol;
    use takd_grid::study::{Pruning, Sampler, Search, Setting};

    let recipe = |search: &str| {
        let text =
            format!("title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [\"plane2\"]\n{search}");
        Recipe::parse(&text, "mine.toml")
    };
    assert_eq!(recipe("").unwrap().search, None);
    let search = recipe(
        "[search]\ntrials = 7\nsampler = \"random\"\n[search.space]\nlr = { from = 0.001, to = 0.1, scale = \"log\" }\nnesterov = [true, false]\n",
    );
    let search = search.unwrap().search.unwrap().search(Protocol::Sound);
    assert_eq!((search.trials, search.sampler, search.pruning), (7, Sampler::Random, Pruning::Halving));
    let settings: Vec<Setting> = search.space.dimensions().iter().map(|dimension| dimension.setting()).collect();
    assert_eq!(settings, [Setting::LearningRate, Setting::Nesterov]);
    let published = Search::usual(Protocol::Code);
    assert_eq!((published.trials, published.space.points()), (120, Some(20 * 6 * 3)));
    for (wrong, expected) in [
        ("trails = 7", "did you mean `trials`?"),
        ("lambda = [0.5]", "it belongs in [search.space]"),
        ("space = { lamda = [0.5] }", "did you mean `lambda`?"),
        ("space = { lambda = [] }", "`lambda` has no values"),
        ("space = { lambda = [0.5, 0.5] }", "twice"),
        ("space = { lambda = [1.5] }", "`lambda` cannot be 1.5"),
        ("space = { lambda = 0.5 }", "a list of values, or a range"),
        ("space = { lambda = { from = 0.5, to = 0.1, step = 0.1 } }", "has no value from 0.5 to 0.1"),
        ("space = { lr = { from = 0.0, to = 0.1, scale = \"log\" } }", "begins above 0"),
        ("space = { lr = { from = 0.1, to = 1, step = 0.1, scale = \"log\" } }", "not both"),
        ("space = { batch_size = { from = 32, to = 64 } }", "its range needs a `step`"),
        ("space = {}", "no setting to search"),
        ("pruning = \"halve\"", "did you mean \"halving\"?"),
    ] {
        let error = recipe(&format!("[search]\n{wrong}\n")).unwrap_err().to_string();
        assert!(error.starts_with("mine.toml:7:") && error.contains(expected), "{error}");
    }
}

#[test]
fn settings_of_large_trainings_are_read_and_hostile_ones_refused() {
    let recipe = |settings: &str| {
        Recipe::parse(
            &format!(
                "title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes100\"\npaths = [\"resnet20 -> resnet8\"]\n{settings}\n"
            ),
            "mine.toml",
        )
    };
    let training = |settings: &str, changes: &Changes| {
        let experiment = Experiment::new(&recipe(settings).unwrap(), changes, DeviceType::Cpu).unwrap();
        let training = experiment.cells[0].training("resnet8".parse::<ModelName>().unwrap().spec(100), 100);
        (training.gradient_accumulation.get(), training.warmup_epochs, experiment.cells[0].top_k.map(|k| k.get()))
    };
    let given = "top_k = 20\ntraining.resnet = { gradient_accumulation = 4, warmup_epochs = 2.5 }";
    assert_eq!(training(given, &Changes::default()), (4, 2.5, Some(20)));
    assert_eq!(training("", &Changes::default()), (1, 0.0, None));
    // Those of another family change nothing; a command's win.
    assert_eq!(training("training.plain = { gradient_accumulation = 4 }", &Changes::default()).0, 1);
    let settings = Settings { top_k: std::num::NonZeroUsize::new(7), ..Settings::default() };
    assert_eq!(training(given, &Changes { settings, ..Changes::default() }), (4, 2.5, Some(7)));
    for (wrong, expected) in [
        ("top_k = 0", "a whole number from 1"),
        ("top_k = -3", "a whole number from 1"),
        ("top_k = 2.5", "a whole number from 1"),
        ("top_k = \"20\"", "(without quotes)"),
        ("top_k = 99999999999999999999999", "a whole number from 1"),
        ("topk = 20", "did you mean `top_k`?"),
        ("warmup_epochs = 5", "it belongs in [cell.training.plain] or [cell.training.resnet]"),
        ("training.resnet = { top_k = 20 }", "it belongs in [[cell]]"),
        ("training.resnet = { gradient_accumulation = 0 }", "a whole number from 1"),
        ("training.resnet = { gradient_accumulation = 1.5 }", "a whole number from 1"),
        ("training.resnet = { gradient_accumulation = true }", "a whole number from 1"),
        ("training.resnet = { accumulation_steps = 4 }", "did you mean `gradient_accumulation`?"),
        ("training.resnet = { warmup_epochs = -1 }", "a finite number of 0 or more"),
        ("training.resnet = { warmup_epochs = nan }", "a finite number of 0 or more"),
        ("training.resnet = { warmup_epochs = inf }", "a finite number of 0 or more"),
        ("training.resnet = { warmup_epochs = \"5\" }", "(without quotes)"),
        ("training.resnet = { warmup = 5 }", "did you mean `warmup_epochs`?"),
    ] {
        let message = recipe(wrong).unwrap_err().to_string();
        assert!(message.starts_with("mine.toml:6:") && message.contains(expected), "{wrong}: {message}");
    }
}

//! Recipes, and the experiments that are made of them.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use takd_distill::DeviceType;
use takd_fuzz::{
    Edit, edited,
    toml_text::{Line, Words},
};
use takd_grid::recipe::{Recipe, shipped};
use takd_grid::{Changes, Experiment, Preset};

#[derive(Debug, Arbitrary)]
struct Input {
    base: Base,
    edits: Vec<Edit>,
    quick: bool,
}

#[derive(Debug, Arbitrary)]
enum Base {
    Shipped(u8),
    /// A recipe of one cell, and these lines behind it.
    Cell(Vec<Line>),
    Lines(Vec<Line>),
}

const CELL: &str = "title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [\"plane4? -> plane2\"]\n";

const WORDS: Words = Words {
    keys: &[
        "title",
        "source",
        "layout",
        "notes",
        "defaults",
        "cell",
        "quick",
        "protocol",
        "seeds",
        "lambda",
        "temperature",
        "kl_reduction",
        "epochs",
        "limit",
        "replays",
        "training",
        "name",
        "data",
        "paths",
        "paper",
        "paper_source",
        "note",
        "missing",
        "networks",
        "drawn",
        "plain",
        "resnet",
        "batch_size",
        "lr",
        "momentum",
        "nesterov",
        "weight_decay",
        "weight_decay_on",
        "augmentation",
        "normalization",
        "pick",
        "hold_out",
        "from",
        "rate",
        "train",
        "test",
        "lamda",
        "\"plane4 -> plane2\"",
        "cifar10",
        "plane2",
        "tau",
        "\"\"",
    ],
    headers: &[
        "[defaults]",
        "[[cell]]",
        "[quick]",
        "[defaults.training.plain]",
        "[cell.training.resnet]",
        "[quick.training.plain]",
        "[cell.paper]",
        "[quick.data]",
        "[quick.networks]",
        "[quick.drawn]",
        "[[quick]]",
        "[cell]",
        "[a.b.c]",
    ],
    words: &[
        "cifar10",
        "cifar100",
        "shapes10",
        "shapes100",
        "imagenet",
        "plane2",
        "plane4",
        "plane10",
        "resnet8",
        "resnet110",
        "plane4 -> plane2",
        "{plane4, plane2}",
        "plane10? -> plane4? -> plane2",
        "plane10 + resnet8 -> plane2",
        "S",
        "T -> S",
        "sound",
        "paper",
        "code",
        "methods",
        "paths",
        "batch-mean",
        "mean",
        "all",
        "weights",
        "none",
        "crop-flip",
        "own",
        "published-code",
        "best-test-epoch",
        "last-epoch",
        "nothing",
        "tenth",
        "1..5",
        "20,31",
        "0.1 from epoch 3",
        "50%",
        "",
    ],
};

fuzz_target!(|input: Input| {
    let text = match &input.base {
        Base::Shipped(number) => shipped()[usize::from(*number) % shipped().len()].text.to_owned(),
        Base::Cell(lines) => format!("{CELL}{}", WORDS.text(lines)),
        Base::Lines(lines) => WORDS.text(lines),
    };
    let text = String::from_utf8_lossy(&edited(text.into_bytes(), &input.edits)).into_owned();
    let recipe = match Recipe::parse(&text, "fuzz.toml") {
        Ok(recipe) => recipe,
        Err(error) => {
            assert!((1..=text.matches('\n').count() + 1).contains(&error.line), "{error:?}");
            assert!(error.to_string().starts_with("fuzz.toml:"), "{error}");
            return;
        }
    };
    assert_eq!(recipe.text(), text);
    let preset = if input.quick { Preset::Quick } else { Preset::Full };
    match Experiment::new(&recipe, &Changes { preset, ..Changes::default() }, DeviceType::Cpu) {
        Ok(experiment) => drop(experiment.datasets()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});

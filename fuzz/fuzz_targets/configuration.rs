//! Configurations of runs: what can be read has one canonical form, which is read as the same configuration.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use takd_distill::{RunConfig, RunSettings};
use takd_fuzz::{
    Edit, edited,
    toml_text::{Line, Words},
};
use takd_store::{Configuration, RunId};

#[derive(Debug, Arbitrary)]
struct Input {
    /// Lines in place of some of the base's: where a key of theirs stands.
    lines: Vec<Line>,
    taught: bool,
    edits: Vec<Edit>,
}

const ALONE: &str = r#"numerics = 3
device = "cpu"
model = "plane2"
seed = 31
[data]
dataset = "shapes10"
checksum = "00"
train_images = 100
[training]
epochs = 3
batch_size = 16
lr = ["0.1 from epoch 0", "0.01 from epoch 2"]
momentum = 0.9
normalization = "own"
pick = "last-epoch"
"#;

const TAUGHT: &str = r#"[distillation]
teachers = ["0123456789abcdef"]
lambda = 0.5
temperature = 5.0
"#;

const WORDS: Words = Words {
    keys: &[
        "schema",
        "numerics",
        "device",
        "model",
        "seed",
        "dataset",
        "checksum",
        "train_images",
        "epochs",
        "batch_size",
        "lr",
        "momentum",
        "nesterov",
        "weight_decay",
        "weight_decay_on",
        "augmentation",
        "replays",
        "normalization",
        "pick",
        "hold_out",
        "teachers",
        "lambda",
        "temperature",
        "kl_reduction",
        "unknown",
    ],
    headers: &["[data]", "[training]", "[distillation]"],
    words: &[
        "cpu",
        "cuda",
        "metal",
        "plane2",
        "plane10-wide",
        "resnet110",
        "shapes10",
        "cifar100",
        "0123456789abcdef",
        "fedcba9876543210",
        "0.1 from epoch 0",
        "-0.0 from epoch 1",
        "1e-400 from epoch 2",
        "NaN from epoch 0",
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
        "batch-mean",
        "mean",
        "\u{1b}[2J",
        "",
    ],
};

/// The base with each line that sets a key of `lines` replaced.
fn text(input: &Input) -> String {
    let mut text = format!("{ALONE}{}", if input.taught { TAUGHT } else { "" });
    for line in WORDS.text(&input.lines).lines() {
        let key = line.split(" = ").next().unwrap_or(line);
        let old = text.lines().find(|old| old.split(" = ").next() == Some(key)).map(str::to_owned);
        match old {
            Some(old) => text = text.replacen(&old, line, 1),
            None => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    text
}

fuzz_target!(|input: Input| {
    let text = String::from_utf8_lossy(&edited(text(&input).into_bytes(), &input.edits)).into_owned();
    if let Ok(config) = RunConfig::parse(&format!("schema = 1\n{text}")) {
        assert_eq!(config.canonical(), format!("schema = 1\n{text}"), "read though it is not canonical");
    }
    let Ok(settings) = toml::from_str::<RunSettings>(&text) else { return };
    let Ok(config) = RunConfig::new(settings) else { return };
    let form = config.canonical();
    assert_eq!(config.id(), RunId::of(&form));
    let again = RunConfig::parse(&form).unwrap_or_else(|error| panic!("{error}: {form}"));
    assert_eq!(again, config);
    let again = RunConfig::new(config.settings().clone()).expect("it is a configuration");
    assert_eq!(again.canonical(), form, "simplified twice");
});

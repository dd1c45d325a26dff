//! Settings as a file of their own: read, and written so that they are read again as the same.

use super::error::{RecipeError, Span};
use super::keys::TableKind;
use super::read::parse_toml;
use super::settings::{self, Epochs, FAMILIES, PerStep, Settings, TrainingChanges};
use super::table::{Source, Table};
use std::fmt::Display;
use takd_distill::RateFrom;

/// The column at which comments begin, if what stands before them is shorter.
const COMMENT_AT: usize = 40;

impl Settings {
    /// Reads a file of settings: TOML with the keys of a recipe's `[defaults]` at its top, as [`recipe`](crate::recipe) lists
    /// them. `origin` is what messages call it, the name of the file.
    ///
    /// ```
    /// use takd_grid::recipe::Settings;
    ///
    /// let text = "seeds = \"1..3\"\n\n[training.resnet]\nbatch_size = 32\n";
    /// let settings = Settings::parse(text, "settings.toml")?;
    /// assert_eq!(settings.training.resnet.batch_size, Some(32));
    /// assert_eq!(Settings::parse(&settings.to_toml(), "printed")?, settings);
    ///
    /// let error = Settings::parse("epochs = 20\nlamda = 0.5\n", "settings.toml").unwrap_err();
    /// assert!(error.to_string().starts_with("settings.toml:2:1: unknown key `lamda`; did you mean `lambda`?"));
    /// # Ok::<(), takd_grid::recipe::RecipeError>(())
    /// ```
    ///
    /// # Errors
    /// If it is not TOML, has an unknown key, or a value of the wrong type or out of its range; with its place.
    pub fn parse(text: &str, origin: &str) -> Result<Self, RecipeError> {
        let source = Source { origin, text };
        let document = parse_toml(source)?;
        settings::read(&Table::new(source, TableKind::Settings, Span::default(), &document)?)
    }

    /// The file of these settings, with a comment for each key: what [`parse`](Self::parse) reads as the same. What is absent
    /// here is absent there.
    pub fn to_toml(&self) -> String {
        // Without `..`, so that no new setting is forgotten.
        let Self { protocol, seeds, lambda, temperature, kl_reduction, epochs, limit, size, replays, top_k, training } =
            self;
        let mut text = Text::default();
        text.key("protocol", protocol.map(quoted), "where all comes from that is not given: code, paper or sound");
        text.key("seeds", seeds.as_ref().map(|seeds| list(seeds.iter())), "each path is trained once for each");
        text.key(
            "lambda",
            lambda.as_ref().map(per_step),
            "λ, the teachers' share of the loss; a list: one for each step",
        );
        text.key("temperature", temperature.as_ref().map(per_step), "τ, what logits are divided by; a list likewise");
        text.key("kl_reduction", kl_reduction.map(quoted), "how the KL term is averaged: batch-mean or mean");
        text.key("epochs", epochs.as_ref().map(epochs_text), "how often each training image is seen");
        text.key("limit", *limit, "so many of the training images");
        text.key("size", size.map(size_text), "rows and columns that images are scaled to");
        text.key("replays", *replays, "augmented forms of each image, drawn once and seen in turn");
        text.key("top_k", *top_k, "classes of which the teachers' logits are kept");
        for (family, name) in FAMILIES {
            let changes = training.of(family);
            if *changes != TrainingChanges::default() {
                text.training(name, changes);
            }
        }
        text.0
    }
}

/// A TOML text that grows.
#[derive(Default)]
struct Text(String);

impl Text {
    /// Adds a line, if there is a value.
    fn key(&mut self, key: &str, value: Option<impl ToString>, comment: &str) {
        let Some(value) = value else { return };
        let line = format!("{key} = {}", value.to_string());
        self.0 += &format!("{line:<COMMENT_AT$}  # {comment}\n");
    }

    /// Adds the table of a family of networks.
    fn training(&mut self, family: &str, changes: &TrainingChanges) {
        let gap = if self.0.is_empty() { "" } else { "\n" };
        self.0 += &format!("{gap}[training.{family}]\n");
        let TrainingChanges {
            batch_size,
            gradient_accumulation,
            lr,
            warmup_epochs,
            momentum,
            nesterov,
            weight_decay,
            weight_decay_on,
            augmentation,
            normalization,
            pick,
            hold_out,
        } = changes;
        self.key("batch_size", *batch_size, "images a step");
        self.key("gradient_accumulation", *gradient_accumulation, "parts that a batch is computed in");
        self.key("lr", lr.as_ref().map(|pieces| rates(pieces)), "`from` is a share of the epochs");
        self.key("warmup_epochs", warmup_epochs.map(number), "epochs over which the learning rate rises");
        self.key("momentum", momentum.map(number), "0 to below 1");
        self.key("nesterov", *nesterov, "whether momentum is applied in Nesterov's form");
        self.key("weight_decay", weight_decay.map(number), "L2 penalty");
        self.key("weight_decay_on", weight_decay_on.map(quoted), "what the penalty falls on: all or weights");
        self.key("augmentation", augmentation.map(quoted), "what is done to training images");
        self.key(
            "normalization",
            normalization.map(quoted),
            "whose mean and deviation: published-code, own or imagenet",
        );
        self.key("pick", pick.map(quoted), "the epoch that counts: best-test-epoch or last-epoch");
        self.key("hold_out", hold_out.map(quoted), "training images set aside: nothing or tenth");
    }
}

/// The shortest digits that give the same number again.
fn number(value: f64) -> String {
    format!("{value:?}")
}

/// A word in quotes. None of those that are written has a character that TOML would escape.
fn quoted(word: impl Display + Copy) -> String {
    format!("\"{word}\"")
}

fn list(values: impl Iterator<Item = impl ToString>) -> String {
    format!("[{}]", values.map(|value| value.to_string()).collect::<Vec<_>>().join(", "))
}

fn per_step(values: &PerStep) -> String {
    match values {
        PerStep::All(value) => number(*value),
        PerStep::Each(values) => list(values.iter().map(|value| number(*value))),
    }
}

fn epochs_text(epochs: &Epochs) -> String {
    match epochs {
        Epochs::All(epochs) => epochs.to_string(),
        Epochs::ByNetwork { networks, others } => {
            let networks = networks.iter().map(|(network, epochs)| format!("{network} = {epochs}"));
            let others = others.iter().map(|epochs| format!("others = {epochs}"));
            format!("{{ {} }}", networks.chain(others).collect::<Vec<_>>().join(", "))
        }
    }
}

fn size_text(fit: takd_datasets::Fit) -> String {
    let text = fit.to_string();
    if text.parse::<usize>().is_ok() { text } else { quoted(fit) }
}

fn rates(pieces: &[RateFrom]) -> String {
    let piece = |piece: &RateFrom| format!("{{ from = {}, rate = {} }}", number(piece.from), number(piece.rate));
    list(pieces.iter().map(piece))
}

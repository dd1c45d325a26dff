//! The keys of a recipe's tables, and what an unknown one was probably meant to be.

use crate::study::Setting;
use std::fmt;

/// A table of a recipe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableKind {
    /// The recipe itself: what stands before the first header.
    Recipe,
    /// A file of settings: what stands before its first header.
    Settings,
    /// `[defaults]`.
    Defaults,
    /// A `[[cell]]`, of this name if it has one.
    Cell(Option<String>),
    /// `[quick]`.
    Quick,
    /// The `training` table of one of these four.
    Training(Box<Self>),
    /// The table of a family in it.
    Family(Box<Self>, &'static str),
    /// A piece of a learning rate.
    Rate,
    /// The numbers of drawn images.
    Drawn,
    /// A network of `import`.
    Imported,
    /// `[search]`.
    Search,
    /// What it searches.
    Space,
    /// A range of values.
    Range,
}

const RECIPE: &[&str] = &["title", "source", "layout", "notes", "defaults", "cell", "quick", "search"];
const SETTINGS: &[&str] = &[
    "protocol",
    "seeds",
    "lambda",
    "temperature",
    "kl_reduction",
    "epochs",
    "limit",
    "size",
    "replays",
    "top_k",
    "training",
];
const CELL: &[&str] = &["name", "data", "paths", "import", "paper", "paper_source", "published", "note", "missing"];
const QUICK: &[&str] = &["data", "networks", "drawn"];
const FAMILIES: [&str; 3] = ["plain", "resnet", "imagenet-resnet"];
const TRAINING: &[&str] = &[
    "batch_size",
    "gradient_accumulation",
    "lr",
    "warmup_epochs",
    "momentum",
    "nesterov",
    "weight_decay",
    "weight_decay_on",
    "augmentation",
    "normalization",
    "pick",
    "hold_out",
];
const RATE: &[&str] = &["from", "rate"];
const DRAWN: &[&str] = &["train", "test"];
const IMPORTED: &[&str] = &["file", "mean", "std", "order"];
const SEARCH: &[&str] = &["space", "trials", "window", "sampler", "pruning", "objective", "epochs", "seeds", "seed"];
const RANGE: &[&str] = &["from", "to", "step", "scale"];

/// Other words for a key.
const SYNONYMS: &[(&str, &str)] = &[
    ("accumulate", "gradient_accumulation"),
    ("accumulation", "gradient_accumulation"),
    ("accumulation_steps", "gradient_accumulation"),
    ("alpha", "lambda"),
    ("augment", "augmentation"),
    ("batch", "batch_size"),
    ("dataset", "data"),
    ("decay", "weight_decay"),
    ("description", "title"),
    ("epoch", "from"),
    ("holdout", "hold_out"),
    ("imports", "import"),
    ("learning_rate", "lr"),
    ("lr", "rate"),
    ("models", "networks"),
    ("name", "title"),
    ("path", "file"),
    ("path", "paths"),
    ("rates", "lr"),
    ("schedule", "lr"),
    ("t", "temperature"),
    ("tau", "temperature"),
    ("warmup", "warmup_epochs"),
    ("wd", "weight_decay"),
    ("λ", "lambda"),
    ("τ", "temperature"),
    ("k", "top_k"),
    ("topk", "top_k"),
];

impl TableKind {
    /// The keys that it may have.
    pub(super) fn keys(&self) -> Vec<&'static str> {
        match self {
            Self::Recipe => RECIPE.to_vec(),
            Self::Settings | Self::Defaults => SETTINGS.to_vec(),
            Self::Cell(_) => [CELL, SETTINGS].concat(),
            Self::Quick => [QUICK, SETTINGS].concat(),
            Self::Training(_) => FAMILIES.to_vec(),
            Self::Family(..) => TRAINING.to_vec(),
            Self::Rate => RATE.to_vec(),
            Self::Drawn => DRAWN.to_vec(),
            Self::Imported => IMPORTED.to_vec(),
            Self::Search => SEARCH.to_vec(),
            Self::Space => Setting::ALL.iter().map(|setting| setting.as_str()).collect(),
            Self::Range => RANGE.to_vec(),
        }
    }

    /// What an unknown key of it was probably meant to be.
    pub(super) fn advice(&self, key: &str) -> Advice {
        let keys = self.keys();
        let lower = key.to_lowercase().replace('-', "_");
        if let Some(place) = self.other_place(&lower) {
            return Advice::Elsewhere(place);
        }
        let synonym = SYNONYMS.iter().find(|&&(word, meant)| word == lower && keys.contains(&meant));
        match synonym.map(|&(_, meant)| meant).or_else(|| nearest(&lower, &keys)) {
            Some(meant) => Advice::Nearest(meant.to_owned()),
            None => Advice::Known(keys.iter().map(|&key| key.to_owned()).collect()),
        }
    }

    /// The table that has this key, if it is not this one but one that is easily taken for it.
    fn other_place(&self, key: &str) -> Option<String> {
        match self {
            Self::Recipe if SETTINGS.contains(&key) => Some("[defaults], [[cell]] or [quick]".to_owned()),
            Self::Settings if [RECIPE, CELL, QUICK].iter().any(|keys| keys.contains(&key)) => {
                Some("a recipe".to_owned())
            }
            Self::Search if Self::Space.keys().contains(&key) => Some("[search.space]".to_owned()),
            Self::Recipe if CELL.contains(&key) => Some("[[cell]]".to_owned()),
            Self::Defaults if CELL.contains(&key) => Some("[[cell]]".to_owned()),
            Self::Settings | Self::Defaults | Self::Cell(_) | Self::Quick if TRAINING.contains(&key) => {
                Some(self.training_headers())
            }
            Self::Training(inside) if TRAINING.contains(&key) => Some(inside.training_headers()),
            Self::Training(inside) | Self::Family(inside, _) if SETTINGS.contains(&key) => Some(inside.to_string()),
            _ => None,
        }
    }

    /// The header of a table inside this one, such as `[defaults.training]`.
    pub(super) fn header_of(&self, inner: &str) -> String {
        match self {
            Self::Settings => format!("[{inner}]"),
            Self::Cell(_) => format!("[cell.{inner}]"),
            Self::Quick => format!("[quick.{inner}]"),
            _ => format!("[defaults.{inner}]"),
        }
    }

    /// The headers of the training of each family in this table.
    fn training_headers(&self) -> String {
        FAMILIES.map(|family| self.header_of(&format!("training.{family}"))).join(" or ")
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recipe => f.write_str("the recipe"),
            Self::Settings => f.write_str("the file, above its first header"),
            Self::Defaults => f.write_str("[defaults]"),
            Self::Cell(None) => f.write_str("[[cell]]"),
            Self::Cell(Some(name)) => write!(f, "[[cell]] `{name}`"),
            Self::Quick => f.write_str("[quick]"),
            Self::Training(inside) => f.write_str(&inside.header_of("training")),
            Self::Family(inside, family) => f.write_str(&inside.header_of(&format!("training.{family}"))),
            Self::Rate => f.write_str("a piece of `lr`"),
            Self::Drawn => f.write_str("`drawn`"),
            Self::Imported => f.write_str("a network of `import`"),
            Self::Search => f.write_str("[search]"),
            Self::Space => f.write_str("[search.space]"),
            Self::Range => f.write_str("a range"),
        }
    }
}

/// What an unknown key was probably meant to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advice {
    /// It is a key of these tables.
    Elsewhere(String),
    /// This key.
    Nearest(String),
    /// No key is near; these are all.
    Known(Vec<String>),
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Elsewhere(tables) => write!(f, "it belongs in {tables}"),
            Self::Nearest(key) => write!(f, "did you mean `{key}`?"),
            Self::Known(keys) => write!(f, "there are: {}", keys.join(", ")),
        }
    }
}

/// The known word that `word` is most like, if it is like one at all.
pub(super) fn nearest<'k>(word: &str, known: &[&'k str]) -> Option<&'k str> {
    /// Longer words than these are no misspelling, and the comparison takes their length in time and memory.
    const LONGEST: usize = 64;

    if word.len() > LONGEST {
        return None;
    }
    let edits = |key: &&&str| strsim::damerau_levenshtein(word, key);
    let least = known.iter().min_by_key(edits)?;
    // A third of the letters wrong is a slip of the pen; more is another word.
    (edits(&least) <= least.chars().count().div_ceil(3)).then_some(least)
}

//! One thing that was looked at.

use serde::Serialize;
use serde_json::Value;

/// One thing that was looked at.
#[derive(Serialize)]
pub(super) struct Finding {
    pub verdict: Verdict,
    /// Which thing.
    pub what: &'static str,
    /// In words.
    pub found: String,
    /// What helps, if anything has to be done or can be.
    pub remedy: Option<String>,
    /// The same in numbers, for a script.
    pub values: Value,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Verdict {
    Fine,
    WorthKnowing,
    Wrong,
}

impl Verdict {
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::WorthKnowing => "worth knowing",
            Self::Wrong => "wrong",
        }
    }
}

impl Finding {
    pub(super) fn fine(what: &'static str, found: impl Into<String>, values: Value) -> Self {
        Self { verdict: Verdict::Fine, what, found: found.into(), remedy: None, values }
    }

    /// The same, worth knowing, with what can be done.
    pub(super) fn worth_knowing(self, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::WorthKnowing, remedy: Some(remedy.into()), ..self }
    }

    /// The same, wrong, with what helps.
    pub(super) fn wrong(self, remedy: impl Into<String>) -> Self {
        Self { verdict: Verdict::Wrong, remedy: Some(remedy.into()), ..self }
    }
}

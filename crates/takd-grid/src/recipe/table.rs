//! Reads the tables of a TOML text and keeps the place of everything for messages.

use super::error::{Located, RecipeError, RecipeProblem, Span};
use super::keys::{TableKind, nearest};
use crate::path::PathError;
use std::fmt;
use std::str::FromStr;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

pub(super) type Result<T> = std::result::Result<T, RecipeError>;

/// A recipe's text and name.
#[derive(Clone, Copy)]
pub(super) struct Source<'t> {
    pub(super) origin: &'t str,
    pub(super) text: &'t str,
}

impl Source<'_> {
    pub(super) fn error(&self, at: Span, problem: RecipeProblem) -> RecipeError {
        RecipeError::new(self.origin, self.text, at, problem)
    }

    /// The error of a path that was read from `text`, which stands at `at`: at its own place if the text has no
    /// escapes.
    pub(super) fn path_error(&self, at: Span, text: &str, error: PathError) -> RecipeError {
        let raw = &self.text[at.start..at.end];
        let quotes = (raw.len().saturating_sub(text.len())) / 2;
        let at = match raw.get(quotes..quotes + text.len()) {
            Some(inside) if inside == text => {
                let start = at.start + quotes;
                Span { start: start + error.span.start, end: start + error.span.end }
            }
            _ => at,
        };
        self.error(at, RecipeProblem::Path(error))
    }
}

fn span<T>(spanned: &Spanned<T>) -> Span {
    let span = spanned.span();
    Span { start: span.start, end: span.end }
}

/// A table whose keys are all known.
pub(super) struct Table<'t> {
    pub(super) source: Source<'t>,
    pub(super) kind: TableKind,
    pub(super) at: Span,
    entries: &'t DeTable<'t>,
}

impl<'t> Table<'t> {
    /// Refuses a table with keys that are none of its kind's.
    pub(super) fn new(source: Source<'t>, kind: TableKind, at: Span, entries: &'t DeTable<'t>) -> Result<Self> {
        let known = kind.keys();
        let unknown = entries.keys().filter(|key| !known.contains(&key.get_ref().as_ref()));
        if let Some(key) = unknown.min_by_key(|key| key.span().start) {
            let name = key.get_ref().to_string();
            let advice = kind.advice(&name);
            return Err(source.error(span(key), RecipeProblem::UnknownKey { key: name, table: kind, advice }));
        }
        Ok(Self { source, kind, at, entries })
    }

    pub(super) fn get(&self, key: &'static str) -> Option<Item<'t>> {
        let value = self.entries.get(key)?;
        Some(Item { source: self.source, key, at: span(value), value: value.get_ref() })
    }

    pub(super) fn require(&self, key: &'static str) -> Result<Item<'t>> {
        let missing = || self.source.error(self.at, RecipeProblem::MissingKey { key, table: self.kind.clone() });
        self.get(key).ok_or_else(missing)
    }
}

/// A value, for messages with its key.
#[derive(Clone, Copy)]
pub(super) struct Item<'t> {
    pub(super) source: Source<'t>,
    key: &'t str,
    pub(super) at: Span,
    value: &'t DeValue<'t>,
}

impl<'t> Item<'t> {
    /// The error of a value that is not what was expected.
    pub(super) fn expected(&self, expected: impl Into<String>) -> RecipeError {
        let (key, found) = (self.key.to_owned(), shown(self.value));
        self.source.error(self.at, RecipeProblem::Value { key, found, expected: expected.into() })
    }

    /// The same, if a number was expected.
    fn expected_number(&self, expected: &str) -> RecipeError {
        let quoted = self.as_text().is_some_and(|text| text.trim().parse::<f64>().is_ok());
        self.expected(format!("{expected}{}", if quoted { " (without quotes)" } else { "" }))
    }

    /// A text that says something.
    pub(super) fn text(&self, expected: &str) -> Result<&'t str> {
        match self.value {
            DeValue::String(text) if !text.trim().is_empty() => Ok(text),
            _ => Err(self.expected(expected)),
        }
    }

    /// A text that is read as something else, which its error explains.
    pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(&self, expected: &str) -> Result<T> {
        self.text(expected)?.parse().map_err(|error: T::Err| self.refused(error))
    }

    /// The error that explains why the value cannot be taken.
    pub(super) fn refused(&self, problem: impl fmt::Display) -> RecipeError {
        self.source.error(self.at, RecipeProblem::Conflict(problem.to_string()))
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&'t str> {
        self.value.as_str()
    }

    /// The same as [`Item::text`], owned and with its place.
    pub(super) fn located(&self, expected: &str) -> Result<Located<String>> {
        Ok(Located { value: self.text(expected)?.to_owned(), at: self.at })
    }

    pub(super) fn flag(&self) -> Result<bool> {
        match self.value {
            DeValue::Boolean(flag) => Ok(*flag),
            _ => Err(self.expected("true or false")),
        }
    }

    /// A number in `range`, which `expected` describes.
    pub(super) fn number(&self, expected: &str, range: impl Fn(f64) -> bool) -> Result<f64> {
        let number = match self.value {
            DeValue::Float(number) => number.as_str().parse().ok(),
            DeValue::Integer(number) if number.radix() == 10 => number.as_str().parse().ok(),
            _ => None,
        };
        match number.filter(|number: &f64| number.is_finite() && range(*number)) {
            // Not −0.0, which would be another number where it is written down.
            Some(number) => Ok(number + 0.0),
            None => Err(self.expected_number(expected)),
        }
    }

    /// A whole number from `least` to `most`.
    pub(super) fn whole(&self, least: u64, most: u64) -> Result<u64> {
        let number = match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let expected = || self.expected_number(&format!("a whole number from {least} to {most}"));
        number.filter(|number| (least..=most).contains(number)).ok_or_else(expected)
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(&self, values: &[T], name: fn(T) -> &'static str) -> Result<T> {
        let found = self.value.as_str().and_then(|text| values.iter().find(|value| name(**value) == text));
        let expected = || {
            let known: Vec<&str> = values.iter().map(|value| name(*value)).collect();
            let list = known.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
            let meant = self.value.as_str().and_then(|text| nearest(&text.to_lowercase(), &known));
            let hint = meant.map_or(String::new(), |word| format!(" (did you mean \"{word}\"?)"));
            self.expected(format!("one of {list}{hint}"))
        };
        found.copied().ok_or_else(expected)
    }

    /// The items of a list, or `None` if it is none.
    pub(super) fn as_list(&self) -> Option<Vec<Self>> {
        let list: &'t DeArray<'t> = self.value.as_array()?;
        let item = |value: &'t Spanned<DeValue<'t>>| Self { at: span(value), value: value.get_ref(), ..*self };
        Some(list.iter().map(item).collect())
    }

    /// The items of a list.
    pub(super) fn list(&self, expected: &str) -> Result<Vec<Self>> {
        self.as_list().ok_or_else(|| self.expected(expected))
    }

    /// A table of this kind.
    pub(super) fn table(&self, kind: TableKind, expected: &str) -> Result<Table<'t>> {
        match self.value {
            DeValue::Table(entries) => Table::new(self.source, kind, self.at, entries),
            _ => Err(self.expected(expected)),
        }
    }

    pub(super) fn is_table(&self) -> bool {
        self.value.as_table().is_some()
    }

    /// The text at `key`, if this is a table that has one; for messages about the table.
    pub(super) fn text_at(&self, key: &str) -> Option<String> {
        self.value.as_table()?.get(key)?.get_ref().as_str().map(str::to_owned)
    }

    /// The entries of a table whose keys may be anything, in the order written.
    pub(super) fn entries(&self, expected: &str) -> Result<Vec<Entry<'t>>> {
        let DeValue::Table(entries) = self.value else { return Err(self.expected(expected)) };
        let entry = |(key, value): (&'t Spanned<std::borrow::Cow<'t, str>>, &'t Spanned<DeValue<'t>>)| Entry {
            key: key.get_ref(),
            key_at: span(key),
            value: Self { source: self.source, key: key.get_ref(), at: span(value), value: value.get_ref() },
        };
        let mut entries: Vec<Entry<'t>> = entries.iter().map(entry).collect();
        entries.sort_by_key(|entry| entry.key_at.start);
        Ok(entries)
    }
}

/// An entry of a table whose keys may be anything.
pub(super) struct Entry<'t> {
    pub(super) key: &'t str,
    pub(super) key_at: Span,
    pub(super) value: Item<'t>,
}

/// A value as a message shows it.
fn shown(value: &DeValue<'_>) -> String {
    const LONGEST: usize = 40;

    match value {
        DeValue::String(text) if text.chars().count() > LONGEST => {
            format!("the text \"{}…\"", text.chars().take(LONGEST).collect::<String>())
        }
        DeValue::String(text) => format!("the text \"{text}\""),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(flag) => flag.to_string(),
        DeValue::Datetime(_) => "a date".to_owned(),
        DeValue::Array(_) => "a list".to_owned(),
        DeValue::Table(_) => "a table".to_owned(),
    }
}

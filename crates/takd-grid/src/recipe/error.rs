//! What is wrong with a recipe, and its place in the text.

use super::keys::{Advice, TableKind};
use super::seeds::SeedsError;
use crate::path::PathError;
use std::fmt;
use takd_models::UnknownModel;

/// A part of a recipe's text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// Its first byte.
    pub start: usize,
    /// The byte after its last.
    pub end: usize,
}

/// A value and the part of the recipe that it was read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its place.
    pub at: Span,
}

/// Why a text is not a recipe, or a recipe not an experiment. It prints with the line at fault:
///
/// ```text
/// mine.toml:8:1: unknown key `lamda` in [defaults]; did you mean `lambda`?
///   |
/// 8 | lamda = 0.5
///   | ^^^^^
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RecipeError {
    /// What is wrong.
    pub problem: Box<RecipeProblem>,
    /// The name of the recipe: a file, or a recipe that is shipped.
    pub origin: String,
    /// The line at fault, from 1.
    pub line: usize,
    /// The column at fault, in characters from 1.
    pub column: usize,
    excerpt: Box<Excerpt>,
}

/// A line, or the part of it that is of interest, and what to mark in it.
#[derive(Clone, Debug, PartialEq)]
struct Excerpt {
    text: String,
    /// Characters before the mark.
    before: usize,
    /// Characters to mark.
    marked: usize,
}

impl RecipeError {
    /// An error at a place of the recipe `text` that is called `origin`.
    pub(super) fn new(origin: &str, text: &str, at: Span, problem: RecipeProblem) -> Self {
        let start = floor_char_boundary(text, at.start);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line = text[line_start..].split('\n').next().unwrap_or("");
        let line = line.strip_suffix('\r').unwrap_or(line);
        let before = text[line_start..start].chars().count();
        let marked = text[start..floor_char_boundary(text, at.end.max(start))].chars().count();
        Self {
            problem: Box::new(problem),
            origin: origin.to_owned(),
            line: text[..line_start].matches('\n').count() + 1,
            column: before + 1,
            excerpt: Box::new(Excerpt::new(line, before, marked)),
        }
    }
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

impl Excerpt {
    /// Of `line`, as much as fits a terminal: some characters before the mark and those after it.
    fn new(line: &str, before: usize, marked: usize) -> Self {
        const MOST_BEFORE: usize = 60;
        const MOST: usize = 100;

        let cut = before.saturating_sub(MOST_BEFORE);
        let rest = line.chars().skip(cut);
        let mut text: String = if cut > 0 { "…".to_owned() } else { String::new() };
        let before = before - cut + text.chars().count();
        // Control characters would move the mark, or the cursor.
        text.extend(rest.clone().take(MOST).map(|c| match c {
            '\t' => ' ',
            c if c.is_control() => '\u{FFFD}',
            c => c,
        }));
        if rest.count() > MOST {
            text.push('…');
        }
        let marked = marked.min(text.chars().count().saturating_sub(before)).max(1);
        Self { text, before, marked }
    }
}

impl fmt::Display for RecipeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { problem, origin, line, column, excerpt } = self;
        let Excerpt { text, before, marked } = &**excerpt;
        let number = line.to_string();
        let margin = number.len();
        writeln!(f, "{origin}:{line}:{column}: {problem}")?;
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{number} | {text}")?;
        write!(f, "{:margin$} | {:before$}{:^<marked$}", "", "", "")
    }
}

impl std::error::Error for RecipeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.problem)
    }
}

/// What can be wrong with a recipe.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum RecipeProblem {
    /// It is not TOML.
    #[error("not TOML: {0}")]
    Syntax(String),
    /// It is larger than any recipe or file of settings.
    #[error("{bytes} bytes are too many for such a file; at most {limit}")]
    TooLong {
        /// Its size.
        bytes: usize,
        /// The largest size.
        limit: usize,
    },
    /// A key that the table does not have.
    #[error("unknown key `{key}`{}; {advice}", place(table))]
    UnknownKey {
        /// The key.
        key: String,
        /// The table it stands in.
        table: TableKind,
        /// What was probably meant.
        advice: Advice,
    },
    /// A key without which the table says nothing.
    #[error("{table} has no `{key}`")]
    MissingKey {
        /// The key.
        key: &'static str,
        /// The table that needs it.
        table: TableKind,
    },
    /// A value of the wrong type or out of its range.
    #[error("`{key}` is {found}; expected {expected}")]
    Value {
        /// The key.
        key: String,
        /// The value.
        found: String,
        /// What it may be.
        expected: String,
    },
    /// A text that is neither a path nor a pattern.
    #[error("{}", .0.message())]
    Path(PathError),
    /// A network that does not exist.
    #[error(transparent)]
    Network(UnknownModel),
    /// Seeds that are none.
    #[error("`seeds`: {0}")]
    Seeds(SeedsError),
    /// Values that are each allowed but do not fit together.
    #[error("{0}")]
    Conflict(String),
}

/// Where a key stands, if that is not clear.
fn place(table: &TableKind) -> String {
    if *table == TableKind::Settings { String::new() } else { format!(" in {table}") }
}

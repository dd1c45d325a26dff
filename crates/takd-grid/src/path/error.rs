//! Why a text is neither a path nor a pattern.

use std::fmt;
use std::ops::Range;
use takd_models::UnknownModel;
use takd_store::printable;

/// Why a text is not a path or not a pattern, and the part of it that is at fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathError {
    /// The text as it was given.
    pub text: String,
    /// The part at fault, in bytes of the text; empty if something is missing there.
    pub span: Range<usize>,
    /// What is wrong with it.
    pub problem: PathProblem,
}

impl PathError {
    /// The column of the part at fault, in characters from 1.
    pub fn column(&self) -> usize {
        self.text[..self.span.start].chars().count() + 1
    }

    /// The message without the column, for those who show the place in another way.
    pub(crate) fn message(&self) -> String {
        match &self.problem {
            // These say enough by themselves.
            problem @ (PathProblem::Empty | PathProblem::Unknown(_)) => problem.to_string(),
            problem => format!("{problem} in `{}`", printable(self.text.trim())),
        }
    }
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (message, text, column) = (self.message(), self.text.trim(), self.column());
        match &self.problem {
            PathProblem::Empty => f.write_str(&message),
            PathProblem::Unknown(unknown) if unknown.name == text => f.write_str(&message),
            PathProblem::Unknown(_) => write!(f, "{message} (column {column} of `{}`)", printable(text)),
            _ => write!(f, "{message}, column {column}"),
        }
    }
}

impl std::error::Error for PathError {}

/// What can be wrong with the text of a path or of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// There is no network at all.
    #[error("a path needs at least one network")]
    Empty,
    /// An arrow leads from nothing or to nothing.
    #[error("empty step")]
    EmptyStep,
    /// A `+` joins nothing.
    #[error("no network beside `+`")]
    NothingJoined,
    /// Braces, or a part of them between commas, are empty.
    #[error("empty choice")]
    EmptyChoice,
    /// A `?` follows nothing.
    #[error("no network before `?`")]
    NothingOptional,
    /// A `?` follows another.
    #[error("second `?`")]
    TwiceOptional,
    /// Networks follow each other without a sign between them.
    #[error("`->` or `+` is missing before `{}`", printable(.0))]
    NoSign(String),
    /// Networks in braces follow each other without a sign between them.
    #[error("`,` or `+` is missing before `{}`", printable(.0))]
    NoSignInBraces(String),
    /// An opening brace is never closed.
    #[error("`{{` without `}}`")]
    Unclosed,
    /// A closing brace was never opened.
    #[error("`}}` without `{{`")]
    Unopened,
    /// A comma stands outside of braces.
    #[error("`,` outside of braces")]
    Comma,
    /// Braces stand inside braces.
    #[error("braces inside braces")]
    Nested,
    /// An arrow stands inside braces.
    #[error("`->` inside braces")]
    ArrowInBraces,
    /// A `?` stands inside braces.
    #[error("`?` inside braces")]
    OptionalInBraces,
    /// A name ends with a hyphen; an arrow was probably meant. (In a shell, an unquoted `->` becomes one.)
    #[error("`-` where `->` was expected")]
    HalfArrow,
    /// A character that is not part of the language.
    #[error("unexpected `{}`", .0.escape_debug())]
    Stray(char),
    /// The first or the last stage may be left out.
    #[error("the first and the last stage cannot be optional")]
    OptionalEnd,
    /// A single path was expected.
    #[error("one path is expected, not a pattern of several")]
    Several,
    /// A network that does not exist.
    #[error(transparent)]
    Unknown(#[from] UnknownModel),
    /// A network stands twice in a stage.
    #[error("`{}` stands twice in one stage", printable(.0))]
    Twice(String),
    /// Too many stages.
    #[error("{stages} stages, more than {limit}")]
    TooManyStages {
        /// How many there are.
        stages: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// Too many networks in one stage.
    #[error("{networks} networks in one stage, more than {limit}")]
    TooManyNetworks {
        /// How many there are.
        networks: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The pattern stands for too many paths.
    #[error("{} paths, more than {limit},", count(*paths))]
    TooManyPaths {
        /// How many it stands for; `u64::MAX` if that many or more.
        paths: u64,
        /// How many are allowed.
        limit: usize,
    },
}

fn count(paths: u64) -> String {
    if paths == u64::MAX { "more than 10^19".to_owned() } else { paths.to_string() }
}

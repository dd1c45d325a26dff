//! From text to stages as they are written: the grammar of paths and patterns.

use super::error::{PathError, PathProblem};
use std::fmt;
use std::ops::Range;

/// A stage as it is written, with names of type `N`: members joined by `+`.
#[derive(Clone, Debug)]
pub(super) struct StagePattern<N> {
    pub(super) members: Vec<Member<N>>,
    pub(super) span: Range<usize>,
}

/// A network, or a choice in braces; either may be optional.
#[derive(Clone, Debug)]
pub(super) struct Member<N> {
    /// One of these; each is the networks that it adds to the stage. A lone network is a choice of one.
    pub(super) choices: Vec<Vec<N>>,
    pub(super) optional: bool,
    pub(super) span: Range<usize>,
}

/// A name as it is written, and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Name<'t> {
    pub(super) text: &'t str,
    pub(super) start: usize,
}

impl Name<'_> {
    pub(super) fn span(&self) -> Range<usize> {
        self.start..self.start + self.text.len()
    }
}

impl<N> StagePattern<N> {
    /// The same with other names.
    pub(super) fn try_map<M, E>(&self, mut name: impl FnMut(&N) -> Result<M, E>) -> Result<StagePattern<M>, E> {
        let mut members = Vec::with_capacity(self.members.len());
        for Member { choices, optional, span } in &self.members {
            let choices =
                choices.iter().map(|choice| choice.iter().map(&mut name).collect()).collect::<Result<_, E>>()?;
            members.push(Member { choices, optional: *optional, span: span.clone() });
        }
        Ok(StagePattern { members, span: self.span.clone() })
    }
}

impl<N: fmt::Display> fmt::Display for StagePattern<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(&self.members, " + "))
    }
}

impl<N: fmt::Display> fmt::Display for Member<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.choices.as_slice() {
            [choice] if choice.len() == 1 => write!(f, "{}", choice[0])?,
            choices => {
                let choices: Vec<String> = choices.iter().map(|choice| joined(choice, " + ")).collect();
                write!(f, "{{{}}}", choices.join(", "))?;
            }
        }
        f.write_str(if self.optional { "?" } else { "" })
    }
}

/// The items as they print, with `sign` between them.
pub(super) fn joined<T: fmt::Display>(items: &[T], sign: &str) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(sign)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sign {
    Arrow,
    Plus,
    Comma,
    Open,
    Close,
    Question,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'t> {
    Name(&'t str),
    Sign(Sign),
}

/// Parses a pattern; a path is one too.
pub(super) fn parse(text: &str) -> Result<Vec<StagePattern<Name<'_>>>, PathError> {
    let parsed =
        tokens(text).and_then(|tokens| Parser { tokens: &tokens, at: 0, end: text.trim_end().len() }.pattern());
    parsed.map_err(|Fault { span, problem }| PathError { text: text.to_owned(), span, problem })
}

/// A problem and its place.
struct Fault {
    span: Range<usize>,
    problem: PathProblem,
}

fn fault<T>(span: Range<usize>, problem: PathProblem) -> Result<T, Fault> {
    Err(Fault { span, problem })
}

type Spanned<'t> = (Token<'t>, Range<usize>);

fn tokens(text: &str) -> Result<Vec<Spanned<'_>>, Fault> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let start = text.len() - rest.len();
        let (token, len) = match first {
            _ if first.is_whitespace() => {
                rest = &rest[first.len_utf8()..];
                continue;
            }
            _ if rest.starts_with("->") => (Token::Sign(Sign::Arrow), 2),
            '→' => (Token::Sign(Sign::Arrow), first.len_utf8()),
            '+' => (Token::Sign(Sign::Plus), 1),
            ',' => (Token::Sign(Sign::Comma), 1),
            '{' => (Token::Sign(Sign::Open), 1),
            '}' => (Token::Sign(Sign::Close), 1),
            '?' => (Token::Sign(Sign::Question), 1),
            _ if of_name(first) => {
                let len = name_len(rest);
                if rest[..len].ends_with('-') {
                    return fault(start + len - 1..start + len, PathProblem::HalfArrow);
                }
                (Token::Name(&rest[..len]), len)
            }
            _ => return fault(start..start + first.len_utf8(), PathProblem::Stray(first)),
        };
        tokens.push((token, start..start + len));
        rest = &rest[len..];
    }
    Ok(tokens)
}

fn of_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// The length of the name that `text` begins with; a hyphen belongs to it unless it begins an arrow.
fn name_len(text: &str) -> usize {
    let end = |(at, c): (usize, char)| (!of_name(c) || text[at..].starts_with("->")).then_some(at);
    text.char_indices().find_map(end).unwrap_or(text.len())
}

struct Parser<'s, 't> {
    tokens: &'s [Spanned<'t>],
    at: usize,
    /// The end of the text.
    end: usize,
}

impl<'t> Parser<'_, 't> {
    fn peek(&self) -> Option<Token<'t>> {
        self.tokens.get(self.at).map(|(token, _)| *token)
    }

    /// The place of the next token, or the end of the text.
    fn span(&self) -> Range<usize> {
        self.tokens.get(self.at).map_or(self.end..self.end, |(_, span)| span.clone())
    }

    /// The end of the token before the next.
    fn last_end(&self) -> usize {
        self.at.checked_sub(1).map_or(0, |last| self.tokens[last].1.end)
    }

    /// Whether the next token is this sign, which is then taken.
    fn take(&mut self, sign: Sign) -> bool {
        let taken = self.peek() == Some(Token::Sign(sign));
        self.at += usize::from(taken);
        taken
    }

    fn take_name(&mut self) -> Option<Name<'t>> {
        let Some(Token::Name(text)) = self.peek() else { return None };
        let start = self.span().start;
        self.at += 1;
        Some(Name { text, start })
    }

    /// stage (`->` stage)*
    fn pattern(mut self) -> Result<Vec<StagePattern<Name<'t>>>, Fault> {
        if self.tokens.is_empty() {
            return fault(0..0, PathProblem::Empty);
        }
        let mut stages = Vec::new();
        loop {
            stages.push(self.stage()?);
            if self.take(Sign::Arrow) {
                continue;
            }
            let problem = match self.peek() {
                None => return Ok(stages),
                Some(Token::Name(name)) => PathProblem::NoSign(name.to_owned()),
                Some(Token::Sign(Sign::Open)) => PathProblem::NoSign("{".to_owned()),
                Some(Token::Sign(Sign::Question)) => PathProblem::TwiceOptional,
                Some(Token::Sign(Sign::Comma)) => PathProblem::Comma,
                // `stage` and `take` leave neither an arrow nor a plus.
                Some(Token::Sign(Sign::Close | Sign::Arrow | Sign::Plus)) => PathProblem::Unopened,
            };
            return fault(self.span(), problem);
        }
    }

    /// member (`+` member)*
    fn stage(&mut self) -> Result<StagePattern<Name<'t>>, Fault> {
        let start = self.span().start;
        let mut members = vec![self.member(PathProblem::EmptyStep)?];
        while self.take(Sign::Plus) {
            members.push(self.member(PathProblem::NothingJoined)?);
        }
        Ok(StagePattern { members, span: start..self.last_end() })
    }

    /// (name | `{` choice (`,` choice)* `}`) `?`?
    fn member(&mut self, if_missing: PathProblem) -> Result<Member<Name<'t>>, Fault> {
        let start = self.span().start;
        let choices = if let Some(name) = self.take_name() {
            vec![vec![name]]
        } else if self.take(Sign::Open) {
            self.choices(start)?
        } else {
            let problem = match self.peek() {
                None | Some(Token::Sign(Sign::Arrow)) => if_missing,
                Some(Token::Sign(Sign::Question)) => PathProblem::NothingOptional,
                Some(Token::Sign(Sign::Comma)) => PathProblem::Comma,
                Some(Token::Sign(Sign::Close)) => PathProblem::Unopened,
                Some(_) => PathProblem::NothingJoined,
            };
            return fault(self.span(), problem);
        };
        let optional = self.take(Sign::Question);
        Ok(Member { choices, optional, span: start..self.last_end() })
    }

    /// What stands between braces, the closing one included; `open` is the place of the opening one.
    fn choices(&mut self, open: usize) -> Result<Vec<Vec<Name<'t>>>, Fault> {
        let mut choices = Vec::new();
        loop {
            choices.push(self.choice(open)?);
            if self.take(Sign::Close) {
                return Ok(choices);
            }
            if self.take(Sign::Comma) {
                continue;
            }
            let problem = match self.peek() {
                None => return fault(open..open + 1, PathProblem::Unclosed),
                Some(Token::Name(name)) => PathProblem::NoSignInBraces(name.to_owned()),
                Some(Token::Sign(Sign::Question)) => PathProblem::OptionalInBraces,
                Some(Token::Sign(Sign::Open)) => PathProblem::Nested,
                Some(Token::Sign(_)) => PathProblem::ArrowInBraces,
            };
            return fault(self.span(), problem);
        }
    }

    /// name (`+` name)*
    fn choice(&mut self, open: usize) -> Result<Vec<Name<'t>>, Fault> {
        let mut names = Vec::new();
        loop {
            let Some(name) = self.take_name() else {
                let problem = match self.peek() {
                    None => return fault(open..open + 1, PathProblem::Unclosed),
                    Some(Token::Sign(Sign::Open)) => PathProblem::Nested,
                    Some(Token::Sign(Sign::Arrow)) => PathProblem::ArrowInBraces,
                    Some(Token::Sign(Sign::Question)) => PathProblem::OptionalInBraces,
                    Some(Token::Sign(Sign::Plus)) => PathProblem::NothingJoined,
                    Some(_) if names.is_empty() => PathProblem::EmptyChoice,
                    Some(_) => PathProblem::NothingJoined,
                };
                return fault(self.span(), problem);
            };
            names.push(name);
            if !self.take(Sign::Plus) {
                return Ok(names);
            }
        }
    }
}

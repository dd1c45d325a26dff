//! Text from files and file names, made safe to print.

use std::borrow::Cow;
use std::path::Path;

/// `text` with everything escaped that would act on a terminal or reorder what a reader sees.
///
/// Escaped, as Rust writes them (`\n`, `\u{1b}`), are the control characters U+0000 to U+001F and U+007F to U+009F,
/// the separators U+2028 and U+2029, and the marks, embeddings, overrides and isolates of text that runs both ways.
/// All else, backslashes included, stays as it is, so that text that is printable already is not changed.
///
/// ```
/// assert_eq!(takd_store::printable("red \u{1b}[31m"), r"red \u{1b}[31m");
/// assert_eq!(takd_store::printable("λ = 0.5"), "λ = 0.5");
/// ```
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts_on_the_terminal) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for char in text.chars() {
        if acts_on_the_terminal(char) {
            escaped.extend(char.escape_default());
        } else {
            escaped.push(char);
        }
    }
    Cow::Owned(escaped)
}

/// A path as [`printable`] text; bytes that are not UTF-8 are shown as U+FFFD.
pub fn printable_path(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}

fn acts_on_the_terminal(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_marks_of_direction_are_escaped_and_nothing_else_is() {
        assert_eq!(printable("a\tb\nc\r\0"), r"a\tb\nc\r\u{0}");
        assert_eq!(printable("\u{7f}\u{9b}31m"), r"\u{7f}\u{9b}31m");
        assert_eq!(
            printable("\u{202e}txt.\u{2066}\u{200f}\u{61c}\u{2028}"),
            r"\u{202e}txt.\u{2066}\u{200f}\u{61c}\u{2028}"
        );
        for text in ["", "résumé 学生 λ τ", r"C:\runs\new", "\u{200d}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn printable_text_is_not_escaped_again() {
        let once = printable("\u{1b}]0;title\u{7}\\");
        assert_eq!(printable(&once), once);
    }
}

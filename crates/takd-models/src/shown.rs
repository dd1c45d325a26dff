//! Names that come out of files, as messages print them.

use std::fmt;

/// A name in backticks, its control characters escaped, cut if it is longer than any that a person reads.
pub(crate) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}`", printable(self.0, 100))
    }
}

/// The first characters of a text, escaped.
pub(crate) fn printable(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].escape_debug()),
        None => text.escape_debug().to_string(),
    }
}

/// Several names, of which the first few are printed.
pub(crate) struct ShownList<'a>(pub &'a [String]);

impl fmt::Display for ShownList<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 5;
        for (index, name) in self.0.iter().take(MOST).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Shown(name))?;
        }
        if self.0.len() > MOST { f.write_str(", …") } else { Ok(()) }
    }
}

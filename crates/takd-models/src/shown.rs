//! Names that come out of files, as messages print them.

use std::fmt::{self, Write};

/// A name in backticks, its control characters escaped, cut if it is longer than any that a person reads.
pub(crate) struct Shown<'a>(pub &'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MOST: usize = 100;
        let (head, cut) = match self.0.char_indices().nth(MOST) {
            Some((end, _)) => (&self.0[..end], "…"),
            None => (self.0, ""),
        };
        f.write_char('`')?;
        write!(f, "{}{cut}`", head.escape_debug())
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

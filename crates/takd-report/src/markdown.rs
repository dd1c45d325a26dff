//! A report in Markdown.

use crate::number::GLUE;
use crate::report::Report;
use crate::sections;
use crate::table::{Alignment, Column, Table};
use std::fmt::Write;
use takd_store::printable;
use unicode_width::UnicodeWidthStr;

impl Report {
    /// Tables and legend in Markdown, with every column. What comes from recipes and files is text and nothing else: its
    /// characters that have a meaning in Markdown are escaped.
    pub fn to_markdown(&self) -> String {
        let mut text = format!("## {}\n", escaped(&self.title));
        for section in sections::of(self) {
            let _ = write!(text, "\n### {}\n\n{}", escaped(section.heading), table(section.whole()));
        }
        for (heading, lines) in [("What the numbers say", &self.findings), ("How to read them", &self.legend)] {
            if !lines.is_empty() {
                let _ = write!(text, "\n### {heading}\n\n");
            }
            for line in lines {
                let _ = writeln!(text, "- {}", escaped(line));
            }
        }
        text.replace(GLUE, " ")
    }
}

/// The table, its columns one below the other also in the file.
fn table(table: &Table) -> String {
    let mut rows: Vec<Vec<String>> = vec![table.columns.iter().map(|column| escaped(column.title)).collect()];
    rows.extend(table.rows.iter().map(|row| row.iter().map(|entry| escaped(&entry.text)).collect()));
    let width = |place: usize| rows.iter().map(|row| row[place].width()).max().unwrap_or(0).max("---:".len());
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();

    let rule = |column: (&Column, &usize)| match column {
        (Column { alignment: Alignment::Left, .. }, &width) => "-".repeat(width),
        (Column { alignment: Alignment::Right, .. }, &width) => "-".repeat(width - 1) + ":",
    };
    let rules = table.columns.iter().zip(&widths).map(rule).collect();
    rows.insert(1, rules);
    let mut text = String::new();
    for row in rows {
        for (cell, (column, width)) in row.iter().zip(table.columns.iter().zip(&widths)) {
            let space = " ".repeat(width - cell.width());
            match column.alignment {
                Alignment::Left => text += &format!("| {cell}{space} "),
                Alignment::Right => text += &format!("| {space}{cell} "),
            }
        }
        text += "|\n";
    }
    text
}

/// The text with a backslash before every character that could begin something else than text.
fn escaped(text: &str) -> String {
    let text = printable(text);
    let mut escaped = String::with_capacity(text.len() + 8);
    for (place, char) in text.char_indices() {
        let begins_a_block = place == 0 && matches!(char, '#' | '>' | '+' | '-' | '=' | '~');
        // A lone sign in a table is a number's, or a range's.
        let has_more = text[place + char.len_utf8()..].starts_with([' ', '#', '=', '-', '~']);
        if matches!(char, '\\' | '`' | '|' | '<' | '*' | '[' | ']') || (begins_a_block && has_more) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_text_in_markdown() {
        for (text, expected) in [
            ("plain/cifar10", "plain/cifar10"),
            ("+0.41 (-0.32 to +1.14)", "+0.41 (-0.32 to +1.14)"),
            ("a|b `c` <script> *d* [e](f)", r"a\|b \`c\` \<script> \*d\* \[e\](f)"),
            ("back\\slash", r"back\\slash"),
            ("# heading", r"\# heading"),
            ("> quoted", r"\> quoted"),
            ("- item", r"\- item"),
            ("===", r"\==="),
            ("~~~", r"\~~~"),
            ("two\nlines\u{202e}", r"two\\nlines\\u{202e}"),
        ] {
            assert_eq!(escaped(text), expected);
        }
    }
}

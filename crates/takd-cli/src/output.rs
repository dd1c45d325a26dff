//! Standard output and standard error, either of which may be a pipe that nobody reads any more.

use anyhow::{Context, Result};
use comfy_table::{Table, presets};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{ErrorKind, IsTerminal, Write};
use takd_report::Style;

/// Prints a result and the end of its last line.
pub(crate) fn print(text: &str) -> Result<()> {
    print_as_it_is(format!("{}\n", printable(text)).as_bytes())
}

/// Prints what the program itself made, tabulators and all. A reader that has seen enough, as `head` has, is no error.
pub(crate) fn print_as_it_is(bytes: &[u8]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// Prints a value for a script.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&printable_json(&serde_json::to_string_pretty(value)?))
}

/// Rows of flat values as CSV, their fields' names first.
pub(crate) fn csv<T: serde::Serialize>(rows: impl Iterator<Item = T>) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    Ok(String::from_utf8(writer.into_inner()?)?)
}

/// JSON that means the same, with everything escaped, in JSON's way, that would act on a terminal.
fn printable_json(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    let mut buffer = [0; 4];
    for char in json.chars() {
        if char == '\n' || matches!(takd_store::printable(char.encode_utf8(&mut buffer)), Cow::Borrowed(_)) {
            escaped.push(char);
        } else {
            for unit in char.encode_utf16(&mut [0; 2]) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        }
    }
    escaped
}

/// Tells a person something. What cannot be written is nobody's loss.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{}", printable(line));
}

/// A share in percent, with two digits after the point.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// Lines with everything escaped that would act on a terminal: names of files, columns and networks may hold anything.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.contains('\n') {
        text.split('\n').map(takd_store::printable).collect::<Vec<_>>().join("\n").into()
    } else {
        takd_store::printable(text)
    }
}

/// How tables look on the standard output, and the width that they have to fit.
pub(crate) fn table_style() -> (Style, Option<usize>) {
    if std::io::stdout().is_terminal() { (Style::Boxes, Some(terminal_width())) } else { (Style::Plain, None) }
}

/// A list, without lines between rows and columns, for `grep` and `awk`. On a terminal that is too narrow for it, ids of runs in
/// the first column are cut to what no other begins with, columns with the same value in all rows become a line below, and then those that are
/// `dispensable` are left out, the first first.
pub(crate) struct List {
    pub header: Vec<&'static str>,
    pub rows: Vec<Vec<String>>,
    pub dispensable: &'static [&'static str],
}

impl List {
    pub(crate) fn to_text(&self) -> String {
        self.within(if std::io::stdout().is_terminal() { terminal_width() } else { usize::MAX })
    }

    pub(crate) fn to_markdown(&self) -> String {
        let mut table = Table::new();
        table.load_preset(presets::ASCII_MARKDOWN).set_header(&self.header).add_rows(&self.rows);
        table.to_string()
    }

    fn within(&self, width: usize) -> String {
        let Self { header, rows, dispensable } = self;
        let mut columns: Vec<usize> = (0..header.len()).collect();
        let mut rows = rows.clone();
        let too_wide = |columns: &[usize], rows: &[Vec<String>]| {
            let of_column = |&column: &usize| {
                let cells = rows.iter().map(|row| console::measure_text_width(&row[column]));
                cells.chain([console::measure_text_width(header[column])]).max().unwrap_or(0)
            };
            columns.iter().map(|column| of_column(column) + 2).sum::<usize>() > width.saturating_add(2)
        };
        let mut below = Vec::new();
        if too_wide(&columns, &rows) && header.first() == Some(&"run") {
            cut_ids(&mut rows);
        }
        if too_wide(&columns, &rows) && rows.len() > 1 {
            let same = |&column: &usize| column > 0 && rows.iter().all(|row| row[column] == rows[0][column]);
            let moved: Vec<usize> = columns.iter().copied().filter(same).collect();
            columns.retain(|column| !moved.contains(column));
            let said = moved.iter().map(|&column| format!("{} {}", header[column], rows[0][column]));
            below.extend((!moved.is_empty()).then(|| format!("All: {}.", said.collect::<Vec<_>>().join(", "))));
        }
        let mut left_out = Vec::new();
        for name in *dispensable {
            let place = columns.iter().position(|&column| header[column] == *name);
            if let Some(place) = place.filter(|_| too_wide(&columns, &rows)) {
                columns.remove(place);
                left_out.push(*name);
            }
        }
        if !left_out.is_empty() {
            below.push(format!("Not shown, because the terminal is narrow: {}; --json has all.", left_out.join(", ")));
        }
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_header(columns.iter().map(|&column| header[column]));
        for row in &rows {
            table.add_row(columns.iter().map(|&column| &row[column]));
        }
        // The first column needs no space before it.
        if let Some(first) = table.column_mut(0) {
            first.set_padding((0, 1));
        }
        let below: String = below.iter().map(|line| format!("\n{line}")).collect();
        let gap = if below.is_empty() { "" } else { "\n" };
        format!("{}{gap}{below}", table.trim_fmt())
    }
}

/// Cuts the ids in the first column to the fewest characters, at least 8, by which they differ.
fn cut_ids(rows: &mut [Vec<String>]) {
    let mut ids: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    ids.sort();
    ids.dedup();
    let shared = |pair: &[String]| pair[0].chars().zip(pair[1].chars()).take_while(|(a, b)| a == b).count();
    let length = ids.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or(0).max(8);
    rows.iter_mut().for_each(|row| row[0] = row[0].chars().take(length).collect());
}

/// The terminal's columns, or 80 if it does not tell.
fn terminal_width() -> usize {
    console::Term::stdout().size_checked().map_or(80, |(_, columns)| usize::from(columns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> List {
        let row =
            |id: &str, path: &str| vec![id.into(), path.into(), "cifar10".into(), "9.5 MiB".into(), "61.20".into()];
        List {
            header: vec!["run", "path", "data", "size", "test %"],
            rows: vec![row("0123456789abcdef", "plane10 → plane4"), row("0123456789ffffff", "plane10")],
            dispensable: &["size"],
        }
    }

    #[test]
    fn wide_list_is_printed_whole() {
        let text = list().within(80);
        assert!(text.starts_with("run               path") && text.contains("0123456789abcdef"), "{text}");
        assert_eq!(text.lines().count(), 3);
    }

    #[test]
    fn narrow_list_keeps_distinct_ids_and_says_what_it_leaves_out() {
        for (width, expected) in [(56, ""), (48, "All: data cifar10, size 9.5 MiB, test % 61.20.")] {
            let text = list().within(width);
            assert!(
                text.contains("0123456789a ") && text.contains("0123456789f ") && text.contains(expected),
                "{text}"
            );
            assert!(text.lines().all(|line| console::measure_text_width(line) <= width), "{text}");
        }
        let mut different = list();
        different.rows[0][2..].clone_from_slice(&["shapes10".into(), "1 MiB".into(), "60.00".into()]);
        let text = different.within(48);
        assert!(text.contains("Not shown, because the terminal is narrow: size; --json has all."), "{text}");
        assert!(text.contains("61.20") && !text.contains("MiB"), "{text}");
    }

    #[test]
    fn names_are_not_cut_as_ids_are() {
        let mut list = list();
        list.header[0] = "data";
        assert!(list.within(40).contains("0123456789abcdef"));
    }

    #[test]
    fn json_keeps_its_meaning_when_it_is_made_printable() {
        let value = "red \u{1b}[31m \u{9b}32m \u{202e} λ 😀\n\t";
        let printed = printable_json(&serde_json::to_string(value).unwrap());
        assert!(!printed.chars().any(|c| c.is_control() || c == '\u{202e}'), "{printed}");
        assert_eq!(serde_json::from_str::<String>(&printed).unwrap(), value);
    }
}

//! A report for a terminal or a file of text.

use crate::number::GLUE;
use crate::report::Report;
use crate::sections;
use crate::table::{Alignment, Column, Section, Table};
use comfy_table::{CellAlignment, ColumnConstraint, ContentArrangement, Width, presets};
use std::borrow::Cow;
use takd_store::printable;
use unicode_width::UnicodeWidthStr;

/// How tables are drawn in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Style {
    /// With lines between the columns: for a terminal.
    #[default]
    Boxes,
    /// With spaces alone: for pipes and files.
    Plain,
}

impl Style {
    fn preset(self) -> &'static str {
        match self {
            Self::Boxes => presets::UTF8_FULL_CONDENSED,
            Self::Plain => presets::NOTHING,
        }
    }

    /// Spaces left and right of a cell.
    fn padding(self) -> (u16, u16) {
        match self {
            Self::Boxes => (1, 1),
            Self::Plain => (0, 2),
        }
    }

    /// What a table with so many columns is wider than their contents.
    fn frame(self, columns: usize) -> usize {
        let (left, right) = self.padding();
        let lines = if self == Self::Boxes { columns + 1 } else { 0 };
        lines + columns * usize::from(left + right)
    }
}

impl Report {
    /// Tables and legend for people, at most `width` columns wide; without a width as wide as they are.
    ///
    /// Columns that do not fit are left out, which a line below the table says. What comes from recipes and files is printed
    /// without its control characters.
    pub fn to_text(&self, width: Option<usize>, style: Style) -> String {
        let mut blocks = vec![paragraph("", &self.title, width)];
        for section in sections::of(self) {
            blocks.push(paragraph("", section.heading, width));
            let layout = fitting(&section, width, style);
            blocks.push(draw(&layout, width, style));
            if !layout.table.left_out.is_empty() {
                let left_out = layout.table.left_out.join(", ");
                blocks.push(paragraph("", &format!("Left out for want of width: {left_out}."), width));
            }
        }
        for (heading, lines) in [("What the numbers say", &self.findings), ("How to read them", &self.legend)] {
            if !lines.is_empty() {
                blocks.push(paragraph("", heading, width));
                let lines: Vec<String> = lines.iter().map(|line| paragraph("-", line, width)).collect();
                blocks.push(lines.join("\n"));
            }
        }
        let mut text = blocks.join("\n\n").replace(GLUE, " ");
        text.push('\n');
        text
    }
}

/// A form of a table that fits.
struct Fitting<'a> {
    table: &'a Table,
    /// The width of each column's longest word, in which no line may end; nothing if words have to be broken.
    words: Vec<usize>,
}

/// The widest form in which no word has to be broken, or else the narrowest.
fn fitting(section: &Section, width: Option<usize>, style: Style) -> Fitting<'_> {
    let mut forms = section.forms.iter().map(|table| Fitting { table, words: word_widths(table) });
    let needed = |form: &Fitting<'_>| form.words.iter().sum::<usize>() + style.frame(form.words.len());
    let fits = forms.find(|form| width.is_none_or(|width| needed(form) <= width));
    fits.unwrap_or_else(|| Fitting { table: section.narrowest(), words: Vec::new() })
}

/// The longest word that is printed, in characters. Names from outside may have any length, and a table would be as wide.
const LONGEST_WORD: usize = 200;

/// The text without its control characters, and with its longest words cut short.
fn readable(text: &str) -> Cow<'_, str> {
    let text = printable(text);
    if text.len() <= LONGEST_WORD {
        return text;
    }
    let cut = |word: &str| match word.char_indices().nth(LONGEST_WORD) {
        Some((end, _)) => format!("{}…", &word[..end]),
        None => word.to_owned(),
    };
    text.split(' ').map(cut).collect::<Vec<_>>().join(" ").into()
}

/// The width of each column's longest word.
fn word_widths(table: &Table) -> Vec<usize> {
    let longest = |text: &str| readable(text).split(' ').map(UnicodeWidthStr::width).max().unwrap_or(0);
    let column = |(place, column): (usize, &Column)| {
        let cells = table.rows.iter().map(|row| longest(&row[place].text));
        cells.fold(longest(column.title), usize::max)
    };
    table.columns.iter().enumerate().map(column).collect()
}

fn draw(form: &Fitting<'_>, width: Option<usize>, style: Style) -> String {
    let Fitting { table, words } = form;
    let mut drawn = comfy_table::Table::new();
    drawn.load_preset(style.preset()).set_header(table.columns.iter().map(|column| column.title));
    for row in &table.rows {
        drawn.add_row(row.iter().map(|entry| readable(&entry.text)));
    }
    wrap_at(&mut drawn, width);
    let (left, right) = style.padding();
    for (place, column) in drawn.column_iter_mut().enumerate() {
        column.set_padding((left, right));
        if table.columns[place].alignment == Alignment::Right {
            column.set_cell_alignment(CellAlignment::Right);
        }
        if let (Some(&word), Some(_)) = (words.get(place), width) {
            let least = u16::try_from(word).unwrap_or(u16::MAX).saturating_add(left + right);
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(least)));
        }
    }
    drawn.trim_fmt()
}

/// A text after a bullet, which stands out if the text has several lines.
fn paragraph(bullet: &str, text: &str, width: Option<usize>) -> String {
    let mut drawn = comfy_table::Table::new();
    drawn.load_preset(presets::NOTHING);
    let text = readable(text);
    if bullet.is_empty() {
        drawn.add_row([text]);
    } else {
        drawn.add_row([bullet.into(), text]);
    }
    wrap_at(&mut drawn, width);
    for column in drawn.column_iter_mut() {
        column.set_padding((0, u16::from(column.index == 0 && !bullet.is_empty())));
    }
    drawn.trim_fmt()
}

fn wrap_at(drawn: &mut comfy_table::Table, width: Option<usize>) {
    if let Some(width) = width {
        drawn.set_content_arrangement(ContentArrangement::Dynamic).set_width(u16::try_from(width).unwrap_or(u16::MAX));
    }
}

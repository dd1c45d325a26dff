//! Tables of a page.

use super::text;
use crate::columns::VERDICT;
use crate::table::{Alignment, Entry, Section, Table, anchor};
use maud::{Markup, html};

/// The table under its heading.
pub(super) fn section(section: &Section) -> Markup {
    html! {
        section {
            h2 { (section.heading) }
            (table(section.whole()))
        }
    }
}

/// A table in a box of its own that scrolls where the page is too narrow for it.
fn table(table: &Table) -> Markup {
    let is_number = |place: usize| table.columns[place].alignment == Alignment::Right;
    html! {
        div.table tabindex="0" {
            table {
                thead { tr { @for column in &table.columns {
                    th scope="col" class=[(column.alignment == Alignment::Right).then_some("number")] { (column.title) }
                } } }
                tbody { @for row in &table.rows {
                    tr { @for (place, entry) in row.iter().enumerate() {
                        td class=[is_number(place).then_some("number")] {
                            @if table.columns[place].title == VERDICT { (verdict(&entry.text)) } @else { (shown(entry)) }
                        }
                    } }
                } }
            }
        }
    }
}

/// The text, with a link to the runs that it sums up.
fn shown(entry: &Entry) -> Markup {
    html! {
        @match &entry.of {
            Some(run) => a href=(format!("#{}", anchor(run))) { (text(&entry.text)) },
            None => (text(&entry.text)),
        }
    }
}

/// A verdict with a mark that tells it by shape as well as by colour.
fn verdict(words: &str) -> Markup {
    let marks = [
        ("holds", "holds", "▲"),
        ("does not hold", "denied", "▼"),
        ("equal", "equal", "="),
        ("undecided", "undecided", "◇"),
        ("unknown", "undecided", "?"),
    ];
    let mark = marks.iter().find(|(begins, ..)| words.starts_with(begins));
    html! {
        @match mark {
            Some((_, class, mark)) => { span.mark.(class) aria-hidden="true" { (mark) } " " (words) },
            None => (words),
        }
    }
}

//! A table before it is drawn.

use takd_store::RunId;

/// Tables of a report under one heading: the same facts, each form narrower than the one before it.
pub(crate) struct Section {
    pub(crate) heading: &'static str,
    /// At least one, the widest first.
    pub(crate) forms: Vec<Table>,
}

/// A table: its entries are texts from anywhere, which whoever draws them makes harmless.
#[derive(Clone)]
pub(crate) struct Table {
    pub(crate) columns: Vec<Column>,
    /// An entry for each column.
    pub(crate) rows: Vec<Vec<Entry>>,
    /// Columns that this form lacks.
    pub(crate) left_out: Vec<&'static str>,
}

/// A text, and the path that it sums up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) text: String,
    /// The first run of the path, by which a page links to all of them.
    pub(crate) of: Option<RunId>,
}

#[derive(Clone, Copy)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) alignment: Alignment,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alignment {
    /// For texts.
    Left,
    /// For numbers.
    Right,
}

/// Where a page lists the runs of a path, by the first of them.
pub(crate) fn anchor(run: &RunId) -> String {
    format!("run-{run}")
}

impl From<String> for Entry {
    fn from(text: String) -> Self {
        Self { text, of: None }
    }
}

impl From<&str> for Entry {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

impl Column {
    pub(crate) fn text(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Left }
    }

    pub(crate) fn number(title: &'static str) -> Self {
        Self { title, alignment: Alignment::Right }
    }
}

impl Table {
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new(), left_out: Vec::new() }
    }

    /// The table without a column; the table as it is, if it has none of this title.
    pub(crate) fn without(&self, title: &'static str) -> Self {
        let mut table = self.clone();
        let Some(place) = table.columns.iter().position(|column| column.title == title) else { return table };
        table.columns.remove(place);
        for row in &mut table.rows {
            row.remove(place);
        }
        table.left_out.push(title);
        table
    }
}

impl Section {
    /// A table, and its forms without the first column of `leave_out`, without the first two, and so on.
    pub(crate) fn new(heading: &'static str, table: Table, leave_out: &[&'static str]) -> Self {
        let mut forms = vec![table];
        for title in leave_out {
            let narrowest: &Table = &forms[forms.len() - 1];
            if narrowest.columns.iter().any(|column| column.title == *title) {
                forms.push(narrowest.without(title));
            }
        }
        Self { heading, forms }
    }

    /// The form with every column.
    pub(crate) fn whole(&self) -> &Table {
        &self.forms[0]
    }

    /// The form that needs the least width.
    pub(crate) fn narrowest(&self) -> &Table {
        &self.forms[self.forms.len() - 1]
    }
}

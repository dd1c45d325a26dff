//! As much of YAML as the head of a card needs, written.

use std::fmt;

/// A value. Keys are words of ours, in their order.
pub(super) enum Yaml {
    Text(String),
    Number(f64),
    List(Vec<Yaml>),
    Map(Vec<(&'static str, Yaml)>),
}

impl Yaml {
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    pub(super) fn texts(texts: &[impl AsRef<str>]) -> Self {
        Self::List(texts.iter().map(|text| Self::text(text.as_ref())).collect())
    }

    /// Writes it behind a key or a dash, and what it has below that, indented.
    fn write(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        match self {
            // A text in JSON is the same in YAML (1.2, section 10.2); readers refuse characters that cannot be printed.
            Self::Text(text) => {
                let text = text.replace(char::is_control, " ");
                writeln!(f, " {}", serde_json::Value::String(text))
            }
            Self::Number(number) => writeln!(f, " {number}"),
            Self::List(items) => {
                writeln!(f)?;
                items.iter().try_for_each(|item| {
                    write!(f, "{:indent$}-", "")?;
                    item.write_item(f, indent + 2)
                })
            }
            Self::Map(entries) => {
                writeln!(f)?;
                entries.iter().try_for_each(|entry| write_entry(f, entry, indent, indent))
            }
        }
    }

    /// A map's first key stands on the line of its dash.
    fn write_item(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        let Self::Map(entries) = self else { return self.write(f, indent) };
        let mut entries = entries.iter();
        entries.next().map_or(Ok(()), |entry| write_entry(f, entry, 1, indent))?;
        entries.try_for_each(|entry| write_entry(f, entry, indent, indent))
    }
}

/// `key: value`, so many spaces before the key; what is below it is indented further than the map.
fn write_entry(f: &mut fmt::Formatter<'_>, (key, value): &(&str, Yaml), spaces: usize, indent: usize) -> fmt::Result {
    write!(f, "{:spaces$}{key}:", "")?;
    value.write(f, indent + 2)
}

impl fmt::Display for Yaml {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Map(entries) => entries.iter().try_for_each(|entry| write_entry(f, entry, 0, 0)),
            other => other.write(f, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_in_lists_in_maps_are_indented() {
        let inner = Yaml::Map(vec![("name", Yaml::text("a: \"b\"\n#")), ("value", Yaml::Number(0.5))]);
        let text =
            Yaml::Map(vec![("tags", Yaml::texts(&["x", "y"])), ("results", Yaml::List(vec![inner]))]).to_string();
        let expected = "tags:\n  - \"x\"\n  - \"y\"\nresults:\n  - name: \"a: \\\"b\\\" #\"\n    value: 0.5\n";
        assert_eq!(text, expected);
    }
}

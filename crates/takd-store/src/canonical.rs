//! The canonical form of a configuration.

use crate::printable;
use std::collections::{HashMap, HashSet};
use std::fmt::Write;

/// Writes the canonical form of a configuration: the text that is hashed into the run's id and kept as `config.toml`.
///
/// # The encoding
/// The form is TOML 1.0, UTF-8, and there is exactly one way to write each value:
///
/// - Lines end in `\n`, the last one too. There are no comments, no blank lines and no other spaces than those below.
/// - Keys stand in the order in which they are written here, each on a line: `key = value`. A key is one or more of
///   `A-Z a-z 0-9 _ -`, without quotes.
/// - [`table`](Self::table) writes the line `[name]`, [`element`](Self::element) the line `[[name]]`. The keys that
///   follow belong to it. Tables are not nested.
/// - **Text** stands in double quotes. `"` and `\` are written `\"` and `\\`. Control characters, U+0000 to U+001F and
///   U+007F to U+009F, are written `\uXXXX` with four upper-case hexadecimal digits. All else stands as it is.
/// - **Integers** are decimal digits without sign or leading zero, at most 9223372036854775807.
/// - **Numbers** are the fewest decimal digits that read back as the same `f64`. Zero is `0.0`, −0.0 too. From 10⁻⁴
///   to below 10¹⁶ (without the sign) they are written out, with at least one digit on either side of the point:
///   `0.0001`, `3.0`. Others have an exponent, `1e-7` or `1.5e16`: one digit, a point and more digits if there are
///   any, `e`, and the exponent without `+`.
/// - **Flags** are `true` or `false`.
/// - **Lists** are `[a, b]`, with a comma and a space between items and nothing else; empty ones are `[]`.
///
/// Two different sequences of calls never give equal texts, but for −0.0 and 0.0. [`finish`](Self::finish) refuses
/// numbers that are not finite, larger integers, keys of other characters, and keys or tables that are there already.
///
/// # Keeping ids stable
/// Begin with a schema number. Leave out what has its default value, so that a field can be added without changing the
/// ids of all runs that do without it. Leave out settings without effect. Pin some ids in tests.
///
/// ```
/// use takd_store::{Canonical, RunId};
///
/// let mut form = Canonical::new();
/// form.integer("schema", 1).text("model", "plane2").number("lr", 0.1).list("milestones", [30u64, 60]);
/// form.table("data").text("name", "cifar10");
/// let form = form.finish()?;
/// assert_eq!(form, r#"schema = 1
/// model = "plane2"
/// lr = 0.1
/// milestones = [30, 60]
/// [data]
/// name = "cifar10"
/// "#);
/// assert_eq!(RunId::of(&form).as_str(), "184ed3ae0e413b47");
/// # Ok::<(), takd_store::CanonicalError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Canonical {
    text: String,
    /// What stands at the top.
    names: HashMap<String, Name>,
    /// The table that is being written, with its keys.
    table: Option<String>,
    keys: HashSet<String>,
    /// The first refusal.
    refused: Option<CanonicalError>,
}

/// What a name at the top stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Name {
    Value,
    Table,
    Elements,
}

/// A value of a [`Canonical`] list.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(u64),
    /// A number that may have a fraction.
    Number(f64),
    /// Yes or no.
    Flag(bool),
}

/// Why a configuration has no canonical form.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum CanonicalError {
    /// The number is infinite or not a number.
    #[error("`{}` is {value}, and must be finite", printable(key))]
    NotFinite {
        /// Its key, after its table's name and a point.
        key: String,
        /// The number.
        value: f64,
    },
    /// The integer is larger than TOML's largest.
    #[error("`{}` is {value}, and must be at most {}", printable(key), i64::MAX)]
    TooLarge {
        /// Its key, after its table's name and a point.
        key: String,
        /// The integer.
        value: u64,
    },
    /// The key or table name is empty or has other characters than letters, digits, `_` and `-`.
    #[error("`{}` cannot be a key or table name: write it with A-Z, a-z, 0-9, _ and -", printable(.0))]
    Name(String),
    /// The key or table is there already.
    #[error("`{}` is written twice", printable(.0))]
    Twice(String),
}

impl Canonical {
    /// An empty form.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes a text.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Self {
        self.line(key, &[Value::Text(value.to_owned())], Brackets::Without)
    }

    /// Writes a whole number.
    pub fn integer(&mut self, key: &str, value: u64) -> &mut Self {
        self.line(key, &[Value::Integer(value)], Brackets::Without)
    }

    /// Writes a number that may have a fraction.
    pub fn number(&mut self, key: &str, value: f64) -> &mut Self {
        self.line(key, &[Value::Number(value)], Brackets::Without)
    }

    /// Writes yes or no.
    pub fn flag(&mut self, key: &str, value: bool) -> &mut Self {
        self.line(key, &[Value::Flag(value)], Brackets::Without)
    }

    /// Writes a list.
    pub fn list<V: Into<Value>>(&mut self, key: &str, values: impl IntoIterator<Item = V>) -> &mut Self {
        let values: Vec<Value> = values.into_iter().map(Into::into).collect();
        self.line(key, &values, Brackets::With)
    }

    /// Begins a table; the keys that follow are its.
    pub fn table(&mut self, name: &str) -> &mut Self {
        self.begin(name, Name::Table)
    }

    /// Begins an element of the list of tables called `name`; the keys that follow are its.
    pub fn element(&mut self, name: &str) -> &mut Self {
        self.begin(name, Name::Elements)
    }

    /// The form.
    ///
    /// # Errors
    /// If something that was written has no canonical form; the first such thing is named.
    pub fn finish(&self) -> Result<String, CanonicalError> {
        match &self.refused {
            Some(refused) => Err(refused.clone()),
            None => Ok(self.text.clone()),
        }
    }

    fn line(&mut self, key: &str, values: &[Value], brackets: Brackets) -> &mut Self {
        let full_key = self.table.as_ref().map_or_else(|| key.to_owned(), |table| format!("{table}.{key}"));
        let is_new = match &self.table {
            Some(_) => self.keys.insert(key.to_owned()),
            None => self.names.insert(key.to_owned(), Name::Value).is_none(),
        };
        if !is_name(key) {
            self.refuse(CanonicalError::Name(full_key.clone()));
        } else if !is_new {
            self.refuse(CanonicalError::Twice(full_key.clone()));
        }
        self.text.push_str(key);
        self.text.push_str(" = ");
        self.text.push_str(if brackets == Brackets::With { "[" } else { "" });
        for (place, value) in values.iter().enumerate() {
            self.text.push_str(if place > 0 { ", " } else { "" });
            if let Err(refused) = write_value(&mut self.text, &full_key, value) {
                self.refuse(refused);
            }
        }
        self.text.push_str(if brackets == Brackets::With { "]\n" } else { "\n" });
        self
    }

    fn begin(&mut self, name: &str, kind: Name) -> &mut Self {
        let before = self.names.insert(name.to_owned(), kind);
        if !is_name(name) {
            self.refuse(CanonicalError::Name(name.to_owned()));
        } else if before.is_some_and(|before| before != kind || kind != Name::Elements) {
            self.refuse(CanonicalError::Twice(name.to_owned()));
        }
        self.text.push_str(&if kind == Name::Table { format!("[{name}]\n") } else { format!("[[{name}]]\n") });
        self.table = Some(name.to_owned());
        self.keys.clear();
        self
    }

    fn refuse(&mut self, error: CanonicalError) {
        self.refused.get_or_insert(error);
    }
}

/// Whether a line's values are a list.
#[derive(Clone, Copy, PartialEq)]
enum Brackets {
    With,
    Without,
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn write_value(text: &mut String, key: &str, value: &Value) -> Result<(), CanonicalError> {
    match value {
        Value::Text(value) => write_text(text, value),
        &Value::Integer(value) if i64::try_from(value).is_err() => {
            return Err(CanonicalError::TooLarge { key: key.to_owned(), value });
        }
        &Value::Number(value) if !value.is_finite() => {
            return Err(CanonicalError::NotFinite { key: key.to_owned(), value });
        }
        Value::Integer(value) => text.push_str(&value.to_string()),
        // Rust writes numbers for debugging in this very form; the tests hold it to that.
        Value::Number(value) => text.push_str(&format!("{:?}", if *value == 0.0 { 0.0 } else { *value })),
        Value::Flag(value) => text.push_str(if *value { "true" } else { "false" }),
    }
    Ok(())
}

fn write_text(text: &mut String, value: &str) {
    text.push('"');
    for char in value.chars() {
        match char {
            '"' | '\\' => text.extend(['\\', char]),
            // Writing into a string does not fail.
            char if char.is_control() => drop(write!(text, "\\u{:04X}", u32::from(char))),
            char => text.push(char),
        }
    }
    text.push('"');
}

impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Integer(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunId;
    use proptest::prelude::*;
    use toml::Value as Toml;

    #[test]
    fn bytes_and_id_of_a_form_are_pinned() {
        let mut form = Canonical::new();
        form.integer("schema", 3).text("title", "\"λ\" \\ of\ttwo\n").flag("held-out", true).flag("quick", false);
        form.list("seeds", [20u64, 31]).list("names", ["a", ""]).list::<f64>("rates", []).number("lr", -0.0);
        form.table("training").number("momentum", 0.9).integer("epochs", i64::MAX.unsigned_abs());
        form.element("teacher").text("run", "00").element("teacher").text("run", "11");
        let expected = r#"schema = 3
title = "\"λ\" \\ of\u0009two\u000A"
held-out = true
quick = false
seeds = [20, 31]
names = ["a", ""]
rates = []
lr = 0.0
[training]
momentum = 0.9
epochs = 9223372036854775807
[[teacher]]
run = "00"
[[teacher]]
run = "11"
"#;
        assert_eq!(form.finish().unwrap(), expected);
        // A change here gives every run ever made another id.
        assert_eq!(RunId::of(expected).as_str(), "0c1cac59b53625cf");
    }

    #[test]
    fn numbers_are_written_as_the_encoding_says() {
        let numbers = [
            (0.0, "0.0"),
            (-0.0, "0.0"),
            (3.0, "3.0"),
            (-0.1, "-0.1"),
            (0.00001, "1e-5"),
            (0.0001, "0.0001"),
            (9_999_999_999_999_998.0, "9999999999999998.0"),
            (1e16, "1e16"),
            (1.5e16, "1.5e16"),
            (-2.5e-7, "-2.5e-7"),
            (5e-324, "5e-324"),
            (f64::MAX, "1.7976931348623157e308"),
            (0.1 + 0.2, "0.30000000000000004"),
        ];
        for (number, text) in numbers {
            assert_eq!(Canonical::new().number("x", number).finish().unwrap(), format!("x = {text}\n"));
        }
    }

    #[test]
    fn what_has_no_canonical_form_is_refused_and_named() {
        let refused = |form: &Canonical| form.finish().unwrap_err();
        let mut form = Canonical::new();
        form.table("distillation").number("lambda", f64::NAN).number("temperature", f64::INFINITY);
        assert!(matches!(refused(&form), CanonicalError::NotFinite { key, .. } if key == "distillation.lambda"));
        assert_eq!(
            refused(Canonical::new().list("seeds", [1, u64::MAX])),
            CanonicalError::TooLarge { key: "seeds".into(), value: u64::MAX }
        );
        for name in ["", "a b", "a.b", "é", "a\n[b]", "\"a\""] {
            assert_eq!(refused(Canonical::new().flag(name, true)), CanonicalError::Name(name.into()));
            assert_eq!(refused(Canonical::new().table(name)), CanonicalError::Name(name.into()));
        }
        let twice = |name: &str| CanonicalError::Twice(name.into());
        assert_eq!(refused(Canonical::new().flag("a", true).flag("a", true)), twice("a"));
        assert_eq!(refused(Canonical::new().flag("a", true).table("a")), twice("a"));
        assert_eq!(refused(Canonical::new().table("a").table("a")), twice("a"));
        assert_eq!(refused(Canonical::new().table("a").element("a")), twice("a"));
        assert_eq!(refused(Canonical::new().element("a").table("a")), twice("a"));
        assert_eq!(refused(Canonical::new().table("a").flag("b", true).flag("b", true)), twice("a.b"));
        // Equal keys of two tables are two keys.
        assert!(Canonical::new().element("a").flag("b", true).element("a").flag("b", true).finish().is_ok());
    }

    /// A call of the writer.
    #[derive(Clone, Debug, PartialEq)]
    enum Call {
        Value(String, Value),
        List(String, Vec<Value>),
        Table(String),
        Element(String),
    }

    fn write(calls: &[Call]) -> Result<String, CanonicalError> {
        let mut form = Canonical::new();
        for call in calls {
            match call {
                Call::Value(key, Value::Text(value)) => form.text(key, value),
                Call::Value(key, Value::Integer(value)) => form.integer(key, *value),
                Call::Value(key, Value::Number(value)) => form.number(key, *value),
                Call::Value(key, Value::Flag(value)) => form.flag(key, *value),
                Call::List(key, values) => form.list(key, values.clone()),
                Call::Table(name) => form.table(name),
                Call::Element(name) => form.element(name),
            };
        }
        form.finish()
    }

    /// What a TOML reader should find in the form.
    fn expected(calls: &[Call]) -> toml::Table {
        let (mut root, mut place) = (toml::Table::new(), None);
        for call in calls {
            let (key, value) = match call {
                Call::Value(key, value) => (key, to_toml(value)),
                Call::List(key, values) => (key, Toml::Array(values.iter().map(to_toml).collect())),
                Call::Table(name) => {
                    root.insert(name.clone(), Toml::Table(toml::Table::new()));
                    place = Some(name.clone());
                    continue;
                }
                Call::Element(name) => {
                    let elements = root.entry(name.clone()).or_insert(Toml::Array(Vec::new()));
                    elements.as_array_mut().unwrap().push(Toml::Table(toml::Table::new()));
                    place = Some(name.clone());
                    continue;
                }
            };
            let table = match &place {
                None => &mut root,
                Some(name) => match root.get_mut(name).unwrap() {
                    Toml::Array(elements) => elements.last_mut().unwrap().as_table_mut().unwrap(),
                    table => table.as_table_mut().unwrap(),
                },
            };
            table.insert(key.clone(), value);
        }
        root
    }

    fn to_toml(value: &Value) -> Toml {
        match value {
            Value::Text(value) => Toml::String(value.clone()),
            Value::Integer(value) => Toml::Integer(value.cast_signed()),
            Value::Number(value) => Toml::Float(*value + 0.0),
            Value::Flag(value) => Toml::Boolean(*value),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<String>().prop_map(Value::Text),
            "[\"\\\\\u{0}\n\u{7f}\u{85}\u{feff}#=\\[\\]]{0,6}".prop_map(Value::Text),
            (0..=i64::MAX.unsigned_abs()).prop_map(Value::Integer),
            any::<f64>().prop_filter("finite", |number| number.is_finite()).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag),
        ]
    }

    /// Values that are mistaken for one another easily.
    fn alike() -> impl Strategy<Value = Value> {
        let texts = ["", "0", "1", "a", "\"", "\\", "\\\"", "\n", "\\n", "a = 1", "1, 1", "]", "0.0", "true"];
        prop_oneof![
            proptest::sample::select(texts.to_vec()).prop_map(Value::from),
            (0..3u64).prop_map(Value::Integer),
            proptest::sample::select(vec![0.0, -0.0, 1.0, 1e16, 1e-7]).prop_map(Value::Number),
            any::<bool>().prop_map(Value::Flag),
        ]
    }

    fn calls<V: Strategy<Value = Value> + Clone>(value: V, name: &'static str) -> impl Strategy<Value = Vec<Call>> {
        let call = prop_oneof![
            4 => (name, value.clone()).prop_map(|(key, value)| Call::Value(key, value)),
            2 => (name, prop::collection::vec(value, 0..3)).prop_map(|(key, values)| Call::List(key, values)),
            1 => name.prop_map(Call::Table),
            1 => name.prop_map(Call::Element),
        ];
        prop::collection::vec(call, 0..5)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

        #[test]
        fn form_is_toml_that_reads_back(calls in calls(any_value().boxed(), "[A-Za-z0-9_-]{1,3}")) {
            if let Ok(form) = write(&calls) {
                prop_assert_eq!(toml::from_str::<toml::Table>(&form), Ok(expected(&calls)));
            }
        }

        #[test]
        fn form_shows_no_control_characters_but_line_ends(calls in calls(any_value().boxed(), "[a-z]")) {
            let form = write(&calls).unwrap_or_default();
            prop_assert!(!form.chars().any(|char| char.is_control() && char != '\n'));
        }

        #[test]
        fn different_calls_never_give_equal_forms(
            [a, b] in [calls(alike().boxed(), "[ab]"), calls(alike().boxed(), "[ab]")],
        ) {
            // -0.0 == 0.0, here as in the encoding.
            if let (Ok(form_a), Ok(form_b)) = (write(&a), write(&b)) {
                prop_assert_eq!(form_a == form_b, a == b);
            }
        }
    }
}

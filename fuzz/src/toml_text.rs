//! TOML texts made of words that mean something to the reader under test.

use arbitrary::Arbitrary;
use std::fmt::Write;

/// A line of a TOML file.
#[derive(Debug, Arbitrary)]
pub enum Line {
    /// A key and a value of its own kind, or of another.
    Pair {
        key: u8,
        value: Value,
    },
    /// A header, by number.
    Header(u8),
    Text(String),
}

#[derive(Debug, Arbitrary)]
pub enum Value {
    Word(u8),
    Words(Vec<u8>),
    Integer(i64),
    Number(f64),
    /// A number that is likely to be in range.
    Small(u8),
    Flag(bool),
    List(Vec<Value>),
    Table(Vec<(u8, Value)>),
    Text(String),
}

/// What texts are made of.
pub struct Words {
    pub keys: &'static [&'static str],
    pub headers: &'static [&'static str],
    pub words: &'static [&'static str],
}

impl Words {
    /// The text of these lines.
    pub fn text(&self, lines: &[Line]) -> String {
        let mut text = String::new();
        for line in lines {
            match line {
                Line::Pair { key, value } => {
                    text.push_str(pick(self.keys, *key));
                    text.push_str(" = ");
                    self.value(&mut text, value, 0);
                }
                Line::Header(header) => text.push_str(pick(self.headers, *header)),
                Line::Text(line) => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }

    fn value(&self, text: &mut String, value: &Value, depth: usize) {
        let items = |text: &mut String, items: &[Value]| {
            for (place, item) in items.iter().enumerate() {
                text.push_str(if place > 0 { ", " } else { "" });
                if depth < 8 { self.value(text, item, depth + 1) } else { text.push('0') }
            }
        };
        match value {
            Value::Word(word) => write!(text, "{:?}", pick(self.words, *word)).expect("a text takes it"),
            Value::Words(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("{:?}", pick(self.words, *word))).collect();
                write!(text, "[{}]", words.join(", ")).expect("a text takes it");
            }
            Value::Integer(number) => write!(text, "{number}").expect("a text takes it"),
            Value::Number(number) => text.push_str(&format!("{number:?}").replace("NaN", "nan")),
            Value::Small(number) => write!(text, "{}", f64::from(*number) / 16.0).expect("a text takes it"),
            Value::Flag(flag) => write!(text, "{flag}").expect("a text takes it"),
            Value::List(list) => {
                text.push('[');
                items(text, list);
                text.push(']');
            }
            Value::Table(pairs) => {
                text.push_str("{ ");
                for (place, (key, value)) in pairs.iter().enumerate() {
                    text.push_str(if place > 0 { ", " } else { "" });
                    text.push_str(pick(self.keys, *key));
                    text.push_str(" = ");
                    if depth < 8 { self.value(text, value, depth + 1) } else { text.push('0') }
                }
                text.push_str(" }");
            }
            Value::Text(value) => write!(text, "{value:?}").expect("a text takes it"),
        }
    }
}

fn pick(words: &'static [&'static str], number: u8) -> &'static str {
    words[usize::from(number) % words.len()]
}

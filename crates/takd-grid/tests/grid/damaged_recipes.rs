//! Recipes that were changed at random: read, or refused with a line of theirs, and never more than that.

use crate::recipe::TABLE_1;
use proptest::prelude::*;
use takd_grid::recipe::Recipe;

/// A change of a text, as a hand that slips or a file that is damaged makes it.
#[derive(Clone, Debug)]
enum Change {
    Remove {
        at: usize,
        chars: usize,
    },
    Insert {
        at: usize,
        text: String,
    },
    Repeat {
        from: usize,
        chars: usize,
        at: usize,
    },
    /// Another key in a line that has one.
    Key {
        line: usize,
        key: &'static str,
    },
    /// Another value in such a line.
    Value {
        line: usize,
        value: &'static str,
    },
}

fn change() -> impl Strategy<Value = Change> {
    let place = 0..TABLE_1.len();
    let piece = prop_oneof![
        r#"[\[\]{}="'.,#\n\-> ?+a0é\\\x00\x1b]{1,4}"#,
        prop::sample::select(vec![
            "[[cell]]\n",
            "[cell]\n",
            "[quick]\n",
            "\n",
            "= ",
            "\"",
            "\"\"\"",
            "-1",
            "1e999",
            "nan",
            "0x10",
            "1979-05-27",
            "[]",
            "{}",
            "lambda = [0.1, 0.2]\n",
            "{plane2, plane4}? -> ",
            "plane3",
            "\\u001b",
            "\u{feff}",
            "lr = ",
        ])
        .prop_map(str::to_owned),
    ];
    let keys = vec![
        "title",
        "layout",
        "notes",
        "name",
        "data",
        "paths",
        "paper",
        "missing",
        "protocol",
        "seeds",
        "lambda",
        "temperature",
        "kl_reduction",
        "epochs",
        "limit",
        "replays",
        "top_k",
        "batch_size",
        "gradient_accumulation",
        "warmup_epochs",
        "lr",
        "momentum",
        "nesterov",
        "weight_decay",
        "pick",
        "training",
        "drawn",
        "networks",
        "cell",
        "quick",
        "defaults",
        "lamda",
        "training.plain.lr",
        "\"plane2\"",
        "\"\"",
        "a.b.c",
    ];
    let values = vec![
        "0",
        "-1",
        "1.0",
        "nan",
        "-0.0",
        "1e400",
        "99999999999999999999999",
        "0xff",
        "true",
        "\"\"",
        "\"text\"",
        "\"methods\"",
        "\"paths\"",
        "\"1..5\"",
        "\"sound\"",
        "[]",
        "{}",
        "[1, 2]",
        "[0.5]",
        "[[]]",
        "1979-05-27",
        "[{ from = 0, rate = 1 }]",
        "[\"plane2 -> {plane4, plane6}? + plane8? -> plane2\"]",
        "[\"plane2 ->\", 3]",
        "{ plane2 = \"plane4\", plane4 = \"plane2\" }",
        "{ \"plane2\" = 1, \"plane10 → plane2\" = 101 }",
        "{ cifar10 = 3 }",
        "{ train = 0, test = 1 }",
        "\"\"\"plane2\n->\"\"\"",
        "{ plain = { batch_size = 3, lr = [] }, resnet = 3 }",
    ];
    prop_oneof![
        3 => (0..80usize, prop::sample::select(keys)).prop_map(|(line, key)| Change::Key { line, key }),
        6 => (0..80usize, prop::sample::select(values)).prop_map(|(line, value)| Change::Value { line, value }),
        1 => (place.clone(), 1..40usize).prop_map(|(at, chars)| Change::Remove { at, chars }),
        1 => (place.clone(), piece).prop_map(|(at, text)| Change::Insert { at, text }),
        1 => (place.clone(), 1..200usize, place).prop_map(|(from, chars, at)| Change::Repeat { from, chars, at }),
    ]
}

fn changed(text: &str, changes: &[Change]) -> String {
    changes.iter().fold(text.to_owned(), |text, change| {
        let mut chars: Vec<char> = text.chars().collect();
        let range = |at: usize, count: usize| at.min(chars.len())..(at + count).min(chars.len());
        match change {
            Change::Remove { at, chars: count } => drop(chars.drain(range(*at, *count))),
            Change::Insert { at, text } => drop(chars.splice(range(*at, 0), text.chars())),
            Change::Repeat { from, chars: count, at } => {
                let copy = chars[range(*from, *count)].to_vec();
                drop(chars.splice(range(*at, 0), copy));
            }
            Change::Key { line, key } => return with_line(&text, *line, |_, value| format!("{key} ={value}")),
            Change::Value { line, value } => return with_line(&text, *line, |key, _| format!("{key}= {value}")),
        }
        chars.into_iter().collect()
    })
}

/// The text with another line in place of one that has a key and a value, counted among those.
fn with_line(text: &str, place: usize, other: impl Fn(&str, &str) -> String) -> String {
    let mut lines: Vec<String> = text.split('\n').map(str::to_owned).collect();
    let with_key = |line: &&mut String| !line.starts_with('#') && line.contains('=');
    let count = lines.iter_mut().filter(with_key).count().max(1);
    if let Some(line) = lines.iter_mut().filter(with_key).nth(place % count) {
        let (key, value) = line.split_once('=').unwrap_or_default();
        *line = other(key, value);
    }
    lines.join("\n")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn any_change_of_a_recipe_is_read_or_refused_with_a_line_of_it(changes in prop::collection::vec(change(), 1..6)) {
        let text = changed(TABLE_1, &changes);
        if let Err(error) = Recipe::parse(&text, "mine.toml") {
            prop_assert!((1..=text.split('\n').count()).contains(&error.line), "{}", error);
            let place = format!("mine.toml:{}:{}: ", error.line, error.column);
            prop_assert!(error.to_string().starts_with(&place), "{}", error);
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in any::<String>()) {
        let _ = Recipe::parse(&text, "mine.toml").map_err(|error| error.to_string());
    }
}

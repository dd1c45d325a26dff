//! The path language: patterns and paths.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use takd_fuzz::{Edit, edited};
use takd_grid::DistillationPath;
use takd_grid::path::{MAX_PATHS, PathError, PathPattern};

#[derive(Debug, Arbitrary)]
enum Token {
    Known(u8),
    Text(String),
    Char(char),
}

const TOKENS: &[&str] = &[
    "plane2",
    "plane4",
    "plane8",
    "plane10",
    "plane10-wide",
    "plane2-narrow",
    "resnet8",
    "resnet110",
    "plane3",
    "->",
    "→",
    "+",
    "{",
    "}",
    ",",
    "?",
    " ",
    "",
];

fn check(error: &PathError) {
    let column = error.column();
    assert!(column <= error.text.chars().count() + 1, "{error:?}");
    assert!(!error.to_string().is_empty());
}

fuzz_target!(|input: (Vec<Token>, Vec<Edit>)| {
    let (tokens, edits) = input;
    let mut text = String::new();
    for token in &tokens {
        match token {
            Token::Known(token) => text.push_str(TOKENS[usize::from(*token) % TOKENS.len()]),
            Token::Text(token) => text.push_str(token),
            Token::Char(token) => text.push(*token),
        }
    }
    let text = String::from_utf8_lossy(&edited(text.into_bytes(), &edits)).into_owned();

    let path = text.parse::<DistillationPath>();
    let pattern = match text.parse::<PathPattern>() {
        Ok(pattern) => pattern,
        Err(error) => {
            check(&error);
            assert!(path.is_err(), "a path that is no pattern: {text:?}");
            return;
        }
    };
    assert!((1..=MAX_PATHS).contains(&pattern.paths().len()));
    for (place, path) in pattern.paths().iter().enumerate() {
        let printed = path.to_string();
        assert_eq!(printed.parse::<DistillationPath>().as_ref(), Ok(path), "{text:?}");
        if place == 0 {
            let again = printed.parse::<PathPattern>().expect("a path is a pattern");
            assert_eq!(again.paths(), std::slice::from_ref(path), "{text:?}");
        }
    }
    match path {
        Ok(path) => assert_eq!(pattern.paths(), [path], "{text:?}"),
        Err(error) => check(&error),
    }
});

//! Sizes, dates and commands as they are printed.

use crate::common::DEFAULT_OUT;
use std::path::Path;
use takd_store::Start;

/// `9.5 MiB`.
pub(super) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// `2026-11-26 14:05`, UTC.
pub(super) fn date(unix_s: u64) -> String {
    let time = i64::try_from(unix_s).ok().and_then(|s| time::OffsetDateTime::from_unix_timestamp(s).ok());
    time.map_or_else(
        || "–".into(),
        |time| {
            let (date, hour, minute) = (time.date(), time.hour(), time.minute());
            format!("{}-{:02}-{:02} {hour:02}:{minute:02}", date.year(), u8::from(date.month()), date.day())
        },
    )
}

/// The command of a start, as a shell takes it.
pub(super) fn command_line(start: &Start) -> String {
    start.command.iter().map(|argument| quoted(argument)).collect::<Vec<_>>().join(" ")
}

/// The command of a start with the folder in which the run lies now: it may have been moved since.
pub(super) fn command_line_in(start: &Start, out: &Path) -> String {
    let out = out.display().to_string();
    let mut command = start.command.clone();
    let named = command.iter().position(|word| word == "--out").filter(|place| place + 1 < command.len());
    if let Some(place) = named {
        command[place + 1] = out;
    } else if let Some(word) = command.iter_mut().find(|word| word.starts_with("--out=")) {
        *word = format!("--out={out}");
    } else if out != DEFAULT_OUT {
        command.extend(["--out".into(), out]);
    }
    command_line(&Start { command, ..start.clone() })
}

fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=,:+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

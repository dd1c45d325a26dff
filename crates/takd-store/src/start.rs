//! Who began or resumed a run, and when.

use crate::names::{STARTS, limits};
use crate::{Claim, Result, read_file};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::time::SystemTime;

/// How many starts are kept beside the first.
const KEPT: usize = 20;

/// The most bytes that a command takes in the file, and the most characters that the program's and the host's name
/// have.
const COMMAND_BYTES: usize = 16 << 10;
const NAME_CHARS: usize = 256;

/// One start of a run. It is kept for people, in a line of `starts.jsonl`; no outcome depends on it, and it is not
/// hashed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// The program's name and version.
    pub program: String,
    /// The machine's name; empty if it has none.
    pub host: String,
    /// Seconds since the start of 1970.
    pub time: u64,
}

impl Start {
    /// A start on this machine at this moment.
    pub fn now(command: Vec<String>, program: String) -> Self {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Self { command, program, host: host_name(), time }
    }

    /// The command as a shell takes it.
    pub fn command_line(&self) -> String {
        self.command.iter().map(|argument| shell_quoted(argument)).collect::<Vec<_>>().join(" ")
    }

    /// The same, cut to what is kept of it.
    fn cut(&self) -> Self {
        let mut left = COMMAND_BYTES;
        let mut command = Vec::new();
        for argument in &self.command {
            // As it stands in the file, with its escapes.
            let bytes = serde_json::to_string(argument).map_or(usize::MAX, |json| json.len() + 1);
            if bytes > left {
                command.push("…".to_owned());
                break;
            }
            left -= bytes;
            command.push(argument.clone());
        }
        let cut = |name: &str| name.chars().take(NAME_CHARS).collect();
        Self { command, program: cut(&self.program), host: cut(&self.host), time: self.time }
    }
}

/// A word as a shell takes it, in quotes if it needs them.
pub fn shell_quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./=,:+".contains(&byte);
    if !text.is_empty() && text.bytes().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

/// `2026-11-26 14:05`, UTC, of seconds since the start of 1970; nothing if no calendar has that year.
pub fn date(seconds: u64) -> Option<String> {
    let time = time::OffsetDateTime::from_unix_timestamp(i64::try_from(seconds).ok()?).ok()?;
    let (date, hour, minute) = (time.date(), time.hour(), time.minute());
    Some(format!("{}-{:02}-{:02} {hour:02}:{minute:02}", date.year(), u8::from(date.month()), date.day()))
}

impl Claim {
    /// Keeps a start. The first and the last 20 stay; a command that is very long is cut.
    ///
    /// # Errors
    /// As [`Claim::write`] and [`read_file`].
    pub fn add_start(&self, start: &Start) -> Result<()> {
        let mut starts = read(&self.path(STARTS))?;
        starts.push(start.cut());
        if starts.len() > 1 + KEPT {
            starts.drain(1..starts.len() - KEPT);
        }
        let mut lines = Vec::new();
        for start in &starts {
            serde_json::to_writer(&mut lines, start).map_err(crate::Error::unwritable)?;
            lines.push(b'\n');
        }
        self.write(STARTS, &lines)
    }
}

/// The starts in a file, without lines that are damaged: the others are worth having.
pub(crate) fn read(path: &Path) -> Result<Vec<Start>> {
    let lines = read_file(path, limits::STARTS)?.unwrap_or_default();
    Ok(lines.split(|&byte| byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect())
}

#[cfg(unix)]
fn host_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

#[cfg(not(unix))]
fn host_name() -> String {
    std::env::var("COMPUTERNAME").unwrap_or_default()
}

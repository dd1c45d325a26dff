//! Standard output and standard error, either of which may be a pipe that nobody reads any more.

use anyhow::{Context, Result};
use std::io::{ErrorKind, Write};
use std::path::Path;

/// Prints a result and the end of its last line. A reader that has seen enough, as `head` has, is no error.
pub(crate) fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("cannot write to the standard output")
        }
        _ => Ok(()),
    }
}

/// Prints a value for a script.
pub(crate) fn print_json(value: &impl serde::Serialize) -> Result<()> {
    print(&serde_json::to_string_pretty(value)?)
}

/// Tells a person something. What cannot be written is nobody's loss.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Writes a file whole or not at all: a full disk must not cost the one that is there.
pub(crate) fn write_file(path: &Path, text: &str) -> Result<()> {
    let write = || {
        let mut builder = tempfile::Builder::new();
        // Readable by whom the user lets read other files, not by the user alone as temporary files are.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let mut file = builder.tempfile_in(path.parent().unwrap_or(Path::new(".")))?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        Ok::<_, std::io::Error>(file.persist(path).map(drop)?)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

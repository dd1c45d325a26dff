//! Reads a text that the user names: a recipe, or a file of settings.

use anyhow::{Context, Result, bail};
use std::path::Path;

/// The text in a file of at most so many bytes, links followed; nothing if there is no such file. `what` is what messages call it.
pub(crate) fn read(path: &Path, what: &str, most_bytes: u64) -> Result<Option<String>> {
    let name = takd_store::printable_path(path);
    // The user names it, so that a link is followed.
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let bytes = match takd_store::read_file(&target, most_bytes) {
        Err(takd_store::Error::WrongKind { found, .. }) => bail!("{name} is {found}, and {what} is a file"),
        bytes => bytes?,
    };
    bytes.map(|bytes| String::from_utf8(bytes).with_context(|| format!("{name} is not a text"))).transpose()
}

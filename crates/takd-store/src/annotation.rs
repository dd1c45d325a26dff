//! What a person says of a run: tags and a note.

use crate::file::{delete, write_file};
use crate::names::{ANNOTATION, limits};
use crate::{Configuration, Error, Result, RunId, Store, printable, read_file};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

/// The most characters of a tag.
const MAX_TAG_CHARS: usize = 64;

/// The most tags of a run.
const MAX_TAGS: usize = 64;

/// The most bytes of a note.
const MAX_NOTE_BYTES: usize = 8 << 10;

/// What a person says of a run, kept in `annotation.json`. No outcome depends on it, and it is not hashed: a person may edit
/// the file.
///
/// It may be written while somebody has the claim on the run, because whoever trains a run leaves this file alone. Of two that
/// write it at the same moment, the later one's stays.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Annotation {
    /// Words by which runs are found again.
    #[serde(default)]
    pub tags: BTreeSet<Tag>,
    /// Any text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A tag: 1 to 64 characters without spaces, commas and control characters, so that lists of tags can be written without quotes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Tag(String);

/// The text is not a tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a tag: one has 1 to {MAX_TAG_CHARS} characters, and no space or comma among them", printable(.0))]
pub struct InvalidTag(pub String);

impl Annotation {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.note.is_none()
    }
}

impl Tag {
    /// The tag's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for Tag {
    type Error = InvalidTag;

    fn try_from(text: String) -> Result<Self, InvalidTag> {
        let fits = |char: char| !char.is_whitespace() && !char.is_control() && char != ',';
        let is_tag = (1..=MAX_TAG_CHARS).contains(&text.chars().count()) && text.chars().all(fits);
        if is_tag { Ok(Self(text)) } else { Err(InvalidTag(text)) }
    }
}

impl FromStr for Tag {
    type Err = InvalidTag;

    fn from_str(text: &str) -> Result<Self, InvalidTag> {
        Self::try_from(text.to_owned())
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<C: Configuration, O: Serialize + DeserializeOwned> Store<C, O> {
    /// What a person says of a run; nothing is said if there is no file.
    ///
    /// # Errors
    /// [`Error::Damaged`] if the file does not hold an annotation; if it cannot be read.
    pub fn annotation(&self, id: &RunId) -> Result<Annotation> {
        let Some(dir) = self.existing_dir(id)? else { return Ok(Annotation::default()) };
        let path = dir.join(ANNOTATION);
        let Some(bytes) = read_file(&path, limits::ANNOTATION)? else { return Ok(Annotation::default()) };
        serde_json::from_slice(&bytes).map_err(|error| Error::damaged(&path, error))
    }

    /// Keeps what a person says of a run, in place of what was said before. If nothing is said, there is no file.
    ///
    /// # Errors
    /// [`Error::Unwritable`] if there are more than 64 tags, or the note has more than 8 KiB; if the run is not there or the file
    /// cannot be written.
    pub fn annotate(&self, id: &RunId, annotation: &Annotation) -> Result<()> {
        let path = self.existing_dir(id)?.unwrap_or_else(|| self.dir(id)).join(ANNOTATION);
        if annotation.is_empty() {
            return delete(&path);
        }
        let (tags, bytes) = (annotation.tags.len(), annotation.note.as_ref().map_or(0, String::len));
        if tags > MAX_TAGS {
            return Err(Error::Unwritable(format!("a run has at most {MAX_TAGS} tags, and these are {tags}")));
        }
        if bytes > MAX_NOTE_BYTES {
            return Err(Error::Unwritable(format!(
                "a note has at most {MAX_NOTE_BYTES} bytes, and this one has {bytes}"
            )));
        }
        let mut json = serde_json::to_vec_pretty(annotation).map_err(Error::unwritable)?;
        json.push(b'\n');
        write_file(&path, &json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tag_is_a_word_and_nothing_else() {
        for tag in ["baseline", "for-the-paper", "τ=4", "lr:0.1/cosine", &"x".repeat(64)] {
            assert_eq!(tag.parse::<Tag>().unwrap().as_str(), tag);
        }
        for text in ["", " ", "two words", "a,b", "a\tb", "\u{1b}[31m", "a\u{a0}b", &"x".repeat(65)] {
            let error = text.parse::<Tag>().unwrap_err();
            assert!(!error.to_string().contains('\u{1b}'), "{error}");
            assert!(serde_json::from_str::<Tag>(&serde_json::to_string(text).unwrap()).is_err(), "{text}");
        }
    }
}

//! Which repository of the hub.

use hf_hub::{Repo, RepoType};
use std::fmt;
use takd_store::printable;

/// The most bytes of a repository's name, the owner's not counted; the hub's own limit.
const MAX_NAME: usize = 96;

/// Endings of files with weights: what ends so is meant as a file.
const WEIGHT_ENDINGS: [&str; 6] = [".pth", ".pt", ".th", ".tar", ".bin", ".safetensors"];

/// A repository of the hub: a model's or a data set's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    kind: Kind,
    id: String,
    /// At which commit it is asked for, in lower case; as it is at `main` without one.
    commit: Option<String>,
}

/// Why a text names no model of the hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no name of a model on the hub: that is owner/name, of letters, digits, `-`, `_` and `.`", printable(.0))]
pub struct InvalidName(pub String);

/// Whether a text is the name of a commit.
pub(crate) fn is_commit(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|digit| digit.is_ascii_hexdigit())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Model,
    Dataset,
}

impl Repository {
    /// The model of this name, `owner/name`.
    ///
    /// # Errors
    /// If the hub gives no such names.
    pub fn model(name: &str) -> Result<Self, InvalidName> {
        let is_part = |part: &str| {
            let characters = part.bytes().all(|c| c.is_ascii_alphanumeric() || b"-._".contains(&c));
            let is_odd = part.contains("--") || part.contains("..") || part.ends_with(".git");
            let is_plain = |edge: Option<char>| edge.is_some_and(|edge| !"-.".contains(edge));
            characters && !is_odd && is_plain(part.chars().next()) && is_plain(part.chars().last())
        };
        let is_name = name.split_once('/').is_some_and(|(owner, rest)| {
            is_part(owner) && is_part(rest) && owner.len() <= MAX_NAME && rest.len() <= MAX_NAME
        });
        let is_file = WEIGHT_ENDINGS.iter().any(|ending| name.ends_with(ending));
        if !is_name || is_file {
            return Err(InvalidName(name.to_owned()));
        }
        Ok(Self { kind: Kind::Model, id: name.to_owned(), commit: None })
    }

    /// The model of this name, `owner/name`, or as it is at a commit, `owner/name@commit` with all 40 digits.
    ///
    /// # Errors
    /// If the hub gives no such names.
    pub fn model_at(name: &str) -> Result<Self, InvalidName> {
        let (id, commit) = name.split_once('@').map_or((name, None), |(id, commit)| (id, Some(commit)));
        let model = Self::model(id).map_err(|_| InvalidName(name.to_owned()))?;
        match commit {
            Some(commit) if is_commit(commit) => Ok(model.at_commit(commit)),
            Some(_) => Err(InvalidName(name.to_owned())),
            None => Ok(model),
        }
    }

    /// The same as it is at a commit.
    #[must_use]
    pub fn at_commit(&self, commit: &str) -> Self {
        Self { commit: Some(commit.to_ascii_lowercase()), ..self.clone() }
    }

    /// The data set of this name, which the program itself knows: it is not checked.
    pub fn dataset(id: impl Into<String>) -> Self {
        Self { kind: Kind::Dataset, id: id.into(), commit: None }
    }

    /// Its name, `owner/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// At which commit it is asked for, if it is not as it is at `main`.
    pub fn commit(&self) -> Option<&str> {
        self.commit.as_deref()
    }

    /// That commit, or `main`.
    pub(crate) fn revision(&self) -> &str {
        self.commit().unwrap_or("main")
    }

    /// The owner and the name.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.id.split_once('/').unwrap_or(("", &self.id))
    }

    /// As the hub's own tools have it.
    pub(crate) fn repo(&self) -> Repo {
        self.at(self.revision())
    }

    /// The same at a commit or branch.
    pub(crate) fn at(&self, revision: &str) -> Repo {
        let kind = match self.kind {
            Kind::Model => RepoType::Model,
            Kind::Dataset => RepoType::Dataset,
        };
        Repo::with_revision(self.id.clone(), kind, revision.to_owned())
    }
}

/// Its name, with the commit behind an `@` if there is one.
impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.commit {
            Some(commit) => write!(f, "{}@{commit}", self.id),
            None => f.write_str(&self.id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn model_at_a_commit_prints_as_it_is_named_and_other_revisions_are_refused() {
        let commit = "0123456789abcdef0123456789abcdef01234567";
        let name = format!("user/name@{commit}");
        let model = Repository::model_at(&name).unwrap();
        assert_eq!((model.id(), model.commit()), ("user/name", Some(commit)));
        assert_eq!(model.to_string(), name);
        assert_eq!(Repository::model_at(&name.to_uppercase().replace("USER/NAME", "user/name")).unwrap(), model);
        assert_eq!(Repository::model_at("user/name").unwrap(), Repository::model("user/name").unwrap());
        for name in ["user/name@", "user/name@main", "user/name@0123", &format!("{name}@"), &format!("../x@{commit}")] {
            assert!(Repository::model_at(name).unwrap_err().to_string().contains(&format!("`{name}`")), "{name}");
        }
        // A push is to `main`.
        assert!(Repository::model(&name).is_err());
    }

    #[test]
    fn names_of_the_hub_are_taken_and_paths_and_files_are_not() {
        for name in ["user/name", "timm/resnet50.a1_in1k", "a/b", "uoft-cs/My_Model-1.0"] {
            assert_eq!(Repository::model(name).unwrap().id(), name);
        }
        let long = format!("user/{}", "a".repeat(MAX_NAME + 1));
        for name in [
            "",
            "name",
            "/name",
            "user/",
            "a/b/c",
            "../name",
            "user/..",
            "./x",
            "user/-x",
            "user/x.",
            "us er/x",
            "user/x.pth",
            "user/model.safetensors",
            "user/pytorch_model.bin",
            "user/a--b",
            "user/a..b",
            "user/x?y",
            "user\\x",
            "C:/x",
            "~/models",
            "user/é",
            "user/x.git",
            &long,
        ] {
            let error = Repository::model(name).unwrap_err();
            assert!(error.to_string().contains(&format!("`{name}`")), "{name}: {error}");
        }
    }
}

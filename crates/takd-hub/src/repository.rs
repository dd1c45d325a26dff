//! Which repository of the hub.

use hf_hub::{Repo, RepoType};
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
}

/// Why a text names no model of the hub.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no name of a model on the hub: that is owner/name, of letters, digits, `-`, `_` and `.`", printable(.0))]
pub struct InvalidName(pub String);

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
        Ok(Self { kind: Kind::Model, id: name.to_owned() })
    }

    /// The data set of this name, which the program itself knows: it is not checked.
    pub fn dataset(id: impl Into<String>) -> Self {
        Self { kind: Kind::Dataset, id: id.into() }
    }

    /// Its name, `owner/name`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The owner and the name.
    pub(crate) fn parts(&self) -> (&str, &str) {
        self.id.split_once('/').unwrap_or(("", &self.id))
    }

    /// As the hub's own tools have it, at `main`.
    pub(crate) fn repo(&self) -> Repo {
        self.at("main")
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

#[cfg(test)]
mod tests {
    use super::*;

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

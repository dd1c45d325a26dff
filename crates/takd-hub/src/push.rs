//! Pushing files: they are sent first, and then one commit makes them visible.
//!
//! ```text
//! repos/create ──▶ preupload ──which are large──▶ LFS batch ──which are new──▶ PUT each ──▶ commit
//! ```

use crate::agent::TransferError;
use crate::lfs::{self, Object};
use crate::sender::{Sender, with_retries};
use crate::{Hub, Progress, PushError, Repository, hub};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Deserialize;
use serde_json::json;
use std::collections::HashMap;

/// Bytes from the beginning of a file by which the hub decides how it is stored.
const SAMPLE: usize = 512;

/// The most bytes of a file within the commit, which is held in memory as text; the hub itself takes less.
const MAX_REGULAR: usize = 64 << 20;

/// What is pushed, and where to.
#[derive(Debug, Clone, Copy)]
pub struct Push<'a> {
    /// The model.
    pub repository: &'a Repository,
    /// Names and bytes of its files. Others that are there stay as they are.
    pub files: &'a [(&'a str, &'a [u8])],
    /// The commit's message.
    pub message: &'a str,
    /// Who may see it.
    pub visibility: Visibility,
}

/// Who may see a repository.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Visibility {
    /// Whoever may see the owner's new repositories, which is everyone unless an organisation decides otherwise; one that is there stays as
    /// it is.
    #[default]
    OwnersDefault,
    /// Its owner alone. One that everyone may see is not pushed to.
    Private,
}

/// What came of a push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// Where the repository is to be seen.
    pub address: String,
    /// The commit, if the hub says it.
    pub commit: Option<String>,
    /// Whether the repository was made for it; nothing if that cannot be told, because the hub's first answer was lost.
    pub is_new: Option<bool>,
    /// The files, in the order in which they were given.
    pub files: Vec<PushedFile>,
}

/// A file that was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedFile {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Whether its bytes were sent; else the hub had them.
    pub is_sent: bool,
}

/// How far a push has come, for what is said of the repository if it fails.
#[derive(Clone, Copy)]
enum Reached {
    Nothing,
    Repository { is_new: Option<bool> },
    Commit,
}

impl Hub {
    /// Pushes files as one commit on `main`. The repository is made if there is none.
    ///
    /// # Errors
    /// If there is no token or it may not write, or the hub fails; the message says how the repository was left, which is as it was unless
    /// the hub fell silent or failed after the commit was sent.
    pub fn push(&self, push: &Push<'_>, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Pushed, PushError> {
        if self.offline {
            return Err(PushError::Offline { endpoint: self.shown_endpoint() });
        }
        let Some(token) = &self.token else {
            return Err(PushError::NoToken { endpoint: self.shown_endpoint(), file: hub::token_file() });
        };
        if !token.is_sound() {
            return Err(PushError::Token { place: token.place.clone() });
        }
        let sender = Sender::new(self, token);
        let mut reached = Reached::Nothing;
        push.send(&sender, &mut reached, progress).map_err(|broken| {
            let (TransferError::Temporary(problem) | TransferError::Permanent(problem)) = &broken;
            let left = match (reached, &broken) {
                (Reached::Nothing, _) => "nothing was changed on the hub".into(),
                (Reached::Repository { is_new: Some(false) }, _) => "the repository is as it was".into(),
                (Reached::Repository { is_new: Some(true) }, _) => "the repository was made, and is still empty".into(),
                (Reached::Repository { is_new: None }, _) => {
                    "the repository is as it was, or was made and is still empty".into()
                }
                // The hub refused; or it said nothing, or a server between it and here failed, and the commit may have been made.
                (Reached::Commit, TransferError::Permanent(_)) => "the repository has no file of this push".into(),
                (Reached::Commit, TransferError::Temporary(_)) => {
                    format!("whether it is there nevertheless is seen at {}", self.address(push.repository))
                }
            };
            PushError::Failed { repo: push.repository.id().to_owned(), problem: problem.clone(), left }
        })
    }
}

impl Push<'_> {
    fn send(
        &self,
        sender: &Sender<'_>,
        reached: &mut Reached,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Pushed, TransferError> {
        let is_new = self.make_repository(sender)?;
        *reached = Reached::Repository { is_new };
        if self.visibility == Visibility::Private && !self.is_private(sender)? {
            let address = sender.hub.address(self.repository);
            return Err(TransferError::Permanent(format!(
                "everyone may see it, and it was to be private: make it so at {address}/settings, or push without that"
            )));
        }
        let is_large = self.large_ones(sender)?;
        let objects = || self.files.iter().zip(&is_large).filter(|(_, is_large)| **is_large);
        let objects: Vec<Object<'_>> = objects().map(|((name, bytes), _)| Object::new(name, bytes)).collect();
        let sent = lfs::upload(sender, self.repository, &objects, progress)?;
        let is_sent: HashMap<&str, bool> = objects.iter().map(|object| object.name).zip(sent).collect();
        *reached = Reached::Commit;
        let commit = self.commit(sender, &objects)?;
        let files = self.files.iter().map(|(name, bytes)| PushedFile {
            name: (*name).to_owned(),
            bytes: bytes.len() as u64,
            is_sent: is_sent.get(name).copied().unwrap_or(true),
        });
        Ok(Pushed { address: sender.hub.address(self.repository), commit, is_new, files: files.collect() })
    }

    /// Makes the repository; whether there was none, if that can be told.
    fn make_repository(&self, sender: &Sender<'_>) -> Result<Option<bool>, TransferError> {
        let (owner, name) = self.repository.parts();
        let mut asked = json!({ "type": "model", "name": name, "organization": owner });
        if self.visibility == Visibility::Private {
            asked["visibility"] = "private".into();
        }
        let mut attempts = 0;
        let answer = with_retries(|| {
            attempts += 1;
            sender.post_once("/api/repos/create", "application/json", asked.to_string().as_bytes())
        })?;
        match answer.status().as_u16() {
            200..=299 => Ok(Some(true)),
            409 if attempts == 1 => Ok(Some(false)),
            // An attempt that came to no answer may have made it.
            409 => Ok(None),
            // A token that may write to this repository alone may make none.
            403 if sender.get(&self.api(""))?.status().is_success() => Ok(Some(false)),
            _ => Err(sender.refusal("it could not be made", answer)),
        }
    }

    fn is_private(&self, sender: &Sender<'_>) -> Result<bool, TransferError> {
        #[derive(Deserialize)]
        struct About {
            #[serde(default)]
            private: bool,
        }
        let answer = sender.get(&self.api(""))?;
        let about: About = sender.json("what the hub says of it", answer)?;
        Ok(about.private)
    }

    /// Which files the hub wants to have apart from the commit, in the order in which they were given.
    fn large_ones(&self, sender: &Sender<'_>) -> Result<Vec<bool>, TransferError> {
        #[derive(Deserialize)]
        struct Answer {
            files: Vec<Wish>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Wish {
            path: String,
            upload_mode: String,
            #[serde(default)]
            should_ignore: bool,
        }
        let files = self.files.iter().map(|(name, bytes)| {
            let sample = BASE64_STANDARD.encode(&bytes[..bytes.len().min(SAMPLE)]);
            json!({ "path": name, "sample": sample, "size": bytes.len() })
        });
        let asked = json!({ "files": files.collect::<Vec<_>>() });
        let answer = sender.post_json(&self.api("/preupload/main"), &asked)?;
        let answer: Answer = sender.json("how its files are to be sent", answer)?;
        let wish = |(name, bytes): &(&str, &[u8])| {
            let wish = answer.files.iter().find(|wish| wish.path == *name);
            let wish =
                wish.ok_or_else(|| TransferError::Permanent(format!("the hub does not say how {name} is to be sent")))?;
            if wish.should_ignore {
                return Err(TransferError::Permanent(format!("the .gitignore of the repository leaves {name} out")));
            }
            match wish.upload_mode.as_str() {
                // Storage takes no empty files.
                "lfs" => Ok(!bytes.is_empty()),
                "regular" if bytes.len() > MAX_REGULAR => Err(TransferError::Permanent(format!(
                    "the hub wants {name} within the commit, where at most {MAX_REGULAR} bytes are sent, and it has {}: name \
                     it in the .gitattributes of the repository as one for LFS",
                    bytes.len()
                ))),
                "regular" => Ok(false),
                mode => {
                    let mode = mode.escape_debug();
                    Err(TransferError::Permanent(format!(
                        "the hub wants {name} as `{mode}`, which this takd does not know"
                    )))
                }
            }
        };
        self.files.iter().map(wish).collect()
    }

    /// Makes what was sent visible; the commit's name. It is sent once: a second one might be a second commit.
    fn commit(&self, sender: &Sender<'_>, objects: &[Object<'_>]) -> Result<Option<String>, TransferError> {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            #[serde(default)]
            commit_oid: Option<String>,
        }
        let header = json!({ "key": "header", "value": { "summary": self.message, "description": "" } });
        let files = self.files.iter().map(|(path, bytes)| match objects.iter().find(|object| object.name == *path) {
            Some(Object { oid, .. }) => {
                let value = json!({ "path": path, "algo": "sha256", "oid": oid, "size": bytes.len() });
                json!({ "key": "lfsFile", "value": value })
            }
            None => {
                let content = BASE64_STANDARD.encode(bytes);
                json!({ "key": "file", "value": { "content": content, "path": path, "encoding": "base64" } })
            }
        });
        let lines: String = std::iter::once(header).chain(files).map(|line| format!("{line}\n")).collect();
        let answer = sender.post_once(&self.api("/commit/main"), "application/x-ndjson", lines.as_bytes())?;
        if !answer.status().is_success() {
            return Err(sender.refusal("the commit was refused", answer));
        }
        // It is made, whatever is said of it.
        let answer = sender.json::<Answer>("the commit", answer).ok();
        let commit = answer.and_then(|answer| answer.commit_oid);
        Ok(commit.filter(|commit| commit.bytes().all(|digit| digit.is_ascii_hexdigit())))
    }

    fn api(&self, path: &str) -> String {
        format!("/api/models/{}{path}", self.repository.id())
    }
}

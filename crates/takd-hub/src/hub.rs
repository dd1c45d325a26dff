//! Where the hub is, where its files are kept, and who asks.

use crate::{Repository, regular_file};
use std::{fmt, path::PathBuf, time::Duration};

/// How long the hub may send nothing before that counts as broken off.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of a token.
const MAX_TOKEN_BYTES: u64 = 4096;

/// Where the hub is and where its files are kept.
#[derive(Debug, Clone)]
pub struct Hub {
    /// Its address, without a slash at the end.
    pub endpoint: String,
    /// The folder of `models--…` and `datasets--…`; `None` if there is no home folder for it.
    pub cache: Option<PathBuf>,
    /// Whether only the cache is used.
    pub offline: bool,
    /// What names its user to the hub, if there is something.
    pub token: Option<Token>,
    /// How long it may send or take nothing.
    pub patience: Duration,
}

/// What names its user to the hub; none has other characters than visible ones of ASCII. Its text is not printed with `{:?}`.
#[derive(Clone)]
pub struct Token {
    /// The token.
    pub text: String,
    /// Where it stands, for messages.
    pub place: String,
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Hub {
    /// By the environment's variables that the hub's own tools obey.
    pub fn from_env() -> Self {
        let in_variable = || Token::new(&var("HF_TOKEN")?, "HF_TOKEN".into());
        let in_file = || {
            let file = token_file()?;
            let text = regular_file::read(&file, MAX_TOKEN_BYTES).ok()??;
            Token::new(&String::from_utf8(text).ok()?, file.display().to_string())
        };
        Self {
            endpoint: var("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim_end_matches('/')
                .into(),
            cache: path("HF_HUB_CACHE").or_else(|| home().map(|home| home.join("hub"))),
            offline: is_set("HF_HUB_OFFLINE"),
            token: in_variable().or_else(in_file),
            patience: PATIENCE,
        }
    }

    /// The repository's address, for messages.
    pub fn address(&self, repository: &Repository) -> String {
        format!("{}/{}", self.shown_endpoint(), repository.repo().url())
    }

    /// Its address, for messages: without a user's name and password, if it has them.
    pub fn shown_endpoint(&self) -> String {
        self.without_credentials(&self.endpoint)
    }

    /// A text without the user's name and password that the hub's address has.
    pub(crate) fn without_credentials(&self, text: &str) -> String {
        let after_scheme = self.endpoint.split_once("://").map_or(self.endpoint.as_str(), |(_, rest)| rest);
        let authority = after_scheme.split(['/', '?', '#']).next().unwrap_or_default();
        match authority.rsplit_once('@') {
            Some((credentials, _)) => text.replace(&format!("{credentials}@"), ""),
            None => text.to_owned(),
        }
    }
}

impl Token {
    /// A text without the space around it; nothing if nothing is left.
    fn new(text: &str, place: String) -> Option<Self> {
        let text = text.trim().to_owned();
        (!text.is_empty()).then_some(Self { text, place })
    }

    /// Whether it may be one: a header takes no control characters.
    pub(crate) fn is_sound(&self) -> bool {
        self.text.bytes().all(|character| character.is_ascii_graphic())
    }
}

/// Whether a variable of the environment says yes, in the words that the hub's own tools know.
pub fn is_set(name: &str) -> bool {
    var(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&&*value.to_lowercase()))
}

/// The file that holds a token, if there is one.
pub(crate) fn token_file() -> Option<PathBuf> {
    path("HF_TOKEN_PATH").or_else(|| home().map(|home| home.join("token")))
}

/// The folder of all that the hub's tools keep.
fn home() -> Option<PathBuf> {
    path("HF_HOME").or_else(|| {
        let caches = path("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
        caches.map(|caches| caches.join("huggingface"))
    })
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// A path of the environment, in which `~` is the home folder, as the hub's own tools read it.
fn path(name: &str) -> Option<PathBuf> {
    let value = var(name)?;
    Some(match (value.strip_prefix('~'), std::env::home_dir()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_taken_without_the_space_around_it() {
        let token = |text| Token::new(text, "HF_TOKEN".into()).map(|token| token.text);
        assert_eq!(token(" hf_secret\r\n").as_deref(), Some("hf_secret"));
        assert_eq!(token(" \n"), None);
    }

    #[test]
    fn addresses_are_shown_without_user_and_password() {
        for (endpoint, shown) in [
            ("https://me:pass@hub.example", "https://hub.example"),
            ("https://me:p@ss@hub.example:8443/mirror", "https://hub.example:8443/mirror"),
            ("https://hub.example/@me", "https://hub.example/@me"),
            ("me:pass@hub.example", "hub.example"),
        ] {
            let hub = Hub { endpoint: endpoint.into(), cache: None, offline: false, token: None, patience: PATIENCE };
            assert_eq!(hub.shown_endpoint(), shown);
            let repository = Repository::model("user/name").unwrap();
            assert_eq!(hub.address(&repository), format!("{shown}/user/name"));
        }
    }

    #[test]
    fn token_is_not_printed() {
        let token = Token { text: "hf_secret".into(), place: "HF_TOKEN".into() };
        let printed = format!("{token:?}");
        assert!(printed.contains("HF_TOKEN") && !printed.contains("secret"), "{printed}");
    }
}

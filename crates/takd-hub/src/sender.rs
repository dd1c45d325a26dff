//! Requests that carry the token and are not sent elsewhere.

use crate::Hub;
use crate::agent::{TRIES, TransferError, agent, pause_before};
use crate::hub::Token;
use serde::de::DeserializeOwned;
use std::time::Duration;
use takd_store::printable;
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
};

/// The most bytes of an answer.
const MAX_ANSWER: u64 = 4 << 20;

/// The most characters of an answer that are shown.
const MAX_SHOWN: usize = 300;

/// How many times as long as otherwise the hub may think about a request that has it work.
const WORK: u32 = 4;

/// A connection to the hub in somebody's name.
pub(crate) struct Sender<'a> {
    pub(crate) hub: &'a Hub,
    pub(crate) agent: Agent,
    token: &'a Token,
}

impl<'a> Sender<'a> {
    pub(crate) fn new(hub: &'a Hub, token: &'a Token) -> Self {
        Self { hub, agent: agent(hub), token }
    }

    /// What is at a path of the hub.
    pub(crate) fn get(&self, path: &str) -> Result<Response<Body>, TransferError> {
        with_retries(|| {
            let request = self.agent.get(format!("{}{path}", self.hub.endpoint));
            let request = request.header(header::AUTHORIZATION, self.authorization());
            request.config().max_redirects(0).build().call().map_err(|error| self.hub.failed(&error))
        })
    }

    /// Sends JSON to a path of the hub.
    pub(crate) fn post_json(&self, path: &str, value: &serde_json::Value) -> Result<Response<Body>, TransferError> {
        self.post_as(path, "application/json", value)
    }

    /// The same in another kind of JSON.
    pub(crate) fn post_as(
        &self,
        path: &str,
        kind: &str,
        value: &serde_json::Value,
    ) -> Result<Response<Body>, TransferError> {
        let body = value.to_string();
        with_retries(|| self.post_once(path, kind, body.as_bytes()))
    }

    /// Sends bytes to a path of the hub, and if that fails not again.
    pub(crate) fn post_once(&self, path: &str, kind: &str, body: &[u8]) -> Result<Response<Body>, TransferError> {
        let request = self.agent.post(format!("{}{path}", self.hub.endpoint));
        let request = request.header(header::AUTHORIZATION, self.authorization());
        let request = request.header(header::CONTENT_TYPE, kind).header(header::ACCEPT, kind_of_answer(kind));
        let config = request.config().max_redirects(0).timeout_recv_response(Some(self.patience_for_work()));
        config.build().send(body).map_err(|error| self.hub.failed(&error))
    }

    /// An answer's JSON.
    pub(crate) fn json<T: DeserializeOwned>(&self, what: &str, mut answer: Response<Body>) -> Result<T, TransferError> {
        if !answer.status().is_success() {
            return Err(self.refusal(&format!("{what} could not be learnt"), answer));
        }
        let read = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec();
        let read = read.map_err(|error| error.to_string());
        let parsed = read.and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
        parsed.map_err(|error| TransferError::Permanent(format!("{what} cannot be read: {error}")))
    }

    /// What is said of an answer to a request with the token that is none, and what helps.
    pub(crate) fn refusal(&self, what: &str, answer: Response<Body>) -> TransferError {
        let advice = match answer.status() {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => format!(
                "; the token in {} may not do that: make one that may write at {}/settings/tokens",
                self.token.place,
                self.hub.shown_endpoint()
            ),
            status if status.is_redirection() => "; it may have another name now: push to that".into(),
            _ => String::new(),
        };
        match failure(what, answer) {
            TransferError::Temporary(problem) => TransferError::Temporary(problem + &advice),
            TransferError::Permanent(problem) => TransferError::Permanent(problem + &advice),
        }
    }

    /// How long an answer is waited for.
    pub(crate) fn patience_for_work(&self) -> Duration {
        self.hub.patience * WORK
    }

    pub(crate) fn authorization(&self) -> String {
        format!("Bearer {}", self.token.text)
    }
}

/// Does something up to three times, while the network or the hub's servers fail.
pub(crate) fn with_retries(
    mut request: impl FnMut() -> Result<Response<Body>, TransferError>,
) -> Result<Response<Body>, TransferError> {
    let mut attempt = 0;
    loop {
        pause_before(attempt);
        attempt += 1;
        match request() {
            Err(TransferError::Temporary(_)) if attempt < TRIES => {}
            Ok(answer) if answer.status().is_server_error() && attempt < TRIES => {}
            ended => return ended,
        }
    }
}

/// What is said of an answer that is none, in its own words if it has some.
pub(crate) fn failure(what: &str, answer: Response<Body>) -> TransferError {
    let status = answer.status();
    let problem = format!("{what} (status code {}{})", status.as_u16(), server_message(answer));
    if status.is_server_error() { TransferError::Temporary(problem) } else { TransferError::Permanent(problem) }
}

fn kind_of_answer(kind: &str) -> &str {
    if kind == "application/x-ndjson" { "application/json" } else { kind }
}

/// The hub's own words in an answer, after a comma.
fn server_message(mut answer: Response<Body>) -> String {
    let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec().unwrap_or_default();
    let error = serde_json::from_slice::<serde_json::Value>(&text).ok();
    let error = error.and_then(|value| Some(value.get("error").or(value.get("message"))?.as_str()?.to_owned()));
    error.map_or(String::new(), |error| {
        let shown: String = error.chars().take(MAX_SHOWN).collect();
        format!(", {}", printable(&shown))
    })
}

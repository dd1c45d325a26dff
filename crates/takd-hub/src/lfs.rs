//! Large files, which the hub keeps apart from the commit, by Git LFS: the batch API, the basic transfer, and the hub's own multipart
//! one.
//!
//! <https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md>

use crate::agent::TransferError;
use crate::sender::{Sender, failure, with_retries};
use crate::{Progress, Repository, Stage};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{self, Read};
use ureq::{
    Body, SendBody,
    http::{Response, header},
};

const KIND: &str = "application/vnd.git-lfs+json";

/// A file that is kept apart.
pub(crate) struct Object<'a> {
    pub(crate) name: &'a str,
    pub(crate) bytes: &'a [u8],
    /// Its SHA-256.
    pub(crate) oid: String,
}

impl<'a> Object<'a> {
    pub(crate) fn new(name: &'a str, bytes: &'a [u8]) -> Self {
        let oid = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name, bytes, oid }
    }
}

#[derive(Deserialize)]
struct Batch {
    objects: Vec<Answer>,
}

/// What is to be done with a file.
#[derive(Deserialize)]
struct Answer {
    oid: String,
    #[serde(default)]
    actions: Option<Actions>,
    #[serde(default)]
    error: Option<Refused>,
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    code: u64,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Actions {
    #[serde(default)]
    upload: Option<Action>,
    #[serde(default)]
    verify: Option<Action>,
}

/// A request that is to be made.
#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, Value>,
}

/// Sends the files that the hub does not have; which those were.
pub(crate) fn upload(
    sender: &Sender<'_>,
    repository: &Repository,
    objects: &[Object<'_>],
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Vec<bool>, TransferError> {
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let listed = objects.iter().map(|Object { oid, bytes, .. }| json!({ "oid": oid, "size": bytes.len() }));
    let asked = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": listed.collect::<Vec<_>>(),
        "hash_algo": "sha256",
    });
    let path = format!("/{}.git/info/lfs/objects/batch", repository.id());
    let batch: Batch = sender.json("where its files are to be sent", sender.post_as(&path, KIND, &asked)?)?;
    let send = |object: &Object<'_>| {
        let name = object.name;
        let answer = batch.objects.iter().find(|answer| answer.oid == object.oid);
        let answer = answer
            .ok_or_else(|| TransferError::Permanent(format!("the hub does not say where {name} is to be sent")))?;
        if let Some(Refused { code, message }) = &answer.error {
            return Err(TransferError::Permanent(format!(
                "the hub does not take {name}: {} ({code})",
                message.escape_debug()
            )));
        }
        let Some(Actions { upload: Some(upload), verify }) = &answer.actions else { return Ok(false) };
        match upload.header.get("chunk_size") {
            Some(size) => send_parts(sender, object, upload, size, progress)?,
            None => send_whole(sender, object, upload, progress)?,
        }
        verify.as_ref().map_or(Ok(()), |verify| check(sender, object, verify))?;
        Ok(true)
    };
    objects.iter().map(send).collect()
}

fn send_whole(
    sender: &Sender<'_>,
    object: &Object<'_>,
    action: &Action,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), TransferError> {
    put(sender, object, (0, object.bytes), &action.href, &action.header, progress).map(drop)
}

/// Sends a file in parts of `size` bytes, each to an address of its own, and says in the end which parts those were.
fn send_parts(
    sender: &Sender<'_>,
    object: &Object<'_>,
    action: &Action,
    size: &Value,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<(), TransferError> {
    let Object { name, bytes, oid } = object;
    let number = size.as_u64().or_else(|| size.as_str()?.parse().ok()).and_then(|size| usize::try_from(size).ok());
    let numbered = |(key, value): (&String, &Value)| Some((key.parse::<u32>().ok()?, value.as_str()?.to_owned()));
    let places: BTreeMap<u32, String> = action.header.iter().filter_map(numbered).collect();
    let Some(size) = number.filter(|size| *size > 0 && bytes.len().div_ceil(*size) == places.len()) else {
        let size = size.to_string();
        return Err(TransferError::Permanent(format!(
            "the hub wants {name} in {} parts of {} bytes, and it has {} bytes",
            places.len(),
            size.escape_debug(),
            bytes.len()
        )));
    };
    let mut parts = Vec::new();
    for (index, (part, place)) in bytes.chunks(size).zip(places.values()).enumerate() {
        let answer = put(sender, object, (index * size, part), place, &BTreeMap::new(), progress)?;
        let etag = answer.headers().get(header::ETAG).and_then(|etag| etag.to_str().ok());
        let etag = etag
            .ok_or_else(|| TransferError::Permanent(format!("{name}: part {} was taken without an ETag", index + 1)))?;
        parts.push(json!({ "partNumber": index + 1, "etag": etag }));
    }
    let address = encrypted_address(sender, &action.href)?;
    let done = json!({ "oid": oid, "parts": parts }).to_string();
    let answer = with_retries(|| {
        let request = sender.agent.post(address).header(header::CONTENT_TYPE, KIND).header(header::ACCEPT, KIND);
        let config = request.config().max_redirects(0).timeout_recv_response(Some(sender.patience_for_work()));
        config.build().send(done.as_bytes()).map_err(|error| sender.hub.failed(&error))
    })?;
    accepted(name, answer).map(drop)
}

/// Sends the part of a file that begins at a byte. The token is not sent: the address itself says who may.
fn put(
    sender: &Sender<'_>,
    object: &Object<'_>,
    (from, part): (usize, &[u8]),
    href: &str,
    headers: &BTreeMap<String, Value>,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Response<Body>, TransferError> {
    let address = encrypted_address(sender, href)?;
    let answer = with_retries(|| {
        let mut request = sender.agent.put(address).header(header::CONTENT_LENGTH, part.len());
        for (name, value) in headers.iter().filter_map(|(name, value)| Some((name, value.as_str()?))) {
            request = request.header(name, value);
        }
        let config = request.config().max_redirects(0).timeout_recv_response(Some(sender.patience_for_work()));
        let mut body = Counted { part, at: 0, from, object, progress: &mut *progress };
        config.build().send(SendBody::from_reader(&mut body)).map_err(|error| sender.hub.failed(&error))
    })?;
    accepted(object.name, answer)
}

/// Has the hub look at what it was sent.
fn check(sender: &Sender<'_>, object: &Object<'_>, action: &Action) -> Result<(), TransferError> {
    let Object { name, bytes, oid } = object;
    let address = encrypted_address(sender, &action.href)?;
    let asked = json!({ "oid": oid, "size": bytes.len() }).to_string();
    // Nobody but the hub gets the token.
    let is_hubs = address.strip_prefix(&sender.hub.endpoint).is_some_and(|path| path.starts_with('/'));
    let answer = with_retries(|| {
        let mut request = sender.agent.post(address).header(header::CONTENT_TYPE, KIND).header(header::ACCEPT, KIND);
        for (name, value) in action.header.iter().filter_map(|(name, value)| Some((name, value.as_str()?))) {
            request = request.header(name, value);
        }
        if is_hubs && !action.header.keys().any(|name| name.eq_ignore_ascii_case("authorization")) {
            request = request.header(header::AUTHORIZATION, sender.authorization());
        }
        let config = request.config().max_redirects(0).timeout_recv_response(Some(sender.patience_for_work()));
        config.build().send(asked.as_bytes()).map_err(|error| sender.hub.failed(&error))
    })?;
    accepted(name, answer).map(drop)
}

/// An answer that says yes.
fn accepted(name: &str, answer: Response<Body>) -> Result<Response<Body>, TransferError> {
    if answer.status().is_success() {
        return Ok(answer);
    }
    Err(failure(&format!("{name} could not be sent"), answer))
}

/// An address, unless it would carry openly what goes to the hub itself encrypted.
fn encrypted_address<'h>(sender: &Sender<'_>, href: &'h str) -> Result<&'h str, TransferError> {
    if sender.hub.endpoint.starts_with("https:") && !href.starts_with("https:") {
        return Err(TransferError::Permanent("the hub has its files sent to an address without encryption".into()));
    }
    Ok(href)
}

/// The bytes of a part, which are reported as they are taken.
struct Counted<'a> {
    part: &'a [u8],
    at: usize,
    /// Where the part begins.
    from: usize,
    object: &'a Object<'a>,
    progress: &'a mut dyn FnMut(Progress<'_>),
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Object { name, bytes, .. } = self.object;
        let report =
            |done: usize| Progress { stage: Stage::Upload, what: name, done: done as u64, total: bytes.len() as u64 };
        if self.at == 0 {
            (self.progress)(report(self.from));
        }
        let read = (&self.part[self.at..]).read(buffer)?;
        self.at += read;
        (self.progress)(report(self.from + self.at));
        Ok(read)
    }
}

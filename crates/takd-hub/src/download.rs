//! Downloading files of the hub into its cache, with nothing believed that the hub says of them.
//!
//! hf-hub gives the layout of the cache and of the addresses. The transfer is done here, because that crate takes a file's length,
//! contents and name as they come:
//!
//! ```text
//! blobs/<etag>.part  ── length and hash are right ──▶ blobs/<etag> ◀── snapshots/<commit>/<file>   refs/main: <commit>
//! ```
//!
//! The hub names a large file by its SHA-256, and a small one as Git does. A blob that is in the cache already is taken if it is as long
//! as the hub says.
//!
//! One program at a time downloads a file; others wait for it. A transfer that was broken off goes on from where it was, if the
//! hub can do that, and begins anew if not.

use crate::agent::{TRIES, TransferError, agent, pause_before};
use crate::{Error, Hub, Looked, Lookup, Progress, Repository, Result, Stage, regular_file, repository::is_commit};
use hf_hub::{Cache, Repo};
use serde::Deserialize;
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Component, Path, PathBuf},
};
use ureq::{
    Agent, Body,
    http::{Response, StatusCode, header},
};

/// How often it may send elsewhere.
const MAX_REDIRECTS: u32 = 10;

/// The most bytes of the list of a repository's files.
const MAX_LIST: u64 = 16 << 20;

/// What a repository has, and the way to it.
pub struct Listing<'a> {
    /// The names of its files.
    pub files: Vec<String>,
    /// The commit that was listed, if the hub says one.
    pub commit: Option<String>,
    client: Client<'a>,
}

/// What the hub says of a repository.
#[derive(Deserialize)]
struct Listed {
    siblings: Vec<Sibling>,
    #[serde(default)]
    sha: Option<String>,
}

/// One of its files.
#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
}

/// What the hub says of a file before it is sent.
struct FileInfo {
    /// SHA-256 of a file that is kept apart from the commits, 64 digits, or else what Git calls it, 40 digits.
    etag: String,
    commit: String,
    bytes: u64,
}

/// A connection to the hub.
struct Client<'a> {
    hub: &'a Hub,
    repository: &'a Repository,
    /// `main`, or the commit that files are to be of.
    revision: String,
    agent: Agent,
    /// Whether the token is still sent.
    token: Option<&'a str>,
}

impl Hub {
    /// Asks for the names of the repository's files; where it was looked for in vain, if the hub is out of reach.
    ///
    /// # Errors
    /// If the hub's answer makes no sense.
    pub fn list<'a>(&'a self, repository: &'a Repository) -> Result<Lookup<Listing<'a>>> {
        let place = format!("the hub, {}", self.address(repository));
        let missing = |found: String| Ok(Lookup::Missing(vec![Looked { place, found }]));
        if self.offline {
            return missing("not asked (offline)".into());
        }
        if let Some(token) = self.token.as_ref().filter(|token| !token.is_sound()) {
            return Err(Error::Token { place: token.place.clone() });
        }
        let mut client = Client::new(self, repository);
        let address = format!("{}/api/{}", self.endpoint, repository.repo().api_url());
        let mut response = match client.get(&address, None, true) {
            Ok(response) => response,
            Err(problem) => return missing(format!("not reached ({problem})")),
        };
        if !response.status().is_success() {
            let advice = client.advice(response.status());
            let (address, status) = (self.without_credentials(&address), response.status().as_u16());
            return missing(format!("not reached ({address}: status code {status}{advice})"));
        }
        let read = response.body_mut().with_config().limit(MAX_LIST).read_to_vec();
        let read = read.map_err(|error| error.to_string());
        let listed = read.and_then(|list| serde_json::from_slice::<Listed>(&list).map_err(|error| error.to_string()));
        match listed {
            Ok(Listed { siblings, sha }) => {
                let files = siblings.into_iter().map(|file| file.rfilename).collect();
                Ok(Lookup::Found(Listing { files, commit: sha.filter(|sha| is_commit(sha)), client }))
            }
            Err(problem) => Err(client.error(format!("its list of files cannot be read: {problem}"))),
        }
    }
}

impl Listing<'_> {
    /// From now on files are downloaded as the listed commit has them, so that a push between two of them does not mix two versions.
    pub(crate) fn pin(&mut self) {
        if let Some(commit) = &self.commit {
            self.client.revision.clone_from(commit);
        }
    }

    /// Whether it has a file of this name.
    pub fn has(&self, file: &str) -> bool {
        self.files.iter().any(|listed| listed == file)
    }

    /// What is wrong with the repository, as an error.
    pub fn error(&self, problem: String) -> Error {
        self.client.error(problem)
    }

    /// Brings files into the cache, each with the most bytes that it may have. When all are there, the cache names their commit as that of
    /// `main`, unless the repository was asked for at a commit.
    ///
    /// # Errors
    /// If there is no cache, a file cannot be had whole and verified, or the cache cannot be written.
    pub fn download<'f>(
        &mut self,
        files: impl IntoIterator<Item = (&'f str, u64)>,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<()> {
        let Some(cache) = &self.client.hub.cache else {
            return Err(self.error("there is no home folder to keep its files in: set HF_HOME".into()));
        };
        let mut commit = None;
        for (file, limit) in files {
            commit = Some(self.client.download(cache, file, limit, progress)?);
        }
        let Some(commit) = commit.filter(|_| self.client.repository.commit().is_none()) else { return Ok(()) };
        let refs = cache.join(self.client.repository.repo().folder_name()).join("refs");
        let write =
            takd_store::make_folder(&refs).and_then(|()| takd_store::write_file(&refs.join("main"), commit.as_bytes()));
        write.map_err(|error| self.error(error.to_string()))
    }
}

impl<'a> Client<'a> {
    fn new(hub: &'a Hub, repository: &'a Repository) -> Self {
        let token = hub.token.as_ref().map(|token| token.text.as_str());
        Self { hub, repository, revision: repository.revision().to_owned(), agent: agent(hub), token }
    }

    fn error(&self, problem: String) -> Error {
        Error::Hub { repo: self.repository.to_string(), problem }
    }

    fn repo(&self) -> Repo {
        self.repository.at(&self.revision)
    }

    /// Brings a file into the cache; the commit that it is of.
    fn download(
        &mut self,
        cache: &Path,
        file: &str,
        limit: u64,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<String> {
        if !is_below(file) {
            return Err(self.error(format!("it lists a file `{}`, whose name leads elsewhere", file.escape_debug())));
        }
        let mut info = None;
        let mut last = String::new();
        for attempt in 0..TRIES {
            pause_before(attempt);
            let tried = match &info {
                Some(info) => Ok(info),
                None => self.ask(file, limit).map(|new| &*info.insert(new)),
            };
            match tried.and_then(|info| self.transfer(cache, file, info, progress).map(|()| info.commit.clone())) {
                Ok(commit) => return Ok(commit),
                Err(TransferError::Permanent(problem)) => return Err(self.error(format!("{file}: {problem}"))),
                Err(TransferError::Temporary(problem)) => last = problem,
            }
        }
        Err(self.error(format!("{file} could not be downloaded: {last}; run again to go on with it")))
    }

    /// Asks for a file's name by its contents, the commit and the length, and believes none of it.
    fn ask(&mut self, file: &str, limit: u64) -> Result<FileInfo, TransferError> {
        let mut address = self.address(file);
        let mut response = self.get(&address, Some(0), false).map_err(TransferError::Temporary)?;
        for _ in 0..MAX_REDIRECTS {
            // A repository that has another name now.
            let text = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
            match (text("x-repo-commit"), text("location")) {
                (None, Some(place)) if place.starts_with('/') => address = format!("{}{place}", self.hub.endpoint),
                _ => break,
            }
            response = self.get(&address, Some(0), false).map_err(TransferError::Temporary)?;
        }
        let status = response.status();
        if !(status.is_success() || status.is_redirection()) {
            let advice = self.advice(status);
            let problem = format!("status code {}{advice}", status.as_u16());
            return Err(if status.is_server_error() {
                TransferError::Temporary(problem)
            } else {
                TransferError::Permanent(problem)
            });
        }
        let text = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        if status.is_redirection() && text("location").is_none() {
            return Err(TransferError::Permanent("the hub sends elsewhere and does not say where".into()));
        }
        let etag = text("x-linked-etag").or(text("etag")).unwrap_or_default();
        let etag = etag.trim_start_matches("W/").trim_matches('"').to_owned();
        let commit = text("x-repo-commit").unwrap_or_default().to_owned();
        for (what, value, lengths) in [("ETag", &etag, &[40, 64][..]), ("commit", &commit, &[40])] {
            if !(lengths.contains(&value.len()) && value.bytes().all(|digit| digit.is_ascii_hexdigit())) {
                let value = value.escape_debug();
                return Err(TransferError::Permanent(format!(
                    "the hub gives the {what} `{value}`, which is none and would name a file"
                )));
            }
        }
        let range = text("content-range").and_then(|range| range.rsplit_once('/')).map(|(_, all)| all);
        if self.revision != "main" && commit != self.revision {
            return Err(TransferError::Permanent(format!(
                "the hub sends it as of {commit}, and {} was asked for",
                self.revision
            )));
        }
        let bytes = text("x-linked-size").or(range).or(text("content-length")).and_then(|bytes| bytes.parse().ok());
        match bytes {
            Some(bytes) if bytes <= limit => Ok(FileInfo { etag, commit, bytes }),
            Some(bytes) => {
                Err(TransferError::Permanent(format!("it has {bytes} bytes, and at most {limit} are downloaded")))
            }
            None => Err(TransferError::Permanent("the hub does not say how long it is".into())),
        }
    }

    fn transfer(
        &mut self,
        cache: &Path,
        file: &str,
        info: &FileInfo,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), TransferError> {
        let cached = Cache::new(cache.to_path_buf()).repo(self.repo());
        let blob = cached.blob_path(&info.etag);
        let local = |what: &str, path: &Path| {
            let (what, path) = (what.to_owned(), path.display().to_string());
            move |error: io::Error| TransferError::Permanent(format!("cannot {what} {path}: {error}"))
        };
        let folder = blob.parent().unwrap_or(cache);
        fs::create_dir_all(folder).map_err(local("make", folder))?;
        // Where the hub's own tools have theirs, so that they wait for each other.
        let locks = cache.join(".locks").join(self.repo().folder_name());
        fs::create_dir_all(&locks).map_err(local("make", &locks))?;
        let lock_path = locks.join(&info.etag).with_extension("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&lock_path);
        let lock = lock.map_err(local("open", &lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress(Progress { stage: Stage::Wait, what: file, done: 0, total: 1 });
                lock.lock().map_err(local("lock", &lock_path))?;
                progress(Progress { stage: Stage::Wait, what: file, done: 1, total: 1 });
            }
            // A file system without locks: two programs at once do twice the work, and neither harm.
            Err(TryLockError::Error(_)) => {}
        }
        if fs::metadata(&blob).map(|metadata| metadata.len()).ok() != Some(info.bytes) {
            let part = blob.with_extension("part");
            self.fill(&part, file, info, progress)?;
            fs::rename(&part, &blob).map_err(local("rename", &part))?;
        }
        let snapshot = cached.pointer_path(&info.commit).join(file);
        link(&blob, &snapshot, file).map_err(local("make", &snapshot))
    }

    /// Brings all of a file into `part`.
    fn fill(
        &mut self,
        part: &Path,
        file: &str,
        info: &FileInfo,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<(), TransferError> {
        let local = |error: io::Error| TransferError::Permanent(format!("cannot write {}: {error}", part.display()));
        // One that stands there under this name may be anything.
        if fs::symlink_metadata(part).is_ok_and(|there| !there.is_file()) {
            return Err(TransferError::Permanent(format!("{} is no regular file: delete it", part.display())));
        }
        let options = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(part);
        let mut out = options.map_err(local)?;
        let mut at = out.metadata().map_err(local)?.len();
        if at > info.bytes {
            at = 0;
        }
        let mut report = |done| progress(Progress { stage: Stage::Download, what: file, done, total: info.bytes });
        report(0);
        if at < info.bytes {
            let response = self.get(&self.address(file), Some(at), true).map_err(TransferError::Temporary)?;
            let begins = response.headers().get(header::CONTENT_RANGE).and_then(|range| range.to_str().ok());
            let begins = begins.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
            at = match (response.status(), begins) {
                (StatusCode::PARTIAL_CONTENT, Some(begins)) if begins <= at => begins,
                // The whole file, because ranges mean nothing to this server.
                (StatusCode::OK, _) => 0,
                (status, _) => return Err(TransferError::Temporary(format!("status code {}", status.as_u16()))),
            };
            out.set_len(at).and_then(|()| out.seek(SeekFrom::Start(at))).map_err(local)?;
            // One byte more shows that it does not end where it should.
            let mut body = response.into_body().into_reader().take(info.bytes - at + 1);
            let mut buffer = vec![0; 1 << 16];
            loop {
                let read = body.read(&mut buffer).map_err(|error| TransferError::Temporary(error.to_string()))?;
                if read == 0 {
                    break;
                }
                at += read as u64;
                if at > info.bytes {
                    out.set_len(0).map_err(local)?;
                    return Err(TransferError::Permanent(format!(
                        "it has {} bytes and does not end there",
                        info.bytes
                    )));
                }
                out.write_all(&buffer[..read]).map_err(local)?;
                report(at);
            }
            if at < info.bytes {
                return Err(TransferError::Temporary(format!("it ended after {at} of {} bytes", info.bytes)));
            }
        } else {
            out.set_len(at).map_err(local)?;
            report(at);
        }
        out.sync_all().map_err(local)?;
        let (what, found) = if info.etag.len() == 64 {
            ("SHA-256", hash(Sha256::new(), &mut out))
        } else {
            // Git hashes a header too.
            ("SHA-1 in Git", hash(Sha1::new_with_prefix(format!("blob {}\0", info.bytes)), &mut out))
        };
        let found = found.map_err(local)?;
        if !found.eq_ignore_ascii_case(&info.etag) {
            // What is there is of no use, the next time neither.
            out.set_len(0).map_err(local)?;
            return Err(TransferError::Temporary(format!("its {what} is {found}, and the hub says {}", info.etag)));
        }
        Ok(())
    }

    fn address(&self, file: &str) -> String {
        format!("{}/{}/resolve/{}/{file}", self.hub.endpoint, self.repo().url(), self.revision)
    }

    /// What is at an address, from a byte on; where the hub sends elsewhere it is followed or not.
    ///
    /// A token that is refused is not sent again: an old one makes public data unreachable.
    fn get(&mut self, address: &str, from: Option<u64>, is_followed: bool) -> Result<Response<Body>, String> {
        loop {
            let mut request = self.agent.get(address);
            if let Some(from) = from {
                // The first byte alone tells all that is asked before a file is sent.
                let last = if is_followed { "" } else { "0" };
                request = request.header(header::RANGE, format!("bytes={from}-{last}"));
            }
            if let Some(token) = self.token {
                request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
            }
            let redirects = if is_followed { MAX_REDIRECTS } else { 0 };
            let response = request
                .config()
                .max_redirects(redirects)
                .build()
                .call()
                .map_err(|error| self.hub.without_credentials(&error.to_string()))?;
            if !self.refuses_token(response.status()) {
                return Ok(response);
            }
        }
    }

    /// Whether the token was refused; it is not sent again then.
    fn refuses_token(&mut self, status: StatusCode) -> bool {
        let refused = matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN);
        refused && self.token.take().is_some()
    }

    /// What helps against an answer, where it may be a token's fault.
    fn advice(&self, status: StatusCode) -> String {
        let place = self.hub.token.as_ref().map(|token| token.place.clone());
        match (status, place) {
            (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN, Some(place)) => {
                format!(", with the token in {place} and without it: renew or remove it")
            }
            _ => String::new(),
        }
    }
}

/// Whether a name stays below the folder that it is joined to.
fn is_below(file: &str) -> bool {
    let plain = |component| matches!(component, Component::Normal(_));
    !file.is_empty() && !file.contains(['\\', ':', '\0']) && Path::new(file).components().all(plain)
}

/// The hash of a whole file, behind what was hashed before it.
fn hash<D: Digest + Write>(mut hasher: D, file: &mut File) -> io::Result<String> {
    file.seek(SeekFrom::Start(0))?;
    io::copy(file, &mut hasher)?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Has the snapshot's file lead to the blob, as the hub's own tools lay it.
fn link(blob: &Path, snapshot: &Path, file: &str) -> io::Result<()> {
    let folder = snapshot.parent().unwrap_or(snapshot);
    fs::create_dir_all(folder)?;
    // Up to the snapshot, to `snapshots` and to the repository.
    let up: PathBuf = (0..Path::new(file).components().count() + 1).map(|_| "..").collect();
    let target = up.join("blobs").join(blob.file_name().unwrap_or_default());
    match fs::symlink_metadata(snapshot) {
        Ok(there) if there.is_symlink() && fs::read_link(snapshot)? == target => return Ok(()),
        Ok(there) if there.is_symlink() || there.is_file() => fs::remove_file(snapshot)?,
        Ok(_) => return Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if regular_file::is_missing(&error) => {}
        Err(error) => return Err(error),
    }
    #[cfg(unix)]
    return std::os::unix::fs::symlink(target, snapshot);
    #[cfg(not(unix))]
    fs::copy(blob, snapshot).map(|_| ())
}

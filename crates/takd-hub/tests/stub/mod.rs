//! A hub of our own on this machine, which keeps models as the real one does and remembers what it was asked.

// Not every test needs all of it.
#![allow(dead_code)]

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, Ordering},
};
use std::thread::JoinHandle;

/// The token that may do everything; every other one may do nothing.
pub const TOKEN: &str = "hf_good";

/// Names and bytes of files.
pub type Files = BTreeMap<String, Vec<u8>>;

/// A hub; it ends when dropped.
pub struct StubHub {
    pub endpoint: String,
    state: Arc<Mutex<State>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

/// A model.
#[derive(Clone, Debug, Default)]
pub struct Model {
    pub files: Files,
    pub commits: Vec<String>,
    /// The files as each commit has them.
    versions: Vec<Files>,
    pub is_private: bool,
}

impl Model {
    /// Makes a commit of its files.
    fn add_commit(&mut self) -> String {
        let commit = commit_of(self.commits.len());
        self.commits.push(commit.clone());
        self.versions.push(self.files.clone());
        commit
    }

    /// The commit that a revision names, and its files.
    fn at(&self, revision: &str) -> Option<(&String, &Files)> {
        let mut all = self.commits.iter().zip(&self.versions).rev();
        all.find(|(commit, _)| revision == "main" || *commit == revision)
    }
}

#[derive(Default)]
struct State {
    endpoint: String,
    models: BTreeMap<String, Model>,
    /// Large files by their SHA-256.
    objects: Files,
    requests: Vec<Request>,
    /// What is answered with a status: a method, a part of the path, the status, how often.
    faults: Vec<(&'static str, &'static str, u16, usize)>,
    /// The size of the parts in which large files are wanted.
    chunk: Option<usize>,
    ignores_privacy: bool,
    /// A file's name, and bytes that are sent in place of its own.
    served_instead: Option<(String, Vec<u8>)>,
    /// The next so many requests of this method and path do what they ask, and their answers are lost.
    lost: Option<(&'static str, &'static str, usize)>,
}

impl StubHub {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let endpoint = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(Mutex::new(State { endpoint: endpoint.clone(), ..State::default() }));
        let stop = Arc::new(AtomicBool::new(false));
        let (shared, stopped) = (Arc::clone(&state), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                let (stream, shared) = (stream.expect("a connection"), Arc::clone(&shared));
                std::thread::spawn(move || answer(&stream, &shared));
            }
        });
        Self { endpoint, state, stop, thread: Some(thread) }
    }

    /// The model that is there.
    pub fn model(&self, id: &str) -> Option<Model> {
        self.state.lock().expect("a lock").models.get(id).cloned()
    }

    /// Puts a model there.
    pub fn keep(&self, id: &str, files: &[(&str, &[u8])]) {
        let files = files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec())).collect();
        let mut state = self.state.lock().expect("a lock");
        let model = state.models.entry(id.to_owned()).or_default();
        model.files = files;
        model.add_commit();
    }

    /// Has it answer requests with a status, so many times.
    pub fn fail(&self, method: &'static str, path: &'static str, status: u16, times: usize) {
        self.state.lock().expect("a lock").faults.push((method, path, status, times));
    }

    /// Has it send other bytes of the same number for a file.
    pub fn serve_instead(&self, name: &str, bytes: &[u8]) {
        self.state.lock().expect("a lock").served_instead = Some((name.to_owned(), bytes.to_vec()));
    }

    /// Has it do what requests ask, so many times, and answer that a server failed.
    pub fn lose_answers(&self, method: &'static str, path: &'static str, times: usize) {
        self.state.lock().expect("a lock").lost = Some((method, path, times));
    }

    pub fn want_parts_of(&self, bytes: usize) {
        self.state.lock().expect("a lock").chunk = Some(bytes);
    }

    pub fn ignore_privacy(&self) {
        self.state.lock().expect("a lock").ignores_privacy = true;
    }

    /// What it was asked since the last time.
    pub fn requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.state.lock().expect("a lock").requests)
    }

    /// Method and path of what it was asked since the last time.
    pub fn asked(&self) -> Vec<String> {
        self.requests().into_iter().map(|Request { method, path, .. }| format!("{method} {path}")).collect()
    }
}

impl Drop for StubHub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        let _ = self.thread.take().expect("a thread").join();
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What Git calls a file.
fn git_sha1(bytes: &[u8]) -> String {
    let hasher = Sha1::new_with_prefix(format!("blob {}\0", bytes.len()));
    hasher.chain_update(bytes).finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn commit_of(number: usize) -> String {
    format!("{:040x}", number + 1)
}

/// Whether a file is kept apart from the commits.
fn is_large(name: &str) -> bool {
    name.ends_with(".safetensors") || name.ends_with(".onnx")
}

fn read(stream: &TcpStream) -> Option<Request> {
    let mut reader = BufReader::new(stream);
    let mut line = || {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let (method, rest) = first.split_once(' ')?;
    let path = rest.split(' ').next()?.to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let line = line()?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    assert!(!headers.contains_key("transfer-encoding"), "{path}: storage takes no body of unknown length");
    let length = headers.get("content-length").map_or(0, |length| length.parse().expect("a length"));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method: method.to_owned(), path, headers, body })
}

/// Reads one request, writes one answer.
fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let Some(request) = read(stream) else { return };
    let (status, headers, body) = {
        let mut state = state.lock().expect("a lock");
        state.requests.push(request.clone());
        let fails = |(method, path, _, times): &&mut (&str, &str, u16, usize)| {
            *times > 0 && request.method == *method && request.path.contains(*path)
        };
        match state.faults.iter_mut().find(fails) {
            Some((_, _, status, times)) => {
                *times -= 1;
                (*status, String::new(), br#"{"error":"out of order"}"#.to_vec())
            }
            None => {
                let answer = state.answer(&request);
                match &mut state.lost {
                    Some((method, path, times))
                        if *times > 0 && request.method == *method && request.path.contains(*path) =>
                    {
                        *times -= 1;
                        said(504, &json!({ "error": "the gateway waited too long" }))
                    }
                    _ => answer,
                }
            }
        }
    };
    let mut stream = stream;
    let length = body.len();
    // The client may have gone.
    let _ = write!(stream, "HTTP/1.1 {status} X\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let _ = stream.write_all(&body);
}

type Answer = (u16, String, Vec<u8>);

fn said(status: u16, value: &Value) -> Answer {
    (status, String::new(), value.to_string().into_bytes())
}

impl State {
    fn answer(&mut self, request: &Request) -> Answer {
        let nothing = || said(404, &json!({ "error": "there is nothing" }));
        let path = request.path.trim_start_matches('/').to_owned();
        let parts: Vec<&str> = path.split('/').collect();
        let is_known = request.headers.get("authorization").is_some_and(|found| *found == format!("Bearer {TOKEN}"));
        let json: Value = serde_json::from_slice(&request.body).unwrap_or_default();
        match (&*request.method, &*parts) {
            ("GET", ["api", "models", owner, name, "revision", revision]) => {
                let model = self.models.get(&format!("{owner}/{name}"));
                model.and_then(|model| model.at(revision)).map_or_else(nothing, |(commit, files)| {
                    let files: Vec<Value> = files.keys().map(|name| json!({ "rfilename": name })).collect();
                    said(200, &json!({ "siblings": files, "sha": commit }))
                })
            }
            ("GET", [owner, name, "resolve", revision, file]) => {
                let model = self.models.get(&format!("{owner}/{name}"));
                let found = model.and_then(|model| model.at(revision));
                let found = found.and_then(|(commit, files)| Some((commit, files.get(*file)?)));
                found.map_or_else(nothing, |(commit, bytes)| {
                    let served = self.served_instead.as_ref().filter(|(of, _)| of == file);
                    resolve(request, commit, file, bytes, served.map_or(bytes, |(_, other)| other))
                })
            }
            ("PUT", ["storage", oid, rest @ ..]) => {
                assert!(!request.headers.contains_key("authorization"), "the token is sent to the storage");
                if rest.is_empty() {
                    self.objects.insert((*oid).to_owned(), request.body.clone());
                } else {
                    self.objects.entry((*oid).to_owned()).or_default().extend(&request.body);
                }
                (200, format!("ETag: \"part-{}\"\r\n", rest.join("-")), Vec::new())
            }
            ("POST", ["complete", oid]) => {
                let parts = json["parts"].as_array().cloned().unwrap_or_default();
                let expected: Vec<Value> = (1..=parts.len())
                    .map(|part| json!({ "partNumber": part, "etag": format!("\"part-{part}\"") }))
                    .collect();
                assert_eq!((&json["oid"], parts), (&json!(oid), expected));
                said(200, &json!({}))
            }
            _ if !is_known => said(401, &json!({ "error": "Invalid username or password." })),
            ("GET", ["api", "models", owner, name]) => self
                .models
                .get(&format!("{owner}/{name}"))
                .map_or_else(nothing, |model| said(200, &json!({ "private": model.is_private }))),
            ("POST", ["api", "repos", "create"]) => {
                let text = |key: &str| json[key].as_str().expect("a text").to_owned();
                assert_eq!(text("type"), "model");
                let id = format!("{}/{}", text("organization"), text("name"));
                if self.models.contains_key(&id) {
                    return said(409, &json!({ "error": "You already created this model repo" }));
                }
                let is_private = json["visibility"] == "private" && !self.ignores_privacy;
                self.models.insert(id, Model { is_private, ..Model::default() });
                said(200, &json!({ "url": "somewhere" }))
            }
            ("POST", ["api", "models", _, _, "preupload", "main"]) => {
                let files = json["files"].as_array().expect("files").iter().map(|file| {
                    let name = file["path"].as_str().expect("a name");
                    let mode = if is_large(name) { "lfs" } else { "regular" };
                    assert!(file["size"].is_u64() && file["sample"].is_string());
                    json!({ "path": name, "uploadMode": mode, "shouldIgnore": false })
                });
                said(200, &json!({ "files": files.collect::<Vec<_>>() }))
            }
            ("POST", [_, _, "info", "lfs", "objects", "batch"]) => self.batch(&json),
            ("POST", ["verify", oid]) => {
                let found = self.objects.get(*oid).is_some_and(|object| sha256(object) == *oid);
                assert!(json["size"].is_u64());
                said(if found { 200 } else { 422 }, &json!({ "error": "these are other bytes" }))
            }
            ("POST", ["api", "models", owner, name, "commit", "main"]) => {
                self.commit(&format!("{owner}/{name}"), &request.body)
            }
            _ => nothing(),
        }
    }

    fn batch(&self, json: &Value) -> Answer {
        let endpoint = &self.endpoint;
        let objects = json["objects"].as_array().expect("objects").iter().map(|object| {
            let (oid, size) =
                (object["oid"].as_str().expect("a hash"), object["size"].as_u64().expect("a size") as usize);
            let mut answer = json!({ "oid": oid, "size": size });
            if self.objects.contains_key(oid) {
                return answer;
            }
            let upload = match self.chunk {
                None => json!({ "href": format!("{endpoint}/storage/{oid}"), "header": { "x-signed": "yes" } }),
                Some(chunk) => {
                    let mut header = json!({ "chunk_size": chunk.to_string() });
                    for part in 1..=size.div_ceil(chunk) {
                        header[part.to_string()] = format!("{endpoint}/storage/{oid}/{part}").into();
                    }
                    json!({ "href": format!("{endpoint}/complete/{oid}"), "header": header })
                }
            };
            answer["actions"] = json!({ "upload": upload, "verify": { "href": format!("{endpoint}/verify/{oid}") } });
            answer
        });
        said(200, &json!({ "transfer": "basic", "objects": objects.collect::<Vec<_>>() }))
    }

    fn commit(&mut self, id: &str, body: &[u8]) -> Answer {
        let text = String::from_utf8(body.to_vec()).expect("text");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(lines[0]["key"], "header");
        assert!(lines[0]["value"]["summary"].as_str().is_some_and(|message| !message.is_empty()));
        let mut files = Vec::new();
        for line in &lines[1..] {
            let value = &line["value"];
            let name = value["path"].as_str().expect("a name").to_owned();
            let bytes = match line["key"].as_str() {
                Some("file") => BASE64_STANDARD.decode(value["content"].as_str().expect("a text")).expect("base64"),
                Some("lfsFile") => {
                    let bytes = self.objects[value["oid"].as_str().expect("a hash")].clone();
                    assert_eq!(value["size"], bytes.len());
                    bytes
                }
                key => panic!("a line of {key:?}"),
            };
            files.push((name, bytes));
        }
        let Some(model) = self.models.get_mut(id) else { return said(404, &json!({ "error": "no repository" })) };
        model.files.extend(files);
        let commit = model.add_commit();
        said(200, &json!({ "success": true, "commitOid": commit, "commitUrl": "somewhere" }))
    }
}

/// A file, or the part of it that is asked for.
fn resolve(request: &Request, commit: &str, name: &str, bytes: &[u8], served: &[u8]) -> Answer {
    let range = request.headers.get("range").expect("the client asks for ranges");
    let (first, last) = range.trim_start_matches("bytes=").split_once('-').expect("a range");
    let first: usize = first.parse().expect("a number");
    let last = last.parse().unwrap_or(bytes.len() - 1);
    // Small files are named by Git.
    let etag = if is_large(name) { sha256(bytes) } else { git_sha1(bytes) };
    let range = format!("Content-Range: bytes {first}-{last}/{}\r\n", bytes.len());
    let headers = format!("{range}ETag: \"{etag}\"\r\nX-Repo-Commit: {commit}\r\n");
    (206, headers, served[first..=last].to_vec())
}

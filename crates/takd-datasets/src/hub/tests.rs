//! Against a hub of our own on this machine, which answers as the real one does.

use super::*;
use crate::source::Found;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
const TRAIN: &str = "plain_text/train-00000-of-00001.parquet";
const TEST: &str = "plain_text/test-00000-of-00001.parquet";

/// A hub with the given files of `uoft-cs/cifar10`; it ends when dropped.
struct TestHub {
    endpoint: String,
    requests: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl TestHub {
    fn start(files: &[(&str, Vec<u8>)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let files: Vec<(String, Vec<u8>)> = files.iter().map(|(name, file)| (name.to_string(), file.clone())).collect();
        let (requests, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (log, stopped) = (Arc::clone(&requests), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    break;
                }
                answer(&stream.unwrap(), &files, &log);
            }
        });
        Self { endpoint, requests, stop, thread: Some(thread) }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the thread, which waits for a connection.
        let _ = TcpStream::connect(self.endpoint.trim_start_matches("http://"));
        self.thread.take().unwrap().join().unwrap();
    }
}

/// Reads one request, writes one answer.
fn answer(stream: &TcpStream, files: &[(String, Vec<u8>)], log: &Mutex<Vec<String>>) {
    let lines: Vec<String> =
        BufReader::new(stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let Some(path) = lines.first().and_then(|line| line.split(' ').nth(1)) else { return };
    log.lock().unwrap().push(path.to_string());
    let listed: Vec<String> = files.iter().map(|(name, _)| format!(r#"{{"rfilename":"{name}"}}"#)).collect();
    let (status, headers, body) = if path == "/api/datasets/uoft-cs/cifar10/revision/main" {
        let body = format!(r#"{{"siblings":[{}],"sha":"{COMMIT}"}}"#, listed.join(","));
        ("200 OK", String::new(), body.into_bytes())
    } else if let Some((name, file)) =
        files.iter().find(|(name, _)| path == format!("/datasets/uoft-cs/cifar10/resolve/main/{name}"))
    {
        let range = lines.iter().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case("range").then(|| value.trim().trim_start_matches("bytes=").to_string())
        });
        let range = range.expect("the client asks for ranges");
        let (first, last) = range.split_once('-').unwrap();
        let first: usize = first.parse().unwrap();
        let last = last.parse().unwrap_or(file.len() - 1);
        let headers = format!(
            "Content-Range: bytes {first}-{last}/{}\r\nETag: \"{}\"\r\nX-Repo-Commit: {COMMIT}\r\n",
            file.len(),
            name.replace('/', "-")
        );
        ("206 Partial Content", headers, file[first..=last].to_vec())
    } else {
        ("404 Not Found", String::new(), Vec::new())
    };
    let mut stream = stream;
    write!(stream, "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len())
        .unwrap();
    stream.write_all(&body).unwrap();
}

/// The files that were found.
fn found(lookup: Lookup) -> Found {
    match lookup {
        Lookup::Found(files) => files,
        Lookup::Missing(looked) => panic!("not found: {looked:?}"),
    }
}

fn hub(endpoint: &str, cache: &Path, offline: bool) -> Hub {
    Hub { endpoint: endpoint.into(), cache: Some(cache.into()), offline, token: None }
}

/// Lays a file into the cache as the hub's tools do.
fn keep(cache: &Path, file: &str) {
    let repo = cache.join("datasets--uoft-cs--cifar10");
    let path = repo.join("snapshots").join(COMMIT).join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, file).unwrap();
    fs::create_dir_all(repo.join("refs")).unwrap();
    fs::write(repo.join("refs/main"), COMMIT).unwrap();
}

fn files() -> Vec<(&'static str, Vec<u8>)> {
    let bytes = |n: u32| (0..n).map(|i| (i * 31 % 251) as u8).collect();
    vec![("README.md", bytes(9)), (TEST, bytes(70_000)), (TRAIN, bytes(300_000))]
}

#[test]
fn download_reports_its_progress_and_the_cache_serves_the_next_load_without_the_hub() {
    let cache = tempfile::tempdir().unwrap();
    let server = TestHub::start(&files());
    let endpoint = server.endpoint.clone();
    let mut last: Vec<(String, u64, u64)> = Vec::new();
    let lookup = hub(&endpoint, cache.path(), false).find(Known::Cifar10, &mut |progress| {
        assert_eq!(progress.stage, Stage::Download);
        assert!(progress.done <= progress.total);
        last.retain(|(what, ..)| what != progress.what);
        last.push((progress.what.to_string(), progress.done, progress.total));
    });
    let first = found(lookup.unwrap());
    assert_eq!(last, [(TEST.to_string(), 70_000, 70_000), (TRAIN.to_string(), 300_000, 300_000)]);
    assert_eq!(fs::read(&first.files().unwrap()[0]).unwrap(), files()[2].1);
    assert_eq!(fs::read(&first.files().unwrap()[1]).unwrap(), files()[1].1);
    assert!(server.requests().iter().all(|path| !path.contains("README")), "{:?}", server.requests());

    drop(server);
    let again = hub(&endpoint, cache.path(), false).find(Known::Cifar10, &mut |_| panic!("a download")).unwrap();
    assert_eq!(found(again), first);
}

#[test]
fn cache_is_read_offline() {
    let cache = tempfile::tempdir().unwrap();
    keep(cache.path(), TRAIN);
    keep(cache.path(), TEST);
    let files = found(hub("http://127.0.0.1:9", cache.path(), true).find(Known::Cifar10, &mut |_| {}).unwrap());
    assert!(files.files().unwrap()[0].ends_with(TRAIN) && files.files().unwrap()[1].ends_with(TEST));
}

#[test]
fn download_that_was_broken_off_between_two_files_goes_on() {
    let cache = tempfile::tempdir().unwrap();
    keep(cache.path(), TEST);
    keep(cache.path(), "plain_text/train-00000-of-00002.parquet");
    let shards = ["plain_text/train-00000-of-00002.parquet", "plain_text/train-00001-of-00002.parquet"];
    let server = TestHub::start(&[(TEST, vec![1; 10]), (shards[0], vec![2; 10]), (shards[1], vec![3; 10])]);
    let files = found(hub(&server.endpoint, cache.path(), false).find(Known::Cifar10, &mut |_| {}).unwrap());
    assert_eq!(files.files().unwrap().len(), 3);
}

#[test]
fn hub_out_of_reach_is_one_of_the_places_that_were_looked_into() {
    let cache = tempfile::tempdir().unwrap();
    let closed = TestHub::start(&[]).endpoint.clone();
    for (offline, reason) in [(false, "not reached ("), (true, "not asked (offline)")] {
        let lookup = hub(&closed, cache.path(), offline).find(Known::Cifar10, &mut |_| {}).unwrap();
        let Lookup::Missing(looked) = lookup else { panic!("{lookup:?}") };
        assert_eq!(looked.len(), 2);
        assert!(looked[0].place.contains("datasets--uoft-cs--cifar10"), "{looked:?}");
        assert_eq!(looked[0].found, "not there");
        assert_eq!(looked[1].place, format!("the hub, {closed}/datasets/uoft-cs/cifar10"));
        assert!(looked[1].found.starts_with(reason), "{looked:?}");
    }
}

#[test]
fn hub_without_the_files_is_named_with_what_it_lacks() {
    let cache = tempfile::tempdir().unwrap();
    let server = TestHub::start(&[("README.md", vec![1; 10])]);
    let error = hub(&server.endpoint, cache.path(), false).find(Known::Cifar10, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "the hub's `uoft-cs/cifar10`: it lists no plain_text/*.parquet");
}

#[cfg(unix)]
#[test]
fn ref_that_is_no_regular_file_or_too_large_is_refused_without_waiting_for_it() {
    let cache = tempfile::tempdir().unwrap();
    keep(cache.path(), TRAIN);
    keep(cache.path(), TEST);
    let main = cache.path().join("datasets--uoft-cs--cifar10/refs/main");
    fs::remove_file(&main).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &main).unwrap();
    let hub = hub("http://127.0.0.1:9", cache.path(), true);
    let error = hub.find(Known::Cifar10, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::NotAFile { kind: "a device", .. }), "{error}");

    fs::remove_file(&main).unwrap();
    fs::write(&main, "0".repeat(5000)).unwrap();
    let error = hub.find(Known::Cifar10, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::TooLarge { found: 5000, .. }), "{error}");
    assert!(error.to_string().contains("refs/main"), "{error}");
}

#[test]
fn message_of_a_failed_search_names_every_place_and_what_a_folder_must_hold() {
    let cache = tempfile::tempdir().unwrap();
    let hub = hub("http://127.0.0.1:9", cache.path(), true);
    let lookup = hub.find(Known::Cifar10, &mut |_| {}).unwrap();
    let Lookup::Missing(looked) = lookup else { panic!("{lookup:?}") };
    let message = Error::NotFound { name: Known::Cifar10.into(), folder: None, looked }.to_string();
    for part in [
        "the data set cifar10 was not found",
        "datasets--uoft-cs--cifar10: not there",
        "the hub, http://127.0.0.1:9",
        "train-*.parquet and test-*.parquet with columns `image`",
        "shapes10",
    ] {
        assert!(message.contains(part), "no `{part}` in: {message}");
    }
}

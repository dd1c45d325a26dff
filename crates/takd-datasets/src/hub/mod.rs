//! Finding a data set's parquet files on the hub, or in the cache that an earlier download filled.

use crate::{
    Error, Known, Looked, Progress, Result, Split, Stage, layout, regular_file,
    source::{Lookup, in_folder},
};
use hf_hub::{
    Cache, Repo,
    api::sync::{Api, ApiBuilder},
};
use std::{
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

/// How long the hub may take for its first answer before it counts as out of reach.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The most bytes of `refs/main`, which holds the 40 digits of a commit.
const MAX_REF_BYTES: u64 = 1024;

/// Where the hub is and where its files are kept.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    /// The folder of `datasets--…`; `None` if there is no home folder for it.
    pub(crate) cache: Option<PathBuf>,
    pub(crate) offline: bool,
    pub(crate) token: Option<String>,
}

/// How a download ended.
enum Download {
    /// All files are in the cache.
    Done,
    /// The hub did not answer, for this reason.
    OutOfReach(String),
}

impl Hub {
    /// By the environment's variables that the hub's own tools obey.
    pub(crate) fn from_env() -> Self {
        let var = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let home = || std::env::home_dir().map(|home| home.join(".cache"));
        let cache = var("HF_HUB_CACHE").map(PathBuf::from).or_else(|| {
            var("HF_HOME")
                .map(PathBuf::from)
                .or_else(|| {
                    var("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("huggingface"))
                })
                .map(|home| home.join("hub"))
        });
        let offline =
            var("HF_HUB_OFFLINE").is_some_and(|value| ["1", "true", "yes", "on"].contains(&&*value.to_lowercase()));
        Self {
            endpoint: var("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".into()),
            cache,
            offline,
            token: var("HF_TOKEN"),
        }
    }

    /// The data set's address, for messages.
    pub(crate) fn address(&self, known: Known) -> String {
        format!("{}/{}", self.endpoint, repo(known).url())
    }

    /// The data set's files in the cache; else they are downloaded into it.
    pub(crate) fn find(&self, known: Known, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Lookup> {
        let mut looked = match self.find_in_cache(known)? {
            Lookup::Missing(looked) => looked,
            found => return Ok(found),
        };
        let Some(cache) = &self.cache else { return Ok(Lookup::Missing(looked)) };
        let place = format!("the hub, {}", self.address(known));
        if self.offline {
            looked.push(Looked { place, found: "not asked (offline)".into() });
            return Ok(Lookup::Missing(looked));
        }
        if let Download::OutOfReach(found) = self.download(known, cache, progress)? {
            looked.push(Looked { place, found });
            return Ok(Lookup::Missing(looked));
        }
        match self.find_in_cache(known)? {
            Lookup::Found(files) => Ok(Lookup::Found(files)),
            Lookup::Missing(looked) => {
                let found: Vec<String> = looked.into_iter().map(|looked| looked.found).collect();
                let problem = format!("after the download its cache holds {}", found.join(", "));
                Err(Error::Hub { repo: layout::repository(known), problem })
            }
        }
    }

    /// The data set's files as an earlier download left them. Asks nothing of the network.
    pub(crate) fn find_in_cache(&self, known: Known) -> Result<Lookup> {
        let Some(cache) = &self.cache else {
            let (place, found) = ("the hub's cache".into(), "no home folder; set HF_HOME".into());
            return Ok(Lookup::Missing(vec![Looked { place, found }]));
        };
        let folder = cache.join(repo(known).folder_name());
        let missing = |found: String| {
            Ok(Lookup::Missing(vec![Looked { place: format!("the hub's cache, {}", folder.display()), found }]))
        };
        let Some(commit) = regular_file::read(&folder.join("refs").join("main"), MAX_REF_BYTES)? else {
            return missing("not there".into());
        };
        let snapshot = folder.join("snapshots").join(String::from_utf8_lossy(&commit).trim());
        match in_folder(&snapshot.join(layout::folder(known))) {
            // A download that was broken off between two shards; the hub has the others.
            Err(Error::MissingShard { missing: shard, .. }) => missing(format!("no {shard}")),
            Ok(Lookup::Missing(looked)) => {
                missing(looked.into_iter().map(|looked| looked.found).collect::<Vec<_>>().join(", "))
            }
            found => found,
        }
    }

    /// Brings all files of both splits into the cache.
    fn download(&self, known: Known, cache: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Download> {
        let failed = |problem: String| Error::Hub { repo: layout::repository(known), problem };
        let mut builder = ApiBuilder::from_cache(Cache::new(cache.to_path_buf()))
            .with_endpoint(self.endpoint.clone())
            .with_progress(false)
            .with_user_agent("takd", env!("CARGO_PKG_VERSION"));
        if self.token.is_some() {
            builder = builder.with_token(self.token.clone());
        }
        let api = builder.build().map_err(|error| failed(error.to_string()))?;
        let listed = match list_files(&api, &repo(known)) {
            Ok(listed) => listed,
            Err(problem) => return Ok(Download::OutOfReach(problem)),
        };
        let prefix = format!("{}/", layout::folder(known));
        let mut files: Vec<String> = listed
            .into_iter()
            .filter(|file| {
                file.strip_prefix(&prefix).is_some_and(|file| {
                    file.ends_with(".parquet")
                        && [Split::Train, Split::Test].iter().any(|split| file.starts_with(split.as_str()))
                })
            })
            .collect();
        files.sort();
        if files.is_empty() {
            return Err(failed(format!("it lists no {prefix}*.parquet")));
        }
        let repo = api.repo(repo(known));
        for file in &files {
            let report = DownloadProgress { progress: &mut *progress, file, done: 0, total: 0 };
            repo.download_with_progress(file, report).map_err(|error| {
                failed(format!("{file} could not be downloaded: {error}; run again to go on with it"))
            })?;
        }
        Ok(Download::Done)
    }
}

fn repo(known: Known) -> Repo {
    Repo::dataset(layout::repository(known))
}

/// The hub's list of the repository's files. Asked in a thread of its own, because a network that swallows packets would keep
/// the caller waiting for minutes.
fn list_files(api: &Api, repo: &Repo) -> Result<Vec<String>, String> {
    let (sender, receiver) = mpsc::channel();
    let repo = api.repo(repo.clone());
    std::thread::spawn(move || sender.send(repo.info()));
    match receiver.recv_timeout(FIRST_ANSWER_TIMEOUT) {
        Ok(Ok(info)) => Ok(info.siblings.into_iter().map(|file| file.rfilename).collect()),
        Ok(Err(error)) => Err(format!("not reached ({error})")),
        Err(_) => Err(format!("no answer in {} seconds", FIRST_ANSWER_TIMEOUT.as_secs())),
    }
}

/// Hands a download's bytes on to the caller's progress.
struct DownloadProgress<'a> {
    progress: &'a mut dyn FnMut(Progress<'_>),
    file: &'a str,
    done: u64,
    total: u64,
}

impl hf_hub::api::Progress for DownloadProgress<'_> {
    fn init(&mut self, size: usize, _: &str) {
        (self.done, self.total) = (0, size as u64);
        self.update(0);
    }

    fn update(&mut self, size: usize) {
        self.done += size as u64;
        (self.progress)(Progress { stage: Stage::Download, what: self.file, done: self.done, total: self.total });
    }

    fn finish(&mut self) {}
}

#[cfg(test)]
mod tests;

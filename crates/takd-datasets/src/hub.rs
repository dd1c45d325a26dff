//! Finding a data set's parquet files on the hub, or in what an earlier download kept.

use crate::{
    DatasetName, Error, Looked, Progress, Result, Split, Stage,
    local::{self, Found},
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
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the hub is and where its files are kept, as the environment says.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    /// The folder of `datasets--…`, or why there is none.
    pub(crate) cache: Option<PathBuf>,
    pub(crate) offline: bool,
    pub(crate) token: Option<String>,
}

impl Hub {
    /// By the variables that the hub's own tools obey.
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

    /// The data set's files: kept ones if there are, else downloaded. `Err` of the inner result are the places searched in vain.
    pub(crate) fn find(
        &self,
        name: DatasetName,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Result<Found, Vec<Looked>>> {
        let repo_name = format!("uoft-cs/{name}");
        let repo = Repo::dataset(repo_name.clone());
        let Some(cache) = &self.cache else {
            return Ok(Err(vec![Looked {
                place: "the hub's cache".into(),
                found: "no home folder; set HF_HOME".into(),
            }]));
        };
        let folder = cache.join(repo.folder_name());
        let mut looked = Vec::new();
        match kept(name, &folder)? {
            Ok(found) => return Ok(Ok(found)),
            Err(found) => looked.push(Looked { place: format!("the hub's cache, {}", folder.display()), found }),
        }
        let place = format!("the hub, {}/{}", self.endpoint, repo.url());
        if self.offline {
            looked.push(Looked { place, found: "not asked (offline)".into() });
            return Ok(Err(looked));
        }
        match self.download(name, repo, cache, progress)? {
            Ok(()) => {}
            Err(found) => {
                looked.push(Looked { place, found });
                return Ok(Err(looked));
            }
        }
        kept(name, &folder)?.map(Ok).map_err(|problem| Error::Hub {
            repo: repo_name,
            problem: format!("after the download its cache holds {problem}"),
        })
    }

    /// Brings all files of both splits into the cache; the inner error says why the hub was out of reach.
    fn download(
        &self,
        name: DatasetName,
        repo: Repo,
        cache: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Result<(), String>> {
        let repo_name = format!("uoft-cs/{name}");
        let failed = |problem: String| Error::Hub { repo: repo_name.clone(), problem };
        let mut builder = ApiBuilder::from_cache(Cache::new(cache.to_path_buf()))
            .with_endpoint(self.endpoint.clone())
            .with_progress(false)
            .with_user_agent("takd", env!("CARGO_PKG_VERSION"));
        if self.token.is_some() {
            builder = builder.with_token(self.token.clone());
        }
        let api = builder.build().map_err(|error| failed(error.to_string()))?;
        let listed = match ask(&api, &repo) {
            Ok(listed) => listed,
            Err(problem) => return Ok(Err(problem)),
        };
        let prefix = format!("{}/", local::config(name));
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
        let repo = api.repo(repo);
        for file in &files {
            let report = Report { progress: &mut *progress, file, done: 0, total: 0 };
            repo.download_with_progress(file, report).map_err(|error| {
                failed(format!("{file} could not be downloaded: {error}; run again to go on with it"))
            })?;
        }
        Ok(Ok(()))
    }
}

/// The hub's list of the repository's files. Asked in a thread of its own, because a network that swallows packets would keep
/// us waiting for minutes.
fn ask(api: &Api, repo: &Repo) -> Result<Vec<String>, String> {
    let (sender, receiver) = mpsc::channel();
    let repo = api.repo(repo.clone());
    std::thread::spawn(move || sender.send(repo.info()));
    match receiver.recv_timeout(PATIENCE) {
        Ok(Ok(info)) => Ok(info.siblings.into_iter().map(|file| file.rfilename).collect()),
        Ok(Err(error)) => Err(format!("not reached ({error})")),
        Err(_) => Err(format!("no answer in {} seconds", PATIENCE.as_secs())),
    }
}

/// The data set's files as an earlier download left them, or what is there instead.
fn kept(name: DatasetName, folder: &Path) -> Result<Result<Found, String>> {
    let Ok(commit) = std::fs::read_to_string(folder.join("refs").join("main")) else {
        return Ok(Err("not there".into()));
    };
    let snapshot = folder.join("snapshots").join(commit.trim());
    match local::find_in(&snapshot.join(local::config(name))) {
        // A download that was broken off between two shards; the hub has the others.
        Err(Error::MissingShard { missing, .. }) => Ok(Err(format!("no {missing}"))),
        found => found,
    }
}

/// Hands a download's bytes on to the caller's progress.
struct Report<'a> {
    progress: &'a mut dyn FnMut(Progress<'_>),
    file: &'a str,
    done: u64,
    total: u64,
}

impl hf_hub::api::Progress for Report<'_> {
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

//! Finding a data set's parquet files on the hub, or in the cache that an earlier download filled.

mod download;

use crate::{
    Error, Known, Looked, Progress, Result, Split, layout, regular_file,
    source::{Lookup, in_folder},
};
use download::Client;
use hf_hub::Repo;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

/// How long the hub may send nothing before that counts as broken off.
const PATIENCE: Duration = Duration::from_secs(30);

/// The most bytes of a token.
const MAX_TOKEN_BYTES: u64 = 4096;

/// The most bytes of `refs/main`, which holds the 40 digits of a commit.
const MAX_REF_BYTES: u64 = 1024;

/// Where the hub is and where its files are kept.
#[derive(Debug, Clone)]
pub(crate) struct Hub {
    pub(crate) endpoint: String,
    /// The folder of `datasets--…`; `None` if there is no home folder for it.
    pub(crate) cache: Option<PathBuf>,
    pub(crate) offline: bool,
    pub(crate) token: Option<Token>,
    /// How long it may send nothing.
    pub(crate) patience: Duration,
}

/// What names its user to the hub.
#[derive(Debug, Clone)]
pub(crate) struct Token {
    pub(crate) text: String,
    /// Where it stands, for messages.
    pub(crate) place: String,
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
        let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let path = |name: &str| var(name).map(|value| path_of(&value));
        let home = path("HF_HOME").or_else(|| {
            let caches = path("XDG_CACHE_HOME").or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
            caches.map(|caches| caches.join("huggingface"))
        });
        let is_set =
            |name: &str| var(name).is_some_and(|value| ["1", "true", "yes", "on"].contains(&&*value.to_lowercase()));
        let in_file = || {
            let file = path("HF_TOKEN_PATH").or_else(|| home.as_ref().map(|home| home.join("token")))?;
            let text = regular_file::read(&file, MAX_TOKEN_BYTES).ok()??;
            let text = String::from_utf8(text).ok()?.trim().to_owned();
            (!text.is_empty()).then(|| Token { text, place: file.display().to_string() })
        };
        Self {
            endpoint: var("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".into())
                .trim_end_matches('/')
                .into(),
            cache: path("HF_HUB_CACHE").or_else(|| home.as_ref().map(|home| home.join("hub"))),
            offline: is_set("HF_HUB_OFFLINE") || is_set("HF_DATASETS_OFFLINE"),
            token: var("HF_TOKEN").map(|text| Token { text, place: "HF_TOKEN".into() }).or_else(in_file),
            patience: PATIENCE,
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
        let snapshots = match regular_file::read(&folder.join("refs").join("main"), MAX_REF_BYTES)? {
            Some(commit) => {
                let commit = String::from_utf8_lossy(&commit).trim().to_owned();
                if !commit.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return missing("its refs/main names no commit".into());
                }
                vec![folder.join("snapshots").join(commit)]
            }
            // A cache that was copied without it: the newest snapshot that is whole is taken.
            None => newest_first(&folder.join("snapshots")),
        };
        if snapshots.is_empty() {
            return missing("not there".into());
        }
        let mut found = Vec::new();
        for snapshot in snapshots {
            match in_folder(&snapshot.join(layout::folder(known))) {
                // A download that was broken off between two shards; the hub has the others.
                Err(Error::MissingShard { missing: shard, .. }) => found.push(format!("no {shard}")),
                Ok(Lookup::Missing(looked)) => found.extend(looked.into_iter().map(|looked| looked.found)),
                Ok(Lookup::Found(files)) if !files.has_test() => found.push("train files, but none for test".into()),
                Ok(Lookup::Found(files)) => match files.files()?.iter().find(|file| !file.exists()) {
                    Some(file) => found.push(format!("{} leads nowhere", file.display())),
                    None => return Ok(Lookup::Found(files)),
                },
                Err(error) => return Err(error),
            }
        }
        missing(found.join(", "))
    }

    /// Brings all files of both splits into the cache.
    fn download(&self, known: Known, cache: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Download> {
        let mut client = Client::new(self, known);
        let listed = match client.list()? {
            Ok(listed) => listed,
            Err(problem) => return Ok(Download::OutOfReach(problem)),
        };
        let prefix = format!("{}/", layout::folder(known));
        let is_wanted = |file: &String| {
            file.strip_prefix(&prefix).is_some_and(|file| {
                file.ends_with(".parquet")
                    && [Split::Train, Split::Test].iter().any(|split| file.starts_with(split.as_str()))
            })
        };
        let mut files: Vec<String> = listed.into_iter().filter(is_wanted).collect();
        files.sort();
        if files.is_empty() {
            let problem = format!("it lists no {prefix}*.parquet");
            return Err(Error::Hub { repo: layout::repository(known), problem });
        }
        files.iter().try_for_each(|file| client.download(cache, file, progress))?;
        Ok(Download::Done)
    }
}

/// The folders in a folder, that which was written last first.
fn newest_first(folder: &Path) -> Vec<PathBuf> {
    let written =
        |path: &PathBuf| fs::metadata(path).and_then(|there| there.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut folders: Vec<PathBuf> = entries.filter(|path| path.is_dir()).collect();
    folders.sort_by_key(|path| std::cmp::Reverse(written(path)));
    folders
}

fn repo(known: Known) -> Repo {
    Repo::dataset(layout::repository(known))
}

/// A path of the environment, in which `~` is the home folder, as the hub's own tools read it.
fn path_of(value: &str) -> PathBuf {
    match (value.strip_prefix('~'), std::env::home_dir()) {
        (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => home.join(rest.trim_start_matches('/')),
        _ => PathBuf::from(value),
    }
}

#[cfg(test)]
mod tests;

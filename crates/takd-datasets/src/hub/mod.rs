//! Finding a data set's parquet files on the hub, or in the cache that an earlier download filled.

use crate::{
    Error, Known, Looked, Progress, Result, Split, layout,
    source::{Found, in_folder},
};
use takd_hub::{Hub, Lookup, Repository};

/// The most bytes of a file.
const MAX_FILE: u64 = 4 << 30;

/// The hub by the environment's variables that its own tools obey.
pub(crate) fn from_env() -> Hub {
    let hub = Hub::from_env();
    Hub { offline: hub.offline || takd_hub::is_set("HF_DATASETS_OFFLINE"), ..hub }
}

/// The data set's address, for messages.
pub(crate) fn address(hub: &Hub, known: Known) -> String {
    hub.address(&repository(known))
}

/// The data set's files in the cache; else they are downloaded into it.
pub(crate) fn find(hub: &Hub, known: Known, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Lookup<Found>> {
    let mut looked = match find_in_cache(hub, known)? {
        Lookup::Missing(looked) => looked,
        found => return Ok(found),
    };
    if hub.cache.is_none() {
        return Ok(Lookup::Missing(looked));
    }
    if let Lookup::Missing(hub) = download(hub, known, progress)? {
        looked.extend(hub);
        return Ok(Lookup::Missing(looked));
    }
    match find_in_cache(hub, known)? {
        Lookup::Found(files) => Ok(Lookup::Found(files)),
        Lookup::Missing(looked) => {
            let found: Vec<String> = looked.into_iter().map(|looked| looked.found).collect();
            let problem = format!("after the download its cache holds {}", found.join(", "));
            Err(Error::Hub { repo: layout::repository(known), problem })
        }
    }
}

/// The data set's files as an earlier download left them. Asks nothing of the network.
pub(crate) fn find_in_cache(hub: &Hub, known: Known) -> Result<Lookup<Found>> {
    let snapshots = match hub.snapshots(&repository(known))? {
        Lookup::Found(snapshots) => snapshots,
        Lookup::Missing(looked) => return Ok(Lookup::Missing(looked)),
    };
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
    Ok(Lookup::Missing(vec![Looked { place: hub.cache_place(&repository(known)), found: found.join(", ") }]))
}

/// Brings all files of both splits into the cache.
fn download(hub: &Hub, known: Known, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Lookup<()>> {
    let repository = repository(known);
    let mut listing = match hub.list(&repository)? {
        Lookup::Found(listing) => listing,
        Lookup::Missing(looked) => return Ok(Lookup::Missing(looked)),
    };
    let prefix = format!("{}/", layout::folder(known));
    let is_wanted = |file: &&String| {
        file.strip_prefix(&prefix).is_some_and(|file| {
            file.ends_with(".parquet")
                && [Split::Train, Split::Test].iter().any(|split| file.starts_with(split.as_str()))
        })
    };
    let mut files: Vec<String> = listing.files.iter().filter(is_wanted).cloned().collect();
    files.sort();
    if files.is_empty() {
        return Err(listing.error(format!("it lists no {prefix}*.parquet")).into());
    }
    listing.download(files.iter().map(|file| (&**file, MAX_FILE)), &mut |moved| progress(moved.into()))?;
    Ok(Lookup::Found(()))
}

fn repository(known: Known) -> Repository {
    Repository::dataset(layout::repository(known))
}

#[cfg(test)]
mod tests;

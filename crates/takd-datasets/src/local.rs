//! Finding a data set's parquet files under a folder.

use crate::{DatasetName, Error, Looked, Result, Split};
use std::path::{Path, PathBuf};

/// The files of both splits, each in their order, and the folder they were found in.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) folder: PathBuf,
    pub(crate) train: Vec<PathBuf>,
    pub(crate) test: Vec<PathBuf>,
}

/// The hub's own folder for the data set within its repository.
pub(crate) fn config(name: DatasetName) -> &'static str {
    match name {
        DatasetName::Cifar100 => "cifar100",
        _ => "plain_text",
    }
}

/// What `--data-dir` must hold, for messages.
pub(crate) fn layout(name: DatasetName) -> String {
    format!(
        "{name}/{}/train-*.parquet and test-*.parquet as on the hub (columns `img.bytes`, PNG or JPEG, and `{}`)",
        config(name),
        crate::shards::label_column(name)
    )
}

/// Looks in `dir` and where the hub's layout puts the data set below it. `Err` of the inner result are the places searched in vain.
pub(crate) fn find(name: DatasetName, dir: &Path) -> Result<Result<Found, Vec<Looked>>> {
    let (own, config) = (dir.join(name.as_str()), dir.join(config(name)));
    let mut folders = vec![own.join(self::config(name)), own, config, dir.to_path_buf()];
    folders.dedup();
    let mut looked = Vec::new();
    for folder in folders {
        match find_in(&folder)? {
            Ok(found) => return Ok(Ok(found)),
            Err(found) => {
                looked.push(Looked { place: folder.join("{train,test}-*.parquet").display().to_string(), found });
            }
        }
    }
    Ok(Err(looked))
}

/// Both splits in one folder, or what is there instead.
pub(crate) fn find_in(folder: &Path) -> Result<Result<Found, String>> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Ok(Err("no such folder".into()));
    };
    let mut names: Vec<String> = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| Error::Io { path: folder.into(), source })?;
        names.extend(entry.file_name().into_string());
    }
    names.sort();
    let train = files(folder, &names, Split::Train)?;
    let test = files(folder, &names, Split::Test)?;
    Ok(match (train.is_empty(), test.is_empty()) {
        (false, false) => Ok(Found { folder: folder.into(), train, test }),
        (true, true) => Err("no such files".into()),
        (true, false) => Err("test files, but none for train".into()),
        (false, true) => Err("train files, but none for test".into()),
    })
}

/// The files of one split among the folder's sorted names: `train-00000-of-00002.parquet`, …
fn files(folder: &Path, names: &[String], split: Split) -> Result<Vec<PathBuf>> {
    let found: Vec<&String> = names
        .iter()
        .filter(|name| {
            name.strip_suffix(".parquet")
                .and_then(|name| name.strip_prefix(split.as_str()))
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
        .collect();
    if let Some(of) = found.iter().find_map(|name| shard_count(name)) {
        for shard in 0..of {
            let wanted = format!("{split}-{shard:05}-of-{of:05}.parquet");
            if !found.contains(&&wanted) {
                return Err(Error::MissingShard { folder: folder.into(), split, missing: wanted, of });
            }
        }
    }
    Ok(found.into_iter().map(|name| folder.join(name)).collect())
}

/// The `2` of `train-00000-of-00002.parquet`.
fn shard_count(name: &str) -> Option<usize> {
    let (_, of) = name.strip_suffix(".parquet")?.rsplit_once("-of-")?;
    of.parse().ok()
}

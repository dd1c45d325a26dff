//! Which files of a folder make up a split, by their names.
//!
//! ```text
//! train.parquet                                        the whole split
//! train-00000-of-00002.parquet                         number 0 of 2
//! train-00001-of-00002-0123456789abcdef.parquet        number 1 of 2; what follows the numbers does not matter
//! train-00001-of-00002 (1).parquet                     number 1 of 2 once more, as a browser names the second download
//! train-anything.parquet                               the whole split
//! ```
//!
//! A split is read only if its files are numbers `0..n` of one `n`, each once. The test images' may be called `validation` too.

use crate::{Error, Result, Split};
use std::path::{Path, PathBuf};

/// One file of a split.
struct Shard<'a> {
    /// Its number, from 0.
    index: usize,
    /// Into how many files the split was cut.
    of: usize,
    name: &'a str,
    /// What its name has between the numbers and `.parquet`.
    rest: &'a str,
}

/// The files of `split` among the `names` of those in `folder`, in their order; none if there are none.
///
/// # Errors
/// If one of them is missing, or two of them hold the same images.
pub(crate) fn files_of(split: Split, folder: &Path, names: &[String]) -> Result<Vec<PathBuf>> {
    let mut shards: Vec<Shard<'_>> = Vec::new();
    for stem in stems(split) {
        shards = names.iter().filter_map(|name| shard(stem, name)).collect();
        if !shards.is_empty() {
            break;
        }
    }
    shards.sort_by_key(|shard| (shard.of, shard.index, shard.name));
    for pair in shards.windows(2) {
        if pair[0].of != pair[1].of || pair[0].index == pair[1].index {
            let [first, second] = [&pair[0], &pair[1]].map(|shard| shard.name.to_owned());
            return Err(Error::DoubledShard { folder: folder.into(), split, first, second });
        }
    }
    for (index, shard) in (0..).zip(&shards) {
        if shard.index != index {
            return Err(missing(split, folder, shard, index));
        }
    }
    if let Some(last) = shards.last()
        && shards.len() < last.of
    {
        return Err(missing(split, folder, last, shards.len()));
    }
    Ok(shards.iter().map(|shard| folder.join(shard.name)).collect())
}

fn missing(split: Split, folder: &Path, other: &Shard<'_>, index: usize) -> Error {
    let of = other.of;
    let rest = if other.rest.is_empty() { "" } else { "*" };
    let missing = format!("{split}-{index:05}-of-{of:05}{rest}.parquet");
    Error::MissingShard { folder: folder.into(), split, missing, of }
}

/// What the names of a split's files begin with, the likeliest first.
pub(crate) fn stems(split: Split) -> &'static [&'static str] {
    match split {
        Split::Train => &["train"],
        Split::Test => &["test", "validation", "valid", "val"],
    }
}

/// What the name says, if it is that of a file of the split.
fn shard<'a>(stem: &str, name: &'a str) -> Option<Shard<'a>> {
    let tail = name.strip_suffix(".parquet")?.strip_prefix(stem)?;
    if !(tail.is_empty() || tail.starts_with(['-', ' ', '('])) {
        return None;
    }
    Some(numbers(name, tail).unwrap_or(Shard { index: 0, of: 1, name, rest: tail }))
}

/// The numbers of `-00000-of-00002…`, if there are such and they make sense.
fn numbers<'a>(name: &'a str, tail: &'a str) -> Option<Shard<'a>> {
    let (index, tail) = number(tail.strip_prefix('-')?)?;
    let (of, rest) = number(tail.strip_prefix("-of-")?)?;
    (index < of).then_some(Shard { index, of, name, rest })
}

/// The number that the text begins with, and what follows it.
fn number(text: &str) -> Option<(usize, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn train(names: &[&str]) -> Result<Vec<String>> {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let files = files_of(Split::Train, Path::new("folder"), &names)?;
        Ok(files.iter().map(|file| file.strip_prefix("folder").unwrap().display().to_string()).collect())
    }

    #[test]
    fn shards_come_by_their_numbers_whatever_follows_these() {
        let found =
            train(&["train-1-of-3-b.parquet", "train-00002-of-00003.parquet", "train-0-of-3-z.parquet"]).unwrap();
        assert_eq!(found, ["train-0-of-3-z.parquet", "train-1-of-3-b.parquet", "train-00002-of-00003.parquet"]);
        for name in ["train.parquet", "train-00000-of-00001.parquet", "train-images.parquet", "train (1).parquet"] {
            assert_eq!(train(&[name]).unwrap(), [name]);
        }
    }

    #[test]
    fn files_of_something_else_are_left_alone() {
        let others = ["test.parquet", "training.parquet", "._train.parquet", "train.parquet.part", "train_2.parquet"];
        assert_eq!(train(&others).unwrap(), [""; 0]);
    }

    #[test]
    fn two_files_with_the_same_images_are_refused_and_both_named() {
        for [first, second] in [
            ["train-00000-of-00001 (1).parquet", "train-00000-of-00001.parquet"],
            ["train-00000-of-00001 copy.parquet", "train-00000-of-00001.parquet"],
            ["train-00000-of-00001-aaaa.parquet", "train-00000-of-00001-bbbb.parquet"],
            ["train-00000-of-00001.parquet", "train.parquet"],
            ["train-one.parquet", "train-two.parquet"],
            ["train (1).parquet", "train.parquet"],
            // Two uploads: each is whole, or neither is.
            ["train-00000-of-00001.parquet", "train-00000-of-00002.parquet"],
            ["train-00001-of-00002.parquet", "train-00000-of-00003.parquet"],
            ["train.parquet", "train-00000-of-00002.parquet"],
            // Numbers that make no sense count as none.
            ["train-00007-of-00002.parquet", "train-00000-of-00002.parquet"],
        ] {
            let error = train(&[second, first]).unwrap_err();
            let Error::DoubledShard { first: a, second: b, split: Split::Train, .. } = &error else {
                panic!("{first}, {second}: {error}");
            };
            assert_eq!([a.as_str(), b.as_str()], [first, second]);
        }
    }

    #[test]
    fn missing_shard_is_named_as_the_others_are() {
        for (names, expected) in [
            (vec!["train-00001-of-00003.parquet", "train-00002-of-00003.parquet"], "train-00000-of-00003.parquet"),
            (vec!["train-00000-of-00003.parquet", "train-00002-of-00003.parquet"], "train-00001-of-00003.parquet"),
            (vec!["train-00000-of-00002-0123456789abcdef.parquet"], "train-00001-of-00002*.parquet"),
            (vec!["train-00000-of-99999999999999.parquet"], "train-00001-of-99999999999999.parquet"),
        ] {
            let error = train(&names).unwrap_err();
            assert!(matches!(&error, Error::MissingShard { missing, .. } if missing == expected), "{error}");
        }
    }
}

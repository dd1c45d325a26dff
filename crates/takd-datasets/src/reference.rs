//! Data sets as a person names them.

use crate::{DatasetName, Fit, Known, near, source};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// A data set as a person names it: by the name of a known one, or by the file or folder that holds it.
///
/// ```text
/// cifar10               a known name
/// cifar10@64            the same, its images scaled to 64x64
/// photos                a file or folder that is there; its name is that of the data set
/// ./photos              a path, there or not
/// /data/photos.tar      its name is `photos`
/// ```
///
/// A folder that has a known data set's name is taken to hold that one, and so is `cifar-10-batches-py` and its kin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatasetRef {
    /// Its name.
    pub name: DatasetName,
    /// Where it is, if the person said where.
    pub place: Option<PathBuf>,
}

impl DatasetRef {
    /// The same, its images scaled.
    pub fn scaled(&self, fit: Fit) -> Self {
        Self { name: self.name.scaled(fit), place: self.place.clone() }
    }
}

impl From<Known> for DatasetRef {
    fn from(known: Known) -> Self {
        Self { name: known.into(), place: None }
    }
}

impl FromStr for DatasetRef {
    type Err = UnknownDataset;

    fn from_str(text: &str) -> Result<Self, UnknownDataset> {
        if let Ok(name) = text.parse::<DatasetName>()
            && name.known().is_some()
        {
            return Ok(Self { name, place: None });
        }
        let place = Path::new(text);
        // A path may be that of another machine, whose results are looked at here.
        if !place.exists() && !text.contains(std::path::is_separator) {
            let (name, size) = text.split_once('@').map_or((text, ""), |(name, _)| (name, &text[name.len()..]));
            let near = near::nearest(Path::new(name), &Known::ALL.map(Known::as_str));
            return Err(UnknownDataset { text: text.to_owned(), near: near.map(|near| near + size) });
        }
        Ok(Self { name: name_of(place), place: Some(place.to_owned()) })
    }
}

/// By its last component, the ending of an archive left out.
fn name_of(place: &Path) -> DatasetName {
    let absolute = place.canonicalize();
    let place = absolute.as_deref().unwrap_or(place);
    let name = place.file_name().unwrap_or_default().to_string_lossy();
    if let Some(known) = source::known_by_name(&name) {
        return known.into();
    }
    let stem = near::ARCHIVES.iter().find_map(|ending| name.strip_suffix(ending));
    DatasetName::nearest(stem.unwrap_or(&name))
}

impl fmt::Display for DatasetRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)
    }
}

/// What was given is neither the name of a known data set nor a file or folder that is there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no data set `{text}`, and no file or folder of that name{}", advice(.near.as_deref()))]
pub struct UnknownDataset {
    /// What was given.
    pub text: String,
    /// The known data set, or the file or folder here, whose name is nearly that; none if nothing is near.
    pub near: Option<String>,
}

fn advice(near: Option<&str>) -> String {
    match near {
        Some(_) => near::question(near),
        None => format!(": the known ones are {}", Known::ALL.map(Known::as_str).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_names_need_no_place_and_others_must_be_there() {
        let cifar: DatasetRef = "cifar10@64".parse().unwrap();
        assert_eq!((cifar.name.fit().map(Fit::side), cifar.place), (Some(64), None));
        for (text, advice) in [
            ("cifar11", "; did you mean `cifar10`?"),
            ("cifra10@64", "; did you mean `cifar10@64`?"),
            ("srcc", "; did you mean `src`?"),
            ("birds", ": the known ones are cifar10, cifar100, mnist, fashion-mnist, shapes10, shapes100"),
        ] {
            let error = text.parse::<DatasetRef>().unwrap_err().to_string();
            assert_eq!(error, format!("there is no data set `{text}`, and no file or folder of that name{advice}"));
        }
    }

    #[test]
    fn place_gives_the_name() {
        let dir = tempfile::tempdir().unwrap();
        for (file, name) in [
            ("My Photos", "my-photos"),
            ("birds.tar.gz", "birds"),
            ("a.parquet", "a"),
            ("v1.5", "v1.5"),
            ("cifar-100-python", "cifar100"),
        ] {
            let place = dir.path().join(file);
            std::fs::create_dir(&place).unwrap();
            let data: DatasetRef = place.to_str().unwrap().parse().unwrap();
            assert_eq!((data.name.as_str(), data.place.as_ref()), (name, Some(&place)));
        }
    }
}

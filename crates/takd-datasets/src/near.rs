//! Names that are nearly those that were given.

use std::path::Path;

/// More mistakes than these make another word.
const MOST_EDITS: usize = 2;

/// Endings of the files that hold a data set.
pub(crate) const ARCHIVES: [&str; 4] = [".tar.gz", ".tgz", ".tar", ".parquet"];

/// Which of `known` names, or of the places beside this path, is spelled most alike, case aside: as the path would be written with it.
/// None if all are other words.
pub(crate) fn nearest(path: &Path, known: &[&str]) -> Option<String> {
    let text = path.file_name()?.to_str()?;
    // A known name is one alone, without a folder before it.
    let known = if path.parent()?.as_os_str().is_empty() { known } else { &[] };
    let known = known.iter().filter_map(|name| Some((edits(text, name)?, (*name).to_owned())));
    let beside = names_beside(path).into_iter().flatten().filter_map(|name| {
        let edits = edits(text, &name)?;
        let place = path.with_file_name(&name);
        let holds_data = place.is_dir() || ARCHIVES.iter().any(|ending| name.ends_with(ending));
        holds_data.then(|| (edits, place.display().to_string()))
    });
    known.chain(beside).min().map(|(_, name)| name)
}

/// How many mistakes one name is from the other, unless it is that name itself or another word.
fn edits(text: &str, name: &str) -> Option<usize> {
    let letters = text.chars().count();
    // Of a short word hardly a letter would be left.
    let most = MOST_EDITS.min(letters.saturating_sub(1) / 2);
    let is_hidden = name.starts_with('.') && !text.starts_with('.');
    // The comparison takes the lengths' product in time.
    if name == text || is_hidden || name.chars().count().abs_diff(letters) > most {
        return None;
    }
    let edits = strsim::damerau_levenshtein(&text.to_lowercase(), &name.to_lowercase());
    (edits <= most).then_some(edits)
}

fn names_beside(path: &Path) -> Option<impl Iterator<Item = String>> {
    let folder = path.parent()?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    Some(folder.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()))
}

/// `; did you mean …?`, or nothing.
pub(crate) fn question(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn slips_are_found_and_other_words_files_and_the_name_itself_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["my-photos", "birds", "ab", ".git", "cifar"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
        }
        for file in ["words.txt", "fish.tar"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let long = "x".repeat(100_000);
        for (text, expected) in [
            ("my-photo", Some("my-photos")),
            ("My-Phtoos", Some("my-photos")),
            ("brids", Some("birds")),
            ("fishs.tar", Some("fish.tar")),
            ("words.tx", None),
            ("git", None),
            ("trees", None),
            ("xy", None),
            ("birds", None),
            ("cifar10", Some("cifar")),
            (&long, None),
        ] {
            let expected = expected.map(|name| dir.path().join(name).display().to_string());
            assert_eq!(nearest(&dir.path().join(text), &["cifar100"]), expected, "{text}");
        }
        assert_eq!(nearest(Path::new("cifra10"), &["mnist", "cifar10"]).as_deref(), Some("cifar10"));
        assert_eq!(nearest(Path::new(""), &["mnist"]), None);
    }
}

//! Names that are nearly those that were given.

use std::path::Path;

/// More mistakes than these make another word.
const MOST_EDITS: usize = 2;

/// Which of the candidates is spelled most alike, case aside; none if all are other words.
pub(crate) fn nearest(text: &str, candidates: impl IntoIterator<Item = String>) -> Option<String> {
    let text = text.to_lowercase();
    let edits = |candidate: &String| strsim::damerau_levenshtein(&text, &candidate.to_lowercase());
    // Of a short word hardly a letter would be left.
    let most = MOST_EDITS.min(text.chars().count().saturating_sub(1) / 2);
    candidates
        .into_iter()
        .map(|candidate| (edits(&candidate), candidate))
        .filter(|(edits, _)| *edits <= most)
        .min()
        .map(|(_, candidate)| candidate)
}

/// The file or folder beside this path whose name is spelled most alike.
pub(crate) fn beside(path: &Path) -> Option<String> {
    let folder = match path.parent()? {
        here if here.as_os_str().is_empty() => Path::new("."),
        folder => folder,
    };
    let names = folder.read_dir().ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    nearest(path.file_name()?.to_str()?, names)
}

/// `; did you mean …?`, or nothing.
pub(crate) fn question(near: Option<&str>) -> String {
    near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found_and_other_words_are_not() {
        let names = || ["my-photos", "birds", "ab"].map(String::from);
        for (text, expected) in [
            ("my-photo", Some("my-photos")),
            ("My-Phtoos", Some("my-photos")),
            ("brids", Some("birds")),
            ("trees", None),
            ("xy", None),
            ("", None),
        ] {
            assert_eq!(nearest(text, names()).as_deref(), expected, "{text}");
        }
    }
}

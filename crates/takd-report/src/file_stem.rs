//! What the files of a report are called.

use serde::Serialize;
use takd_grid::{Experiment, Plan};

/// The most letters of the title.
const TITLE: usize = 40;

/// The hexadecimal digits of the hash.
const DIGITS: usize = 8;

/// What tells an experiment from others: its form, and the runs of each path for each seed. The settings and the device of a
/// run are in its id.
#[derive(Serialize)]
struct Identity<'a> {
    title: &'a str,
    layout: &'static str,
    preset: &'static str,
    device: &'static str,
    cells: Vec<IdentityCell<'a>>,
}

#[derive(Serialize)]
struct IdentityCell<'a> {
    name: &'a str,
    paths: Vec<IdentityPath<'a>>,
    /// In place of the paths' runs, which are not known before the search has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    searched: Option<String>,
}

#[derive(Serialize)]
struct IdentityPath<'a> {
    path: String,
    runs: Vec<IdentityRun<'a>>,
}

#[derive(Serialize)]
struct IdentityRun<'a> {
    seed: u64,
    run: &'a str,
}

/// `<title>-<preset>-<protocol>-<hash>`.
pub(crate) fn of(experiment: &Experiment, plan: &Plan) -> String {
    let mut protocols: Vec<&str> = experiment.cells.iter().map(|cell| cell.protocol.as_str()).collect();
    protocols.sort_unstable();
    protocols.dedup();
    let mut parts = vec![slug(&experiment.title), experiment.preset.as_str().to_owned()];
    parts.extend(protocols.into_iter().map(str::to_owned));
    parts.push(hash(experiment, plan));
    parts.join("-")
}

fn hash(experiment: &Experiment, plan: &Plan) -> String {
    let cells = experiment.cells.iter().zip(&plan.cells).map(|(cell, planned)| IdentityCell {
        name: &cell.name,
        paths: planned
            .paths
            .iter()
            .filter(|_| cell.search.is_none())
            .map(|planned| IdentityPath {
                path: planned.path.to_string(),
                runs: planned.runs.iter().map(|run| IdentityRun { seed: run.seed, run: run.run.as_str() }).collect(),
            })
            .collect(),
        searched: cell.search.as_ref().map(|search| {
            let paths: Vec<String> = cell.paths.iter().map(|path| path.path.to_string()).collect();
            // Settings are in the ids of runs, and the first one is known from the beginning.
            let first = planned.studies.first().and_then(|study| study.trials.first()).map(|trial| &trial.runs[..1]);
            format!("{search:?} {:?} {paths:?} {first:?}", cell.seeds)
        }),
    });
    let identity = Identity {
        title: &experiment.title,
        layout: experiment.layout.as_str(),
        preset: experiment.preset.as_str(),
        device: experiment.device.as_str(),
        cells: cells.collect(),
    };
    // Lists of texts and whole numbers are always JSON.
    let text = serde_json::to_vec(&identity).unwrap_or_default();
    blake3::hash(&text).to_hex()[..DIGITS].to_owned()
}

/// The title before its first colon, in lower-case ASCII letters and digits with hyphens between the words; whole words only, if
/// it is long.
pub(crate) fn slug(title: &str) -> String {
    let short = title.split(':').next().unwrap_or_default();
    let words = short.split(|char: char| !char.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    let mut slug = String::new();
    for word in words {
        let word = word.to_ascii_lowercase();
        if slug.is_empty() {
            slug.push_str(&word[..word.len().min(TITLE)]);
        } else if slug.len() + 1 + word.len() <= TITLE {
            slug.push('-');
            slug.push_str(&word);
        } else {
            break;
        }
    }
    if slug.is_empty() { "experiment".to_owned() } else { slug }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn title_becomes_a_short_name_for_files_whatever_it_holds() {
        for (title, expected) in [
            ("Table 1: a student alone, and taught", "table-1"),
            ("Which assistant teaches the student best, and by how much?", "which-assistant-teaches-the-student-best"),
            ("../../etc/passwd", "etc-passwd"),
            ("C:\\con", "c"),
            ("\u{1b}[31mred\n", "31mred"),
            ("知識蒸留", "experiment"),
            ("", "experiment"),
            (": nothing before it", "experiment"),
        ] {
            assert_eq!(slug(title), expected);
        }
        assert_eq!(slug(&"a".repeat(1000)).len(), TITLE);
    }
}

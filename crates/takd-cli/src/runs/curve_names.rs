//! What the curves of runs are called where people compare them.

use super::summary::Summary;
use std::collections::BTreeMap;

/// The most bytes of a name: file systems have 255.
const MOST_BYTES: usize = 200;

/// A name for each of these runs, which all have a path, a data set and a seed: `shapes10/plane2 ← plane4 ← plane10, seed 31`, with
/// the network that is trained first, because names are cut at the end if there is little room. Runs that would be called
/// alike are told apart by the settings in which they differ, or else by their ids. The name is a path of two folders.
pub(super) fn names(runs: &[&Summary]) -> Vec<String> {
    let mut alike: BTreeMap<String, Vec<&Summary>> = BTreeMap::new();
    for run in runs {
        alike.entry(short_name(run)).or_default().push(run);
    }
    let name = |run: &Summary| {
        let (short, own) = (short_name(run), settings(run));
        let others: Vec<_> = alike[&short].iter().map(|other| settings(other)).collect();
        let differ = |setting: &usize| others.iter().any(|other| other[*setting] != own[*setting]);
        let told = (0..own.len()).filter(differ).map(|setting| format!(", {}", own[setting]));
        as_file_name(&format!("{short}{}", told.collect::<String>()))
    };
    let data = |run: &Summary| as_file_name(run.dataset.as_deref().unwrap_or_default());
    let names: Vec<String> = runs.iter().map(|run| format!("{}/{}", data(run), name(run))).collect();
    let is_only = |name: &String| names.iter().filter(|other| *other == name).count() == 1;
    let unique = |(run, name): (&&Summary, &String)| {
        if is_only(name) { name.clone() } else { format!("{name}, run {}", run.id) }
    };
    runs.iter().zip(&names).map(unique).collect()
}

fn short_name(run: &Summary) -> String {
    let path: Vec<&str> = run.path.iter().flat_map(|path| path.rsplit(" → ")).collect();
    format!("{}, seed {}", path.join(" ← "), run.seed.unwrap_or_default())
}

/// What runs of one path and seed may differ in.
fn settings(run: &Summary) -> [String; 5] {
    let number = |name: &str, value: Option<f64>| value.map_or_else(String::new, |value| format!("{name} {value}"));
    [
        number("λ", run.lambda),
        number("τ", run.temperature),
        run.protocol.unwrap_or("own training").to_owned(),
        match run.epochs.unwrap_or_default() {
            1 => "1 epoch".to_owned(),
            epochs => format!("{epochs} epochs"),
        },
        format!("{} images", run.train_images.unwrap_or_default()),
    ]
}

/// The text without what no system's folder may be called, and cut to what every one's may.
fn as_file_name(text: &str) -> String {
    let allowed = |char: char| !char.is_control() && !r#"/\<>:"|?*"#.contains(char);
    let mut name: String = text.chars().map(|char| if allowed(char) { char } else { '_' }).collect();
    while name.len() > MOST_BYTES {
        name.pop();
    }
    // Neither hidden nor the folder itself.
    if name.starts_with('.') { format!("_{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::as_file_name;

    #[test]
    fn name_stays_in_its_folder_and_within_its_length() {
        assert_eq!(as_file_name("plane2 ← plane4, seed 31"), "plane2 ← plane4, seed 31");
        assert_eq!(as_file_name("../a/b\\c\u{1b}[31m"), "_.._a_b_c_[31m");
        assert_eq!(as_file_name(".."), "_..");
        assert!(as_file_name(&"←".repeat(300)).len() <= 200);
    }
}

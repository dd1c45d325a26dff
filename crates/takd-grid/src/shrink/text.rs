//! The text of the recipe.

use super::{About, Candidate, Shrink, ShrinkTeacher};
use std::fmt::Write;
use std::time::Duration;
use takd_distill::Imported;
use takd_models::ModelName;

/// A recipe with the settings of this file and the paths of a choice.
pub(super) fn recipe(wanted: &Shrink<'_>, settings: &str, chosen: &Candidate, about: &About) -> String {
    let (student, data) = (wanted.student, wanted.data);
    let place = data.place.as_ref().map_or(data.name.as_unscaled().to_owned(), |place| place.display().to_string());
    let mut text = comment(wanted, chosen, about);
    let _ = writeln!(text, "title = {}", quoted(&format!("{student} for {}", data.name.as_unscaled())));
    text += &defaults(settings);
    let _ = writeln!(text, "\n[[cell]]\nname = {}\ndata = {}", quoted(&student.to_string()), quoted(&place));
    text += "paths = [\n";
    for path in chosen.paths(student) {
        let _ = writeln!(text, "    {},", quoted(&path));
    }
    text += "]\n";
    if let (ShrinkTeacher::Elsewhere(_, found), Some((name, imported))) = (&wanted.teacher, &about.imported) {
        text += &import(*name, &found.name, imported);
    }
    text
}

/// What was wanted, what was found, and what it takes.
fn comment(wanted: &Shrink<'_>, chosen: &Candidate, about: &About) -> String {
    let (student, budget) = (wanted.student, humantime::format_duration(wanted.budget));
    let mut text = format!(
        "# {student} for {} within {budget}: alone, taught by {}, and by way of assistants. The best is to be chosen by held-out images.\n",
        wanted.data.name, chosen.teacher
    );
    let paces: Vec<String> =
        about.paces.iter().map(|(name, pace)| format!("{name} {:.0}", 1.0 / pace.train_s)).collect();
    let _ = writeln!(text, "# Images a second in training, as measured: {}.", paces.join(", "));
    let takes = humantime::format_duration(Duration::from_secs(about.takes.as_secs() + 1));
    let _ = writeln!(text, "# All of it takes about {takes} there; {} epochs are taken to be enough.\n", about.enough);
    text
}

/// The network from elsewhere and what it expects.
fn import(name: ModelName, file: &str, imported: &Imported) -> String {
    let Imported { mean, std, outputs, .. } = imported;
    let order = if outputs.is_empty() { String::new() } else { format!(", order = {outputs:?}") };
    let file = quoted(file);
    format!("\n[cell.import]\n{name} = {{ file = {file}, mean = {mean:?}, std = {std:?}{order} }}\n")
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Settings as a recipe has them.
fn defaults(settings: &str) -> String {
    format!("\n[defaults]\n{}", settings.replace("\n[training.", "\n[defaults.training."))
}

//! The text of the recipe.

use super::{About, Candidate, Shrink};
use crate::recipe::{Epochs, Settings, TrainingChanges};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;
use takd_distill::Imported;
use takd_models::{Family, ModelName};

/// A recipe with these settings and the paths of a choice.
pub(super) fn recipe(wanted: &Shrink<'_>, settings: &Settings, chosen: &Candidate, about: &About) -> String {
    let (student, data) = (wanted.student, wanted.data);
    let place = data.place.as_ref().map_or(data.name.as_unscaled().to_owned(), |place| place.display().to_string());
    let mut text = comment(wanted, chosen, about);
    let _ = writeln!(text, "title = {}", quoted(&format!("{student} for {}", data.name.as_unscaled())));
    text += &defaults(settings);
    let _ = writeln!(text, "\n[[cell]]\nname = {}\ndata = {}", quoted(&student.to_string()), quoted(&place));
    if let Some(fit) = data.name.fit().filter(|_| settings.size.is_none()) {
        let _ = writeln!(text, "size = {}", quoted(&fit.to_string()));
    }
    text += "paths = [\n";
    for path in chosen.paths(student) {
        let _ = writeln!(text, "    {},", quoted(&path));
    }
    text += "]\n";
    if let Some((name, file, imported)) = &about.imported {
        text += &import(*name, file, imported);
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
fn import(name: ModelName, file: &Path, imported: &Imported) -> String {
    let Imported { mean, std, outputs, .. } = imported;
    let order = if outputs.is_empty() { String::new() } else { format!(", order = {outputs:?}") };
    let file = quoted(&file.display().to_string());
    format!("\n[cell.import]\n{name} = {{ file = {file}, mean = {mean:?}, std = {std:?}{order} }}\n")
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

fn defaults(settings: &Settings) -> String {
    let mut text = "\n[defaults]\n".to_owned();
    if let Some(seeds) = &settings.seeds {
        let _ = writeln!(text, "seeds = {seeds:?}");
    }
    if let Some(Epochs::All(epochs)) = &settings.epochs {
        let _ = writeln!(text, "epochs = {epochs}");
    }
    if let Some(limit) = settings.limit {
        let _ = writeln!(text, "limit = {limit}");
    }
    if let Some(size) = settings.size {
        let _ = writeln!(text, "size = {}", quoted(&size.to_string()));
    }
    for (family, name) in
        [(Family::Plain, "plain"), (Family::Resnet, "resnet"), (Family::ImagenetResnet, "imagenet-resnet")]
    {
        let TrainingChanges { batch_size, lr, augmentation, .. } = settings.training.of(family);
        let _ = writeln!(text, "\n[defaults.training.{name}]");
        if let Some(b) = batch_size {
            let _ = writeln!(text, "batch_size = {b}");
        }
        if let Some(lr) = lr {
            let pieces: Vec<String> =
                lr.iter().map(|p| format!("{{ from = {:?}, rate = {:?} }}", p.from, p.rate)).collect();
            let _ = writeln!(text, "lr = [{}]", pieces.join(", "));
        }
        if let Some(a) = augmentation {
            let _ = writeln!(text, "augmentation = {}", quoted(&a.to_string()));
        }
    }
    text
}

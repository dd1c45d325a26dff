//! How the network of a run came about.

use anyhow::{Context, Result};
use std::path::Path;
use takd_datasets::Augmentation;
use takd_distill::{RunConfig, Runs};
use takd_store::{RunId, Start};
use takd_zoo::{Fact, Seeds, Training};

/// Flags that say where and how a run was made, not what it is; those with a value.
const PLACES: [&str; 6] = ["--out", "--to", "--data-dir", "--threads", "--jobs", "--image-memory"];
/// The same without one.
const HABITS: [&str; 4] = ["--quiet", "--json", "--offline", "--retry"];

/// What is known of how a run's network came about.
pub(super) fn training(id: &RunId, config: &RunConfig, runs: &Runs) -> Result<Training> {
    let command = runs.starts(id).ok().and_then(|starts| starts.last().map(command));
    Ok(Training { path: path(config, runs)?, run: Some(id.to_string()), facts: facts(config), command })
}

/// The networks along which knowledge was passed on.
fn path(config: &RunConfig, runs: &Runs) -> Result<String> {
    let mut stages = vec![config.model.to_string()];
    let mut taught = config.clone();
    while !taught.teachers().is_empty() {
        let teachers = teachers(&taught, runs)?;
        stages.push(teachers.iter().map(|teacher| teacher.model.to_string()).collect::<Vec<_>>().join(" + "));
        taught = teachers[0].clone();
    }
    stages.reverse();
    Ok(stages.join(" -> "))
}

fn teachers(config: &RunConfig, runs: &Runs) -> Result<Vec<RunConfig>> {
    let of = |id: &RunId| runs.config(id)?.with_context(|| format!("the run {id}, a teacher, is gone"));
    config.teachers().iter().map(of).collect()
}

fn facts(config: &RunConfig) -> Vec<Fact> {
    if config.imported.is_some() {
        return vec![Fact { name: "origin".into(), value: "trained elsewhere".into() }];
    }
    let training = &config.training;
    let rates: Vec<String> = training.lr.iter().map(ToString::to_string).collect();
    let mut facts = vec![
        ("epochs", training.epochs.to_string()),
        ("batch size", training.batch_size.to_string()),
        ("learning rate", rates.join(", ")),
        ("momentum", format!("{}{}", training.momentum, if training.nesterov { ", Nesterov" } else { "" })),
        ("weight decay", training.weight_decay.to_string()),
    ];
    if training.augmentation != Augmentation::NONE {
        facts.push(("augmentation", training.augmentation.to_string()));
    }
    if let Some(kd) = &config.distillation {
        facts.push(("λ (the teachers' share of the loss)", kd.lambda.to_string()));
        facts.push(("τ (temperature)", kd.temperature.to_string()));
    }
    facts.push(("training images", config.data.train_images.to_string()));
    facts.push(("held out of these", training.held_out(config.data.train_images).to_string()));
    facts.push(("network that counts", training.pick.to_string()));
    facts.into_iter().map(|(name, value)| Fact { name: name.into(), value }).collect()
}

/// The command of a start, without the places of that machine.
fn command(start: &Start) -> String {
    let mut arguments = vec!["takd".to_owned()];
    let mut given = start.command.iter().skip(1);
    while let Some(argument) = given.next() {
        if PLACES.contains(&argument.as_str()) {
            given.next();
        } else if !HABITS.contains(&argument.as_str())
            && !PLACES.iter().any(|flag| argument.strip_prefix(flag).is_some_and(|value| value.starts_with('=')))
        {
            arguments.push(without_folders(argument));
        }
    }
    Start { command: arguments, ..start.clone() }.command_line()
}

/// An argument without the folders of that machine, if it is a file or a folder, or has some in names with a plus between.
fn without_folders(argument: &str) -> String {
    let (flag, value) = match argument.split_once('=') {
        Some((flag, value)) if flag.starts_with("--") => (format!("{flag}="), value),
        _ => (String::new(), argument),
    };
    // A file may have a plus in its name.
    if Path::new(value).exists() {
        return format!("{flag}{}", last_part(value));
    }
    let names: Vec<String> = value.split('+').map(last_part).collect();
    format!("{flag}{}", names.join("+"))
}

/// The last part of a file or folder; what is none stays.
fn last_part(value: &str) -> String {
    let name = value.trim();
    let path = Path::new(name);
    let is_place =
        path.is_absolute() || ["./", "../", "~"].iter().any(|start| name.starts_with(start)) || path.exists();
    path.file_name().filter(|_| is_place).map_or_else(|| value.to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The accuracy of all finished runs that differ from this one by their seeds alone, and their teachers' likewise; nothing if there is
/// no other.
pub(super) fn seeds(config: &RunConfig, runs: &Runs) -> Result<Option<Seeds>> {
    let wanted = without_seed(config, runs)?;
    let mut accuracies = Vec::new();
    for id in runs.ids()? {
        let Ok(Some(other)) = runs.config(&id) else { continue };
        // Of most runs the network tells at once.
        if other.model == config.model
            && without_seed(&other, runs).is_ok_and(|other| other == wanted)
            && let Ok(Some(result)) = runs.outcome(&id)
        {
            accuracies.extend(result.test.map(|test| test.accuracy));
        }
    }
    let n = accuracies.len();
    if n < 2 {
        return Ok(None);
    }
    let mean = accuracies.iter().sum::<f64>() / n as f64;
    let squares: f64 = accuracies.iter().map(|accuracy| (accuracy - mean).powi(2)).sum();
    Ok(Some(Seeds { n, mean, deviation: (squares / (n - 1) as f64).sqrt() }))
}

/// What a run is but for its seed and its teachers' seeds: its own settings first, then its teachers'.
fn without_seed(config: &RunConfig, runs: &Runs) -> Result<Vec<takd_distill::RunSettings>> {
    let mut settings = config.settings().clone();
    settings.seed = 0;
    if let Some(kd) = &mut settings.distillation {
        kd.teachers.clear();
    }
    let mut all = vec![settings];
    for teacher in teachers(config, runs)? {
        all.extend(without_seed(&teacher, runs)?);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_the_machine_are_left_out_of_arguments() {
        for (argument, expected) in [
            ("plane4", "plane4"),
            ("resnet20+/home/me/t.pth", "resnet20+t.pth"),
            ("/home/me/t.pth+./u.pth", "t.pth+u.pth"),
            ("~/t.pth + resnet20", "t.pth+ resnet20"),
            ("timm/resnet50.a1_in1k+plane4", "timm/resnet50.a1_in1k+plane4"),
            ("--data=/home/me/photos", "--data=photos"),
            ("--lambda=0.5", "--lambda=0.5"),
        ] {
            assert_eq!(without_folders(argument), expected);
        }
        // One file with a plus in its name.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a+b").join("c+d.pth");
        std::fs::create_dir(file.parent().unwrap()).unwrap();
        std::fs::write(&file, "").unwrap();
        assert_eq!(without_folders(file.to_str().unwrap()), "c+d.pth");
    }
}

//! The command that trains a run.

use std::path::Path;
use takd_datasets::{DatasetName, Drawn, Sources, load};
use takd_distill::{DataConfig, Distillation, NUMERICS, Protocol, Recipe, RunConfig, RunId, Store};
use takd_grid::{Cell, Preset};

/// Where there is no such command.
pub(super) const UNKNOWN: &str = "the command that trained it";

/// The command that trains the run `id` with its teachers, by their configurations; nothing where one of these cannot be
/// read, or is none that a command of this version makes.
pub(super) fn command(id: &RunId, store: &Store, out: &Path) -> Option<String> {
    let stages = stages(id, store)?;
    let wanted = stages.last()?.first()?;
    let alike = |run: &RunConfig| {
        (run.numerics, run.seed, run.device, &run.data, run.recipe.epochs)
            == (NUMERICS, wanted.seed, wanted.device, &wanted.data, wanted.recipe.epochs)
    };
    if !stages.iter().flatten().all(alike) {
        return None;
    }
    let own = distill(&stages, wanted).or_else(|| table(&stages, wanted))?;
    let RunConfig { seed, device, recipe, .. } = wanted;
    let (device, epochs, out) = (device.as_str(), recipe.epochs, quoted(&out.display().to_string()));
    // What a folder of images was called, no run knows.
    let folder = if wanted.data.dataset.is_builtin() { "" } else { "  # and its --data-dir, if it had one" };
    Some(format!("takd {own} --epochs {epochs} --seeds {seed} --device {device} --out {out}{folder}"))
}

/// The run's path, the first stage alone: those of one stage are taught alike.
fn stages(id: &RunId, store: &Store) -> Option<Vec<Vec<RunConfig>>> {
    let mut stages = vec![vec![store.config(id).ok()??]];
    while let Some(Distillation { teachers, .. }) = &stages.last()?.first()?.distillation {
        let stage: Option<Vec<_>> = teachers.iter().map(|id| store.config(id).ok()?).collect();
        let stage = stage?;
        if stage.iter().any(|run| run.distillation != stage[0].distillation) {
            return None;
        }
        stages.push(stage);
    }
    stages.reverse();
    Some(stages)
}

fn distill(stages: &[Vec<RunConfig>], wanted: &RunConfig) -> Option<String> {
    let replays = stages.iter().flatten().find_map(|run| run.recipe.replays);
    let protocol = Protocol::ALL.into_iter().find(|protocol| {
        stages.iter().flatten().all(|RunConfig { model, recipe, .. }| {
            let own = protocol.recipe(model.family(), recipe.epochs);
            Recipe { replays, ..own }.simplified() == *recipe
        })
    })?;
    let limit = limit(&wanted.data, Drawn::default())?;
    let names = |stage: &Vec<RunConfig>| stage.iter().map(|run| run.model.to_string()).collect::<Vec<_>>().join("+");
    let path: Vec<String> = stages.iter().map(names).collect();
    let mut command =
        format!("distill {} --dataset {} --protocol {protocol}{limit}", path.join(" "), wanted.data.dataset);
    let steps = || stages.iter().filter_map(|stage| stage[0].distillation.as_ref());
    if steps().next().is_some() {
        let (lambdas, temperatures) = (each(steps().map(|kd| kd.lambda)), each(steps().map(|kd| kd.temperature)));
        command += &format!(" --lambda {lambdas} --temperature {temperatures}");
    }
    Some(command + &replays.map_or_else(String::new, |replays| format!(" --replays {replays}")))
}

fn table(stages: &[Vec<RunConfig>], wanted: &RunConfig) -> Option<String> {
    let quick = Preset::Quick;
    let cell = |cell: &Cell| quick.dataset(*cell) == wanted.data.dataset && cell.family() == wanted.model.family();
    let cell = Cell::RUNNABLE.into_iter().find(cell)?;
    let protocol = Protocol::ALL.into_iter().find(|&protocol| {
        let recipe = quick.recipe(cell, protocol, Some(wanted.recipe.epochs));
        stages.iter().flatten().all(|run| run.recipe == recipe)
    })?;
    let trio = quick.trio(cell);
    let path: Option<Vec<_>> =
        stages.iter().map(|stage| if let [run] = stage.as_slice() { Some(run.model) } else { None }).collect();
    let path = path?;
    let (teacher, assistant, student) = (trio.teacher, trio.assistant, trio.student);
    let paths: [&[_]; 5] =
        [&[teacher], &[teacher, assistant], &[student], &[teacher, student], &[teacher, assistant, student]];
    let mut kds = stages.iter().filter_map(|stage| stage[0].distillation.as_ref());
    let first = kds.next();
    let alike =
        kds.all(|kd| first.is_some_and(|first| (first.lambda, first.temperature) == (kd.lambda, kd.temperature)));
    if !alike || !paths.contains(&path.as_slice()) {
        return None;
    }
    let strength =
        first.map_or_else(String::new, |kd| format!(" --lambda {} --temperature {}", kd.lambda, kd.temperature));
    let limit = limit(&wanted.data, quick.drawn())?;
    Some(format!("reproduce-table1 --preset quick --cells {cell} --protocol {protocol}{limit}{strength}"))
}

/// The flag for a part of the training images; nothing where these are not the images that a command with `drawn` has.
fn limit(data: &DataConfig, drawn: Drawn) -> Option<String> {
    let all = match data.dataset {
        DatasetName::Cifar10 | DatasetName::Cifar100 => 50_000,
        builtin => {
            // Other numbers of images are other images: only they themselves can tell.
            let sources = Sources { drawn, ..Sources::default() };
            let drawn = load(builtin, &sources, &mut |_| {}).ok().filter(|drawn| drawn.checksum == data.checksum)?;
            drawn.train.len()
        }
    };
    Some(if data.train_images == all { String::new() } else { format!(" --limit {}", data.train_images) })
}

/// One value where all are alike, else one a step.
fn each(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<String> = values.map(|value| value.to_string()).collect();
    if values.iter().all(|value| *value == values[0]) { values[0].clone() } else { values.join(",") }
}

/// For a shell.
fn quoted(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    if text.bytes().all(plain) { text.into() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

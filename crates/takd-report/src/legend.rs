//! What a reader has to know about the numbers, in lines.

use crate::number::{self, percent};
use crate::report::{CellReport, MissingCellReport, PathReport};
use crate::run::{Measurements, RunState};
use crate::studies;
use std::collections::BTreeSet;
use takd_datasets::Augmentation;
use takd_distill::{DecayOn, HoldOut, KlReduction, LogitsAbout, LrFrom, Pick, Protocol, Scale, Training};
use takd_grid::recipe::{Layout, PerStep};
use takd_grid::study::Setting;
use takd_grid::{Cell, DistillationPath, Experiment, Preset};
use takd_models::{Family, ModelName, ModelSpec};

/// A network that is right at most so many times as often as one that guesses has learned nothing worth the name.
const CHANCE_FACTOR: f64 = 1.5;

/// The most paths of which it is said that they are not finished; their number is always said.
const MOST_UNFINISHED: usize = 10;

/// All lines, in the order in which they are read.
pub(crate) fn lines(experiment: &Experiment, cells: &[CellReport], missing: &[MissingCellReport]) -> Vec<String> {
    let mut lines = by_cell(experiment, cells, |cell, _| protocol(cell.protocol, cell.search.is_some()));
    lines.extend(by_cell(experiment, cells, changes));
    lines.extend(by_cell(experiment, cells, seeds_and_teaching));
    lines.extend(by_cell(experiment, cells, |cell, report| {
        cell.search.as_ref().map_or_else(String::new, |search| studies::legend(search, report))
    }));
    lines.extend(by_cell(experiment, cells, limit));
    lines.extend(by_cell(experiment, cells, |cell, _| from_elsewhere(cell)));
    lines.push(trained_on(experiment));
    lines.extend(test_images(cells));
    lines.extend(columns(experiment.layout, cells));
    lines.extend(paper(experiment, cells, missing));
    lines.extend(stand_ins(cells, experiment.preset));
    lines.extend(by_cell(experiment, cells, |cell, _| networks(cell)));
    lines.extend(chance(cells));
    lines.extend(failed(cells));
    lines.extend(unfinished(cells));
    lines.extend(by_cell(experiment, cells, waiting));
    let not_run = missing.iter().map(|cell| format!("{} is not run: {}.", cell.name, without_stop(&cell.why)));
    lines.extend(not_run);
    for cell in &experiment.cells {
        lines.extend(cell.note.iter().map(|note| format!("{}: {note}", cell.name)));
    }
    lines.extend(experiment.notes.iter().cloned());
    lines.retain(|line| !line.trim().is_empty());
    lines
}

/// A line about each cell; one line for all cells of which it says the same.
fn by_cell(
    experiment: &Experiment,
    reports: &[CellReport],
    line: impl Fn(&Cell, &CellReport) -> String,
) -> Vec<String> {
    let mut lines: Vec<(String, Vec<&str>)> = Vec::new();
    for (cell, report) in experiment.cells.iter().zip(reports) {
        let line = line(cell, report);
        match lines.iter_mut().find(|(known, _)| *known == line) {
            Some((_, cells)) => cells.push(&cell.name),
            None => lines.push((line, vec![&cell.name])),
        }
    }
    let all = lines.len() == 1;
    let said = lines.into_iter().filter(|(line, _)| !line.is_empty());
    said.map(|(line, cells)| if all { line } else { format!("{}: {line}", cells.join(", ")) }).collect()
}

fn protocol(protocol: Protocol, is_searched: bool) -> String {
    let text = match protocol {
        Protocol::Code => {
            "Protocol \"code\": as the published code, with its defects. The KL term is averaged over the classes too, \
             ResNets are trained without augmentation and never at the rate 0.1, all images are scaled by CIFAR-100's mean \
             and deviation, and the best epoch by the test set counts, which flatters every figure."
        }
        Protocol::Paper => {
            "Protocol \"paper\": as the paper's text. The best epoch by the test set counts, as in the published code, which \
             flatters every figure."
        }
        Protocol::Sound => {
            "Protocol \"sound\": as the paper's text, but nothing is chosen by the test set. A tenth of the training images \
             is held out, the last epoch's network counts, and the test set is looked at once."
        }
    };
    match protocol {
        Protocol::Code if !is_searched => {
            format!("{text} λ, τ and seeds are as given; they are not searched on the test set as there.")
        }
        _ => text.to_owned(),
    }
}

/// What differs from the protocol's training.
fn changes(cell: &Cell, report: &CellReport) -> String {
    // Networks of a family are trained alike but for their epochs.
    let mut trainings: Vec<(Family, Training, Vec<ModelSpec>)> = Vec::new();
    let trained = report.paths.iter().filter(|path| path.epochs > 0);
    for network in trained.map(|path| path.network) {
        let training = cell.training(network, report.classes);
        match trainings.iter_mut().find(|(family, known, _)| *family == network.family() && *known == training) {
            Some((.., networks)) if networks.contains(&network) => {}
            Some((.., networks)) => networks.push(network),
            None => trainings.push((network.family(), training, vec![network])),
        }
    }
    let mut changes = Vec::new();
    for (family, training, networks) in &trainings {
        let differences = training_changes(training, cell.protocol, *family);
        if differences.is_empty() {
            continue;
        }
        let alone = trainings.iter().filter(|(other, ..)| other == family).count() == 1;
        let names = || networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        let who = if alone { family_name(*family).to_owned() } else { names() };
        changes.push(format!("{} ({who})", differences.join(", ")));
    }
    if cell.kl_reduction != cell.protocol.kl_reduction() && has_steps(report) {
        changes.push(match cell.kl_reduction {
            KlReduction::BatchMean => "the KL term is averaged over the batch alone".to_owned(),
            KlReduction::Mean => "the KL term is averaged over the batch and the classes".to_owned(),
        });
    }
    if let Some(k) = cell.top_k.filter(|_| has_steps(report)) {
        let classes = if k.get() == 1 { "class".to_owned() } else { format!("{k} classes") };
        changes.push(format!(
            "of the teachers' logits for an image those of the likeliest {classes} are kept, and the others count as one class"
        ));
    }
    if changes.is_empty() { String::new() } else { format!("Changed from the protocol: {}.", changes.join("; ")) }
}

fn family_name(family: Family) -> &'static str {
    match family {
        Family::Plain => "plain CNNs",
        Family::Resnet => "ResNets",
        Family::ImagenetResnet => "ResNets for ImageNet",
        Family::Logits => "logits",
    }
}

fn counted_epochs(epochs: usize) -> String {
    if epochs == 1 { "1 epoch".to_owned() } else { format!("{epochs} epochs") }
}

fn training_changes(training: &Training, protocol: Protocol, family: Family) -> Vec<String> {
    let epochs = protocol.epochs(family);
    // At the same shares of the epochs that there are.
    let own = protocol.training(family, training.epochs);
    let mut changes = Vec::new();
    let mut change = |differs: bool, text: String| changes.extend(differs.then_some(text));
    change(training.epochs != epochs, format!("{} instead of {epochs}", counted_epochs(training.epochs)));
    let batch_size = training.batch_size;
    change(batch_size != own.batch_size, format!("batches of {batch_size} instead of {}", own.batch_size));
    let parts = training.gradient_accumulation;
    change(
        parts != own.gradient_accumulation,
        format!("each batch computed in {parts} parts, each of which batch normalisation sees alone"),
    );
    let (rates, own_rates) = (rates(&training.lr), rates(&own.lr));
    change(rates != own_rates, format!("learning rate {rates} instead of {own_rates}"));
    let warmup = training.warmup_epochs;
    let rise = if warmup == 1.0 { "epoch".to_owned() } else { format!("{warmup} epochs") };
    change(warmup != own.warmup_epochs, format!("the learning rate rises step by step over the first {rise}"));
    change(training.momentum != own.momentum, format!("momentum {} instead of {}", training.momentum, own.momentum));
    let nesterov = if training.nesterov { "Nesterov's momentum" } else { "momentum not in Nesterov's form" };
    change(training.nesterov != own.nesterov, nesterov.to_owned());
    let decay = training.weight_decay;
    change(decay != own.weight_decay, format!("weight decay {decay} instead of {}", own.weight_decay));
    let decay_on = match training.weight_decay_on {
        DecayOn::All => "weight decay on all parameters",
        DecayOn::Weights => "weight decay on weights alone",
    };
    change(training.weight_decay_on != own.weight_decay_on, decay_on.to_owned());
    let augmentation = match training.augmentation {
        Augmentation::NONE => "no augmentation".to_owned(),
        Augmentation::CROP_FLIP => "images cropped and flipped at random".to_owned(),
        augmentation => format!("images augmented by \"{augmentation}\""),
    };
    change(training.augmentation != own.augmentation, augmentation);
    if let Some(replays) = training.replays.filter(|_| training.augmentation != Augmentation::NONE) {
        change(true, format!("{replays} augmented forms of each image, seen in turn"));
    }
    let scale = match training.normalization {
        Scale::PublishedCode => "images scaled by CIFAR-100's mean and deviation",
        Scale::Own => "images scaled by their own mean and deviation",
        Scale::Imagenet => "images scaled by ImageNet's mean and deviation",
    };
    change(training.normalization != own.normalization, scale.to_owned());
    let pick = match training.pick {
        Pick::BestTestEpoch => "the best epoch by the test set counts, which flatters every figure",
        Pick::LastEpoch => "the last epoch counts",
    };
    change(training.pick != own.pick, pick.to_owned());
    let hold_out = match training.hold_out {
        HoldOut::Nothing => "no training images held out",
        HoldOut::Tenth => "a tenth of the training images held out",
    };
    change(training.hold_out != own.hold_out, hold_out.to_owned());
    changes
}

/// `0.1 (0.01 from epoch 81, 0.001 from epoch 121)`, epochs counted from 1.
fn rates(pieces: &[LrFrom]) -> String {
    let Some((first, later)) = pieces.split_first() else { return String::new() };
    let later: Vec<String> = later.iter().map(|piece| format!("{} from epoch {}", piece.lr, piece.epoch + 1)).collect();
    if later.is_empty() { first.lr.to_string() } else { format!("{} ({})", first.lr, later.join(", ")) }
}

fn seeds_and_teaching(cell: &Cell, report: &CellReport) -> String {
    let seeds = sentence(&number::seeds(&cell.seeds));
    let mut text = match cell.seeds.len() {
        1 => format!("{seeds} alone, so that nothing is known of the spread."),
        _ => {
            format!("{seeds}: mean ± standard deviation; n is the number of seeds that have a result, if not all have.")
        }
    };
    // Without a teacher they have no effect.
    if has_steps(report) {
        let values = |values: &PerStep| match values {
            PerStep::All(value) => value.to_string(),
            PerStep::Each(values) => {
                let values: Vec<String> = values.iter().map(ToString::to_string).collect();
                format!("{} for the steps of a path", values.join(", "))
            }
        };
        let is_searched = |setting| {
            let dimensions = cell.search.iter().flat_map(|search| search.space.dimensions());
            dimensions.into_iter().any(|dimension| dimension.setting() == setting)
        };
        let said =
            |name: &str, setting, of: &PerStep| (!is_searched(setting)).then(|| format!("{name} = {}", values(of)));
        let said = [said("λ", Setting::Lambda, &cell.lambda), said("τ", Setting::Temperature, &cell.temperature)];
        let said: Vec<String> = said.into_iter().flatten().collect();
        if !said.is_empty() {
            text += &format!(" {}.", said.join(", "));
        }
    }
    text
}

fn has_steps(report: &CellReport) -> bool {
    report.paths.iter().any(|path| path.stages.len() > 1)
}

/// Which networks were not trained here.
fn from_elsewhere(cell: &Cell) -> String {
    let files = cell
        .from_elsewhere
        .iter()
        .map(|(name, found)| format!("{name} comes from {}", takd_store::printable(&found.name)));
    let files: Vec<String> = files.collect();
    let same = if files.len() == 1 { "It was trained elsewhere and is" } else { "They were trained elsewhere and are" };
    if files.is_empty() {
        String::new()
    } else {
        let untested = match cell.from_elsewhere.get(&ModelName::LOGITS).and_then(|found| found.logits.as_ref()) {
            Some(LogitsAbout { test: None, .. }) => {
                " The file of logits has none of the test images: its teacher is not tested, nor compared with those whom it teaches."
            }
            _ => "",
        };
        format!(
            "{}. {same} the same for all seeds; what images it has seen is not known here.{untested}",
            files.join(", ")
        )
    }
}

fn limit(cell: &Cell, report: &CellReport) -> String {
    match cell.limit {
        Some(limit) if limit > report.train_images => {
            format!("{limit} training images were asked for; there are {}, and all are used.", report.train_images)
        }
        _ => String::new(),
    }
}

fn trained_on(experiment: &Experiment) -> String {
    let preset = match experiment.preset {
        Preset::Full => "",
        Preset::Quick => " Preset \"quick\": the small form of the experiment.",
    };
    format!("Trained on {}.{preset}", experiment.device)
}

fn test_images(cells: &[CellReport]) -> Option<String> {
    let finished = cells.iter().filter_map(|cell| Some((&cell.dataset, results(cell).next()?.test_images)));
    let counts: BTreeSet<_> = finished.collect();
    let counts: Vec<String> = counts.into_iter().map(|(name, count)| format!("{count} of {name}")).collect();
    (!counts.is_empty()).then(|| format!("Test images: {}.", counts.join(", ")))
}

/// What the columns mean.
fn columns(layout: Layout, cells: &[CellReport]) -> Vec<String> {
    let several_seeds = cells.iter().any(|cell| cell.seeds.len() > 1);
    let compared = cells.iter().any(|cell| !cell.comparisons.is_empty());
    let mut lines = Vec::new();
    let methods = "NoKD: the student alone. BLKD: taught by the teacher. TAKD: taught by the assistant, which the teacher taught.";
    match layout {
        Layout::Methods => lines.push(format!("{methods} Training: the time of all runs of the cell together.")),
        Layout::Paths => {
            if several_seeds {
                lines.push("95 % interval: confidence interval of the mean by Student's t.".to_owned());
            }
            lines.push(format!(
                "Loss: cross-entropy, nats. Calibration: expected calibration error. Time: of the training.{}",
                third_force(cells)
            ));
        }
        Layout::Teachers => {
            lines.push(format!(
                "Alone: the teacher without a teacher of its own. Less alone: the student less the same student without a \
                 teacher.{}{OF_WHO_TEACHES}",
                third_force(cells)
            ));
        }
        Layout::Students => lines.push(format!(
            "Alone: the student without a teacher. Gain: taught less alone.{}{OF_WHO_TEACHES}",
            third_force(cells)
        )),
        Layout::Assistants => {
            lines.push(format!("{methods}{}{OF_WHO_TEACHES}", third_force(cells)));
            lines.push(
                "The heuristic (the paper's Section 4.2, Figure 4) trains every size alone and takes as assistant the one whose \
                 accuracy is nearest to the mean of student and teacher, the line, all by the seeds that every size has. Runs and multiply-adds (two FLOP each) are those of all \
                 seeds, with every run that leads to them: of every size alone and the chosen path, or of every assistant's path."
                    .to_owned(),
            );
        }
        Layout::Graph => lines.push(
            "BLKD: from the same teacher straight to the student. Multiply-adds (two FLOP each): of all runs of a path together, \
             for one seed. For a given cost: paths that no path of at most the same cost surpasses by mean."
                .to_owned(),
        ),
    }
    if compared && (several_seeds || layout != Layout::Methods) {
        lines.push(differences(layout, cells));
    }
    lines
}

/// How comparisons are made.
fn differences(layout: Layout, cells: &[CellReport]) -> String {
    let mut text = "Differences are in percentage points and paired: seed by seed, over the seeds for which both have a result; in \
                    brackets the 95 % confidence interval of the mean by Student's t. Better?: \"holds\" and \"does not hold\" if \
                    0 lies outside that interval; the number of seeds that would decide it supposes that mean and deviation stay \
                    as they are."
        .to_owned();
    let comparisons = || cells.iter().flat_map(|cell| &cell.comparisons);
    text += if comparisons().any(|found| found.comparison.over_images.is_some()) {
        " Images: how far the 95 % interval over the test images reaches (paired image by image; McNemar's variance for one \
         seed), networks as they are; \"for these images\" if 0 lies in it, so that other test images may decide otherwise."
    } else {
        " Images: how far the 95 % interval over the test images reaches; it is not known which images these networks get right."
    };
    if comparisons().any(|found| found.best_of_several) {
        let what = match layout {
            Layout::Assistants => "assistant",
            Layout::Teachers => "teacher",
            _ => "path",
        };
        text += &format!(
            " Which {what} is best is a choice among several: these verdicts are corrected for all pairs by Holm's method; the \
             intervals are not."
        );
    }
    text
}

/// What a table says of the calibration that stands beside those who are taught.
const OF_WHO_TEACHES: &str = " Calibration: expected calibration error of who teaches.";

/// What teachers give, by which the paper explains their effect.
fn third_force(cells: &[CellReport]) -> String {
    let classes: BTreeSet<usize> = cells.iter().filter(|cell| has_steps(cell)).map(|cell| cell.classes).collect();
    if classes.is_empty() {
        return String::new();
    }
    let most: Vec<String> =
        classes.iter().map(|&classes| format!("ln {classes} = {:.4}", (classes as f64).ln())).collect();
    format!(
        " Agreement: how often network and teacher give the same class. KL: from the teacher to the network at temperature τ, \
         nats. Entropy: of the teacher's soft targets at temperature τ, nats; at most {}.",
        most.join(" or ")
    )
}

fn paper(experiment: &Experiment, cells: &[CellReport], missing: &[MissingCellReport]) -> Option<String> {
    let numbers = cells.iter().flat_map(|cell| &cell.paths).map(|path| path.paper_accuracy);
    let numbers = numbers.chain(missing.iter().flat_map(|cell| &cell.paths).map(|path| path.paper_accuracy));
    let source = experiment.source.as_deref().map(without_stop);
    if numbers.flatten().next().is_none() {
        return source.map(|source| format!("Source: {source}."));
    }
    let sources: Vec<String> = cells
        .iter()
        .filter_map(|cell| Some(format!("{}: {}", cell.name, without_stop(cell.paper_source.as_deref()?))))
        .collect();
    Some(match (source, sources.is_empty()) {
        (Some(source), true) => format!("\"paper\": {source}."),
        (Some(source), false) => format!("\"paper\": {source} ({}).", sources.join("; ")),
        (None, false) => format!("\"paper\": {}.", sources.join("; ")),
        (None, true) => "\"paper\": the number that the recipe gives.".to_owned(),
    })
}

/// That some networks are not those of the experiment.
fn networks(cell: &Cell) -> String {
    let networks: Vec<String> =
        cell.networks.iter().map(|network| format!("{} for {}", network.network, network.stands_for)).collect();
    if networks.is_empty() {
        return String::new();
    }
    format!("Smaller networks in place of others: {}. The paper's numbers are the others'.", networks.join(", "))
}

/// That some data are not those of the experiment.
fn stand_ins(cells: &[CellReport], preset: Preset) -> Vec<String> {
    let mut lines = Vec::new();
    let replaced = |cell: &CellReport| Some(format!("{} for {}", cell.dataset, cell.stands_for.as_deref()?));
    let is_small = |cell: &&CellReport| preset == Preset::Quick || cell.dataset.is_drawn();
    let stand_ins = once_each(cells.iter().filter(is_small).filter_map(replaced));
    if !stand_ins.is_empty() {
        lines.push(format!(
            "Stand-ins: {}. These figures show that the machinery works and cannot be compared with published ones.",
            stand_ins.join(", ")
        ));
    }
    let others = once_each(cells.iter().filter(|cell| !is_small(cell)).filter_map(replaced));
    if !others.is_empty() {
        lines.push(format!("Other data: {}. Published figures are those of other images.", others.join(", ")));
    }
    let drawn = once_each(cells.iter().filter(|cell| cell.dataset.is_drawn()).map(|cell| cell.dataset.to_string()));
    if !drawn.is_empty() {
        let are = if drawn.len() == 1 { "is made" } else { "are made" };
        lines.push(format!("{} {are} of images drawn by code, not of photographs.", drawn.join(" and ")));
    }
    lines
}

/// Networks that have learned nothing, so that nobody takes their accuracy for a result.
fn chance(cells: &[CellReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for cell in cells {
        let at_most = CHANCE_FACTOR / cell.classes as f64;
        let (mut paths, mut best, mut networks) = (Vec::new(), 0.0_f64, 0);
        for path in &cell.paths {
            let low: Vec<(u64, f64)> = path
                .results()
                .map(|(seed, result)| (seed, result.test_accuracy))
                .filter(|&(_, accuracy)| accuracy <= at_most)
                .collect();
            if low.is_empty() {
                continue;
            }
            let seeds: Vec<u64> = low.iter().map(|&(seed, _)| seed).collect();
            best = low.iter().map(|&(_, accuracy)| accuracy).fold(best, f64::max);
            networks += low.len();
            paths.push(format!("{}, {}", path.path, number::seeds(&seeds)));
        }
        if paths.is_empty() {
            continue;
        }
        let cell_name = if cells.len() == 1 { String::new() } else { format!("{}, ", cell.name) };
        let have = if networks == 1 { "The network has" } else { "These networks have" };
        lines.push(format!(
            "At chance level: {cell_name}{}: an accuracy of {} % or less, and guessing among {} classes gives {} %. {have} \
             learned nothing; do not read this as a result.",
            paths.join("; "),
            percent(best),
            cell.classes,
            percent(1.0 / cell.classes as f64),
        ));
    }
    lines
}

/// Runs that ended without a result by themselves, or of which nobody can tell.
fn failed(cells: &[CellReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for cell in cells {
        for path in &cell.paths {
            for run in &path.runs {
                let word = match &run.state {
                    RunState::Diverged { .. } => "Diverged",
                    RunState::Unreadable { .. } => "Unreadable",
                    _ => continue,
                };
                let (place, seed) = (place(cells, cell, path), run.seed);
                let reason = without_stop(run.state.reason().unwrap_or_default());
                lines.push(format!("{word}: {place}, seed {seed} (run {}): {reason}.", run.run));
            }
        }
    }
    lines
}

/// Paths that have no runs yet, because their settings are still searched.
fn waiting(cell: &Cell, report: &CellReport) -> String {
    let has_runs = |path: &DistillationPath| {
        let student = |&student| path.up_to(path.steps(), student).to_string();
        path.students().iter().map(student).all(|path| report.named(&path).is_some())
    };
    let (all, waiting) = (cell.paths.len(), cell.paths.iter().filter(|path| !has_runs(&path.path)).count());
    match waiting {
        0 => String::new(),
        waiting => {
            format!("Not found yet: {waiting} of {all} paths wait for searches that have not ended, or found nothing.")
        }
    }
}

/// Runs that have no result yet.
fn unfinished(cells: &[CellReport]) -> Vec<String> {
    let mut lines = Vec::new();
    let states = [
        ("Not finished", [RunState::Missing, RunState::Stopped].as_slice()),
        ("Not trained, because the training of a teacher diverged", &[RunState::NoTeacher]),
    ];
    for (word, states) in states {
        let (mut paths, mut runs) = (Vec::new(), 0);
        for cell in cells {
            for path in &cell.paths {
                let of_state = path.runs.iter().filter(|run| states.contains(&run.state));
                let seeds: Vec<u64> = of_state.map(|run| run.seed).collect();
                runs += seeds.len();
                if !seeds.is_empty() {
                    paths.push(format!("{}, {}", place(cells, cell, path), number::seeds(&seeds)));
                }
            }
        }
        if paths.is_empty() {
            continue;
        }
        let all: usize = cells.iter().flat_map(|cell| &cell.paths).map(|path| path.runs.len()).sum();
        let more = match paths.len().saturating_sub(MOST_UNFINISHED) {
            0 => String::new(),
            1 => "; and 1 more path".to_owned(),
            more => format!("; and {more} more paths"),
        };
        paths.truncate(MOST_UNFINISHED);
        lines.push(format!("{word}: {runs} of {all} runs: {}{more}.", paths.join("; ")));
    }
    lines
}

fn results(cell: &CellReport) -> impl Iterator<Item = &Measurements> {
    cell.paths.iter().flat_map(PathReport::results).map(|(_, result)| result)
}

/// The path, with the cell if there is more than one.
fn place(cells: &[CellReport], cell: &CellReport, path: &PathReport) -> String {
    match cells.len() {
        1 => path.path.clone(),
        _ => format!("{}, {}", cell.name, path.path),
    }
}

fn once_each(texts: impl Iterator<Item = String>) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for text in texts {
        if !once.contains(&text) {
            once.push(text);
        }
    }
    once
}

/// The text without the full stop that its sentence gets here.
fn without_stop(text: &str) -> &str {
    text.trim_end().trim_end_matches('.')
}

/// The text with a capital letter.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

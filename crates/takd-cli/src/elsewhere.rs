//! Networks that were trained elsewhere: the flags that say what they expect, and how they are taken in before they teach.

use crate::common::Common;
use crate::foreign_config::ForeignConfig;
use crate::found::{self, Found, Reach};
use crate::output;
use crate::progress::{loading, tested};
use crate::values::{self, Three};
use anyhow::{Context, Result, anyhow, ensure};
use indicatif::MultiProgress;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use takd_datasets::{Card, Catalog, Normalization};
use takd_distill::{Error, Runs, Session, import};
use takd_grid::{Experiment, FromElsewhere, Plan, PlannedRun};
use takd_ops::Compute;
use takd_store::printable;
use takd_zoo::{Model, WeightPrecision};

/// What a network from a file expects.
#[derive(clap::Args)]
pub(crate) struct Expects {
    /// The mean that a network from a file expects pixels from 0 to 1 to be scaled by: red, green, blue [default: what its
    /// model folder says, or the data's own]
    #[arg(long, value_parser = values::three, value_name = "R,G,B", requires = "std", allow_negative_numbers = true)]
    mean: Option<Three>,
    /// The standard deviation, likewise
    #[arg(long, value_parser = values::three, value_name = "R,G,B", requires = "mean")]
    std: Option<Three>,
    /// For each class of the data, in their order, the number of the file's output that is its, from 0 [default: by the names of
    /// its model folder, or the same classes in the same order]
    #[arg(long, value_delimiter = ',', value_name = "OUTPUT,…")]
    order: Vec<usize>,
}

impl Expects {
    /// Whether something is said of a file.
    pub(crate) fn says_something(&self) -> bool {
        self.mean.is_some() || !self.order.is_empty()
    }

    /// The network of a file, of a model folder, or of a model of the hub, with what it expects; or the logits of a file.
    pub(crate) fn read(&self, found: &Found) -> Result<FromElsewhere> {
        let read = self.read_files(found);
        match found {
            // Its files have other names here.
            Found::Hub { name, .. } => {
                let read = read.with_context(|| format!("cannot take in {name}"))?;
                Ok(FromElsewhere { name: name.clone(), ..read })
            }
            Found::File(_) | Found::Folder(_) => read,
        }
    }

    fn read_files(&self, found: &Found) -> Result<FromElsewhere> {
        let said = self.mean.zip(self.std).map(|(Three(mean), Three(std))| Normalization { mean, std });
        let order = self.order.clone();
        let (weights, config) = found.files();
        let Some(config) = config else {
            if said.is_none() {
                found.check_config().map_err(|error| {
                    anyhow!(
                        "{error}, or say with --mean and --std, in a recipe `mean` and `std`, by what the network expects pixels to be \
                         scaled"
                    )
                })?;
            }
            return Ok(FromElsewhere { normalization: said, order, ..FromElsewhere::read(&weights)? });
        };
        if let Some(ForeignConfig { normalization, class_names }) = ForeignConfig::read(&config) {
            let network = FromElsewhere::read(&weights)?;
            // Names of other classes than it has outputs say nothing of these.
            let class_names = if class_names.len() == network.outputs { class_names } else { Vec::new() };
            return Ok(FromElsewhere { normalization: said.or(normalization), order, class_names, ..network });
        }
        // A model of takd's says itself what it expects.
        let config = Model::open_files(&config, &weights)?.config().clone();
        ensure!(
            config.weights != WeightPrecision::Int8,
            "{} has 8-bit weights, which are not imported: export it with --precision f16 or f32",
            found.name()
        );
        let network = FromElsewhere::read(&weights)?;
        let normalization = said.or(Some(config.input.normalization()));
        Ok(FromElsewhere { normalization, order, class_names: config.class_names, ..network })
    }
}

/// Looks for the networks that recipes have by their names on the hub, and puts them in their places.
pub(crate) fn find_models(experiments: &mut [Experiment], reach: &Reach<'_>) -> Result<()> {
    for cell in experiments.iter_mut().flat_map(|experiment| &mut experiment.cells) {
        for wanted in std::mem::take(&mut cell.on_the_hub) {
            let expects = Expects {
                mean: wanted.normalization.map(|Normalization { mean, .. }| Three(mean)),
                std: wanted.normalization.map(|Normalization { std, .. }| Three(std)),
                order: wanted.order.clone(),
            };
            let found = expects.read(&found::on_the_hub(&wanted.model, reach)?)?;
            wanted.check(&found)?;
            cell.from_elsewhere.insert(wanted.network, found);
        }
    }
    Ok(())
}

/// Says by what the pixels of a network are scaled that says nothing of it, if nobody else does.
pub(crate) fn note_on_scaling(found: &FromElsewhere, card: &Card) {
    if found.normalization.is_some() || found.logits.is_some() {
        return;
    }
    let three = |numbers: [f32; 3]| numbers.map(|number| format!("{number:.4}")).join(",");
    let (Normalization { mean, std }, name) = (card.normalization, printable(&found.name));
    output::note(&format!(
        "{name}: pixels were scaled by the mean {} and deviation {} of {}; if it was trained with others, say so with --mean and --std",
        three(mean),
        three(std),
        card.name
    ));
}

/// Takes in the networks of a plan that were trained elsewhere and are not here yet.
pub(crate) fn take_in(
    common: &Common,
    experiments: &[Experiment],
    plan: &Plan,
    (catalog, runs, compute): (&Catalog, &Runs, &Compute),
    stop: &AtomicBool,
    screen: &MultiProgress,
) -> Result<()> {
    let session = Session { compute: compute.clone(), start: Common::start(), retry: common.retry() };
    let cells = || experiments.iter().flat_map(|experiment| &experiment.cells);
    for PlannedRun { config, path, .. } in &plan.runs {
        let Some(imported) = &config.imported else { continue };
        if runs.settled(config, session.retry)?.is_some() {
            continue;
        }
        let found = cells().flat_map(|cell| cell.from_elsewhere.values()).find(|found| found.hash == imported.file);
        let found = found.with_context(|| format!("nobody said which file {path} comes from"))?;
        let file = found.open()?;
        let data = loading(common.quiet, screen, |progress| catalog.load(&config.data.dataset, progress))?;
        let result = loop {
            let imported = import(&file, config, &data, runs, &session, &mut |_| {
                if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            match imported {
                // Another process takes it in, or has it look at images for a student.
                Err(Error::Store(takd_store::Error::Claimed(_))) => {
                    if stop.load(Ordering::Relaxed) {
                        return Err(Error::Stopped.into());
                    }
                    thread::sleep(Duration::from_millis(200));
                }
                imported => break imported?,
            }
        };
        if !common.quiet {
            output::note(&format!(
                "{path} comes from {} ({}): {}",
                printable(&found.name),
                file.origin(),
                tested(&result)
            ));
            note_on_scaling(found, &data.card);
        }
    }
    Ok(())
}

//! What commands that train have in common: flags, data, the training itself, and what came of it.

use crate::device::{DeviceKind, device_of_each_job};
use crate::progress::{Progress, loading};
use anyhow::{Context, Result};
use candle_core::Device;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use takd_datasets::{Dataset, DatasetName, Drawn, Sources, load};
use takd_distill::{Protocol, RunId, Store, limit_training_images};
use takd_grid::{Outcome, Plan, execute};

/// What every command that trains can be told.
#[derive(clap::Args)]
pub(crate) struct Common {
    /// Whose rules: `code` is what the published code does, defects included; `paper` is what the text says; `sound` is
    /// the text, but nothing is chosen by the test set
    #[arg(long, default_value = "sound", value_name = "code|paper|sound")]
    pub protocol: Protocol,
    /// Epochs of every run [default: the protocol's 150 or 160]
    #[arg(long)]
    pub epochs: Option<NonZeroU32>,
    /// Seeds, with commas between; one experiment each [default: 31]
    #[arg(long, value_delimiter = ',', value_name = "SEED,…", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seeds: Vec<u64>,
    /// Use so many of the training images, the classes in their proportions [default: all]
    #[arg(long, value_name = "IMAGES")]
    pub limit: Option<NonZeroUsize>,
    /// A folder with data sets in the hub's layout: cifar10/plain_text/train-*.parquet, …
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Stay off the network; what the hub's cache holds is used
    #[arg(long)]
    pub offline: bool,
    /// What to train on
    #[arg(long, value_enum, default_value_t = DeviceKind::Auto)]
    pub device: DeviceKind,
    /// Runs to train at once, in one process, so that small networks fill a GPU; each takes its share of the GPU's memory
    /// and of the threads, and results do not depend on it [default: 4 on CUDA, else 1]
    #[arg(long)]
    pub jobs: Option<NonZeroUsize>,
    /// Processor threads to work with; results do not depend on it [default: one a core]
    #[arg(long)]
    pub threads: Option<NonZeroUsize>,
    /// Where runs and tables are kept
    #[arg(long, default_value = "results", value_name = "DIR")]
    pub out: PathBuf,
    /// Print the result as JSON, with the run behind every number
    #[arg(long)]
    pub json: bool,
    /// No progress, only warnings and the result
    #[arg(long)]
    pub quiet: bool,
}

impl Common {
    /// Does `work` in the one pool of threads that everything parallel runs in. Within it, because from outside every
    /// parallel loop would wake one thread more than there are cores.
    pub(crate) fn in_pool<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        let threads = self.threads.map_or(0, NonZeroUsize::get);
        rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
        rayon::scope(|_| work())
    }

    /// The seeds asked for, each once.
    pub(crate) fn seeds_or(&self, default: &[u64]) -> Vec<u64> {
        let mut seeds = if self.seeds.is_empty() { default } else { &self.seeds }.to_vec();
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    pub(crate) fn store(&self) -> Result<Store> {
        Ok(Store::open(&self.out.join("runs"))?)
    }

    /// Refuses a folder of data where `command` would not look into it.
    pub(crate) fn no_data_dir(&self, command: &str, what: &str) -> Result<()> {
        let message = format!(
            "{what} trains on built-in images and reads no --data-dir; for a short run on your data use --epochs and --limit"
        );
        match self.data_dir {
            Some(_) => Err(crate::misfit(command, ErrorKind::ArgumentConflict, message)),
            None => Ok(()),
        }
    }

    /// The data sets of these names.
    pub(crate) fn load(
        &self,
        names: impl IntoIterator<Item = DatasetName>,
        drawn: Drawn,
        screen: &MultiProgress,
    ) -> Result<BTreeMap<DatasetName, Dataset>> {
        let sources = Sources { data_dir: self.data_dir.clone(), offline: self.offline, drawn };
        let load = |name| {
            let mut data = loading(self.quiet, screen, |progress| load(name, &sources, progress))?;
            limit_training_images(&mut data, self.limit.map(NonZeroUsize::get));
            Ok((name, data))
        };
        names.into_iter().map(load).collect()
    }

    /// Trains what is not trained yet, while its progress is shown, until Ctrl-C.
    pub(crate) fn train(
        &self,
        plan: &Plan,
        data: &BTreeMap<DatasetName, Dataset>,
        store: &Store,
        device: &Device,
        screen: &MultiProgress,
    ) -> Result<HashMap<RunId, Outcome>> {
        let devices = device_of_each_job(device, self.jobs, plan.runs.len())?;
        let stop = stop_flag()?;
        let mut progress = Progress::new(plan, self.quiet, screen);
        let outcomes = execute(plan, data, store, &devices, &mut |index, run, what| {
            progress.show(index, run, &what);
            if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        progress.end();
        Ok(outcomes?)
    }
}

/// A value for λ.
pub(crate) fn lambda(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if (0.0..=1.0).contains(&value) { Ok(value) } else { Err("λ is from 0 to 1".into()) }
}

/// A value for τ.
pub(crate) fn temperature(text: &str) -> Result<f64, String> {
    let value: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if value > 0.0 && value.is_finite() { Ok(value) } else { Err("τ is above 0".into()) }
}

/// An error that says which runs have no result, and why; nothing where all have one.
pub(crate) fn complete(plan: &Plan, outcomes: &HashMap<RunId, Outcome>) -> Result<()> {
    let failures = plan.runs.iter().filter_map(|run| match outcomes.get(&run.id)? {
        Outcome::Finished(_) => None,
        Outcome::Diverged(error) => Some(format!("\n  {}: {error}", run.name())),
        Outcome::NoTeacher => Some(format!("\n  {}: not begun, since its teacher has no result", run.name())),
    });
    let failures: String = failures.collect();
    if failures.is_empty() { Ok(()) } else { anyhow::bail!("not every run has a result:{failures}") }
}

/// Set by Ctrl-C and SIGTERM; the second time the program ends at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // In this order: the flag is not yet set when the first signal comes.
        let second = flag::register_conditional_shutdown(signal, i32::from(crate::STOPPED), stop.clone());
        second.and_then(|_| flag::register(signal, stop.clone())).context("cannot listen for Ctrl-C")?;
    }
    Ok(stop)
}

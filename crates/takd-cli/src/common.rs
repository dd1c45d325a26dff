//! What commands that train have in common: their flags, and where they work.

use crate::device::DeviceKind;
use crate::exit::WrongArgument;
use crate::{output, text_file, values};
use anyhow::{Context, Result};
use clap::error::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use takd_datasets::{Augmentation, Catalog, DatasetRef, Fit, Sources};
use takd_distill::{Protocol, Retry, Runs};
use takd_grid::Experiment;
use takd_grid::recipe::{Epochs, MAX_BYTES, SearchSettings, Settings, TrainingByFamily, TrainingChanges, parse_seeds};
use takd_store::Start;

/// The results folder, unless another is named.
pub(crate) const DEFAULT_OUT: &str = "results";

/// What every command that trains can be told.
#[derive(clap::Args)]
pub(crate) struct Common {
    #[command(flatten)]
    pub asked: Asked,
    #[command(flatten)]
    pub place: Place,
    /// Runs to train at once, in one process, so that small networks fill a GPU; each takes its share of the GPU's memory
    /// and of the threads, and results do not depend on it [default: 4 on CUDA, else 1]
    #[arg(long, value_parser = values::count, allow_negative_numbers = true)]
    pub jobs: Option<usize>,
    /// Processor threads to work with; results do not depend on it [default: one a core]
    #[arg(long, value_parser = values::count, allow_negative_numbers = true)]
    pub threads: Option<usize>,
    /// Train runs again that diverged before
    #[arg(long)]
    pub retry: bool,
    /// Train nothing: list the runs, which are done, and what the others take, by a short measurement here
    #[arg(long)]
    pub dry_run: bool,
    /// Train nothing: print all settings in force, those of the protocol and of defaults too, as a file for --config
    #[arg(long, conflicts_with_all = ["dry_run", "format", "json"])]
    pub print_config: bool,
    #[command(flatten)]
    pub printed: Printed,
    /// No progress, only warnings and the result
    #[arg(long)]
    pub quiet: bool,
}

/// What is changed of an experiment.
#[derive(clap::Args)]
pub(crate) struct Asked {
    /// A file of settings, with the keys of a recipe's `defaults`; flags win over it, and it wins over a recipe. --print-config of the
    /// commands that train makes one
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Whose rules: `code` is what the published code does, defects included; `paper` is what the text says; `sound` is
    /// the text, but nothing is chosen by the test set [default: sound]
    #[arg(long, value_name = "code|paper|sound")]
    pub protocol: Option<Protocol>,
    /// Epochs of every run, or of some networks and the rest, as in plane2=150,20 [default: the protocol's 150 or 160]
    #[arg(long, value_parser = values::epochs, value_name = "EPOCHS", allow_negative_numbers = true)]
    pub epochs: Option<Epochs>,
    /// Seeds, with commas between, or a range such as 1..5; everything is trained once for each [default: 31]
    #[arg(long, value_name = "SEED,…", value_parser = |text: &str| parse_seeds(text).map(Seeds), allow_negative_numbers = true)]
    pub seeds: Option<Seeds>,
    /// Use so many of the training images, the classes in their proportions [default: all]
    #[arg(long, value_name = "IMAGES", value_parser = values::images, allow_negative_numbers = true)]
    pub limit: Option<usize>,
    /// Scale the images to so many rows and columns: the square in the middle of each, with antialiasing; or, as in 224of256,
    /// all of an image, and take the middle of that [default: as they are; 32 for a folder of images of several sizes]
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    pub size: Option<Fit>,
    /// What is done to training images, parts joined by +: crop-flip, resized-crop-flip, "randaugment 2 9", "jitter 0.4",
    /// "cutout 8", "mixup 0.2", "cutmix 1"; or none [default: the protocol's]
    #[arg(long, value_name = "PARTS")]
    pub augmentation: Option<Augmentation>,
}

/// Whether λ and τ are found by trials.
#[derive(clap::Args)]
pub(crate) struct Searched {
    /// Find the settings of each step by trials before it is trained: those of the recipe's `search`, or else λ and τ among the paper's
    /// values. Trials are judged by held-out images and have a seed of their own; under `--protocol code` and `paper` by the test
    /// images, as published
    #[arg(long)]
    search: bool,
    /// So many trials a step; with --search [default: the recipe's, or 40; 120 under `code` and `paper`]
    #[arg(long, value_name = "TRIALS", value_parser = values::count, allow_negative_numbers = true)]
    trials: Option<usize>,
}

impl Searched {
    /// What is asked of the search, if one is asked for.
    pub(crate) fn settings(&self) -> Option<SearchSettings> {
        (self.search || self.trials.is_some())
            .then(|| SearchSettings { trials: self.trials, ..SearchSettings::default() })
    }
}

/// Where images, runs and tables are, and what is trained on.
#[derive(clap::Args)]
pub(crate) struct Place {
    /// The folder in which known data sets are looked for, and no other place: cifar10/plain_text/train-*.parquet,
    /// cifar-10-python.tar.gz, cifar-100-binary/, …
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// Leave out up to so many images that cannot be decoded, and list them [default: any such image is an error]
    #[arg(long, value_name = "IMAGES", default_value_t = 0, hide_default_value = true)]
    pub skip_bad: usize,
    /// Hold at most so many MiB of a split's decoded images in memory; those of a larger split stay in their files and are decoded
    /// in every epoch, with the same results [default: 4096]
    #[arg(long, value_name = "MIB", value_parser = values::count, allow_negative_numbers = true)]
    pub image_memory: Option<usize>,
    /// Stay off the network; what the hub's cache holds is used
    #[arg(long)]
    pub offline: bool,
    /// What to train on
    #[arg(long, value_name = "auto|cpu|cuda|cuda-tf32|metal", default_value = "auto")]
    pub device: DeviceKind,
    /// Where runs and tables are kept
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    pub out: PathBuf,
}

/// How a result is printed.
#[derive(clap::Args)]
pub(crate) struct Printed {
    /// How the result is printed: `html` is a page with figures, `csv` has a row a run, `json` the run behind every number; shares
    /// are from 0 to 1 in the last two
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "text|markdown|html|csv|json", hide_possible_values = true)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

/// Seeds, each once.
#[derive(Clone, Debug)]
pub(crate) struct Seeds(pub Vec<u64>);

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Text,
    Markdown,
    Html,
    Csv,
    Json,
}

/// The cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Does `work` in the one pool of threads that everything parallel runs in, a thread a core unless another number is asked for.
/// Within it, because from outside every parallel loop would wake one thread more than there are cores.
pub(crate) fn in_pool<R: Send>(threads: Option<usize>, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
    let cores = cores();
    let threads = threads.unwrap_or(cores);
    if threads > cores {
        // More would only wait for each other, and cost many times the time.
        let (has, are) = if cores == 1 {
            ("1 core", "1 thread is")
        } else {
            (&*format!("{cores} cores"), &*format!("{cores} threads are"))
        };
        output::note(&format!("--threads {threads}: this machine has {has}, so {are} used"));
    }
    let threads = threads.min(cores);
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global().context("cannot start the threads")?;
    rayon::scope(|_| work())
}

/// Whether this is done in the pool that [`in_pool`] starts.
pub(crate) fn is_in_pool() -> bool {
    rayon::current_thread_index().is_some()
}

impl Common {
    pub(crate) fn in_pool<R: Send>(&self, work: impl FnOnce() -> Result<R> + Send) -> Result<R> {
        in_pool(self.threads, work)
    }

    /// What is kept of this command beside the runs that it trains.
    pub(crate) fn start() -> Start {
        let command = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned()).collect();
        Start::now(command, format!("takd {}", env!("CARGO_PKG_VERSION")))
    }

    pub(crate) fn retry(&self) -> Retry {
        if self.retry { Retry::Diverged } else { Retry::Never }
    }

    /// Says that one small seed is no number of seeds, for those who meant one.
    pub(crate) fn explain_single_seed(&self) {
        if let Some(Seeds(seeds)) = &self.asked.seeds
            && let &[seed] = seeds.as_slice()
            && (2..=10).contains(&seed)
            && !self.quiet
        {
            output::note(&format!("--seeds {seed} is one seed, the number {seed}; several are 1,2,3 or 1..3"));
        }
    }

    /// Refuses a folder of data if `command` would not look into it.
    pub(crate) fn no_data_dir(&self, command: &'static str, what: &str) -> Result<()> {
        let message = format!(
            "{what} trains on built-in images and reads no --data-dir; for a short run on your data use --epochs and --limit"
        );
        match self.place.data_dir {
            Some(_) => Err(WrongArgument::error(command, ErrorKind::ArgumentConflict, message)),
            None => Ok(()),
        }
    }
}

impl Asked {
    /// The settings that are asked for: a command's own flags, then these, then the file.
    pub(crate) fn settings(&self, own: &Settings) -> Result<Settings> {
        let flags = own.or(&self.flags());
        Ok(match &self.config {
            Some(file) => flags.or(&settings_file(file)?),
            None => flags,
        })
    }

    fn flags(&self) -> Settings {
        let training = TrainingChanges { augmentation: self.augmentation, ..TrainingChanges::default() };
        Settings {
            protocol: self.protocol,
            seeds: self.seeds.as_ref().map(|Seeds(seeds)| seeds.clone()),
            epochs: self.epochs.clone(),
            limit: self.limit,
            size: self.size,
            training: TrainingByFamily { plain: training.clone(), resnet: training.clone(), imagenet_resnet: training },
            ..Settings::default()
        }
    }
}

/// The settings in a file.
fn settings_file(path: &Path) -> Result<Settings> {
    let name = takd_store::printable_path(path).to_string();
    let text = text_file::read(path, "a file of settings", MAX_BYTES as u64)?;
    let text = text.with_context(|| format!("there is no file {name}; --print-config makes one"))?;
    Ok(Settings::parse(&text, &name)?)
}

impl Place {
    pub(crate) fn runs(&self) -> Result<Runs> {
        Ok(Runs::open(&self.out.join("runs"))?)
    }

    /// A data set, its card kept beside the runs.
    pub(crate) fn catalog_of(&self, data: &DatasetRef) -> Result<Catalog> {
        debug_assert!(is_in_pool());
        Ok(Catalog::new(self.sources().with(data)?, self.out.join("cards")))
    }

    /// The data sets of experiments, their cards kept beside the runs.
    pub(crate) fn catalog(&self, experiments: &[Experiment]) -> Result<Catalog> {
        let drawn = experiments.first().map(|experiment| experiment.drawn).unwrap_or_default();
        let sources = Sources { drawn, ..self.sources() };
        let sources = experiments.iter().try_fold(sources, |sources, experiment| experiment.sources(sources))?;
        Ok(Catalog::new(sources, self.out.join("cards")))
    }

    fn sources(&self) -> Sources {
        let (folder, offline, skip_bad) = (self.data_dir.clone(), self.offline, self.skip_bad);
        let memory = self.image_memory.map(|mib| (mib as u64).saturating_mul(1 << 20));
        Sources { folder, offline, memory, skip_bad, ..Sources::default() }
    }
}

impl Printed {
    pub(crate) fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }
}

//! What `takd distill` and `takd train` have in common: paths that stand on the command line are trained on one data set.

use crate::common::{Common, Searched};
use crate::exit::WrongArgument;
use crate::{experiment, values};
use anyhow::Result;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use takd_datasets::DatasetRef;
use takd_distill::DeviceType;
use takd_grid::recipe::Settings;
use takd_grid::{DistillationPath, Experiment, FromElsewhere};
use takd_models::ModelName;

/// What is trained on.
#[derive(clap::Args)]
pub(crate) struct Images {
    /// What all of them are trained on: cifar10, cifar100, mnist, fashion-mnist, shapes10, shapes100, or the file or folder of your own
    /// images, such as one with a folder for each class
    #[arg(long, default_value = "cifar10", value_name = "NAME|PATH")]
    pub data: DatasetRef,
    /// If images are augmented, draw so many forms of each once and see them in turn, so that a teacher's logits can be kept
    /// [default: fresh ones in every epoch, and the teacher at work in every step]
    #[arg(long, value_name = "FORMS", value_parser = values::count, allow_negative_numbers = true)]
    pub replays: Option<usize>,
}

/// Paths, and how they are trained.
pub(crate) struct Paths<'a> {
    /// The command that names them.
    pub command: &'static str,
    pub paths: Vec<DistillationPath>,
    pub images: &'a Images,
    /// The settings of the command's own flags.
    pub settings: Settings,
    /// Networks that begin them and were trained elsewhere.
    pub from_elsewhere: BTreeMap<ModelName, FromElsewhere>,
    pub searched: &'a Searched,
    pub common: &'a Common,
}

/// The names of all networks.
pub(crate) fn networks() -> String {
    ModelName::all().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

impl Paths<'_> {
    /// Trains what is not trained yet, or does what else the flags ask for.
    pub(crate) fn train(self, screen: &MultiProgress) -> Result<()> {
        let Self { command, paths, images: Images { data, replays }, settings, from_elsewhere, searched, common } =
            self;
        if data.name.is_drawn() {
            common.no_data_dir(command, &format!("--data {data}"))?;
        }
        let own = Settings { replays: replays.and_then(NonZeroUsize::new), ..settings };
        let mut settings = common.asked.settings(&own)?;
        if paths.iter().all(|path| path.steps() == 0) {
            // They would be refused as lists of another length than the paths, and searched ones as given.
            (settings.lambda, settings.temperature) = (None, None);
        }
        let search = searched.settings();
        // Checked here, so that a list of the wrong length is refused as an argument.
        Experiment::of_paths(paths.clone(), data, &settings, search.as_ref(), DeviceType::Cpu)
            .map_err(|error| WrongArgument::error(command, ErrorKind::WrongNumberOfValues, error))?;
        experiment::run(common, screen, |device| {
            let mut experiment = Experiment::of_paths(paths, data, &settings, search.as_ref(), device)?;
            for cell in &mut experiment.cells {
                cell.from_elsewhere.extend(from_elsewhere.clone());
            }
            Ok(vec![experiment])
        })
    }
}

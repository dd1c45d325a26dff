//! Which runs of a folder are meant.

use super::summary::{State, Summary};
use crate::values;
use takd_distill::Protocol;
use takd_grid::path::DistillationPath;
use takd_models::ModelSpec;
use takd_store::Tag;

/// Which runs are meant: those that all of these flags fit.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// Only runs whose path holds this network, such as plane4
    #[arg(long, value_name = "NETWORK")]
    network: Option<ModelSpec>,
    /// Only runs along this whole path, such as 'plane10 -> plane4 -> plane2'
    #[arg(long, value_name = "PATH")]
    path: Option<DistillationPath>,
    /// Only runs on this data set
    #[arg(long, value_name = "DATASET")]
    data: Option<String>,
    /// Only runs of this seed
    #[arg(long, value_parser = values::seed, allow_negative_numbers = true)]
    seed: Option<u64>,
    /// Only runs that were taught with this λ
    #[arg(long, value_name = "λ", value_parser = values::one_lambda, allow_negative_numbers = true)]
    lambda: Option<f64>,
    /// Only runs that were taught with this τ
    #[arg(long, value_name = "τ", value_parser = values::one_temperature, allow_negative_numbers = true)]
    temperature: Option<f64>,
    /// Only runs that were trained as this protocol has it
    #[arg(long, value_name = "code|paper|sound")]
    protocol: Option<Protocol>,
    /// Only runs of so many epochs
    #[arg(long, value_parser = values::epochs_of_a_run, allow_negative_numbers = true)]
    epochs: Option<usize>,
    /// Only runs in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// Only runs with this tag; with all of them, if it is given several times
    #[arg(long)]
    tag: Vec<Tag>,
}

impl Filter {
    pub(super) fn fits(&self, run: &Summary) -> bool {
        let on_path = |network: &ModelSpec| {
            let network = network.to_string();
            run.path.as_ref().is_some_and(|path| path.split([' ', '→', '+']).any(|name| name == network))
        };
        self.network.as_ref().is_none_or(on_path)
            && self.path.as_ref().is_none_or(|path| run.path.as_ref() == Some(&path.to_string()))
            && self.data.as_ref().is_none_or(|dataset| run.dataset.as_ref() == Some(dataset))
            && self.seed.is_none_or(|seed| run.seed == Some(seed))
            && self.lambda.is_none_or(|lambda| run.lambda == Some(lambda))
            && self.temperature.is_none_or(|temperature| run.temperature == Some(temperature))
            && self.protocol.is_none_or(|protocol| run.protocol == Some(protocol.as_str()))
            && self.epochs.is_none_or(|epochs| run.epochs == Some(epochs))
            && self.state.is_none_or(|state| run.state == state)
            && self.tag.iter().all(|tag| run.tags.contains(tag))
    }
}

//! `takd train`.

use crate::common::{Common, Searched};
use crate::exit::WrongArgument;
use crate::paths::{Images, Paths, networks};
use anyhow::Result;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use std::collections::BTreeMap;
use takd_grid::DistillationPath;
use takd_grid::recipe::Settings;
use takd_models::{ModelName, UnknownModel};

/// Train networks, each alone, and print how each does.
///
/// Nobody teaches them. They are the runs that begin paths of `takd distill` and of recipes: what is finished in --out is not
/// trained again, whichever command trained it, and a run that was broken off goes on from where it was. Several of these commands
/// may work in one --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(after_help = format!(
    "\
Examples:
  takd train plane10
      on CIFAR-10, as the protocol says
  takd train resnet8 resnet14 resnet20 --data my-photos --size 64 --epochs 30
      three networks, each alone, on your own photographs
  takd train plane2 --data shapes10 --print-config > settings.toml
      all settings that it would have, to change some; then --config settings.toml

Networks: {}.

Exit status: 0 if every network is trained, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.",
    networks()
))]
pub(crate) struct Args {
    /// The networks, each trained alone
    #[arg(required = true, value_name = "NETWORK")]
    networks: Vec<String>,
    #[command(flatten)]
    images: Images,
    #[command(flatten)]
    searched: Searched,
    #[command(flatten)]
    pub common: Common,
}

/// The networks as paths of one stage, each once.
fn alone(words: &[String]) -> Result<Vec<DistillationPath>> {
    // The shell may have taken the > of an arrow.
    let is_path = |word: &&String| word.contains(['>', '→', '+', '?', '{']) || word.ends_with('-');
    if words.iter().any(|word| is_path(&word)) {
        let path = words.join(" ");
        let message =
            format!("`{path}` is a path, and these networks are trained alone; `takd distill` has one teach the other");
        return Err(WrongArgument::error("train", ErrorKind::ValueValidation, message));
    }
    let mut paths: Vec<DistillationPath> = Vec::new();
    for word in words {
        let unknown = |unknown: UnknownModel| WrongArgument::error("train", ErrorKind::ValueValidation, unknown);
        let network: ModelName = word.parse().map_err(unknown)?;
        let path = DistillationPath::from(network);
        if !paths.contains(&path) {
            paths.push(path);
        }
    }
    Ok(paths)
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    Paths {
        command: "train",
        paths: alone(&args.networks)?,
        images: &args.images,
        settings: Settings::default(),
        from_elsewhere: BTreeMap::new(),
        searched: &args.searched,
        common: &args.common,
    }
    .train(screen)
}

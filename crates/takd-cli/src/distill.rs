//! `takd distill`.

use crate::common::{Common, Searched};
use crate::elsewhere::Expects;
use crate::exit::WrongArgument;
use crate::found::{self, Reach};
use crate::paths::{Images, Paths, networks};
use crate::{output, values};
use anyhow::{Result, ensure};
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use std::collections::BTreeMap;
use std::path::Path;
use takd_grid::DistillationPath;
use takd_grid::FromElsewhere;
use takd_grid::path::{PathError, PathProblem};
use takd_grid::recipe::{PerStep, Settings};
use takd_models::ModelName;

/// Train networks one after the other, each taught by the one before it, and print how each does.
///
/// The path may have any length. A run that is finished in --out, also as a part of another path, is not trained again; a
/// run that was broken off, by Ctrl-C or by anything else, goes on from where it was. Several of these commands may work in one
/// --out at the same time: they share the runs among them.
#[derive(clap::Args)]
#[command(after_help = format!(
    "\
Examples:
  takd distill plane10 plane4 plane2
      plane10 alone, then plane4 taught by it, then plane2 taught by plane4, on CIFAR-10
  takd distill 'plane10->plane4->plane2'
      the same; quotes keep the shell from taking > for a redirection
  takd distill plane10+resnet20 plane2
      plane2 taught by two networks together
  takd distill plane10 plane4 plane2 --lambda 0.3,0.7 --temperature 4
      plane4 taught with λ = 0.3, plane2 with λ = 0.7, both at τ = 4
  takd distill plane10 plane2 --search --trials 20
      λ and τ found by 20 trials, and plane2 trained afresh with the best
  takd distill plane2 --data shapes10 --epochs 5
      one network alone, on images drawn by code: seconds, nothing to download
  takd distill plane10 plane2 --protocol paper --print-config > settings.toml
      all settings in force, to change some; then --config settings.toml
  takd distill logits.safetensors resnet8 --augmentation none
      resnet8 taught by the logits of a teacher that is not known otherwise, as `takd logits` writes them
  takd distill resnet20 resnet8 --data my-photos --size 64
      on your own photographs, my-photos/cats/*.jpg, my-photos/dogs/*.jpg, …, scaled to 64x64

Networks: {}.
A plain CNN (plane2, …) is as wide as the paper's for CIFAR-10 if there are at most 10 classes, else as its one for CIFAR-100;
plane2-narrow and plane2-wide name one of the two.

Exit status: 0 if every network is trained, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.",
    networks()
))]
pub(crate) struct Args {
    /// The networks, the first alone, each other one taught by the one before it; the first may be a file with one that was trained
    /// elsewhere, such as resnet56.pth, or with its logits, the folder of a model, or a model of the hub, such as timm/resnet50.a1_in1k
    /// (see `takd import`)
    #[arg(required = true, value_name = "PATH")]
    path: Vec<String>,
    #[command(flatten)]
    images: Images,
    /// λ: the teacher's share of the loss, from 0 to 1; one for all steps of the path, or one for each with commas between
    /// [default: 0.5]
    #[arg(long, value_parser = values::lambda, value_name = "λ,…", allow_negative_numbers = true)]
    lambda: Option<PerStep>,
    /// τ: what the logits are divided by, above 0; one for all steps of the path, or one for each with commas between
    /// [default: 5]
    #[arg(long, value_parser = values::temperature, value_name = "τ,…", allow_negative_numbers = true)]
    temperature: Option<PerStep>,
    #[command(flatten)]
    expects: Expects,
    #[command(flatten)]
    searched: Searched,
    #[command(flatten)]
    pub common: Common,
}

/// What the program puts in place of an argument `->`, which would look like a flag.
pub(crate) const ARROW: &str = "→";

/// Whether the first word of a path is a file with a network, or a model of the hub.
fn is_file(word: &str) -> bool {
    const ENDINGS: [&str; 6] = [".pth", ".pt", ".th", ".tar", ".bin", ".safetensors"];
    let is_called_so = word.contains(['/', '\\']) || ENDINGS.iter().any(|ending| word.ends_with(ending));
    let is_there = Path::new(word).is_file() || Path::new(word).join("config.json").is_file();
    word.parse::<ModelName>().is_err() && (is_called_so || is_there)
}

/// Reads the files among those that teach together in the first word of a path, and puts the names of their networks in their places.
fn read_files(first: &mut String, args: &Args, screen: &MultiProgress) -> Result<BTreeMap<ModelName, FromElsewhere>> {
    let reach = Reach { offline: args.common.place.offline, quiet: args.common.quiet, screen };
    let mut files = BTreeMap::new();
    // A file may have a plus in its name.
    let are_several = first.contains('+') && !Path::new(first.as_str()).exists();
    let mut names: Vec<String> =
        if are_several { first.split('+').map(|name| name.trim().to_owned()).collect() } else { vec![first.clone()] };
    for name in names.iter_mut().filter(|name| is_file(name)) {
        let file = args.expects.read(&found::find(Path::new(name), &reach)?)?;
        let network = file.network();
        ensure!(!files.contains_key(&network), "{first}: two files of {network} cannot teach in one path");
        *name = network.to_string();
        files.insert(network, file);
    }
    if !files.is_empty() {
        *first = names.join(" + ");
    }
    Ok(files)
}

/// The error; if it looks as if the shell took the `>` of an arrow, with what helps against that.
fn with_hint_on_quotes(error: &PathError, words: &[String]) -> String {
    let half_arrow = error.problem == PathProblem::HalfArrow || words.iter().any(|word| word.ends_with('-'));
    if !half_arrow {
        return error.to_string();
    }
    format!(
        "{error}\n\nA shell takes a > that stands outside of quotes for the name of a file to write into. Write the path in \
         quotes, as in 'plane10->plane2', or as words: plane10 plane2"
    )
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    // An arrow may be a word of its own.
    let mut words: Vec<String> = args.path.iter().filter(|word| *word != ARROW).cloned().collect();
    let from_elsewhere = match words.first_mut() {
        Some(first) => read_files(first, args, screen)?,
        None => BTreeMap::new(),
    };
    if from_elsewhere.is_empty() && args.expects.says_something() {
        let message = "--mean, --std and --order are what a network from a file expects, and the path begins with none";
        return Err(WrongArgument::error("distill", ErrorKind::ArgumentConflict, message));
    }
    let path = words.join(" -> ").parse();
    let path: DistillationPath = path.map_err(|error| {
        WrongArgument::error("distill", ErrorKind::ValueValidation, with_hint_on_quotes(&error, &args.path))
    })?;
    if path.steps() == 0 && (args.lambda.is_some() || args.temperature.is_some()) {
        output::note(&format!("--lambda and --temperature change nothing: {path} has no teacher"));
    }
    let (lambda, temperature) = (args.lambda.clone(), args.temperature.clone());
    Paths {
        command: "distill",
        paths: vec![path],
        images: &args.images,
        settings: Settings { lambda, temperature, ..Settings::default() },
        from_elsewhere,
        searched: &args.searched,
        common: &args.common,
    }
    .train(screen)
}

//! `takd shrink`.

mod best;
mod deploy;
mod kept;
mod summary;

use crate::common::{Common, Format};
use crate::dry_run::Paces;
use crate::elsewhere::Expects;
use crate::exit::WrongArgument;
use crate::found::{self, Reach};
use crate::progress::loading;
use crate::{experiment, output, values};
use anyhow::{Context, Result};
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use std::path::{Path, PathBuf};
use std::time::Duration;
use takd_datasets::{Card, DatasetRef};
use takd_distill::DeviceType;
use takd_grid::recipe::{Recipe, Settings};
use takd_grid::shrink::{Shrink, ShrinkError, ShrinkTeacher, shrink};
use takd_grid::{Changes, Experiment};
use takd_models::ModelName;

/// Get a small network for your images: choose teacher and assistants, train within a budget, keep the best student, ready to deploy.
///
/// The networks are measured here for a moment. By that the largest teacher is chosen that the budget allows enough training with,
/// assistants between it and the student, and the number of epochs. The student is then trained alone, taught by the teacher, and by
/// way of each assistant; the one that does best on images held out of the training is exported as a folder with weights, ONNX and
/// PyTorch. The test images are looked at once, at the end. The plan is a recipe: it is kept in --out, so that the same command goes on
/// with it after an interruption, and can be edited.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd shrink --data my-photos --student resnet8 --size 64 --budget 2h
      on your own photographs, my-photos/cats/*.jpg, my-photos/dogs/*.jpg, …
  takd shrink --data my-photos --student resnet8 --teacher resnet56.pth --to small
      taught by a network that was trained elsewhere on the same classes; the student goes into the folder small
  takd shrink --data my-photos --student resnet8 --print-recipe > mine.toml
      the plan as a recipe, to change it; `takd run mine.toml` trains it

Exit status: 0 if a student is exported, 1 on an error or if a run diverged, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// The images: the file or folder of your own, such as one with a folder for each class, or a known name
    #[arg(long, value_name = "NAME|PATH")]
    data: DatasetRef,
    /// The small network; `takd models` lists them all with parameters and speed
    #[arg(long, value_name = "NETWORK")]
    student: ModelName,
    /// Who teaches: a network, which is trained first, or a file, a model folder or a model of the hub with one that was trained elsewhere
    /// [default: the largest of the student's family that the budget allows enough training with]
    #[arg(long, value_name = "NETWORK|FILE|DIR|USER/NAME")]
    teacher: Option<String>,
    /// What all training together may take here, one run after the other
    #[arg(long, value_name = "TIME", value_parser = values::budget, default_value = "2h")]
    budget: Duration,
    /// The folder that is made of the best student [default: in the folder `models` of --out]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Print the recipe that would be trained, and train nothing
    #[arg(long)]
    print_recipe: bool,
    #[command(flatten)]
    expects: Expects,
    #[command(flatten)]
    pub common: Common,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let Args { data, common, .. } = args;
    let wrong = |error: &dyn std::fmt::Display| WrongArgument::error("shrink", ErrorKind::ValueValidation, error);
    if !matches!(common.printed.format(), Format::Text | Format::Json) && !common.dry_run {
        return Err(wrong(&"what came of it is printed as text or json; the table of all runs is kept in --out"));
    }
    if data.name.is_drawn() {
        common.no_data_dir("shrink", &format!("--data {data}"))?;
    }
    let settings = common.asked.settings(&Settings::default())?;
    let sized = settings.size.map_or_else(|| data.clone(), |size| data.scaled(size));
    let catalog = common.place.catalog_of(&sized)?;
    let card = loading(common.quiet, screen, |progress| catalog.card(&sized.name, progress))?;
    let to = deploy::folder(args, &card)?;
    let wanted = Shrink {
        student: args.student,
        teacher: teacher(args, screen)?,
        data,
        settings: &settings,
        budget: args.budget,
        device: DeviceType::of(&common.place.device.open()?),
    };
    let (file, text) = recipe(args, &wanted, &card)?;
    if args.print_recipe {
        return output::print(text.trim_end());
    }
    let recipe = Recipe::parse(&text, &file.display().to_string())?;
    let mut deployed = None;
    let experiments = |device| Ok(vec![Experiment::new(&recipe, &Changes::default(), device)?]);
    let trained = experiment::train_all(common, screen, experiments, |report, place| {
        deployed = Some(deploy::deploy(args, &to, report, place, screen)?);
        Ok(())
    })?;
    let Some((trained, deployed)) = trained.zip(deployed) else { return Ok(()) };
    if common.printed.format() == Format::Json {
        output::print_json(&deployed)?;
    } else {
        trained.print(common)?;
        output::print(&format!("\n{}", summary::text(&deployed)))?;
    }
    trained.check_complete()
}

fn teacher(args: &Args, screen: &MultiProgress) -> Result<ShrinkTeacher> {
    let common = &args.common;
    let says = args.expects.says_something();
    match args.teacher.as_deref() {
        None | Some("") if says => {}
        None | Some("") => return Ok(ShrinkTeacher::Largest),
        Some(name) => match name.parse::<ModelName>() {
            Ok(_) if says => {}
            Ok(name) => return Ok(ShrinkTeacher::Named(name)),
            Err(unknown) if !name.contains('/') && !Path::new(name).exists() => {
                let message = format!("{unknown}; and there is no file or folder {name}");
                return Err(WrongArgument::error("shrink", ErrorKind::ValueValidation, message));
            }
            Err(_) => {
                let reach = Reach { offline: common.place.offline, quiet: common.quiet, screen };
                let found = args.expects.read(&found::find(Path::new(name), &reach)?)?;
                let outputs = if found.order.is_empty() { found.outputs } else { found.order.len() };
                return Ok(ShrinkTeacher::Elsewhere(found.model.name(outputs), Box::new(found)));
            }
        },
    }
    let message = "--mean, --std and --order are what a teacher from a file expects, and --teacher names none";
    Err(WrongArgument::error("shrink", ErrorKind::ArgumentConflict, message))
}

/// The recipe's file and text: as it was made before, or made now.
fn recipe(args: &Args, wanted: &Shrink<'_>, card: &Card) -> Result<(PathBuf, String)> {
    let common = &args.common;
    let file = kept::file(&common.place.out, wanted, card);
    let say = |line: &str| {
        if !common.quiet {
            output::note(line);
        }
    };
    if let Some(text) = kept::read(&file)? {
        say(&format!("goes by {}, which was made before; delete it to have it made anew", file.display()));
        return Ok((file, text));
    }
    say("measuring how fast the networks are here …");
    let compute = common.place.device.open()?;
    let mut paces = Paces::new(&compute);
    let chosen = shrink(wanted, card, &mut |of| paces.of(of)).map_err(|error| match error {
        ShrinkError::Run(error) => error.into(),
        error => WrongArgument::error("shrink", ErrorKind::ValueValidation, error),
    })?;
    takd_store::make_folder(file.parent().context("the recipe has a folder")?)?;
    takd_store::write_file(&file, chosen.recipe.as_bytes())?;
    say(&format!(
        "teacher {}, assistants {}, {}: about {}; the recipe is {}",
        chosen.teacher,
        match chosen.assistants.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        },
        chosen.epochs.map_or("epochs as given".to_owned(), |epochs| format!("{epochs} epochs")),
        humantime::format_duration(Duration::from_secs(chosen.takes.as_secs() + 1)),
        file.display()
    ));
    if !chosen.enough {
        output::note(
            "these are few epochs for so many images: a longer --budget, a smaller --teacher or a smaller --size would give a \
             better student",
        );
    }
    Ok((file, chosen.recipe))
}

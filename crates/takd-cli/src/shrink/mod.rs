//! `takd shrink`.

mod deploy;
mod kept;
mod summary;

use crate::common::{Common, Format};
use crate::dry_run::Paces;
use crate::elsewhere::{Expects, find_models, note_on_scaling};
use crate::exit::WrongArgument;
use crate::found::{self, Reach};
use crate::progress::loading;
use crate::zoo::Form;
use crate::{experiment, output, values};
use anyhow::{Context, Result};
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use kept::Kept;
use std::path::{Path, PathBuf};
use std::time::Duration;
use takd_datasets::{Card, DatasetRef};
use takd_distill::DeviceType;
use takd_grid::recipe::{Recipe, Settings};
use takd_grid::shrink::{Shrink, ShrinkError, ShrinkTeacher, check, shrink};
use takd_grid::{Changes, Experiment, FromElsewhere};
use takd_models::ModelName;
use takd_zoo::check_place;

/// Get a small network for your images: choose teacher and assistants, train within a budget, keep the best student, ready to deploy.
///
/// The networks are measured here for a moment. By that the largest teacher is chosen that the budget allows enough training with,
/// assistants between it and the student, and the number of epochs. Plain CNNs are trained on photographs as ResNets are, cropped and
/// flipped, unless --protocol or --augmentation says otherwise. The student is then trained alone, taught by the teacher, and by
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
  takd shrink --data my-photos --student resnet8 --precision int8 --budget 8h
      overnight; its weights in a byte each, and what that costs in accuracy
  takd shrink --data my-photos --student resnet8 --print-recipe > mine.toml
      the plan as a recipe, to change it; `takd run mine.toml` trains it, and `takd export RUN DIR` exports what it lists

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
    /// The folder that is made of the best student [default: one in the folder `models` of --out]
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
    /// Put the student in the place of another model that is in that folder; the same student in another form takes its place anyway
    #[arg(long)]
    replace: bool,
    /// Print the recipe, which is kept in --out, and train nothing
    #[arg(long)]
    print_recipe: bool,
    #[command(flatten)]
    form: Form,
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
    deploy::check_teacher(args.teacher.as_ref(), args.to.as_ref())?;
    let settings = common.asked.settings(&Settings::default())?;
    // The recipe is used from any folder.
    let absolute = |place: &PathBuf| place.canonicalize().unwrap_or_else(|_| place.clone());
    let data = &DatasetRef { name: data.name.clone(), place: data.place.as_ref().map(absolute) };
    let sized = settings.size.map_or_else(|| data.clone(), |size| data.scaled(size));
    let catalog = common.place.catalog_of(&sized)?;
    let card = loading(common.quiet, screen, |progress| catalog.card(&sized.name, progress))?;
    let wanted = Shrink {
        student: args.student,
        teacher: teacher(args, screen)?,
        data,
        settings: &settings,
        budget: args.budget,
        device: DeviceType::of(&common.place.device.open()?),
    };
    // The recipe says it in numbers, so that nobody asks afterwards.
    if let ShrinkTeacher::Elsewhere(_, found) = &wanted.teacher
        && !common.quiet
    {
        note_on_scaling(found, &card);
    }
    let kept = Kept::of(&wanted, &card, &common.place.out);
    let text = recipe(args, &wanted, &card, &kept)?;
    if args.print_recipe {
        return output::print(text.trim_end());
    }
    let file = kept.file.display();
    let recipe = Recipe::parse(&text, &file.to_string())?;
    let mut experiments = vec![Experiment::new(&recipe, &Changes::default(), wanted.device)?];
    find_models(&mut experiments, &reach(common, screen))?;
    check(&experiments[0], args.student, &card)
        .with_context(|| format!("{file} is no recipe to choose a student by; delete it to have it made anew"))?;
    let to = args.to.clone().unwrap_or_else(|| common.place.out.join("models").join(&kept.name));
    let existing = deploy::existing(args, &to, &experiments[0], &card)?;
    check_place(&to, existing).with_context(|| {
        let remedy = if args.replace { "" } else { ", or --replace the model that is there" };
        format!("the student cannot go into {}: name another folder with --to{remedy}", to.display())
    })?;
    let trained = experiment::train_all(common, screen, |_| Ok(experiments), |_, _| Ok(()))?;
    let Some(trained) = trained else { return Ok(()) };
    let is_json = common.printed.format() == Format::Json;
    if !is_json {
        trained.print(common)?;
    }
    let deployed = deploy::deploy(args, &to, existing, &trained, screen)?;
    if is_json {
        output::print_json(&deployed)?;
    } else {
        output::print(&format!("\n{}", summary::text(&deployed)))?;
    }
    trained.check_complete()
}

/// How far the search for a teacher may go.
fn reach<'a>(common: &Common, screen: &'a MultiProgress) -> Reach<'a> {
    Reach { offline: common.place.offline, quiet: common.quiet, screen }
}

fn teacher(args: &Args, screen: &MultiProgress) -> Result<ShrinkTeacher> {
    let common = &args.common;
    let says = args.expects.says_something();
    match args.teacher.as_deref() {
        None if says => {}
        None => return Ok(ShrinkTeacher::Largest),
        Some("") => {
            let message = "--teacher names no network";
            return Err(WrongArgument::error("shrink", ErrorKind::ValueValidation, message));
        }
        Some(name) => match name.parse::<ModelName>() {
            Ok(_) if says => {}
            Ok(name) => return Ok(ShrinkTeacher::Named(name)),
            Err(unknown) if !name.contains('/') && !Path::new(name).exists() => {
                let message = format!("{unknown}; and there is no file or folder {name}");
                return Err(WrongArgument::error("shrink", ErrorKind::ValueValidation, message));
            }
            Err(_) => {
                let found = args.expects.read(&found::find(Path::new(name), &reach(common, screen))?)?;
                // As the data, by a name that is the same in any folder; a model of the hub has one.
                let absolute = Path::new(name).canonicalize().ok().and_then(|_| found.path.canonicalize().ok());
                let found = match absolute {
                    Some(path) => FromElsewhere { name: path.display().to_string(), path, ..found },
                    None => found,
                };
                return Ok(ShrinkTeacher::Elsewhere(found.network_name(), Box::new(found)));
            }
        },
    }
    let message = "--mean, --std and --order are what a teacher from a file expects, and --teacher names none";
    Err(WrongArgument::error("shrink", ErrorKind::ArgumentConflict, message))
}

/// The recipe's text: as it was made before, or made now.
fn recipe(args: &Args, wanted: &Shrink<'_>, card: &Card, kept: &Kept) -> Result<String> {
    let common = &args.common;
    let file = kept.file.display();
    let say = |line: &str| {
        if !common.quiet {
            output::note(line);
        }
    };
    if let Some(text) = kept.read()? {
        say(&format!("goes by {file}, which was made before; delete it to have it made anew"));
        return Ok(text);
    }
    say("measuring how fast the networks are here …");
    let compute = common.place.device.open()?;
    let mut paces = Paces::new(&compute);
    let chosen = shrink(wanted, card, &mut |of| paces.of(of)).map_err(|error| match error {
        ShrinkError::Run(error) => error.into(),
        error => WrongArgument::error("shrink", ErrorKind::ValueValidation, error),
    })?;
    // Another process that was asked for the same may have measured too: all go by what the first one wrote.
    let text = kept.write(&chosen.recipe)?;
    if text != chosen.recipe {
        say(&format!("goes by {file}, which another process has just made"));
        return Ok(text);
    }
    let assistants = chosen.assistants.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    say(&format!(
        "teacher {}, assistants {}, {}: about {}; the recipe is {file}",
        chosen.teacher,
        if assistants.is_empty() { "none" } else { &assistants },
        match chosen.epochs {
            None => "epochs as given".to_owned(),
            Some(1) => "1 epoch".to_owned(),
            Some(epochs) => format!("{epochs} epochs"),
        },
        humantime::format_duration(Duration::from_secs(chosen.takes.as_secs() + 1)),
    ));
    if !chosen.enough {
        output::note("these are few epochs for so many images: a longer --budget would give a better student");
    }
    Ok(text)
}

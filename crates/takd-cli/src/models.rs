//! `takd models`: the networks that there are, and what each takes.

use crate::common::in_pool;
use crate::device::DeviceKind;
use crate::dry_run::BUDGET;
use crate::exit::WrongArgument;
use crate::list_format::PrintedList;
use crate::output::List;
use crate::{progress, values};
use anyhow::Result;
use clap::error::ErrorKind;
use indicatif::MultiProgress;
use serde::Serialize;
use takd_distill::{Pace, PaceOf, Protocol, measure};
use takd_models::{Family, ModelName, Width};

/// List the networks that takd knows: parameters, multiply-adds, memory, and how fast each is here.
///
/// Without --measure nothing is computed. With it each network is trained and evaluated for a moment on blank images, as --dry-run
/// of the commands that train does, so that both say the same.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd models
      all of them, for the images and classes that each is usual for
  takd models plane10 plane4 plane2 --classes 100 --measure
      three of them as they are for CIFAR-100, and images a second here
  takd models resnet20 --size 64 --json | jq '.[].multiply_adds'

Exit status: 0; 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// Networks [default: all that take images of this size]
    #[arg(value_name = "NETWORK")]
    networks: Vec<ModelName>,
    /// Classes that they tell apart [default: 10; 1000 for those for ImageNet]
    #[arg(long, value_parser = values::classes, allow_negative_numbers = true)]
    classes: Option<usize>,
    /// Rows and columns of their images [default: 32; 224 for those for ImageNet]
    #[arg(long, value_name = "PIXELS", value_parser = values::side, allow_negative_numbers = true)]
    size: Option<usize>,
    /// Measure how many images a second each trains on and evaluates here: a second or more for each
    #[arg(long)]
    measure: bool,
    /// What to measure on
    #[arg(long, value_name = "auto|cpu|cuda|cuda-tf32|metal", default_value = "auto", requires = "measure")]
    device: DeviceKind,
    /// Processor threads to measure with [default: one a core]
    #[arg(long, value_parser = values::count, allow_negative_numbers = true, requires = "measure")]
    threads: Option<usize>,
    #[command(flatten)]
    printed: PrintedList,
}

/// A network, for so many classes and images of that size.
#[derive(Clone, Debug, Serialize)]
struct Model {
    name: String,
    family: &'static str,
    /// Of a plain CNN.
    width: Option<String>,
    classes: usize,
    /// Rows and columns of an image.
    size: usize,
    /// Trained values.
    parameters: usize,
    /// Of the forward pass of an image.
    multiply_adds: u64,
    weight_bytes: usize,
    /// What a training step keeps of an image for its backward pass.
    activation_bytes: usize,
    /// Images a second, if that was measured.
    train_images_per_s: Option<f64>,
    evaluation_images_per_s: Option<f64>,
}

/// Bytes of an f32.
const BYTES: usize = 4;

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let wanted = wanted(args)?;
    let mut models: Vec<Model> = wanted.iter().map(|&of| model(of)).collect();
    if args.measure {
        let compute = args.device.open()?;
        let measured = in_pool(args.threads, || {
            let measured = progress::each(&wanted, "measuring", screen, |of| measure(pace_of(*of), &compute, BUDGET));
            Ok(measured.into_iter().collect::<Result<Vec<Pace>, _>>()?)
        })?;
        for (model, pace) in models.iter_mut().zip(measured) {
            model.train_images_per_s = Some(1.0 / pace.train_s);
            model.evaluation_images_per_s = Some(1.0 / pace.forward_s);
        }
    }
    args.printed.print(&models, models.iter(), &list(&models, args.measure), &legend(args))
}

/// A network as it is asked for.
#[derive(Clone, Copy)]
struct Wanted {
    name: ModelName,
    classes: usize,
    side: usize,
}

fn wanted(args: &Args) -> Result<Vec<Wanted>> {
    let all = |name: ModelName| {
        let (usual_classes, usual_side) = match name.family() {
            Family::Plain | Family::Resnet | Family::Logits => (10, 32),
            Family::ImagenetResnet => (1000, 224),
        };
        Wanted { name, classes: args.classes.unwrap_or(usual_classes), side: args.size.unwrap_or(usual_side) }
    };
    let takes = |wanted: &Wanted| wanted.name.spec(wanted.classes).takes(wanted.side);
    if args.networks.is_empty() {
        return Ok(ModelName::all().map(all).filter(takes).collect());
    }
    if args.networks.contains(&ModelName::LOGITS) {
        let message = "`logits` is a teacher that is known by a file of its logits, and no network";
        return Err(WrongArgument::error("models", ErrorKind::ValueValidation, message));
    }
    let named: Vec<Wanted> = args.networks.iter().copied().map(all).collect();
    match named.iter().find(|wanted| !takes(wanted)) {
        Some(Wanted { name, side, .. }) => {
            let which = sizes(name.family());
            let message = format!("{name} does not take images of {side}x{side}: it takes {which}");
            Err(WrongArgument::error("models", ErrorKind::ValueValidation, message))
        }
        None => Ok(named),
    }
}

/// Which images networks of a family take.
fn sizes(family: Family) -> &'static str {
    match family {
        Family::Plain => "32x32 alone",
        Family::Resnet => "8x8 and larger",
        Family::ImagenetResnet => "32x32 and larger",
        Family::Logits => "none",
    }
}

fn model(Wanted { name, classes, side }: Wanted) -> Model {
    let spec = name.spec(classes);
    let family = match name.family() {
        Family::Plain => "plain",
        Family::Resnet => "resnet",
        Family::ImagenetResnet => "imagenet-resnet",
        Family::Logits => "logits",
    };
    let parameters = spec.parameter_count(classes);
    Model {
        name: name.to_string(),
        family,
        width: spec.width().map(|width: Width| width.to_string()),
        classes,
        size: side,
        parameters,
        multiply_adds: spec.multiply_adds(classes, side),
        weight_bytes: BYTES * parameters,
        activation_bytes: BYTES * spec.activation_count(classes, side),
        train_images_per_s: None,
        evaluation_images_per_s: None,
    }
}

/// In batches as it is trained with.
fn pace_of(Wanted { name, classes, side }: Wanted) -> PaceOf {
    let batch_size = Protocol::Sound.training(name.family(), 1).batch_size;
    PaceOf { model: name.spec(classes), classes, side, batch_size }
}

fn list(models: &[Model], measured: bool) -> List {
    let mut header = vec!["network", "width", "classes", "size", "parameters", "MMAC", "weights", "activations"];
    if measured {
        header.extend(["train/s", "evaluate/s"]);
    }
    let row = |model: &Model| {
        let bytes = |bytes: usize| indicatif::BinaryBytes(bytes as u64).to_string();
        let mut row = vec![
            model.name.clone(),
            model.width.clone().unwrap_or_else(|| "–".into()),
            model.classes.to_string(),
            format!("{0}x{0}", model.size),
            model.parameters.to_string(),
            format!("{:.2}", model.multiply_adds as f64 / 1e6),
            bytes(model.weight_bytes),
            bytes(model.activation_bytes),
        ];
        let paces = [model.train_images_per_s, model.evaluation_images_per_s];
        row.extend(
            paces
                .into_iter()
                .flatten()
                .map(|pace| if pace < 100.0 { format!("{pace:.1}") } else { format!("{pace:.0}") }),
        );
        row
    };
    List { header, rows: models.iter().map(row).collect(), dispensable: &["width", "classes", "weights", "size"] }
}

/// How to read the list.
fn legend(args: &Args) -> String {
    let measured = if args.measure {
        "\ntrain/s, evaluate/s: images a second here, by a short measurement of each network in batches as it is trained with."
    } else {
        ""
    };
    format!(
        "MMAC: 10⁶ multiply-adds of the forward pass of an image; FLOP are twice as many, and a training step takes about three \
         times those.\n\
         weights: in f32, as in a file; training takes three times as much, for gradients and momentum.\n\
         activations: what a training step keeps of each image of its batch for the backward pass.{measured}\n\
         Plain CNNs (plane…) take images of {}. They are narrow, as the paper's for CIFAR-10, up to 10 classes, and wide, as \
         its ones for CIFAR-100, above; plane10-narrow and plane10-wide name one of the two. ResNets take {}, those for \
         ImageNet {}.",
        sizes(Family::Plain),
        sizes(Family::Resnet),
        sizes(Family::ImagenetResnet),
    )
}

//! `takd import`.

use crate::common::{Common, Place};
use crate::elsewhere::{Expects, note_on_scaling};
use crate::experiment::stop_flag;
use crate::found::{self, Reach};
use crate::output;
use crate::progress::{loading, tested};
use anyhow::Result;
use indicatif::MultiProgress;
use serde::Serialize;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use takd_datasets::{DatasetRef, Normalization};
use takd_distill::{DeviceType, Error, Retry, Session, import};
use takd_grid::FromElsewhere;

/// Take in a network that was trained elsewhere, or a teacher's logits, and test it.
///
/// The file may be one of PyTorch (`.pth`, `.pth.tar`, `.th`), with epochs and optimisers beside the weights or not, or a
/// safetensors file; nothing in it is executed. A model of the hub is downloaded into the hub's cache. The network is recognised by the
/// names and shapes of its tensors. It becomes a run like any other, that can teach: give the same file, with the same --mean, --std and
/// --order, to `takd distill`.
///
/// A safetensors file with the tensors `train` and, if it has them, `test`, a row an image in the data's order and a column a class, holds
/// a teacher's logits. Its metadata have the data's `checksum`, as `takd logits` writes it and `takd data show` prints it, and may have
/// `class_names`, by which its columns are put in order.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  takd import resnet56.pth --data cifar10
      what it is, and its accuracy on the test images
  takd import resnet50.safetensors --data my-photos --size 224of256 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
      with the mean and deviation that it was trained with
  takd import timm/resnet50.a1_in1k --data my-imagenet --size 224of256
      a model of the hub, which says itself with which mean and deviation it was trained
  takd distill resnet56.pth resnet20 resnet8 --data cifar10
      have it teach
  takd import logits.safetensors --data cifar10
      the logits of a teacher that is not known otherwise: whether they are those of these images, and its accuracy

Exit status: 0 if all went well, 1 on an error, 2 on a wrong argument, 130 if stopped by Ctrl-C.")]
pub(crate) struct Args {
    /// The file, the folder of a model that `takd export` made, which says itself what it expects, or a model of the hub, as it is there
    /// now or at a commit, user/name@commit
    #[arg(value_name = "FILE|DIR|USER/NAME[@COMMIT]")]
    file: PathBuf,
    /// What it is tested on: a known name, or the file or folder of your own images
    #[arg(long, default_value = "cifar10", value_name = "NAME|PATH")]
    data: DatasetRef,
    /// Scale the images to so many rows and columns, as for `takd distill`
    #[arg(long, value_name = "PIXELS", allow_negative_numbers = true)]
    size: Option<takd_datasets::Fit>,
    #[command(flatten)]
    expects: Expects,
    #[command(flatten)]
    place: Place,
    /// What it is and how it does, as JSON
    #[arg(long)]
    json: bool,
    /// No progress
    #[arg(long)]
    quiet: bool,
}

/// What came in.
#[derive(Serialize)]
struct Imported<'a> {
    file: String,
    network: String,
    outputs: usize,
    origin: String,
    dataset: String,
    /// Of a network.
    mean: Option<[f32; 3]>,
    std: Option<[f32; 3]>,
    run: &'a str,
    test_accuracy: Option<f64>,
    test_top5_accuracy: Option<f64>,
    test_loss: Option<f64>,
    test_images: Option<usize>,
}

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let Args { file, expects, place, .. } = args;
    let reach = Reach { offline: place.offline, quiet: args.quiet, screen };
    let found = expects.read(&found::find(file, &reach)?)?;
    let data = args.size.map_or_else(|| args.data.clone(), |size| args.data.scaled(size));
    let compute = place.device.open()?;
    let catalog = place.catalog_of(&data)?;
    let stop = stop_flag()?;
    let go_on = || if stop.load(Ordering::Relaxed) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
    let loaded = loading(args.quiet, screen, |progress| catalog.load(&data.name, progress))?;
    if go_on().is_break() {
        return Err(Error::Stopped.into());
    }
    let config = found.config(&loaded.card, DeviceType::of(&compute))?;
    let opened = found.open()?;
    let session = Session { compute, start: Common::start(), retry: Retry::Never };
    let runs = place.runs()?;
    let result = import(&opened, &config, &loaded, &runs, &session, &mut |_| go_on())?;
    let FromElsewhere { model, outputs, .. } = &found;
    let Normalization { mean, std } = config.normalization(&loaded.card);
    let (run, test, origin) = (config.id(), result.test, opened.origin());
    let is_network = found.logits.is_none();
    if args.json {
        return output::print_json(&Imported {
            file: file.display().to_string(),
            network: model.to_string(),
            outputs: *outputs,
            origin: origin.to_string(),
            dataset: loaded.card.name.to_string(),
            mean: is_network.then_some(mean),
            std: is_network.then_some(std),
            run: run.as_str(),
            test_accuracy: test.map(|test| test.accuracy),
            test_top5_accuracy: test.map(|test| test.top5_accuracy),
            test_loss: test.map(|test| test.loss),
            test_images: test.map(|test| test.images),
        });
    }
    let tested = test.map_or_else(
        || tested(&result),
        |test| {
            format!(
                "test accuracy {:.2} %, top-5 {:.2} %, loss {:.4} on {} images",
                100.0 * test.accuracy,
                100.0 * test.top5_accuracy,
                test.loss,
                test.images
            )
        },
    );
    output::print(&format!(
        "{}: {model} with {outputs} outputs ({origin})\n{}: {tested}\nrun {run}",
        file.display(),
        loaded.card.name
    ))?;
    if !args.quiet {
        note_on_scaling(&found, &loaded.card);
    }
    Ok(())
}

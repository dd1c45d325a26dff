//! `takd data check`.

use super::Which;
use crate::output;
use crate::progress::loading;
use anyhow::{Result, bail};
use indicatif::MultiProgress;
use takd_datasets::{Checked, Copies};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    which: Which,
    /// Print what was found as JSON
    #[arg(long)]
    json: bool,
}

/// How many of a kind are listed.
const LISTED: usize = 20;

pub(crate) fn run(args: &Args, screen: &MultiProgress) -> Result<()> {
    let data = &args.which.data;
    let sources = args.which.places.sources().with(data)?;
    let checked = loading(false, screen, |progress| takd_datasets::check(&data.name, &sources, progress))?;
    if args.json {
        output::print_json(&checked)?;
    } else {
        output::print(&text(&checked))?;
    }
    if !checked.is_clean() {
        bail!("{data} has images that a training should not have; --skip-bad leaves out those that cannot be decoded");
    }
    Ok(())
}

fn text(checked: &Checked) -> String {
    let mut text = checked.place.clone();
    for split in &checked.splits {
        let sizes = split.sizes.map_or_else(String::new, |[(height, width), (h, w)]| {
            if (height, width) == (h, w) {
                format!(", {width}x{height}")
            } else {
                format!(", {width}x{height} to {w}x{h}")
            }
        });
        text += &format!("\n{}: {} images{sizes}", split.split, split.images);
        let classes = checked.class_names.iter().zip(&split.class_sizes);
        let mut classes: Vec<String> = classes.map(|(name, size)| format!("{name} {size}")).collect();
        let all = classes.len();
        classes.truncate(LISTED);
        let more = if all > LISTED { ", … (--json has all)" } else { "" };
        text += &format!("\n  {}{more}", classes.join(", "));
        text += &listed("cannot be decoded", &split.bad);
    }
    let places = |copies: &Copies| {
        let label = if copies.other_labels { " (with different labels)" } else { "" };
        format!("{}{label}", copies.places.join(" = "))
    };
    let (between, within): (Vec<&Copies>, Vec<&Copies>) =
        checked.copies.iter().partition(|copies| copies.between_splits);
    let of = |copies: &[&Copies]| copies.iter().map(|copies| places(copies)).collect::<Vec<_>>();
    text += &listed("are among the training and the test images", &of(&between));
    text += &listed("are more than once in a split", &of(&within));
    for note in &checked.notes {
        text += &format!("\nnote: {note}");
    }
    text
}

fn listed(what: &str, found: &[String]) -> String {
    if found.is_empty() {
        return String::new();
    }
    let mut text = format!("\n  {} {what}:", found.len());
    for one in &found[..found.len().min(LISTED)] {
        text += &format!("\n    {one}");
    }
    if found.len() > LISTED {
        text += "\n    … (--json has all)";
    }
    text
}

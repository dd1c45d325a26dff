//! `takd data list`.

use super::Places;
use crate::output::{self, List};
use anyhow::Result;
use serde::Serialize;
use takd_datasets::{Card, Known};

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    places: Places,
    /// Print the list as JSON
    #[arg(long)]
    json: bool,
}

/// A known data set.
#[derive(Serialize)]
pub(crate) struct Listed {
    name: &'static str,
    classes: usize,
    /// Whether its files are here.
    pub here: bool,
    /// What is known of it, if it was read before.
    pub card: Option<Card>,
}

/// The known data sets, and what is known of each here.
pub(crate) fn known(places: &Places) -> Vec<(Known, Result<Listed>)> {
    let sources = places.sources();
    let catalog = places.catalog(sources.clone());
    let listed = |known: Known| {
        let name = known.into();
        let card = catalog.kept_card(&name)?;
        let here = takd_datasets::is_here(&name, &sources)?;
        Ok(Listed { name: known.as_str(), classes: known.classes(), here, card })
    };
    Known::ALL.into_iter().map(|known| (known, listed(known))).collect()
}

pub(crate) fn run(args: &Args) -> Result<()> {
    let listed = known(&args.places).into_iter().map(|(_, listed)| listed).collect::<Result<Vec<_>>>()?;
    if args.json {
        return output::print_json(&listed);
    }
    let count = |count: Option<usize>| count.map_or_else(|| "–".to_owned(), |count| count.to_string());
    let row = |data: &Listed| {
        let here = match (data.here, &data.card) {
            (false, _) => format!("no; `takd data get {}`", data.name),
            (true, Some(card)) => card.origin.clone(),
            (true, None) => "yes, not read yet".to_owned(),
        };
        let card = data.card.as_ref();
        vec![
            data.name.to_owned(),
            data.classes.to_string(),
            count(card.map(|card| card.train)),
            count(card.map(|card| card.test)),
            here,
        ]
    };
    let rows = listed.iter().map(row).collect();
    let list = List { header: vec!["data", "classes", "train", "test", "here"], rows, dispensable: &["train", "test"] };
    output::print(&list.to_text())
}

//! The known data sets, and the caches that they are kept in.

use super::finding::Finding;
use crate::data::{Listed, Places, known};
use serde_json::json;
use std::path::Path;
use takd_datasets::{Card, Known};

pub(super) fn findings(places: &Places) -> Vec<Finding> {
    let mut findings = vec![caches(places)];
    let mut missing = Vec::new();
    for (known, listed) in known(places).into_iter().filter(|(known, _)| !known.is_drawn()) {
        match listed {
            Ok(Listed { here: true, card, .. }) => findings.push(here(known, card)),
            Ok(_) => missing.push(known.as_str()),
            Err(error) => findings.push(
                Finding::fine(known.as_str(), error.to_string(), json!({ "here": false }))
                    .wrong("move that file or folder away, or name another folder with --data-dir"),
            ),
        }
    }
    findings.extend((!missing.is_empty()).then(|| not_here(&missing, places)));
    findings
}

/// Where downloads and cards are kept.
fn caches(places: &Places) -> Finding {
    let hub = takd_datasets::hub_cache();
    let cards = places.out.join("cards");
    let kept = cards_in(&cards);
    let values = json!({ "hub_cache": hub, "data_dir": places.data_dir, "cards": cards, "cards_kept": kept });
    let noun = if kept == 1 { "card of a data set" } else { "cards of data sets" };
    let cards = format!("{kept} {noun} in {}", cards.display());
    match (&places.data_dir, &hub) {
        (Some(folder), _) if folder.is_dir() => Finding::fine(
            "caches",
            format!("known data sets are looked for in {} alone; {cards}", folder.display()),
            values,
        ),
        (Some(folder), _) => Finding::fine("caches", format!("{} is not a folder; {cards}", folder.display()), values)
            .wrong("--data-dir names the folder of known data sets"),
        (None, Some(hub)) => {
            Finding::fine("caches", format!("downloads are kept in {}; {cards}", hub.display()), values)
        }
        (None, None) => Finding::fine("caches", format!("there is no home folder for downloads; {cards}"), values)
            .worth_knowing("HF_HOME names a folder for them, or --data-dir one of data sets"),
    }
}

fn cards_in(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|extension| extension == "json")).count()
}

fn here(known: Known, card: Option<Card>) -> Finding {
    let what = known.as_str();
    let Some(card) = card else {
        return Finding::fine(what, "here, not read yet", json!({ "here": true, "train": null, "test": null }));
    };
    let found = format!("{} training and {} test images, {}", card.train, card.test, card.origin);
    let finding = Finding::fine(what, found, json!({ "here": true, "train": card.train, "test": card.test }));
    if card.notes.is_empty() { finding } else { finding.worth_knowing(card.notes.join("; ")) }
}

fn not_here(missing: &[&str], places: &Places) -> Finding {
    let remedy = match (&places.data_dir, places.offline) {
        (Some(folder), _) => format!("what is wanted has to be put into {}", folder.display()),
        (None, true) => "--data-dir names a folder that has them".to_owned(),
        (None, false) => {
            format!("what is wanted: `takd data get {}`, or --data-dir names a folder that has it", missing.join(" "))
        }
    };
    Finding::fine("data", format!("not here: {}", missing.join(", ")), json!({ "not_here": missing }))
        .worth_knowing(remedy)
}

//! What a model gets right of a data set's test images.

use anyhow::{Result, ensure};
use candle_core::Device;
use takd_datasets::{Dataset, DatasetRef, Fit, Known};
use takd_zoo::{Classifier, Guess, Model};

/// Images whose pixels are in memory at once.
const AT_ONCE: usize = 256;

/// What a model says of test images.
pub(super) struct Said {
    /// Of each image its label and the likeliest classes, five or as many as there are.
    pub(super) images: Vec<(usize, Vec<Guess>)>,
}

impl Said {
    /// What `model` says of all test images.
    pub(super) fn of(
        model: &Model,
        data: &Dataset,
        device: &Device,
        mut count: impl FnMut(usize, usize),
    ) -> Result<Self> {
        check(model, data)?;
        let classifier = Classifier::new(model, device)?;
        let (test, mut images) = (&data.test, Vec::new());
        for first in (0..test.len()).step_by(AT_ONCE) {
            let batch = first..(first + AT_ONCE).min(test.len());
            let pixels = batch.clone().map(|index| Ok(test.image(index)?)).collect::<Result<Vec<_>>>()?;
            let guesses = classifier.classify(&pixels, 5)?;
            images.extend(batch.map(|index| test.labels()[index] as usize).zip(guesses));
            count(images.len(), test.len());
        }
        Ok(Self { images })
    }

    /// The share whose label is among the `top` likeliest classes.
    pub(super) fn accuracy(&self, top: usize) -> f64 {
        let is_right =
            |(label, guesses): &&(usize, Vec<Guess>)| guesses.iter().take(top).any(|guess| guess.class == *label);
        self.images.iter().filter(is_right).count() as f64 / self.images.len() as f64
    }
}

/// Refuses data that are not of the model's classes and size.
pub(super) fn check(model: &Model, data: &Dataset) -> Result<()> {
    let (config, card) = (model.config(), &data.card);
    ensure!(
        config.class_names == card.class_names,
        "{} has other classes than the model: {} and {}",
        card.name,
        some(&card.class_names),
        some(&config.class_names)
    );
    let (side, wanted) = (card.height, config.input.height);
    ensure!(
        side == wanted,
        "{} has images of {side}x{side}, and the model takes {wanted}x{wanted}: give --size",
        card.name
    );
    ensure!(!data.test.is_empty(), "{} has no test images", card.name);
    Ok(())
}

/// The first of some names, and how many there are.
fn some(names: &[String]) -> String {
    let first = names.iter().take(3).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 3 { format!("{} ({first}, …)", names.len()) } else { format!("{} ({first})", names.len()) }
}

/// The data in the size that the model takes, unless they come in it.
pub(super) fn in_size_of(model: &Model, data: &DatasetRef) -> DatasetRef {
    let input = &model.config().input;
    let own_side = data.name.known().map(Known::side);
    let fits = data.name.fit().is_some() || own_side == Some(input.height);
    if fits { data.clone() } else { data.scaled(input.scaling) }
}

/// How images of any size become those of a data set.
pub(super) fn scaling(data: &Dataset) -> Result<Fit> {
    Ok(match data.card.name.fit() {
        Some(fit) => fit,
        None => Fit::square(data.card.height)?,
    })
}

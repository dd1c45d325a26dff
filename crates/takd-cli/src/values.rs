//! Values of flags, refused in words that say what is right.

use crate::elsewhere::Three;
use std::collections::BTreeMap;
use takd_grid::recipe::{Epochs, PerStep};
use takd_models::{ModelName, UnknownModel};

/// The most epochs or images that are counted.
const MOST: u64 = 1_000_000_000;

/// A number of epochs for all networks, or one for each of some and another for the rest: `plane2=150,20`.
pub(crate) fn epochs(text: &str) -> Result<Epochs, String> {
    const EXPECTED: &str =
        "a number of epochs is a whole number of 1 or more, as in 160, or one for some networks, as in plane2=150,20";

    if !text.contains(['=', ',']) {
        return whole(text, EXPECTED).map(Epochs::All);
    }
    let (mut networks, mut others) = (BTreeMap::new(), None);
    for part in text.split(',') {
        let before = match part.split_once('=') {
            Some((name, epochs)) => {
                let name: ModelName = name.trim().parse().map_err(|unknown: UnknownModel| unknown.to_string())?;
                networks.insert(name, whole(epochs.trim(), EXPECTED)?)
            }
            None => others.replace(whole(part.trim(), EXPECTED)?),
        };
        if before.is_some() {
            return Err(format!("`{part}` is the second number of epochs for the same networks"));
        }
    }
    if networks.is_empty() { Err(EXPECTED.to_owned()) } else { Ok(Epochs::ByNetwork { networks, others }) }
}

/// A number of images.
pub(crate) fn images(text: &str) -> Result<usize, String> {
    whole(text, "a number of images is a whole number of 1 or more, as in 2000")
}

/// A number of threads or jobs.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    whole(text, "it is a whole number of 1 or more, as in 4")
}

/// A number for each colour.
pub(crate) fn three(text: &str) -> Result<Three, String> {
    let numbers: Vec<f32> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let is_whole = numbers.len() == text.split(',').count() && numbers.iter().all(|number| number.is_finite());
    let three = <[f32; 3]>::try_from(numbers).ok().filter(|_| is_whole);
    three.map(Three).ok_or_else(|| "it is three numbers, for red, green and blue, as in 0.485,0.456,0.406".to_owned())
}

/// A number of multiplications.
pub(crate) fn multiply_adds(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    let fits = |value: &f64| value.is_finite() && *value > 0.0;
    value.filter(fits).ok_or_else(|| "it is a number above 0, as in 2.5e14".to_owned())
}

/// λ for all steps, or one for each with commas between.
pub(crate) fn lambda(text: &str) -> Result<PerStep, String> {
    per_step(text, "λ is a number from 0 to 1, as in 0.5", |value| (0.0..=1.0).contains(&value))
}

/// τ for all steps, or one for each with commas between.
pub(crate) fn temperature(text: &str) -> Result<PerStep, String> {
    per_step(text, "τ is a number above 0, as in 5", |value| value > 0.0 && value.is_finite())
}

fn whole(text: &str, expected: &str) -> Result<usize, String> {
    let value: Option<u64> = text.parse().ok();
    value.filter(|value| (1..=MOST).contains(value)).map(|value| value as usize).ok_or_else(|| expected.to_owned())
}

fn per_step(text: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<PerStep, String> {
    let value = |part: &str| part.trim().parse().ok().filter(|&value| fits(value)).ok_or_else(|| expected.to_owned());
    let values = text.split(',').map(value).collect::<Result<Vec<f64>, _>>()?;
    Ok(match values.as_slice() {
        [one] => PerStep::All(*one),
        _ => PerStep::Each(values),
    })
}

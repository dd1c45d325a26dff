//! Values of flags, refused in words that say what is right.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;
use takd_datasets::MAX_SIDE;
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

/// A seed.
pub(crate) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "a seed is a whole number of 0 or more, as in 31".to_owned())
}

/// The number of epochs of a run.
pub(crate) fn epochs_of_a_run(text: &str) -> Result<usize, String> {
    whole(text, "a number of epochs is a whole number of 1 or more, as in 160")
}

/// A time that may be spent, a second or more.
pub(crate) fn budget(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| *time >= Duration::from_secs(1));
    time.ok_or_else(|| "a budget is a time of a second or more with its unit, as in 90m, 2h or 1day".to_owned())
}

/// A number of threads or jobs.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    whole(text, "it is a whole number of 1 or more, as in 4")
}

/// A number for each colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Three(pub [f32; 3]);

/// Three numbers, with commas between.
pub(crate) fn three(text: &str) -> Result<Three, String> {
    let numbers: Vec<f32> = text.split(',').filter_map(|number| number.trim().parse().ok()).collect();
    let is_whole = numbers.len() == text.split(',').count() && numbers.iter().all(|number| number.is_finite());
    let three = <[f32; 3]>::try_from(numbers).ok().filter(|_| is_whole);
    three.map(Three).ok_or_else(|| "it is three numbers, for red, green and blue, as in 0.485,0.456,0.406".to_owned())
}

/// A number of classes.
pub(crate) fn classes(text: &str) -> Result<usize, String> {
    within(text, 1..=100_000)
        .ok_or_else(|| "a number of classes is a whole number from 1 to 100000, as in 10".to_owned())
}

/// The side of an image.
pub(crate) fn side(text: &str) -> Result<usize, String> {
    let expected = || format!("a size is a whole number of pixels from 1 to {MAX_SIDE}, as in 32");
    within(text, 1..=MAX_SIDE as u64).ok_or_else(expected)
}

/// A number of multiplications.
pub(crate) fn multiply_adds(text: &str) -> Result<f64, String> {
    let value: Option<f64> = text.parse().ok();
    let fits = |value: &f64| value.is_finite() && *value > 0.0;
    value.filter(fits).ok_or_else(|| "it is a number above 0, as in 2.5e14".to_owned())
}

/// λ of one step.
pub(crate) fn one_lambda(text: &str) -> Result<f64, String> {
    number(text, LAMBDA, is_lambda)
}

/// τ of one step.
pub(crate) fn one_temperature(text: &str) -> Result<f64, String> {
    number(text, TEMPERATURE, is_temperature)
}

/// λ for all steps, or one for each with commas between.
pub(crate) fn lambda(text: &str) -> Result<PerStep, String> {
    per_step(text, LAMBDA, is_lambda)
}

/// τ for all steps, or one for each with commas between.
pub(crate) fn temperature(text: &str) -> Result<PerStep, String> {
    per_step(text, TEMPERATURE, is_temperature)
}

fn whole(text: &str, expected: &str) -> Result<usize, String> {
    within(text, 1..=MOST).ok_or_else(|| expected.to_owned())
}

fn within(text: &str, range: RangeInclusive<u64>) -> Option<usize> {
    let value: Option<u64> = text.parse().ok();
    value.filter(|value| range.contains(value)).map(|value| value as usize)
}

const LAMBDA: &str = "λ is a number from 0 to 1, as in 0.5";
const TEMPERATURE: &str = "τ is a number above 0, as in 5";

fn is_lambda(value: f64) -> bool {
    (0.0..=1.0).contains(&value)
}

fn is_temperature(value: f64) -> bool {
    value > 0.0 && value.is_finite()
}

fn number(text: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<f64, String> {
    text.trim().parse().ok().filter(|&value| fits(value)).ok_or_else(|| expected.to_owned())
}

fn per_step(text: &str, expected: &str, fits: impl Fn(f64) -> bool) -> Result<PerStep, String> {
    let values = text.split(',').map(|part| number(part, expected, &fits)).collect::<Result<Vec<f64>, _>>()?;
    Ok(match values.as_slice() {
        [one] => PerStep::All(*one),
        _ => PerStep::Each(values),
    })
}

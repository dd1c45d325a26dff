//! Legends: above what is drawn, so that they cover nothing.

use crate::palette::Palette;
use crate::svg::{Anchor, Font, Place, Svg, width};

const SIZE: f64 = 12.5;
const LINE: f64 = 20.0;
const SAMPLE: f64 = 26.0;
const GAP: f64 = 18.0;

/// Draws something at a place.
type Draw<'a> = dyn Fn(&mut Svg, Place) + 'a;

/// An entry: its text, and how its sample is drawn at a place.
pub(crate) struct Entry<'a> {
    pub(crate) text: &'a str,
    pub(crate) sample: Box<Draw<'a>>,
}

/// Where each entry stands, from the left and the top of the legend.
fn places(entries: &[Entry<'_>], available: f64) -> Vec<Place> {
    let (mut x, mut y) = (0.0, 0.0);
    let mut places = Vec::new();
    for entry in entries {
        let needed = SAMPLE + width(entry.text, SIZE);
        if x > 0.0 && x + needed > available {
            (x, y) = (0.0, y + LINE);
        }
        places.push(Place { x, y });
        x += needed + GAP;
    }
    places
}

/// How high a legend is.
pub(crate) fn height(entries: &[Entry<'_>], available: f64) -> f64 {
    places(entries, available).last().map_or(0.0, |last| last.y + LINE + 4.0)
}

pub(crate) fn draw(svg: &mut Svg, entries: &[Entry<'_>], at: Place, available: f64, palette: &Palette) {
    for (entry, place) in entries.iter().zip(places(entries, available)) {
        let (x, y) = (at.x + place.x, at.y + place.y + LINE / 2.0);
        (entry.sample)(svg, Place { x: x + 9.0, y });
        let font = Font { size: SIZE, bold: false, colour: palette.ink, anchor: Anchor::Start };
        svg.text(Place { x: x + SAMPLE, y: y + 4.3 }, entry.text, font);
    }
}

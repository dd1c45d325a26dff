//! Series over names: accuracies over the sizes of networks, with error bars.

use crate::frame::{Frame, Parts};
use crate::legend::Entry;
use crate::marker;
use crate::palette::Palette;
use crate::svg::{Anchor, Font, Place, Stroke, Svg};

/// Series of points over names, as in the paper's Figures 2, 3 and 4.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LineFigure {
    /// What the figure is, for those who hear it.
    pub title: String,
    /// What it shows, in words.
    pub description: String,
    /// What the names below are.
    pub x_label: String,
    /// What the values are.
    pub y_label: String,
    /// The names below, from left to right.
    pub names: Vec<String>,
    /// The series.
    pub series: Vec<Series>,
    /// Lines at a value.
    pub guides: Vec<Guide>,
}

/// Points that belong together.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What they are.
    pub name: String,
    /// Whether they were published by others: their marks are hollow.
    pub published: bool,
    /// Whether a line leads from one to the next.
    pub joined: bool,
    /// One for each name, if there is one.
    pub points: Vec<Option<Point>>,
    /// Where each point leads on a page, if it leads anywhere; may be shorter.
    pub links: Vec<Option<String>>,
}

/// A value and how sure it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The value.
    pub value: f64,
    /// The ends of its error bar.
    pub bar: Option<Bar>,
}

/// An error bar.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bar {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

/// A line at a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Guide {
    /// What the value is.
    pub label: String,
    /// The value.
    pub value: f64,
}

/// Pixels between points of one name that belong to different series.
const APART: f64 = 9.0;

impl LineFigure {
    /// The figure as SVG.
    pub fn to_svg(&self, palette: &Palette) -> String {
        let colour = |place: usize| palette.series[place % palette.series.len()];
        let entries = self.series.iter().enumerate().map(|(place, series)| Entry {
            text: &series.name,
            sample: Box::new(move |svg: &mut Svg, at: Place| {
                if series.joined {
                    let stroke = Stroke { colour: colour(place), width: 1.8, dashes: marker::dashes(place) };
                    svg.line(Place { x: at.x - 11.0, ..at }, Place { x: at.x + 11.0, ..at }, stroke);
                }
                marker::draw(svg, place, at, colour(place), palette.ground, series.published);
            }),
        });
        let parts = Parts { x_label: &self.x_label, y_label: &self.y_label, legend: entries.collect(), palette };
        let points = self.series.iter().flat_map(|series| series.points.iter().flatten());
        let values = points.flat_map(|point| {
            let bar = point.bar.map(|bar| [bar.low, bar.high]);
            bar.into_iter().flatten().chain([point.value])
        });
        let values = values.chain(self.guides.iter().map(|guide| guide.value));
        let mut frame = Frame::of_names(&parts, &self.names, values);
        let guides = || self.guides.iter().filter(|guide| guide.value.is_finite());
        for guide in guides() {
            let y = frame.y.at(guide.value);
            let stroke = Stroke { colour: palette.ink, width: 1.2, dashes: "5 4" };
            frame.svg.line(Place { x: frame.left, y }, Place { x: frame.right, y }, stroke);
        }
        let count = self.series.len();
        for (place, series) in self.series.iter().enumerate() {
            let aside = (place as f64 - (count as f64 - 1.0) / 2.0) * APART;
            self.draw(&mut frame, series, place, aside, colour(place), palette);
        }
        for guide in guides() {
            let font = Font { size: 12.0, bold: false, colour: palette.ink, anchor: Anchor::End };
            let at = Place { x: frame.right - 4.0, y: frame.y.at(guide.value) - 5.0 };
            frame.svg.text_with_halo(at, &guide.label, font, palette.ground);
        }
        frame.svg.finish(&self.title, &self.description, palette)
    }

    fn draw(&self, frame: &mut Frame, series: &Series, place: usize, aside: f64, colour: &str, palette: &Palette) {
        let names = self.names.len();
        let finite = |point: &Point| point.value.is_finite();
        let points: Vec<(usize, Place, &Point)> = series
            .points
            .iter()
            .take(names)
            .enumerate()
            .filter_map(|(name, point)| {
                let point = point.as_ref().filter(|point| finite(point))?;
                Some((name, Place { x: frame.name_at(name, names) + aside, y: frame.y.at(point.value) }, point))
            })
            .collect();
        if series.joined {
            let places: Vec<Place> = points.iter().map(|(_, at, _)| *at).collect();
            frame.svg.polyline(&places, Stroke { colour, width: 1.8, dashes: marker::dashes(place) });
        }
        for (name, at, point) in &points {
            if let Some(bar) = point.bar.filter(|bar| bar.low.is_finite() && bar.high.is_finite()) {
                let stroke = Stroke { colour, width: 1.4, dashes: "" };
                let (low, high) = (frame.y.at(bar.low), frame.y.at(bar.high));
                frame.svg.line(Place { x: at.x, y: low }, Place { x: at.x, y: high }, stroke);
                for y in [low, high] {
                    frame.svg.line(Place { x: at.x - 3.5, y }, Place { x: at.x + 3.5, y }, stroke);
                }
            }
            let words = format!("{}: {:.2}", series.name, point.value);
            let link = series.links.get(*name).and_then(Option::as_deref);
            frame.svg.linked(&words, link, palette, |svg| {
                marker::draw(svg, place, *at, colour, palette.ground, series.published);
            });
        }
    }
}

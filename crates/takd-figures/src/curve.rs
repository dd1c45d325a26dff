//! Learning curves.

use crate::axis::Scale;
use crate::frame::{Below, Frame, Parts};
use crate::legend::Entry;
use crate::marker;
use crate::palette::Palette;
use crate::svg::{Place, Stroke, Svg};

/// Curves over numbers, such as accuracy over epochs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CurveFigure {
    /// What the figure is, for those who hear it.
    pub title: String,
    /// What it shows, in words.
    pub description: String,
    /// What the numbers below are.
    pub x_label: String,
    /// What the values are.
    pub y_label: String,
    /// The curves.
    pub curves: Vec<Curve>,
}

/// A curve.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Curve {
    /// What it is.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<CurvePoint>,
}

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CurvePoint {
    /// Where it stands.
    pub x: f64,
    /// Its value.
    pub y: f64,
}

impl CurveFigure {
    /// The figure as SVG.
    pub fn to_svg(&self, palette: &Palette) -> String {
        // More curves than colours differ by their dashes.
        let stroke = |place: usize| Stroke {
            colour: palette.series[place % palette.series.len()],
            width: 1.7,
            dashes: marker::dashes(
                place / palette.series.len() + place % palette.series.len() * usize::from(self.curves.len() > 1),
            ),
        };
        let entries = self.curves.iter().enumerate().map(|(place, curve)| Entry {
            text: &curve.name,
            sample: Box::new(move |svg: &mut Svg, at: Place| {
                svg.line(Place { x: at.x - 11.0, ..at }, Place { x: at.x + 11.0, ..at }, stroke(place));
            }),
        });
        let parts = Parts { x_label: &self.x_label, y_label: &self.y_label, legend: entries.collect(), palette };
        let points = || self.curves.iter().flat_map(|curve| &curve.points).filter(|point| is_finite(point));
        let x = Scale::around(points().map(|point| point.x), 0.0, 1.0);
        let (mut frame, x) = Frame::of_numbers(&parts, &Below::Numbers, x, points().map(|point| point.y));
        for (place, curve) in self.curves.iter().enumerate() {
            let points = curve.points.iter().filter(|point| is_finite(point));
            let places: Vec<Place> = points.map(|point| Place { x: x.at(point.x), y: frame.y.at(point.y) }).collect();
            frame.svg.titled(&curve.name, |svg| svg.polyline(&places, stroke(place)));
        }
        frame.svg.finish(&self.title, &self.description, palette)
    }
}

fn is_finite(point: &CurvePoint) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

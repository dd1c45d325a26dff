//! Cost and gain: points, and those among them that nothing cheaper surpasses.

use crate::axis::Scale;
use crate::frame::{Below, Frame, Parts};
use crate::legend::Entry;
use crate::line::Point;
use crate::marker;
use crate::palette::Palette;
use crate::svg::{Anchor, Font, Place, Stroke, Svg, width};

/// Points by their cost, on a logarithmic axis, and their value; a line leads along the front.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScatterFigure {
    /// What the figure is, for those who hear it.
    pub title: String,
    /// What it shows, in words.
    pub description: String,
    /// What the costs are.
    pub x_label: String,
    /// What the values are.
    pub y_label: String,
    /// The points.
    pub points: Vec<Costed>,
}

/// A point.
#[derive(Clone, Debug, PartialEq)]
pub struct Costed {
    /// What it is.
    pub name: String,
    /// What it takes; above 0.
    pub cost: f64,
    /// What it gives.
    pub gives: Point,
    /// Whether nothing at most as costly gives more.
    pub on_front: bool,
    /// Where it leads on a page, if anywhere.
    pub link: Option<String>,
}

const SIZE: f64 = 11.5;

/// A rectangle that is taken.
#[derive(Clone, Copy)]
struct Taken {
    at: Place,
    width: f64,
    height: f64,
}

impl Taken {
    fn touches(&self, other: &Self) -> bool {
        self.at.x < other.at.x + other.width
            && other.at.x < self.at.x + self.width
            && self.at.y < other.at.y + other.height
            && other.at.y < self.at.y + self.height
    }
}

impl ScatterFigure {
    /// The figure as SVG.
    pub fn to_svg(&self, palette: &Palette) -> String {
        let [front, other] = [palette.series[0], palette.soft];
        let names = ["on the front", "surpassed by a cheaper one, or by one as cheap"];
        let entries = names.into_iter().enumerate().map(|(place, text)| Entry {
            text,
            sample: Box::new(move |svg: &mut Svg, at: Place| {
                let colour = if place == 0 { front } else { other };
                marker::draw(svg, 0, at, colour, palette.ground, place == 1);
            }),
        });
        let parts = Parts { x_label: &self.x_label, y_label: &self.y_label, legend: entries.collect(), palette };
        let points: Vec<&Costed> = self
            .points
            .iter()
            .filter(|point| point.cost > 0.0 && point.cost.is_finite() && point.gives.value.is_finite())
            .collect();
        let x = Scale::around(points.iter().map(|point| point.cost.log10()), 0.0, 1.0);
        let values = points.iter().flat_map(|point| {
            let bar = point.gives.bar.map(|bar| [bar.low, bar.high]);
            bar.into_iter().flatten().chain([point.gives.value])
        });
        let (mut frame, x) = Frame::of_numbers(&parts, &Below::Decades, x, values);
        let place = |point: &Costed| Place { x: x.at(point.cost.log10()), y: frame.y.at(point.gives.value) };
        let places: Vec<Place> = points.iter().map(|point| place(point)).collect();

        let mut on_front: Vec<Place> =
            points.iter().zip(&places).filter(|(point, _)| point.on_front).map(|(_, at)| *at).collect();
        on_front.sort_by(|one, other| one.x.total_cmp(&other.x));
        frame.svg.polyline(&steps(&on_front, frame.right), Stroke { colour: front, width: 1.4, dashes: "" });
        for (point, at) in points.iter().zip(&places) {
            let colour = if point.on_front { front } else { other };
            if let Some(bar) = point.gives.bar.filter(|bar| bar.low.is_finite() && bar.high.is_finite()) {
                let (low, high) = (frame.y.at(bar.low), frame.y.at(bar.high));
                frame.svg.line(Place { x: at.x, y: low }, Place { x: at.x, y: high }, Stroke::thin(colour));
            }
            let words = format!("{}: {:.2} for {:.2e}", point.name, point.gives.value, point.cost);
            frame.svg.linked(&words, point.link.as_deref(), palette, |svg| {
                marker::draw(svg, 0, *at, colour, palette.ground, !point.on_front);
            });
        }
        self.labels(&mut frame, &points, &places, palette);
        frame.svg.finish(&self.title, &self.description, palette)
    }

    /// Names beside their points where there is room, those on the front first. Others are found by pointing.
    fn labels(&self, frame: &mut Frame, points: &[&Costed], places: &[Place], palette: &Palette) {
        let mut taken: Vec<Taken> = places
            .iter()
            .map(|at| Taken { at: Place { x: at.x - 6.0, y: at.y - 6.0 }, width: 12.0, height: 12.0 })
            .collect();
        let mut order: Vec<usize> = (0..points.len()).collect();
        order.sort_by_key(|&place| !points[place].on_front);
        for place in order {
            let (point, at) = (points[place], places[place]);
            let wide = width(&point.name, SIZE);
            let high = SIZE + 2.0;
            let candidates = [
                Place { x: at.x - wide - 9.0, y: at.y - high - 1.0 },
                Place { x: at.x + 9.0, y: at.y - high - 2.0 },
                Place { x: at.x + 9.0, y: at.y - high / 2.0 },
                Place { x: at.x - wide - 9.0, y: at.y - high / 2.0 },
                Place { x: at.x + 9.0, y: at.y + 2.0 },
                Place { x: at.x - wide - 9.0, y: at.y + 3.0 },
                Place { x: at.x - wide / 2.0, y: at.y - high - 8.0 },
                Place { x: at.x - wide / 2.0, y: at.y + 9.0 },
            ];
            let free = candidates.into_iter().map(|at| Taken { at, width: wide, height: high }).find(|label| {
                let inside = label.at.x >= frame.left && label.at.x + label.width <= frame.right;
                inside && label.at.y + high <= frame.bottom && !taken.iter().any(|other| label.touches(other))
            });
            if let Some(label) = free {
                let colour = if point.on_front { palette.ink } else { palette.soft };
                let font = Font { size: SIZE, bold: point.on_front, colour, anchor: Anchor::Start };
                let at = Place { x: label.at.x, y: label.at.y + SIZE - 1.5 };
                frame.svg.text_with_halo(at, &point.name, font, palette.ground);
                taken.push(label);
            }
        }
    }
}

/// The line of a front: what can be had for at most so much.
fn steps(front: &[Place], right: f64) -> Vec<Place> {
    let mut steps: Vec<Place> = Vec::new();
    for at in front {
        if let Some(last) = steps.last() {
            steps.push(Place { x: at.x, y: last.y });
        }
        steps.push(*at);
    }
    if let Some(last) = steps.last() {
        steps.push(Place { x: right, y: last.y });
    }
    steps
}

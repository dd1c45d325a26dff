//! What figures with two axes share: ground, axes, labels, legend above.

use crate::axis::{Scale, labels};
use crate::legend::{self, Entry};
use crate::palette::Palette;
use crate::svg::{Anchor, Font, Place, Stroke, Svg, width};

pub(crate) const WIDTH: f64 = 640.0;
const PLOT_HEIGHT: f64 = 300.0;
const LABEL: f64 = 12.5;
const MARGIN: f64 = 14.0;

/// The plot of a figure, with its axes drawn.
pub(crate) struct Frame {
    pub(crate) svg: Svg,
    /// The pixels between which things stand from left to right.
    pub(crate) left: f64,
    pub(crate) right: f64,
    /// The lower end of the plot.
    pub(crate) bottom: f64,
    pub(crate) y: Scale,
}

/// How the values below a plot are written.
pub(crate) enum Below<'a> {
    /// Names, evenly spread.
    Names(&'a [String]),
    /// Numbers.
    Numbers,
    /// Powers of ten of the logarithms that the axis shows.
    Decades,
}

/// What a frame is made of.
pub(crate) struct Parts<'a> {
    pub(crate) x_label: &'a str,
    pub(crate) y_label: &'a str,
    pub(crate) legend: Vec<Entry<'a>>,
    pub(crate) palette: &'a Palette,
}

impl Frame {
    /// With names below.
    pub(crate) fn of_names(parts: &Parts<'_>, names: &[String], values: impl Iterator<Item = f64>) -> Self {
        Self::new(parts, &Below::Names(names), None, values)
    }

    /// With numbers, or decades, below; and the scale by which they stand.
    pub(crate) fn of_numbers(
        parts: &Parts<'_>,
        below: &Below<'_>,
        x: Scale,
        values: impl Iterator<Item = f64>,
    ) -> (Self, Scale) {
        let frame = Self::new(parts, below, Some(x), values);
        let x = Scale { start: frame.left, end: frame.right, ..x };
        (frame, x)
    }

    fn new(parts: &Parts<'_>, below: &Below<'_>, x: Option<Scale>, values: impl Iterator<Item = f64>) -> Self {
        let palette = parts.palette;
        let scale = Scale::around(values, 0.0, 1.0);
        let ticks = scale.ticks(6);
        let tick_labels = labels(&ticks);
        let widest = tick_labels.iter().map(|label| width(label, LABEL)).fold(0.0, f64::max);
        let left = MARGIN + 20.0 + widest + 8.0;
        let right = WIDTH - MARGIN;
        let available = WIDTH - 2.0 * MARGIN;
        let top = 10.0 + legend::height(&parts.legend, available) + 6.0;
        let bottom = top + PLOT_HEIGHT;

        let rows = match below {
            Below::Names(names) => name_rows(names, right - left),
            _ => 1,
        };
        let names_height = 10.0 + 16.0 * rows as f64;
        let height = bottom + names_height + if parts.x_label.is_empty() { 6.0 } else { 28.0 };
        let mut svg = Svg::new(WIDTH, height);
        let y = Scale { start: bottom, end: top, ..scale };
        legend::draw(&mut svg, &parts.legend, Place { x: MARGIN, y: 6.0 }, available, palette);
        let small = Font { size: LABEL, bold: false, colour: palette.soft, anchor: Anchor::End };
        for (tick, label) in ticks.iter().zip(&tick_labels) {
            let at = y.at(*tick);
            svg.line(Place { x: left, y: at }, Place { x: right, y: at }, Stroke::thin(palette.line));
            svg.text(Place { x: left - 8.0, y: at + 4.2 }, label, small);
        }
        let base = Stroke { colour: palette.soft, width: 1.2, dashes: "" };
        svg.line(Place { x: left, y: bottom }, Place { x: right, y: bottom }, base);
        let middle = Font { anchor: Anchor::Middle, ..small };
        let title = Font { colour: palette.ink, ..middle };
        svg.upward_text(Place { x: MARGIN + 8.0, y: f64::midpoint(top, bottom) }, parts.y_label, title);
        if !parts.x_label.is_empty() {
            let at = Place { x: f64::midpoint(left, right), y: bottom + names_height + 16.0 };
            svg.text(at, parts.x_label, title);
        }
        let mut frame = Self { svg, left, right, bottom, y };
        match below {
            Below::Names(names) => {
                for (place, name) in names.iter().enumerate() {
                    let row = place % rows;
                    let at = Place { x: frame.name_at(place, names.len()), y: bottom + 18.0 + 16.0 * row as f64 };
                    frame.svg.text(at, name, middle);
                }
            }
            Below::Numbers | Below::Decades => {
                if let Some(x) = x {
                    let x = Scale { start: left, end: right, ..x };
                    let decades =
                        matches!(below, Below::Decades).then(|| x.decades()).filter(|decades| decades.len() > 1);
                    let (ticks, texts) = match (decades, matches!(below, Below::Decades)) {
                        (Some(decades), _) => {
                            let texts = decades.iter().map(|decade| format!("1e{decade}")).collect();
                            (decades, texts)
                        }
                        // Within a decade, the numbers themselves.
                        (None, true) => {
                            let ticks = x.ticks(4);
                            let texts = ticks.iter().map(|tick| format!("{:.1e}", 10f64.powf(*tick))).collect();
                            (ticks, texts)
                        }
                        (None, false) => {
                            let ticks = x.ticks(7);
                            let texts = labels(&ticks);
                            (ticks, texts)
                        }
                    };
                    for (tick, text) in ticks.iter().zip(texts) {
                        let at = x.at(*tick);
                        frame.svg.line(Place { x: at, y: bottom }, Place { x: at, y: bottom + 4.0 }, base);
                        frame.svg.text(Place { x: at, y: bottom + 18.0 }, &text, middle);
                    }
                }
            }
        }
        frame
    }

    /// Where the name of a place stands.
    pub(crate) fn name_at(&self, place: usize, names: usize) -> f64 {
        self.left + (place as f64 + 0.5) / names.max(1) as f64 * (self.right - self.left)
    }
}

/// In how many rows names are written, so that none runs into the next.
fn name_rows(names: &[String], available: f64) -> usize {
    let widest = names.iter().map(|name| width(name, LABEL) + 8.0).fold(0.0, f64::max);
    let step = available / names.len().max(1) as f64;
    ((widest / step).ceil().max(1.0) as usize).min(6)
}

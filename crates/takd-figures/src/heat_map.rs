//! Values on a grid, as colours and contour lines: the paper's Figure 7.

use crate::axis::{Scale, labels};
use crate::contour;
use crate::palette::Palette;
use crate::svg::{Anchor, Font, Place, Stroke, Svg, width};

/// Values on a grid as colours, with contour lines.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// What the figure is, for those who hear it.
    pub title: String,
    /// What it shows, in words.
    pub description: String,
    /// What stands from left to right.
    pub x_label: String,
    /// What stands from bottom to top.
    pub y_label: String,
    /// What the values are.
    pub value_label: String,
    /// A name for each column.
    pub columns: Vec<String>,
    /// A name for each row, the lowest first.
    pub rows: Vec<String>,
    /// The values, row by row, the lowest row first; nothing where there is none.
    pub values: Vec<Option<f64>>,
    /// The ends of the colours, so that several maps can be compared; the least and the greatest value if there are none.
    pub colours: Option<crate::line::Bar>,
    /// Whether each value is written into its field.
    pub numbers: bool,
}

/// Dark to light, equally far apart for the eye, and in grey too: stops of viridis (Smith and van der Walt, 2015).
const STOPS: [[f64; 3]; 9] = [
    [68.0, 1.0, 84.0],
    [72.0, 40.0, 120.0],
    [62.0, 74.0, 137.0],
    [49.0, 104.0, 142.0],
    [38.0, 130.0, 142.0],
    [31.0, 158.0, 137.0],
    [53.0, 183.0, 121.0],
    [109.0, 205.0, 89.0],
    [253.0, 231.0, 37.0],
];

const SIDE: f64 = 380.0;
const LABEL: f64 = 12.0;

impl HeatMap {
    /// The figure as SVG. Values beyond those of the grid are left out, and missing ones are hatched.
    pub fn to_svg(&self, palette: &Palette) -> String {
        let (columns, rows) = (self.columns.len(), self.rows.len());
        let mut values: Vec<Option<f64>> =
            self.values.iter().map(|value| value.filter(|value| value.is_finite())).collect();
        values.resize(columns * rows, None);
        let known = values.iter().flatten().copied();
        let (least, greatest) = known.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, greatest), value| {
            (least.min(value), greatest.max(value))
        });
        let (low, high) = self.colours.map_or((least, greatest), |ends| (ends.low, ends.high));
        let (low, high) = if low < high { (low, high) } else { (low.min(0.0), low.max(0.0) + 1.0) };
        let (low, high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };

        let widest = self.rows.iter().map(|name| width(name, LABEL)).fold(0.0, f64::max);
        let (left, top) = (34.0 + widest + 8.0, 14.0);
        let bar_left = left + SIDE + 22.0;
        let scale = Scale { low, high, start: top + SIDE, end: top };
        let ticks = scale.ticks(6);
        let tick_labels = labels(&ticks);
        let widest_tick = tick_labels.iter().map(|label| width(label, LABEL)).fold(0.0, f64::max);
        let mut svg = Svg::new(bar_left + 16.0 + 6.0 + widest_tick + 30.0, top + SIDE + 52.0);

        let (wide, high_field) = (SIDE / columns.max(1) as f64, SIDE / rows.max(1) as f64);
        let none = Stroke { colour: "none", width: 0.0, dashes: "" };
        for row in 0..rows {
            for column in 0..columns {
                let at = Place { x: left + column as f64 * wide, y: top + (rows - 1 - row) as f64 * high_field };
                match values[row * columns + column] {
                    // A little larger, so that no gap shines through.
                    Some(value) => {
                        let colour = colour((value - low) / (high - low));
                        svg.rectangle(at, wide + 0.4, high_field + 0.4, 0.0, &colour, none);
                        if self.numbers {
                            let share = (value - low) / (high - low);
                            let ink = if share > 0.55 { "#14171c" } else { "#ffffff" };
                            let font = Font { size: LABEL, bold: false, colour: ink, anchor: Anchor::Middle };
                            let middle = Place { x: at.x + wide / 2.0, y: at.y + high_field / 2.0 + 4.2 };
                            svg.text(middle, &format!("{value:.2}"), font);
                        }
                    }
                    None => {
                        svg.rectangle(at, wide, high_field, 0.0, palette.ground, Stroke::thin(palette.line));
                        let to = Place { x: at.x + wide, y: at.y + high_field };
                        svg.line(at, to, Stroke::thin(palette.line));
                    }
                }
            }
        }
        if !self.numbers {
            contours(&mut svg, &values, [columns, rows], &ticks, Place { x: left, y: top });
        }
        svg.rectangle(Place { x: left, y: top }, SIDE, SIDE, 0.0, "none", Stroke::thin(palette.soft));
        self.names(&mut svg, Place { x: left, y: top }, palette);
        self.bar(&mut svg, Place { x: bar_left, y: top }, scale, (&ticks, &tick_labels), palette);
        svg.finish(&self.title, &self.description, palette)
    }

    /// The names of rows and columns, as many as have room.
    fn names(&self, svg: &mut Svg, at: Place, palette: &Palette) {
        let font = Font { size: LABEL, bold: false, colour: palette.soft, anchor: Anchor::Middle };
        let (columns, rows) = (self.columns.len().max(1), self.rows.len().max(1));
        let widest = self.columns.iter().map(|name| width(name, LABEL) + 10.0).fold(16.0, f64::max);
        let every = (widest / (SIDE / columns as f64)).ceil().max(1.0) as usize;
        for (place, name) in self.columns.iter().enumerate().step_by(every) {
            let x = at.x + (place as f64 + 0.5) * SIDE / columns as f64;
            svg.text(Place { x, y: at.y + SIDE + 17.0 }, name, font);
        }
        let every = (18.0 / (SIDE / rows as f64)).ceil().max(1.0) as usize;
        for (place, name) in self.rows.iter().enumerate().step_by(every) {
            let y = at.y + SIDE - (place as f64 + 0.5) * SIDE / rows as f64 + 4.0;
            svg.text(Place { x: at.x - 7.0, y }, name, Font { anchor: Anchor::End, ..font });
        }
        let title = Font { colour: palette.ink, ..font };
        svg.text(Place { x: at.x + SIDE / 2.0, y: at.y + SIDE + 42.0 }, &self.x_label, title);
        svg.upward_text(Place { x: 18.0, y: at.y + SIDE / 2.0 }, &self.y_label, title);
    }

    /// Which colour is which value.
    fn bar(&self, svg: &mut Svg, at: Place, scale: Scale, ticks: (&[f64], &[String]), palette: &Palette) {
        const FIELDS: usize = 64;
        let high = SIDE / FIELDS as f64;
        let none = Stroke { colour: "none", width: 0.0, dashes: "" };
        for field in 0..FIELDS {
            let place = Place { x: at.x, y: at.y + SIDE - (field + 1) as f64 * high };
            svg.rectangle(place, 16.0, high + 0.4, 0.0, &colour((field as f64 + 0.5) / FIELDS as f64), none);
        }
        let font = Font { size: LABEL, bold: false, colour: palette.soft, anchor: Anchor::Start };
        let mut widest = 0.0_f64;
        for (tick, label) in ticks.0.iter().zip(ticks.1) {
            svg.text(Place { x: at.x + 22.0, y: scale.at(*tick) + 4.0 }, label, font);
            widest = widest.max(width(label, LABEL));
        }
        let title = Font { colour: palette.ink, anchor: Anchor::Middle, ..font };
        svg.upward_text(Place { x: at.x + 22.0 + widest + 18.0, y: at.y + SIDE / 2.0 }, &self.value_label, title);
    }
}

/// Lines of equal value, at the values of the colour bar's ticks.
fn contours(svg: &mut Svg, values: &[Option<f64>], [columns, rows]: [usize; 2], levels: &[f64], at: Place) {
    let (wide, high) = (SIDE / columns.max(1) as f64, SIDE / rows.max(1) as f64);
    // The middle of a field is its value's place.
    let place = |grid: Place| Place { x: at.x + (grid.x + 0.5) * wide, y: at.y + SIDE - (grid.y + 0.5) * high };
    for level in levels {
        let mut data = String::new();
        for piece in contour::pieces(values, columns, *level) {
            let (from, to) = (place(piece.from), place(piece.to));
            let coordinates = [from.x, from.y, to.x, to.y].map(crate::svg::number);
            data += &format!("M{} {}L{} {}", coordinates[0], coordinates[1], coordinates[2], coordinates[3]);
        }
        if !data.is_empty() {
            svg.path(&data, None, Stroke { colour: "#ffffff", width: 1.1, dashes: "" });
        }
    }
}

/// The colour of a share, from 0 to 1.
fn colour(share: f64) -> String {
    let share = share.clamp(0.0, 1.0) * (STOPS.len() - 1) as f64;
    let lower = (share.floor() as usize).min(STOPS.len() - 2);
    let more = share - lower as f64;
    let mixed = [0, 1, 2].map(|part| STOPS[lower][part] * (1.0 - more) + STOPS[lower + 1][part] * more);
    let [red, green, blue] = mixed.map(|part| part.round() as u8);
    format!("#{red:02x}{green:02x}{blue:02x}")
}

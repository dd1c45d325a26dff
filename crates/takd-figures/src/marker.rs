//! The marks of points: each series has its own shape, so that it is told without colour.

use crate::svg::{Place, Stroke, Svg, number};

/// Draws the mark of a series: filled for what was measured here, hollow for what others published.
pub(crate) fn draw(svg: &mut Svg, shape: usize, at: Place, colour: &str, ground: &str, hollow: bool) {
    let fill = if hollow { ground } else { colour };
    let Place { x, y } = at;
    let line = |dx: f64, dy: f64| format!("{} {}", number(x + dx), number(y + dy));
    let data = match shape % 5 {
        // A circle of two halves.
        0 => format!("M{} a4.2 4.2 0 1 0 8.4 0 a4.2 4.2 0 1 0 -8.4 0Z", line(-4.2, 0.0)),
        1 => format!("M{} L{} L{} L{}Z", line(-3.8, -3.8), line(3.8, -3.8), line(3.8, 3.8), line(-3.8, 3.8)),
        2 => format!("M{} L{} L{}Z", line(0.0, -5.0), line(4.8, 3.6), line(-4.8, 3.6)),
        3 => format!("M{} L{} L{} L{}Z", line(0.0, -5.4), line(5.4, 0.0), line(0.0, 5.4), line(-5.4, 0.0)),
        _ => format!("M{} L{} L{}Z", line(0.0, 5.0), line(4.8, -3.6), line(-4.8, -3.6)),
    };
    svg.path(&data, Some(fill), Stroke { colour, width: 1.6, dashes: "" });
}

/// The dashes of a series' line.
pub(crate) fn dashes(series: usize) -> &'static str {
    ["", "6 3", "2 3", "8 3 2 3", "10 4", "4 2"][series % 6]
}

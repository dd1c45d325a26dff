//! Contour lines by marching squares (Lorensen and Cline, 1987, in two dimensions).

use crate::svg::Place;

/// A piece of a contour line, in steps of the grid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Piece {
    pub(crate) from: Place,
    pub(crate) to: Place,
}

/// The pieces of the line on which a grid of values, `rows × columns`, has this level. Squares with a value that is missing or
/// not finite have none.
pub(crate) fn pieces(values: &[Option<f64>], columns: usize, level: f64) -> Vec<Piece> {
    let rows = values.len().checked_div(columns).unwrap_or(0);
    let value = |row: usize, column: usize| values[row * columns + column].filter(|value| value.is_finite());
    let mut pieces = Vec::new();
    for row in 0..rows.saturating_sub(1) {
        for column in 0..columns.saturating_sub(1) {
            let corners =
                [value(row, column), value(row, column + 1), value(row + 1, column + 1), value(row + 1, column)];
            let [Some(a), Some(b), Some(c), Some(d)] = corners else { continue };
            let (x, y) = (column as f64, row as f64);
            // Where the line crosses the side between two corners, if it does.
            let share =
                |one: f64, other: f64| ((one < level) != (other < level)).then(|| (level - one) / (other - one));
            let top = share(a, b).map(|share| Place { x: x + share, y });
            let right = share(b, c).map(|share| Place { x: x + 1.0, y: y + share });
            let bottom = share(d, c).map(|share| Place { x: x + share, y: y + 1.0 });
            let left = share(a, d).map(|share| Place { x, y: y + share });
            let mut add = |from: Option<Place>, to: Option<Place>| {
                if let (Some(from), Some(to)) = (from, to) {
                    pieces.push(Piece { from, to });
                }
            };
            if top.is_some() && right.is_some() && bottom.is_some() && left.is_some() {
                // A saddle: its middle says which corners belong together.
                let middle_is_low = (a + b + c + d) / 4.0 < level;
                if middle_is_low == (a < level) {
                    add(top, right);
                    add(bottom, left);
                } else {
                    add(top, left);
                    add(bottom, right);
                }
            } else {
                let crossed: Vec<Option<Place>> =
                    [top, right, bottom, left].into_iter().filter(Option::is_some).collect();
                if let [from, to] = crossed[..] {
                    add(from, to);
                }
            }
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The level r of the distance from the middle is a circle of radius r.
    #[test]
    fn contour_of_a_distance_is_a_circle() {
        let (size, middle) = (61, 30.0);
        let distance = |place: usize| {
            let (row, column) = ((place / size) as f64, (place % size) as f64);
            Some((row - middle).hypot(column - middle))
        };
        let values: Vec<Option<f64>> = (0..size * size).map(distance).collect();
        let pieces = pieces(&values, size, 20.3);
        for piece in &pieces {
            for place in [piece.from, piece.to] {
                assert!(((place.x - middle).hypot(place.y - middle) - 20.3).abs() < 0.02, "{place:?}");
            }
        }
        let length: f64 = pieces.iter().map(|piece| (piece.to.x - piece.from.x).hypot(piece.to.y - piece.from.y)).sum();
        assert!((length / (std::f64::consts::TAU * 20.3) - 1.0).abs() < 0.002, "{length}");
    }

    #[test]
    fn saddle_has_two_lines_and_a_gap_none() {
        let saddle = [1.0, 0.0, 0.0, 1.0].map(Some);
        assert_eq!(pieces(&saddle, 2, 0.5).len(), 2);
        assert_eq!(pieces(&[Some(1.0), Some(0.0), None, Some(1.0)], 2, 0.5), []);
        assert_eq!(pieces(&[Some(1.0), Some(0.0), Some(f64::NAN), Some(1.0)], 2, 0.5), []);
        assert_eq!(pieces(&[], 0, 0.5), []);
    }
}

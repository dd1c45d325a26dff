//! Images moved, turned and sheared, to the nearest pixel, as Pillow does it.

/// Which place of an image becomes a pixel of the result: `(a x + b y + c, d x + e y + f)` for the one whose middle is (x, y), as
/// `[a, b, c, d, e, f]`.
type Map = [f64; 6];

/// Columns moved by `shear` times the row, to the left if that is above 0.
pub(super) fn shear_x(pixels: &[u8], width: usize, shear: f64) -> Vec<u8> {
    warp(pixels, width, [1.0, shear, 0.0, 0.0, 1.0, 0.0])
}

/// Rows moved by `shear` times the column, upwards if that is above 0.
pub(super) fn shear_y(pixels: &[u8], width: usize, shear: f64) -> Vec<u8> {
    warp(pixels, width, [1.0, 0.0, 0.0, shear, 1.0, 0.0])
}

/// Moved so many columns to the right and rows down.
pub(super) fn translate(pixels: &[u8], width: usize, columns: isize, rows: isize) -> Vec<u8> {
    warp(pixels, width, [1.0, 0.0, -(columns as f64), 0.0, 1.0, -(rows as f64)])
}

/// Turned about its middle by so many degrees against the clock.
pub(super) fn rotate(pixels: &[u8], width: usize, degrees: f64) -> Vec<u8> {
    let height = pixels.len() / (3 * width);
    let (x, y) = (width as f64 / 2.0, height as f64 / 2.0);
    let angle = -degrees.to_radians();
    let (sin, cos) = (round(angle.sin()), round(angle.cos()));
    let from = |a: f64, b: f64, middle: f64| middle - a * x - b * y;
    warp(pixels, width, [cos, sin, from(cos, sin, x), -sin, cos, from(-sin, cos, y)])
}

/// To 15 decimals, as Pillow does.
fn round(value: f64) -> f64 {
    (value * 1e15).round() / 1e15
}

/// The image seen through a map; what lies outside is black.
fn warp(pixels: &[u8], width: usize, map: Map) -> Vec<u8> {
    /// Pillow computes in whole numbers with so many bits behind the point.
    const POINT: u32 = 16;
    let fixed = |value: f64| (value * f64::from(1 << POINT) + 0.5).floor() as i64;
    let [a, b, c, d, e, f] = map;
    let steps = [a, b, d, e].map(fixed);
    let pixels = pixels.as_chunks::<3>().0;
    let height = pixels.len() / width;
    // The middle of the first pixel.
    let (x0, y0) = (fixed(c + a * 0.5 + b * 0.5), fixed(f + d * 0.5 + e * 0.5));
    let mut warped = Vec::with_capacity(3 * pixels.len());
    for row in 0..height as i64 {
        for column in 0..width as i64 {
            let x = (x0 + steps[0] * column + steps[1] * row) >> POINT;
            let y = (y0 + steps[2] * column + steps[3] * row) >> POINT;
            let is_inside = (0..width as i64).contains(&x) && (0..height as i64).contains(&y);
            warped.extend(if is_inside { pixels[y as usize * width + x as usize] } else { [0; 3] });
        }
    }
    warped
}

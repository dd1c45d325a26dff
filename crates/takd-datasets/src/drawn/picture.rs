//! One picture: a textured shape on a cluttered background.
//!
//! Only sums, products, quotients and remainders of `f32` are used, which IEEE 754 fixes to the last bit, so that a picture is
//! the same bytes on every machine. A sine is not fixed so.

use super::{
    colour::{PALETTE, Rgb, apart, near, uniform},
    forms::Form,
};
use crate::Known;
use rand::{Rng, RngExt};

/// Rows and columns of an image.
pub(super) const SIDE: usize = 32;

/// Draws class `label` of `name` into `pixels`, `[32, 32, 3]`.
pub(super) fn draw(name: Known, label: u32, rng: &mut impl Rng, pixels: &mut [u8]) {
    let form = match name {
        Known::Shapes100 => Form { shape: label / 10, texture: label % 10 },
        _ => Form { shape: label, texture: rng.random_range(0..10) },
    };
    // Easy pictures start the learning, hard ones tell large networks from small ones. Above 0.8 no network learns anything
    // from them in the few epochs that these sets are for.
    let difficulty = uniform(rng, 0.0, 0.8);
    let background = Background::draw(rng, form, difficulty);
    let clutter: Vec<Figure> = (0..(difficulty * 5.0) as usize).map(|_| Figure::clutter(rng, &background)).collect();
    let figure = Figure::main(rng, form, &background, difficulty);
    let noise = uniform(rng, 0.02, 0.04 + 0.12 * difficulty);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            let mut colour = background.at(px, py);
            for figure in clutter.iter().chain([&figure]) {
                colour = figure.at(px, py).unwrap_or(colour);
            }
            for channel in 0..3 {
                let grain = noise * (uniform(rng, -1.0, 1.0) + uniform(rng, -1.0, 1.0));
                let value = (colour[channel] + grain).clamp(0.0, 1.0);
                pixels[(y * SIDE + x) * 3 + channel] = (value * 255.0 + 0.5) as u8;
            }
        }
    }
}

/// The background: a slope from one colour to a near one, faintly textured.
struct Background {
    colour: Rgb,
    slope: [Rgb; 2],
    texture: Form,
    relief: f32,
}

impl Background {
    fn draw(rng: &mut impl Rng, form: Form, difficulty: f32) -> Self {
        let mut slope = || [(); 3].map(|()| uniform(rng, -0.006, 0.006));
        Self {
            slope: [slope(), slope()],
            colour: near(rng, PALETTE[(form.texture as usize * 3 + 5) % 10]),
            texture: any_form(rng),
            relief: uniform(rng, 0.0, 0.3 * difficulty),
        }
    }

    fn at(&self, x: f32, y: f32) -> Rgb {
        let relief = if self.texture.marks(x, y) { self.relief } else { 0.0 };
        let (dx, dy) = (x - SIDE as f32 / 2.0, y - SIDE as f32 / 2.0);
        [0, 1, 2].map(|i| self.colour[i] + self.slope[0][i] * dx + self.slope[1][i] * dy + relief)
    }
}

/// The bounds of a figure's place and colours.
struct Bounds {
    /// Half the side of the square that the shape fits into, in pixels.
    radius: [f32; 2],
    /// How far the centre may be from the picture's, along each axis, in pixels.
    room: f32,
    /// The tangent of half the largest angle by which it is turned.
    turn: f32,
    /// How far its colours are from each other and from the background's, at least.
    contrast: f32,
}

/// A textured shape at a place.
struct Figure {
    form: Form,
    centre: [f32; 2],
    radius: f32,
    /// Cosine and sine of the angle it is turned by.
    turn: [f32; 2],
    /// Where its texture begins.
    phase: [f32; 2],
    colours: [Rgb; 2],
}

impl Figure {
    /// The one whose form is the class.
    fn main(rng: &mut impl Rng, form: Form, background: &Background, difficulty: f32) -> Self {
        let bounds = Bounds {
            radius: [12.0 - 4.5 * difficulty, 13.0],
            room: 2.0 + 5.0 * difficulty,
            turn: 0.05 + 0.15 * difficulty,
            contrast: 0.45 - 0.2 * difficulty,
        };
        Self::draw(rng, form, background, &bounds)
    }

    /// A small one of any form, which does not matter for the class.
    fn clutter(rng: &mut impl Rng, background: &Background) -> Self {
        let form = any_form(rng);
        Self::draw(rng, form, background, &Bounds { radius: [2.5, 5.5], room: 15.0, turn: 1.0, contrast: 0.3 })
    }

    fn draw(rng: &mut impl Rng, form: Form, background: &Background, bounds: &Bounds) -> Self {
        let middle = SIDE as f32 / 2.0;
        let mut place = || middle + uniform(rng, -bounds.room, bounds.room);
        let centre = [place(), place()];
        let tangent = uniform(rng, -bounds.turn, bounds.turn);
        let square = tangent * tangent;
        let colour = apart(rng, PALETTE[form.shape as usize], background.colour, bounds.contrast);
        Self {
            form,
            centre,
            radius: uniform(rng, bounds.radius[0], bounds.radius[1]),
            turn: [(1.0 - square) / (1.0 + square), 2.0 * tangent / (1.0 + square)],
            phase: [uniform(rng, 0.0, 6.0), uniform(rng, 0.0, 6.0)],
            colours: [colour, apart(rng, PALETTE[(form.texture as usize + 5) % 10], colour, bounds.contrast)],
        }
    }

    /// Its colour at a point, if it covers it.
    fn at(&self, x: f32, y: f32) -> Option<Rgb> {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [cos, sin] = self.turn;
        let (u, v) = ((cos * dx + sin * dy) / self.radius, (cos * dy - sin * dx) / self.radius);
        let marked = || self.form.marks(dx + self.phase[0], dy + self.phase[1]);
        self.form.contains(u, v).then(|| self.colours[usize::from(marked())])
    }
}

fn any_form(rng: &mut impl Rng) -> Form {
    Form { shape: rng.random_range(0..10), texture: rng.random_range(0..10) }
}

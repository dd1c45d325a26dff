//! One picture: a textured shape on a cluttered ground.

use super::SIDE;
use crate::DatasetName;
use rand::{Rng, RngExt};

pub(super) const SHAPES: [&str; 10] =
    ["disc", "ring", "square", "frame", "triangle", "cross", "bar", "crescent", "ell", "tee"];

pub(super) const TEXTURES: [&str; 10] =
    ["plain", "rows", "columns", "rising", "falling", "checked", "dotted", "gridded", "banded", "speckled"];

type Rgb = [f32; 3];

/// Draws class `label` of `name` into `pixels`, `[32, 32, 3]`.
pub(super) fn draw(name: DatasetName, label: u32, rng: &mut impl Rng, pixels: &mut [u8]) {
    let (shape, texture) = match name {
        DatasetName::Shapes100 => (label / 10, label % 10),
        _ => (label, rng.random_range(0..10)),
    };
    // Easy pictures start the learning, hard ones part large networks from small.
    let difficulty: f32 = rng.random();
    let ground = Ground::draw(rng, texture, difficulty);
    let clutter: Vec<Figure> = (0..(difficulty * 5.0) as usize).map(|_| Figure::small(rng, &ground)).collect();
    let figure = Figure::large(rng, shape, texture, &ground, difficulty);
    let noise = uniform(rng, 0.02, 0.04 + 0.12 * difficulty);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (px, py) = (x as f32 + 0.5, y as f32 + 0.5);
            let mut colour = ground.at(px, py);
            for figure in clutter.iter().chain([&figure]) {
                colour = figure.over(colour, px, py);
            }
            for channel in 0..3 {
                let grain = noise * (uniform(rng, -1.0, 1.0) + uniform(rng, -1.0, 1.0));
                let value = (colour[channel] + grain).clamp(0.0, 1.0);
                pixels[(y * SIDE + x) * 3 + channel] = (value * 255.0 + 0.5) as u8;
            }
        }
    }
}

/// What lies behind: a slope from one colour to a near one, faintly textured.
struct Ground {
    base: Rgb,
    slope: [Rgb; 2],
    texture: u32,
    relief: f32,
}

impl Ground {
    fn draw(rng: &mut impl Rng, kind: u32, difficulty: f32) -> Self {
        let mut slope = || [(); 3].map(|()| uniform(rng, -0.006, 0.006));
        Self {
            slope: [slope(), slope()],
            base: near(rng, PALETTE[(kind as usize * 3 + 5) % 10]),
            texture: rng.random_range(0..10),
            relief: uniform(rng, 0.0, 0.3 * difficulty),
        }
    }

    fn at(&self, x: f32, y: f32) -> Rgb {
        let relief = if textured(self.texture, x, y) { self.relief } else { 0.0 };
        [0, 1, 2].map(|i| self.base[i] + self.slope[0][i] * (x - 16.0) + self.slope[1][i] * (y - 16.0) + relief)
    }
}

/// A textured shape at a place.
struct Figure {
    shape: u32,
    texture: u32,
    centre: [f32; 2],
    radius: f32,
    turn: [f32; 2],
    phase: [f32; 2],
    ink: [Rgb; 2],
}

impl Figure {
    fn large(rng: &mut impl Rng, shape: u32, texture: u32, ground: &Ground, difficulty: f32) -> Self {
        let contrast = 0.55 - 0.3 * difficulty;
        let radius = uniform(rng, 12.0 - 4.5 * difficulty, 13.0);
        let room = 2.0 + 5.0 * difficulty;
        let turn = 0.05 + 0.15 * difficulty;
        Self::new(rng, shape, texture, ground, contrast, radius, room, turn)
    }

    fn small(rng: &mut impl Rng, ground: &Ground) -> Self {
        let (shape, texture) = (rng.random_range(0..10), rng.random_range(0..10));
        let radius = uniform(rng, 2.5, 5.5);
        Self::new(rng, shape, texture, ground, 0.3, radius, 15.0, 1.0)
    }

    #[allow(clippy::too_many_arguments)]
    fn new(
        rng: &mut impl Rng,
        shape: u32,
        texture: u32,
        ground: &Ground,
        contrast: f32,
        radius: f32,
        room: f32,
        turn: f32,
    ) -> Self {
        // A rotation by its half angle's tangent: no sine to differ between machines.
        let t = uniform(rng, -turn, turn);
        let ink = apart(rng, PALETTE[shape as usize], ground.base, contrast);
        Self {
            shape,
            texture,
            centre: [16.0 + uniform(rng, -room, room), 16.0 + uniform(rng, -room, room)],
            radius,
            turn: [(1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t)],
            phase: [uniform(rng, 0.0, 6.0), uniform(rng, 0.0, 6.0)],
            ink: [ink, apart(rng, [0.5; 3], ink, contrast)],
        }
    }

    fn over(&self, below: Rgb, x: f32, y: f32) -> Rgb {
        let (dx, dy) = (x - self.centre[0], y - self.centre[1]);
        let [cos, sin] = self.turn;
        let (u, v) = ((cos * dx + sin * dy) / self.radius, (cos * dy - sin * dx) / self.radius);
        if !inside(self.shape, u, v) {
            return below;
        }
        self.ink[usize::from(textured(self.texture, dx + self.phase[0], dy + self.phase[1]))]
    }
}

/// A colour about `wanted` and at least `distance` from another.
fn apart(rng: &mut impl Rng, wanted: Rgb, from: Rgb, distance: f32) -> Rgb {
    loop {
        let drawn = near(rng, wanted);
        if self::distance(drawn, from) > distance {
            return drawn;
        }
    }
}

/// A colour about `wanted`.
fn near(rng: &mut impl Rng, wanted: Rgb) -> Rgb {
    wanted.map(|value| (value + uniform(rng, -SCATTER, SCATTER)).clamp(0.0, 1.0))
}

/// How far each channel of a colour strays.
const SCATTER: f32 = 0.45;

/// The colours that shapes and grounds tend to.
const PALETTE: [Rgb; 10] = [
    [0.8, 0.3, 0.3],
    [0.3, 0.7, 0.3],
    [0.3, 0.3, 0.8],
    [0.8, 0.7, 0.3],
    [0.7, 0.3, 0.7],
    [0.3, 0.7, 0.7],
    [0.8, 0.5, 0.3],
    [0.7, 0.7, 0.7],
    [0.35, 0.35, 0.35],
    [0.5, 0.6, 0.3],
];

fn uniform(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

fn distance(a: Rgb, b: Rgb) -> f32 {
    (0..3).map(|i| (a[i] - b[i]) * (a[i] - b[i])).sum::<f32>().sqrt()
}

fn inside(shape: u32, u: f32, v: f32) -> bool {
    let r2 = u * u + v * v;
    let (a, b) = (u.abs(), v.abs());
    let square = a.max(b);
    match shape {
        0 => r2 < 0.8,
        1 => r2 < 0.9 && r2 > 0.3,
        2 => square < 0.8,
        3 => square < 0.85 && square > 0.45,
        4 => v < 0.75 && v > -0.85 && a < (v + 0.85) * 0.6,
        5 => square < 0.95 && a.min(b) < 0.3,
        6 => a < 0.95 && b < 0.35,
        7 => r2 < 0.9 && (u - 0.4) * (u - 0.4) + v * v > 0.5,
        8 => square < 0.85 && (u < -0.25 || v > 0.25),
        _ => square < 0.9 && (v < -0.35 || a < 0.28),
    }
}

fn textured(texture: u32, x: f32, y: f32) -> bool {
    let stripe = |x: f32, period: f32| (x + 64.0) % period < period / 2.0;
    match texture {
        0 => false,
        1 => stripe(y, 4.0),
        2 => stripe(x, 4.0),
        3 => stripe(x + y, 6.0),
        4 => stripe(x - y, 6.0),
        5 => stripe(x, 6.0) != stripe(y, 6.0),
        6 => stripe(x, 4.0) && stripe(y, 4.0),
        7 => stripe(x, 6.0) || stripe(y, 6.0),
        8 => stripe(y, 9.0),
        _ => {
            ((x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35)
                >> 31
                == 1
        }
    }
}

//! One picture: a textured shape on a cluttered ground.

use super::SIDE;
use crate::DatasetName;
use rand::{Rng, RngExt};

pub(super) const SHAPES: [&str; 10] = [
    "disc", "ring", "square", "frame", "triangle", "cross", "bar", "crescent", "ell", "tee",
];

pub(super) const TEXTURES: [&str; 10] = [
    "plain", "rows", "columns", "rising", "falling", "checked", "dotted", "gridded", "banded",
    "speckled",
];

type Rgb = [f32; 3];

/// Draws class `label` of `name` into `pixels`, `[32, 32, 3]`.
pub(super) fn draw(name: DatasetName, label: u32, rng: &mut impl Rng, pixels: &mut [u8]) {
    let (shape, texture) = match name {
        DatasetName::Shapes100 => (label / 10, label % 10),
        _ => (label, rng.random_range(0..10)),
    };
    let ground = colour(rng);
    let ink = loop {
        let ink = colour(rng);
        if distance(ink, ground) > 0.35 {
            break ink;
        }
    };
    let second = loop {
        let second = colour(rng);
        if distance(second, ink) > 0.35 {
            break second;
        }
    };
    let radius = uniform(rng, 8.0, 13.0);
    let centre = [
        uniform(rng, 16.0 - 5.0, 16.0 + 5.0),
        uniform(rng, 16.0 - 5.0, 16.0 + 5.0),
    ];
    // A rotation by its half angle's tangent: no sine to differ between machines.
    let t = uniform(rng, -0.15, 0.15);
    let (cos, sin) = ((1.0 - t * t) / (1.0 + t * t), 2.0 * t / (1.0 + t * t));
    let phase = [uniform(rng, 0.0, 6.0), uniform(rng, 0.0, 6.0)];
    let noise = uniform(rng, 0.03, 0.10);
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (dx, dy) = (x as f32 + 0.5 - centre[0], y as f32 + 0.5 - centre[1]);
            let (u, v) = (
                (cos * dx + sin * dy) / radius,
                (cos * dy - sin * dx) / radius,
            );
            let colour = if inside(shape, u, v) {
                let second_here = textured(texture, dx + phase[0], dy + phase[1]);
                if second_here { second } else { ink }
            } else {
                ground
            };
            for channel in 0..3 {
                let value =
                    colour[channel] + noise * (uniform(rng, -1.0, 1.0) + uniform(rng, -1.0, 1.0));
                pixels[(y * SIDE + x) * 3 + channel] = (value.clamp(0.0, 1.0) * 255.0) as u8;
            }
        }
    }
}

fn uniform(rng: &mut impl Rng, low: f32, high: f32) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

fn colour(rng: &mut impl Rng) -> Rgb {
    [(); 3].map(|()| uniform(rng, 0.05, 0.95))
}

fn distance(a: Rgb, b: Rgb) -> f32 {
    (0..3)
        .map(|i| (a[i] - b[i]) * (a[i] - b[i]))
        .sum::<f32>()
        .sqrt()
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
            ((x as u32).wrapping_mul(0x9e37_79b1) ^ (y as u32).wrapping_mul(0x85eb_ca6b))
                .wrapping_mul(0xc2b2_ae35)
                >> 31
                == 1
        }
    }
}

//! The ten shapes and the ten textures, in the order of [`crate::class_names`].

/// Which shape and which texture: places in [`crate::class_names::SHAPES`] and [`crate::class_names::TEXTURES`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    pub(super) shape: u32,
    pub(super) texture: u32,
}

impl Form {
    /// Whether the point lies in the shape; all shapes fit into the square from -1 to 1.
    pub(super) fn contains(self, u: f32, v: f32) -> bool {
        let r2 = u * u + v * v;
        let (a, b) = (u.abs(), v.abs());
        let square = a.max(b);
        match self.shape {
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

    /// Whether the texture's second colour shows at this point, in pixels.
    pub(super) fn marks(self, x: f32, y: f32) -> bool {
        match self.texture {
            0 => false,
            1 => striped(y, 4.0),
            2 => striped(x, 4.0),
            3 => striped(x + y, 6.0),
            4 => striped(x - y, 6.0),
            5 => striped(x, 6.0) != striped(y, 6.0),
            6 => striped(x, 4.0) && striped(y, 4.0),
            7 => striped(x, 6.0) || striped(y, 6.0),
            8 => striped(y, 9.0),
            _ => speckled(x, y),
        }
    }
}

/// Stripes along one axis, as wide as the gaps between them.
fn striped(x: f32, period: f32) -> bool {
    // Shifted, since the remainder of a negative number is negative.
    (x + 64.0) % period < period / 2.0
}

/// About every other pixel, by a hash of its place.
fn speckled(x: f32, y: f32) -> bool {
    let (x, y) = ((x + 64.0) as u32, (y + 64.0) as u32);
    let hash = (x.wrapping_mul(0x9e37_79b1) ^ y.wrapping_mul(0x85eb_ca6b)).wrapping_mul(0xc2b2_ae35);
    hash >> 31 == 1
}

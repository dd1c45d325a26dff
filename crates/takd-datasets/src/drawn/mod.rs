//! The drawn data sets `shapes10` and `shapes100`: images drawn by code, so that everything runs without a download.
//!
//! A picture is a textured shape, moved, scaled and turned a little, in front of a background and small figures of any kind,
//! with grain over all. In `shapes10` the class is the shape, whatever its texture; in `shapes100` each of the ten shapes with
//! each of the ten textures is a class. Colours lean towards shape and texture without giving them away, so that a few dozen
//! images a class are enough to learn from. A shape is seen only by looking at the whole picture, wherever the figure stands:
//! that is what larger networks do better than smaller ones.

mod colour;
mod draw;
mod forms;
mod picture;

pub use draw::Drawn;
pub(crate) use draw::{VERSION, draw};

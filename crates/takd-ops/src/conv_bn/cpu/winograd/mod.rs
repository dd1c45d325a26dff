//! 3×3 convolutions of stride 1 with fewer multiplications: Winograd's F(2×2, 3×3) and F(4×4, 3×3) (Lavin and Gray 2016,
//! arXiv 1509.09308), 16 for four outputs and 36 for sixteen instead of 36 and 144.
//!
//! A tile is M×M outputs; the N×N patch of inputs under it, `N = M + 2`, and the 3×3 kernel are transformed, and each of the
//! N² numbers becomes a matrix product of its own over the channels:
//!
//! ```text
//! patches [N²][tiles][c_from] · kernels [N²][c_from][c_to] = products [N²][tiles][c_to]  ──▶ tiles of M×M outputs
//! ```
//!
//! The gradient of the input is the same with the kernel turned around. That of the weights is the transpose of these
//! maps: patches and spread gradients `[N²][tiles][c_out]` give `[N²][c_in][c_out]`.

mod kernels;
mod products;
mod tiled;
mod tiles;
mod transforms;

pub(super) use kernels::Taps;
pub(super) use tiled::Winograd;
pub(super) use tiles::{Image, Source, Tiles};

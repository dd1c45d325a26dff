//! A convolution's sizes.

use crate::Precision;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    pub batch: usize,
    pub height: usize,
    pub width: usize,
    pub c_in: usize,
    pub out_h: usize,
    pub out_w: usize,
    pub c_out: usize,
    pub k_h: usize,
    pub k_w: usize,
    pub stride: usize,
    pub padding: usize,
    pub precision: Precision,
}

impl Shape {
    pub(super) fn pixels(&self) -> usize {
        self.batch * self.out_h * self.out_w
    }

    /// Numbers of the output.
    pub(super) fn output_len(&self) -> usize {
        self.pixels() * self.c_out
    }

    /// Numbers of the weight.
    pub(super) fn weights(&self) -> usize {
        self.c_out * self.c_in * self.k_h * self.k_w
    }
}

//! The fast path: f32 on the CPU. Slices in, slices out; `features` ties it to candle's autograd.

pub(crate) mod buffer;
pub(crate) mod conv;
pub(crate) mod layer;
pub(crate) mod norm;
pub(crate) mod tile;

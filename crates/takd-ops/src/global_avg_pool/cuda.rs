//! Runs `global_avg_pool.cu`.

use crate::cuda::{Arg, Buffer, Source, address, count, int};
use crate::features::cuda::{Form, Node, leave};
use candle_core::{Result, Shape, Tensor};
use std::sync::Arc;

const SOURCE: Source = Source {
    name: "global_avg_pool",
    text: concat!(include_str!("../cuda/common.cu"), include_str!("global_avg_pool.cu")),
    contract: true,
};

pub(super) fn global_avg_pool(node: &Arc<Node>) -> Result<Tensor> {
    leave(node, MeanOfPixels)
}

/// `[batch, channels]`, the mean over height and width.
struct MeanOfPixels;

impl Form for MeanOfPixels {
    fn forward(&self, node: &Node) -> Result<(Buffer, Shape)> {
        let [batch, height, width, channels] = node.dims;
        let means = node.gpu.buffer(batch * channels)?;
        let to = Arg::Address(node.gpu.address(&means));
        let args = [Arg::Struct(node.values_at()), to, int(height * width), int(channels)];
        // SAFETY: the arguments are the kernel's, in its order and of its types; it reads an image's pixels and writes one
        // mean per channel for each of `batch` blocks.
        unsafe { node.gpu.each_part_and_channel(&SOURCE, "mean_of_pixels", batch, channels, &args) }?;
        Ok((means, Shape::from((batch, channels))))
    }

    fn backward(&self, node: &Node, grad: &Tensor) -> Result<Buffer> {
        let [_, height, width, channels] = node.dims;
        let (gpu, len) = (&node.gpu, node.len());
        let to = gpu.buffer(len)?;
        let from = Arg::Address(address(grad)?);
        let args: [Arg; 5] = [from, Arg::Address(gpu.address(&to)), count(len), int(height * width), int(channels)];
        // SAFETY: as above; it writes `len` numbers and reads one gradient per image and channel.
        unsafe { gpu.each(&SOURCE, "spread_over_pixels", len, &args) }?;
        Ok(to)
    }
}

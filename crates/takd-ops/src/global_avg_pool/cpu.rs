//! The mean over pixels on the CPU, straight from a layer's features: in candle's own operations they are copied out and their
//! gradient is copied, added to zeros and copied again, which for a small network costs as much as its convolutions.

use crate::cpu::{Buffer, arch, with_values};
use crate::features::cpu::{CpuFeatures, Node, handle_grad};
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

pub(super) fn global_avg_pool(features: &CpuFeatures) -> Result<Tensor> {
    features.handle.apply_op1(MeanOfPixels(features.node.clone()))
}

struct MeanOfPixels(Arc<Node>);

impl CustomOp1 for MeanOfPixels {
    fn name(&self) -> &'static str {
        "features-global-avg-pool"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let node = &*self.0;
        let [batch, height, width, channels] = node.dims;
        let arch = arch();
        let mut means = vec![0.0; batch * channels];
        means.par_chunks_mut(channels).enumerate().for_each(|(image, means)| {
            let mut row = vec![0.0; width * channels];
            // Row by row, so that the sum of a large image loses nothing of what its last pixels add.
            let mut sums = vec![0.0; channels];
            for y in 0..height {
                node.values.read(arch, (image * height + y) * row.len(), &mut row);
                sums.fill(0.0);
                for pixel in row.chunks_exact(channels) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, value)| *sum += value);
                }
                means.iter_mut().zip(&sums).for_each(|(mean, sum)| *mean += sum);
            }
            means.iter_mut().for_each(|mean| *mean /= (height * width) as f32);
        });
        Ok((CpuStorage::F32(means), Shape::from((batch, channels))))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        let node = &*self.0;
        let [_, height, width, channels] = node.dims;
        let mut d_pixels = Buffer::any(node.len());
        with_values(&(grad / (height * width) as f64)?, |grad| {
            let images = d_pixels.par_chunks_mut(height * width * channels).zip(grad.par_chunks(channels));
            images.for_each(|(pixels, grad)| {
                pixels.chunks_exact_mut(channels).for_each(|pixel| pixel.copy_from_slice(grad));
            });
        })?;
        node.add_grad(d_pixels);
        handle_grad()
    }
}

//! What ends a network: the mean over pixels and the first fully connected layer, straight from a layer's activations.
//!
//! In candle's own operations the head of a small network costs as much as its convolutions: the activations are copied
//! out and their gradient is copied, added to zeros and copied again.

use crate::cpu::buffer::Buffer;
use crate::features::{Features, Inner, Node, token_grad, with_values};
use crate::reference;
use candle_core::{CpuStorage, CustomOp1, CustomOp3, Device, Layout, Module, Result, Shape, Tensor, bail};
use candle_nn::Linear;
use rayon::prelude::*;
use std::sync::Arc;

impl Features {
    /// The mean over height and width, `[batch, channels]`.
    ///
    /// # Errors
    /// None of the caller's making.
    pub fn global_avg_pool(&self) -> Result<Tensor> {
        match &self.0 {
            Inner::Plain(tensor) => reference::global_avg_pool(tensor),
            Inner::Fast { node, handle } => handle.apply_op1(MeanOfPixels(node.clone())),
            #[cfg(feature = "cuda")]
            Inner::Cuda(node) => crate::cuda::leave(node, crate::cuda::As::Means),
        }
    }

    /// A fully connected layer over all numbers of an image, `[batch, outputs]`. Its weight
    /// `[outputs, channels · height · width]` counts them channel by channel, as PyTorch flattens.
    ///
    /// # Errors
    /// Where the weight has another number of inputs.
    pub fn linear(&self, layer: &Linear) -> Result<Tensor> {
        match (&self.0, layer.bias()) {
            (Inner::Fast { node, handle }, Some(bias)) => {
                let [_, height, width, channels] = node.dims;
                let (inputs, weight) = (height * width * channels, layer.weight());
                if weight.dims() != [bias.elem_count(), inputs] {
                    bail!("linear: {inputs} numbers an image do not fit the weight {:?}", weight.dims())
                }
                let op = FullyConnected { node: node.clone(), d_images: handle.track_op() };
                handle.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
            }
            #[cfg(feature = "cuda")]
            (Inner::Cuda(node), _) => layer.forward(&crate::cuda::leave(node, crate::cuda::As::Flat)?),
            _ => layer.forward(&self.to_tensor()?.permute((0, 3, 1, 2))?.flatten_from(1)?),
        }
    }
}

struct MeanOfPixels(Arc<Node>);

impl CustomOp1 for MeanOfPixels {
    fn name(&self) -> &'static str {
        "features-global-avg-pool"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        let node = &*self.0;
        let [batch, height, width, channels] = node.dims;
        let arch = crate::cpu::arch();
        let mut means = vec![0.0; batch * channels];
        means.par_chunks_mut(channels).enumerate().for_each(|(image, means)| {
            let mut row = vec![0.0; width * channels];
            // Row by row, lest the sum of a large image lose what its last pixels add.
            let mut sums = vec![0.0; channels];
            for y in 0..height {
                node.data.copy_to(arch, (image * height + y) * row.len(), &mut row);
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
        token_grad()
    }
}

struct FullyConnected {
    node: Arc<Node>,
    /// Whether anything asks for the gradient of the activations.
    d_images: bool,
}

impl FullyConnected {
    /// The weight with its inputs in the activations' order, `[outputs, height · width · channels]`.
    fn channels_last(&self, weight: &Tensor) -> Result<Tensor> {
        let [_, height, width, channels] = self.node.dims;
        let four = weight.detach().reshape(((), channels, height, width))?;
        four.permute((0, 2, 3, 1))?.contiguous()?.flatten_from(1)
    }

    fn images(&self) -> Result<Tensor> {
        Tensor::from_vec(self.node.to_vec(), (self.node.dims[0], ()), &Device::Cpu)
    }
}

impl CustomOp3 for FullyConnected {
    fn name(&self) -> &'static str {
        "features-linear"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let tensor = |storage: &CpuStorage, layout: &Layout| -> Result<Tensor> {
            match layout.contiguous_offsets() {
                Some((start, end)) => {
                    Tensor::from_slice(&storage.as_slice::<f32>()?[start..end], layout.shape(), &Device::Cpu)
                }
                None => bail!("linear: weight and bias must be contiguous"),
            }
        };
        let weight = self.channels_last(&tensor(weight, weight_layout)?)?;
        let output = self.images()?.matmul(&weight.t()?)?.broadcast_add(&tensor(bias, bias_layout)?)?;
        Ok((CpuStorage::F32(output.flatten_all()?.to_vec1()?), output.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let [_, height, width, channels] = self.node.dims;
        let grad = grad.contiguous()?;
        if self.d_images {
            let mut d_images = Buffer::any(self.node.len());
            with_values(&grad.matmul(&self.channels_last(weight)?)?, |grad| d_images.copy_from_slice(grad))?;
            self.node.add_grad(d_images);
        }
        let d_weight = grad.t()?.matmul(&self.images()?)?.reshape(((), height, width, channels))?;
        let d_weight = d_weight.permute((0, 3, 1, 2))?.contiguous()?.flatten_from(1)?;
        Ok((token_grad()?, Some(d_weight), Some(grad.sum(0)?)))
    }
}

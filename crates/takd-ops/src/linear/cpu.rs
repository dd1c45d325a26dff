//! A fully connected layer on the CPU, straight from the features of the layer before it.

use crate::cpu::{Buffer, with_values};
use crate::features::cpu::{CpuFeatures, Node, handle_grad};
use candle_core::{CpuStorage, CustomOp3, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

pub(super) fn linear(features: &CpuFeatures, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let CpuFeatures { node, handle } = features;
    let [_, height, width, channels] = node.dims;
    let inputs = height * width * channels;
    if weight.dims() != [bias.elem_count(), inputs] {
        bail!("linear: {inputs} numbers an image do not fit the weight {:?}", weight.dims())
    }
    let op = FullyConnected { node: node.clone(), d_images: handle.track_op() };
    handle.apply_op3(&weight.contiguous()?, &bias.contiguous()?, op)
}

struct FullyConnected {
    node: Arc<Node>,
    /// Whether the gradient of the features is needed.
    d_images: bool,
}

impl FullyConnected {
    /// The weight with its inputs in the features' order, `[outputs, height · width · channels]`.
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
        Ok((handle_grad()?, Some(d_weight), Some(grad.sum(0)?)))
    }
}

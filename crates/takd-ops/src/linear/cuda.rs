//! Fully connected layers on CUDA: matrix products by cuBLAS.

use crate::Precision;
use crate::cuda::{Buffer, Gpu, Matrix, address, multiply};
use crate::features::cuda::{Form, Node, Order, channels_last, leave, numbers};
use candle_core::{CpuStorage, CudaStorage, CustomOp2, DType, Device, Layout, Result, Shape, Tensor, bail};
use std::sync::Arc;

/// `[batch, channels · height · width]`, channel by channel.
pub(super) fn flatten(node: &Arc<Node>) -> Result<Tensor> {
    leave(node, Flat)
}

struct Flat;

impl Form for Flat {
    fn forward(&self, node: &Node) -> Result<(Buffer, Shape)> {
        let [batch, height, width, channels] = node.dims;
        let numbers = numbers(&node.gpu, node.dims, node.values_at(), Order::ChannelsFirst)?;
        Ok((numbers, Shape::from((batch, channels * height * width))))
    }

    fn backward(&self, node: &Node, grad: &Tensor) -> Result<Buffer> {
        channels_last(&node.gpu, node.dims, address(grad)?)
    }
}

/// `input · weightᵀ`, `[batch, inputs]` times `[outputs, inputs]`ᵀ, through which gradients flow. `None` if the two are not
/// matrices of f32 on one GPU that fit, and have elements.
pub(super) fn product(input: &Tensor, weight: &Tensor, precision: Precision) -> Result<Option<Tensor>> {
    let fits = |tensor: &Tensor| tensor.dtype() == DType::F32 && tensor.rank() == 2 && tensor.elem_count() > 0;
    let on_gpu = input.device().is_cuda() && input.device().same_device(weight.device());
    if !on_gpu || !fits(input) || !fits(weight) || input.dim(1)? != weight.dim(1)? {
        return Ok(None);
    }
    input.contiguous()?.apply_op2(&weight.contiguous()?, Product(precision)).map(Some)
}

struct Product(Precision);

impl Product {
    /// `left · right`.
    fn of(&self, left: Matrix, right: Matrix, gpu: &Gpu) -> Result<Buffer> {
        let product = gpu.buffer(left.rows * right.columns)?;
        multiply(gpu, self.0, left, right, &product, 0.0)?;
        Ok(product)
    }
}

impl CustomOp2 for Product {
    fn name(&self) -> &'static str {
        "linear-product"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        bail!("linear: these matrices are on CUDA")
    }

    fn cuda_fwd(
        &self,
        input: &CudaStorage,
        input_layout: &Layout,
        weight: &CudaStorage,
        weight_layout: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        let gpu = Gpu::new(&input.device);
        let matrix = |storage: &CudaStorage, layout: &Layout| -> Result<Matrix> {
            let (rows, columns) = layout.shape().dims2()?;
            let start = gpu.address(storage.as_cuda_slice::<f32>()?);
            let at = start + (layout.start_offset() * size_of::<f32>()) as u64;
            Ok(Matrix { at, rows, columns, transposed: false })
        };
        let (input, weight) = (matrix(input, input_layout)?, matrix(weight, weight_layout)?);
        let output = self.of(input, weight.transpose(), &gpu)?;
        Ok((gpu.storage(output), Shape::from((input.rows, weight.rows))))
    }

    fn bwd(
        &self,
        input: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let Device::Cuda(device) = input.device() else { bail!("linear: its input has left the GPU") };
        let (gpu, grad) = (Gpu::new(device), grad.contiguous()?);
        let (of_input, of_weight, of_grad) = (Matrix::of(input)?, Matrix::of(weight)?, Matrix::of(&grad)?);
        let d_input = match input.track_op() {
            true => Some(gpu.tensor(self.of(of_grad, of_weight, &gpu)?, input.shape())),
            false => None,
        };
        let d_weight = match weight.track_op() {
            true => Some(gpu.tensor(self.of(of_grad.transpose(), of_input, &gpu)?, weight.shape())),
            false => None,
        };
        Ok((d_input, d_weight))
    }
}

//! Fully connected layers on CUDA: matrix products by cuBLAS, each with the precision it is asked for. candle's own product
//! takes that from a switch for the whole process.

use crate::Precision;
use crate::cuda::{Buffer, Gpu, address};
use crate::features::cuda::{Form, Node, Order, channels_last, leave, numbers};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
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
        multiply(gpu, self.0, left, right)
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

/// A matrix in a GPU's memory.
#[derive(Clone, Copy)]
struct Matrix {
    at: u64,
    rows: usize,
    columns: usize,
    /// Whether its numbers stand column by column instead of row by row.
    transposed: bool,
}

impl Matrix {
    /// That of a contiguous tensor.
    fn of(tensor: &Tensor) -> Result<Self> {
        let (rows, columns) = tensor.dims2()?;
        Ok(Self { at: address(tensor)?, rows, columns, transposed: false })
    }

    fn transpose(self) -> Self {
        Self { rows: self.columns, columns: self.rows, transposed: !self.transposed, ..self }
    }

    /// How cuBLAS, for which numbers stand column by column, sees its transpose: what to do to it, and from one of what it
    /// takes for columns to the next.
    fn as_cublas(self) -> (sys::cublasOperation_t, i32) {
        if self.transposed {
            (sys::cublasOperation_t::CUBLAS_OP_T, self.rows as i32)
        } else {
            (sys::cublasOperation_t::CUBLAS_OP_N, self.columns as i32)
        }
    }
}

/// `left · right`, row by row.
fn multiply(gpu: &Gpu, precision: Precision, left: Matrix, right: Matrix) -> Result<Buffer> {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    if [rows, columns, depth].into_iter().any(|size| i32::try_from(size).is_err()) || right.rows != depth {
        bail!("linear: no product of {rows}×{depth} and {}×{columns} numbers", right.rows)
    }
    let compute = match precision {
        Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
    };
    let product = gpu.buffer(rows * columns)?;
    let f32s = sys::cudaDataType_t::CUDA_R_32F;
    let [(left_operation, left_step), (right_operation, right_step)] = [left.as_cublas(), right.as_cublas()];
    let (one, zero) = (1f32, 0f32);
    // Row by row, the product is what is column by column its transpose: `rightᵀ · leftᵀ`.
    // SAFETY: the addresses are those of `rows · columns` numbers each of the three matrices, by the caller's shapes; the two
    // factors' scalars are alive. All that touches them goes through the device's one stream, which is the handle's.
    unsafe {
        result::gemm_strided_batched_ex(
            *gpu.device().cublas_handle().handle(),
            right_operation,
            left_operation,
            columns as i32,
            rows as i32,
            depth as i32,
            (&raw const one).cast(),
            right.at as *const _,
            f32s,
            right_step,
            0,
            left.at as *const _,
            f32s,
            left_step,
            0,
            (&raw const zero).cast(),
            gpu.address(&product) as *mut _,
            f32s,
            columns as i32,
            0,
            1,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
        )
    }
    .w()?;
    Ok(product)
}

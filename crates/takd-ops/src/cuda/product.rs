//! Matrix products by cuBLAS, each with the precision it is asked for. candle's own product takes that from a switch for the
//! whole process.

use super::gpu::{Buffer, Gpu, address};
use crate::Precision;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::cublas::{result, sys};
use candle_core::{Result, Tensor, bail};

/// A matrix in a GPU's memory.
#[derive(Clone, Copy)]
pub(crate) struct Matrix {
    pub at: u64,
    pub rows: usize,
    pub columns: usize,
    /// Whether its numbers stand column by column instead of row by row.
    pub transposed: bool,
}

impl Matrix {
    /// That of a contiguous tensor.
    pub(crate) fn of(tensor: &Tensor) -> Result<Self> {
        let (rows, columns) = tensor.dims2()?;
        Ok(Self { at: address(tensor)?, rows, columns, transposed: false })
    }

    pub(crate) fn transpose(self) -> Self {
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

/// Writes `left · right`, row by row, to `product`, plus `kept` times what is there; if that is 0, nothing is read.
pub(crate) fn multiply(
    gpu: &Gpu,
    precision: Precision,
    left: Matrix,
    right: Matrix,
    product: &Buffer,
    kept: f32,
) -> Result<()> {
    let (rows, columns, depth) = (left.rows, right.columns, left.columns);
    let small = [rows, columns, depth].into_iter().all(|size| i32::try_from(size).is_ok());
    if !small || right.rows != depth || product.len() < rows * columns {
        bail!("linear: no product of {rows}×{depth} and {}×{columns} numbers", right.rows)
    }
    let compute = match precision {
        Precision::F32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        Precision::Tf32 => sys::cublasComputeType_t::CUBLAS_COMPUTE_32F_FAST_TF32,
    };
    let f32s = sys::cudaDataType_t::CUDA_R_32F;
    let [(left_operation, left_step), (right_operation, right_step)] = [left.as_cublas(), right.as_cublas()];
    let one = 1f32;
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
            (&raw const kept).cast(),
            gpu.address(product) as *mut _,
            f32s,
            columns as i32,
            0,
            1,
            compute,
            sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT_TENSOR_OP,
        )
    }
    .w()?;
    Ok(())
}

//! A CUDA device for training.

use super::gpu::Gpu;
use crate::Precision;
use candle_core::cuda_backend::cudarc::driver::{result, sys};
use candle_core::{CudaDevice, Device, Result};

/// The CUDA device of that number, set up for training.
///
/// It has a stream of its own, so that several such devices, one a thread, share a GPU; it keeps freed memory for the next
/// allocation; and candle makes no events for each tensor, by which streams would wait for each other. So tensors of two such
/// devices must meet on the CPU only, even if both are the same GPU.
///
/// # Errors
/// If there is no such GPU, or no driver for it.
pub fn cuda_device(ordinal: usize) -> Result<Device> {
    let device = CudaDevice::new_with_stream(ordinal)?;
    // SAFETY: as the documentation demands, no tensor is used in two streams.
    unsafe { device.disable_event_tracking() };
    if let Ok(gpu) = result::device::get(ordinal as i32) {
        let mut kept = u64::MAX;
        // SAFETY: the pool is the device's and the value 64 bits wide, as the attribute's is. Without such pools memory is
        // given back and allocated again, which is slower and no error.
        unsafe {
            if let Ok(pool) = result::device::get_default_mem_pool(gpu) {
                let threshold = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
                let _ = sys::cuMemPoolSetAttribute(pool, threshold, (&raw mut kept).cast());
            }
        }
    }
    Ok(Device::Cuda(device))
}

/// [`cuda_device`], if it has tensor cores for the precision.
pub(crate) fn device(ordinal: usize, precision: Precision) -> Result<Device> {
    let device = cuda_device(ordinal)?;
    if precision == Precision::Tf32 {
        Gpu::new(device.as_cuda_device()?).check_tf32()?;
    }
    Ok(device)
}

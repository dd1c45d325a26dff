//! Runs `sgd_step.cu`.
//!
//! NVRTC, which candle's own `cuda` feature links, compiles it when it is first met; nothing is needed when the crate is
//! built but what candle needs.

use super::SgdParams;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, DevicePtr, DevicePtrMut, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, CompileOptions, compile_ptx_with_opts};
use candle_core::{CpuStorage, CudaStorage, InplaceOp3, Layout, Result, bail};
use std::sync::LazyLock;

const SOURCE: &str = include_str!("sgd_step.cu");

/// Threads of a block.
const THREADS: u32 = 256;

/// Blocks beyond which each thread takes several numbers.
const BLOCKS: u64 = 1 << 16;

/// Parameter, gradient, momentum buffer: contiguous f32. Moves the first and the last.
pub(super) struct Step(pub SgdParams);

impl InplaceOp3 for Step {
    fn name(&self) -> &'static str {
        "sgd-step"
    }

    fn cpu_fwd(
        &self,
        _: &mut CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<()> {
        bail!("sgd-step is the step on CUDA")
    }

    fn cuda_fwd(
        &self,
        param: &mut CudaStorage,
        param_layout: &Layout,
        grad: &CudaStorage,
        grad_layout: &Layout,
        buffer: &CudaStorage,
        buffer_layout: &Layout,
    ) -> Result<()> {
        let count = param_layout.shape().elem_count() as u64;
        if count == 0 {
            return Ok(());
        }
        let device = param.device.clone();
        let stream = device.cuda_stream();
        let function = device.get_or_load_custom_func("sgd_step", "takd_sgd_step", ptx()?)?.into_cuda_function();

        let SgdParams { lr, momentum, nesterov, weight_decay } = self.0;
        let (lr, momentum, weight_decay) = (lr as f32, momentum as f32, weight_decay as f32);
        let nesterov = i32::from(nesterov);
        let at = |start: u64, layout: &Layout| start + (layout.start_offset() * size_of::<f32>()) as u64;
        let grad: &CudaSlice<f32> = grad.as_cuda_slice()?;
        let buffer: &CudaSlice<f32> = buffer.as_cuda_slice()?;
        let (grad_start, _grad_guard) = grad.device_ptr(&stream);
        let (buffer_start, _buffer_guard) = buffer.device_ptr(&stream);
        let (param_start, _param_guard) = param.as_cuda_slice_mut::<f32>()?.device_ptr_mut(&stream);
        let (param_at, buffer_at, grad_at) =
            (at(param_start, param_layout), at(buffer_start, buffer_layout), at(grad_start, grad_layout));

        let mut launch = stream.launch_builder(&function);
        launch.arg(&param_at).arg(&buffer_at).arg(&grad_at).arg(&count);
        launch.arg(&lr).arg(&momentum).arg(&weight_decay).arg(&nesterov);
        let config = LaunchConfig {
            grid_dim: (count.div_ceil(THREADS.into()).min(BLOCKS) as u32, 1, 1),
            block_dim: (THREADS, 1, 1),
            shared_mem_bytes: 0,
        };
        // SAFETY: the arguments are the kernel's, in its order and of its types. It touches `count` numbers from each address
        // on, which the three contiguous tensors of one shape have. The momentum buffer is written though it is lent to be
        // read: its memory is the GPU's, where no reference of Rust's points, it belongs to a variable, and what reads it
        // comes later in the one stream that this device has.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }
}

/// The kernel, compiled once in a process.
fn ptx() -> Result<&'static str> {
    static PTX: LazyLock<std::result::Result<String, CompileError>> = LazyLock::new(|| {
        let options = CompileOptions { fmad: Some(false), ..CompileOptions::default() };
        Ok(compile_ptx_with_opts(SOURCE, options)?.to_src())
    });
    match &*PTX {
        Ok(ptx) => Ok(ptx),
        Err(error) => bail!("sgd_step: its CUDA kernel does not compile: {error}"),
    }
}

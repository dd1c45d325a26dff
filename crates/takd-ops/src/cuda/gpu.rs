//! A device, and how kernels are compiled and launched on it.
//!
//! NVRTC, which candle's own `cuda` feature links, compiles a kernel for the sizes at hand when they are first met, so that
//! building the crate needs nothing that candle does not.

use crate::Precision;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, sys,
};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileOptions, compile_ptx_with_opts};
use candle_core::cuda_backend::{CudaDType, DeviceId, WrapErr};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Result, Shape, Storage, Tensor, bail};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// f32 numbers in a device's memory.
pub(crate) type Buffer = CudaSlice<f32>;

/// A kernel's text.
pub(crate) struct Source {
    pub name: &'static str,
    pub text: &'static str,
    /// Whether products and sums are contracted to fused multiply-adds.
    pub contract: bool,
}

/// Macros with which a kernel's text is compiled.
pub(crate) type Macros<'a> = &'a [(&'static str, usize)];

/// A source's name, its macros, and what it is compiled for.
type Compiled = (&'static str, Vec<(&'static str, usize)>, (i32, i32));

/// What was compiled, for all devices of a kind.
static PTX: LazyLock<Mutex<HashMap<Compiled, Arc<str>>>> = LazyLock::new(Mutex::default);

/// A device, a source's name, its macros, a kernel's name.
type Loaded = (DeviceId, &'static str, Vec<(&'static str, usize)>, &'static str);

static FUNCTIONS: LazyLock<Mutex<HashMap<Loaded, CudaFunction>>> = LazyLock::new(Mutex::default);

/// An argument of a kernel; `S` is the struct that it takes by value, if it takes one.
#[derive(Clone, Copy)]
pub(crate) enum Arg<S = u64> {
    Address(u64),
    U32(u32),
    I32(i32),
    F32(f32),
    Struct(S),
}

/// A device, ready to launch.
#[derive(Clone)]
pub(crate) struct Gpu {
    device: CudaDevice,
    stream: Arc<CudaStream>,
}

impl Gpu {
    pub(crate) fn new(device: &CudaDevice) -> Self {
        Self { device: device.clone(), stream: device.cuda_stream() }
    }

    pub(crate) fn device(&self) -> &CudaDevice {
        &self.device
    }

    /// Its generation, as (9, 0).
    fn compute_capability(&self) -> Result<(i32, i32)> {
        self.stream.context().compute_capability().w()
    }

    pub(super) fn check_tf32(&self) -> Result<()> {
        let (major, minor) = self.compute_capability()?;
        if major < 8 {
            bail!("TF32 needs a GPU of compute capability 8.0 or later, this one's is {major}.{minor}: use f32")
        }
        Ok(())
    }

    /// How many multiprocessors it has.
    pub(crate) fn processors(&self) -> Result<usize> {
        let count = sys::CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        Ok(self.stream.context().attribute(count).w()? as usize)
    }

    /// The kernel `name` of `source`, compiled if it is the first of its kind in this process.
    pub(crate) fn function(&self, source: &Source, macros: Macros, name: &'static str) -> Result<CudaFunction> {
        let key = (self.device.id(), source.name, macros.to_vec(), name);
        let functions = || FUNCTIONS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(function) = functions().get(&key) {
            return Ok(function.clone());
        }
        let ptx = self.ptx(source, macros)?;
        let module = format!("takd-{}{macros:?}", source.name);
        let function = self.device.get_or_load_custom_func(name, &module, &ptx)?.into_cuda_function();
        functions().insert(key, function.clone());
        Ok(function)
    }

    /// The source compiled. Threads that ask for the same at once wait for the first.
    fn ptx(&self, source: &Source, macros: Macros) -> Result<Arc<str>> {
        let (major, minor) = self.compute_capability()?;
        let key = (source.name, macros.to_vec(), (major, minor));
        let mut compiled = PTX.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ptx) = compiled.get(&key) {
            return Ok(ptx.clone());
        }
        if macros.contains(&("PRECISION", Precision::Tf32 as usize)) {
            self.check_tf32()?;
        }
        let mut options: Vec<String> = macros.iter().map(|(name, value)| format!("-D{name}={value}")).collect();
        options.push(format!("--gpu-architecture=compute_{major}{minor}"));
        let options = CompileOptions { fmad: Some(source.contract), options, ..CompileOptions::default() };
        let ptx: Arc<str> = match compile_ptx_with_opts(source.text, options) {
            Ok(ptx) => ptx.to_src().into(),
            Err(error) => bail!("{}: its CUDA kernels do not compile: {error}", source.name),
        };
        compiled.insert(key, ptx.clone());
        Ok(ptx)
    }

    /// Launches a kernel on a grid of blocks of threads.
    ///
    /// # Safety
    /// The arguments must be the kernel's, in its order and of its types, and each address that of as many numbers as the
    /// kernel touches.
    pub(crate) unsafe fn launch<S: DeviceRepr>(
        &self,
        function: &CudaFunction,
        grid_dim: (u32, u32, u32),
        block_dim: (u32, u32, u32),
        args: &[Arg<S>],
    ) -> Result<()> {
        let mut launch = self.stream.launch_builder(function);
        for arg in args {
            match arg {
                Arg::Address(address) => launch.arg(address),
                Arg::U32(number) => launch.arg(number),
                Arg::I32(number) => launch.arg(number),
                Arg::F32(number) => launch.arg(number),
                Arg::Struct(by_value) => launch.arg(by_value),
            };
        }
        let config = LaunchConfig { grid_dim, block_dim, shared_mem_bytes: 0 };
        // SAFETY: the caller's.
        unsafe { launch.launch(config) }.w()?;
        Ok(())
    }

    /// Room for numbers that are written before they are read.
    pub(crate) fn buffer(&self, len: usize) -> Result<Buffer> {
        // SAFETY: each is written by the launch that it is made for, and read by later ones in the same stream.
        unsafe { self.device.alloc(len) }
    }

    /// A buffer with a tensor's numbers.
    pub(crate) fn copy_of(&self, tensor: &Tensor) -> Result<Buffer> {
        let tensor = tensor.contiguous()?;
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cuda(storage) = &*storage else {
            bail!("expected a tensor on CUDA, not on {:?}", tensor.device().location())
        };
        let (start, len) = (layout.start_offset(), tensor.elem_count());
        let mut copy = self.buffer(len)?;
        self.device.memcpy_dtod(&storage.as_cuda_slice::<f32>()?.slice(start..start + len), &mut copy)?;
        Ok(copy)
    }

    /// Where numbers are in the device's memory. Everything that uses them goes through the device's one stream, in order.
    pub(crate) fn address<N>(&self, slice: &CudaSlice<N>) -> u64 {
        slice.device_ptr(&self.stream).0
    }

    /// A tensor of these numbers.
    pub(crate) fn tensor<N: CudaDType>(&self, slice: CudaSlice<N>, shape: impl Into<Shape>) -> Tensor {
        let storage = Storage::Cuda(self.storage(slice));
        Tensor::from_storage(storage, shape, BackpropOp::none(), false)
    }

    pub(crate) fn storage<N: CudaDType>(&self, slice: CudaSlice<N>) -> CudaStorage {
        CudaStorage::wrap_cuda_slice(slice, self.device.clone())
    }
}

/// Where a contiguous tensor's numbers, f32 or 64-bit integers, are in its device's memory.
pub(crate) fn address(tensor: &Tensor) -> Result<u64> {
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) if layout.is_contiguous() => {
            let gpu = Gpu::new(&storage.device);
            let start = match tensor.dtype() {
                DType::F32 => gpu.address(storage.as_cuda_slice::<f32>()?),
                DType::I64 => gpu.address(storage.as_cuda_slice::<i64>()?),
                dtype => bail!("expected f32, not {dtype:?}"),
            };
            Ok(start + (layout.start_offset() * tensor.dtype().size_in_bytes()) as u64)
        }
        _ => bail!("expected a contiguous tensor on CUDA, not {tensor:?}"),
    }
}

//! Runs `kd_loss.cu`.
//!
//! NVRTC, which candle's own `cuda` feature links, compiles it for the types at hand when they are first used (a fraction
//! of a second), so that building the crate needs nothing that candle does not.

use super::gpu::{
    Block, GIVEN_GRAD, GIVEN_TOTAL, GIVEN_UPSTREAM, GIVEN_WEIGHTS, MOST_TEACHERS, SUM_THREADS, Terms, kernel_type,
    offset_aligned,
};
use super::problem::{Gradient, Outcome, Problem};
use crate::error::{Error, Input, Result};
use crate::settings::Reduction;
use candle_core::backend::BackendStorage;
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{
    CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg, SyncOnDrop,
};
use candle_core::cuda_backend::cudarc::nvrtc::compile_ptx;
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, DType, Layout, Shape, Storage, Tensor};
use half::{bf16, f16};
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// The kernel's text; its steps are those of [`crate::cpu`].
const SOURCE: &str = include_str!("kd_loss.cu");

// SAFETY: `Terms` is `repr(C)`, plain numbers, and field for field the kernel's.
unsafe impl DeviceRepr for Terms {}

/// The kernel's `Teachers`: their device addresses.
#[repr(C)]
#[derive(Clone, Copy)]
struct Teachers([u64; MOST_TEACHERS]);

// SAFETY: `repr(C)`, the addresses the kernel's struct holds.
unsafe impl DeviceRepr for Teachers {}

/// The loss, and its gradient if it is asked for; NaN for bad rows. Launches kernels and waits for none.
pub(super) fn kd_loss(problem: &Problem, gradient: Gradient<'_>) -> Result<Outcome> {
    let device = problem.student.device().as_cuda_device()?;
    let (batch, dtype) = (problem.batch(), problem.student.dtype());
    kernel_type(Input::StudentLogits, dtype)?;
    let shape = match problem.reduction {
        Reduction::None => Shape::from(batch),
        _ => Shape::from(()),
    };
    let grad = match gradient {
        Gradient::Skip => None,
        Gradient::Into(grad) => Some(grad.clone()),
        Gradient::OfTheSum | Gradient::Times(_) => {
            // CUDA gives out no memory of 0 bytes.
            let grad = Storage::Cuda(uninitialised(device, problem.student.elem_count().max(1), dtype)?);
            Some(Tensor::from_storage(grad, problem.student.shape().clone(), BackpropOp::none(), false))
        }
    };
    let loss = if batch == 0 {
        device.alloc_zeros::<f32>(1)?
    } else {
        // SAFETY: whatever reads them runs after the kernel that writes them, in one stream.
        let losses = unsafe { device.alloc::<f32>(batch) }?;
        rows(problem, device, Some(&losses), grad.as_ref(), None)?;
        match problem.reduction {
            Reduction::None => losses,
            _ => sum(problem, device, Some(&losses), None, 0)?,
        }
    };
    let loss = Storage::Cuda(CudaStorage::wrap_cuda_slice(loss, device.clone()));
    Ok(Outcome { loss, shape, grad })
}

/// Multiplies `grad`, which nobody else has seen, with `upstream`. Rows with an upstream gradient of 1 stay as they are, so that
/// the usual case costs a launch that reads one number a row; the others are computed again, so that they are rounded once.
pub(super) fn rescale(problem: &Problem, grad: &Tensor, upstream: &Tensor) -> Result<()> {
    if problem.batch() == 0 {
        return Ok(());
    }
    let device = problem.student.device().as_cuda_device()?;
    rows(problem, device, None, Some(grad), Some(upstream))
}

/// Launches `kd_loss_rows`, either with room for the losses or with an upstream gradient.
fn rows(
    problem: &Problem,
    device: &CudaDevice,
    losses: Option<&CudaSlice<f32>>,
    grad: Option<&Tensor>,
    upstream: Option<&Tensor>,
) -> Result<()> {
    let stream = device.cuda_stream();
    let student_dtype = problem.student.dtype();
    let teacher_dtype = problem.teachers.first().map_or(student_dtype, Tensor::dtype);

    let (student_storage, student_layout) = problem.student.storage_and_layout();
    let teachers: Vec<_> = problem.teachers.iter().map(Tensor::storage_and_layout).collect();
    let labels = problem.labels.as_ref().map(Tensor::storage_and_layout);
    let upstream = match upstream {
        Some(upstream) => Some(upstream.to_dtype(DType::F32)?.flatten_all()?.contiguous()?),
        None => None,
    };
    let upstream = upstream.as_ref().map(Tensor::storage_and_layout);
    let weights = problem.weights.as_ref().map(Tensor::storage_and_layout);
    let grad = grad.map(Tensor::storage_and_layout);

    let mut given = 0;
    if weights.is_some() {
        given |= GIVEN_WEIGHTS;
    }
    if upstream.is_some() {
        given |= GIVEN_UPSTREAM;
    }
    if grad.is_some() {
        given |= GIVEN_GRAD;
    }
    let aligned = offset_aligned(student_layout, student_dtype)
        && grad.as_ref().is_none_or(|(_, layout)| offset_aligned(layout, student_dtype))
        && teachers.iter().all(|(_, layout)| offset_aligned(layout, teacher_dtype));
    let terms = Terms::new(problem, aligned, given)?;
    let total = match terms.given & GIVEN_TOTAL {
        0 => None,
        _ => Some(sum(problem, device, None, problem.weights.as_ref(), given)?),
    };

    let mut addresses = Addresses::on(&stream);
    let student_at = addresses.of_tensor(&student_storage, student_layout)?;
    let mut teachers_at = Teachers([student_at; MOST_TEACHERS]);
    for (to, (storage, layout)) in teachers_at.0.iter_mut().zip(&teachers) {
        *to = addresses.of_tensor(storage, layout)?;
    }
    let labels_at = labels.as_ref().map_or(Ok(0), |(storage, layout)| addresses.of_tensor(storage, layout))?;
    let weights_at = weights.as_ref().map_or(Ok(0), |(storage, layout)| addresses.of_tensor(storage, layout))?;
    let upstream_at = upstream.as_ref().map_or(Ok(0), |(storage, layout)| addresses.of_tensor(storage, layout))?;
    let grad_at = grad.as_ref().map_or(Ok(0), |(storage, layout)| addresses.of_tensor(storage, layout))?;
    let (total_at, losses_at) = (addresses.of(total.as_ref()), addresses.of(losses));

    let function = function(device, "kd_loss_rows", student_dtype, teacher_dtype)?;
    let block = Block::new(problem.classes());
    let mut launch = stream.launch_builder(&function);
    launch.arg(&student_at).arg(&teachers_at).arg(&labels_at).arg(&weights_at).arg(&total_at).arg(&upstream_at);
    launch.arg(&terms).arg(&losses_at).arg(&grad_at);
    let config = LaunchConfig {
        grid_dim: (problem.batch().div_ceil(block.rows) as u32, 1, 1),
        block_dim: (block.threads as u32, block.rows as u32, 1),
        shared_mem_bytes: block.shared_bytes() as u32,
    };
    // SAFETY: the arguments are the kernel's, in its order and of its types. It reads and writes `batch · classes` numbers
    // from each logits address on, which the checked shapes have, and `batch` numbers from the others on; an address is 0
    // only if `Terms` tells the kernel not to follow it.
    unsafe { launch.launch(config) }.w()?;
    Ok(())
}

/// Launches `kd_sum`: of the losses, or else of the weights of the rows that count.
fn sum(
    problem: &Problem,
    device: &CudaDevice,
    losses: Option<&CudaSlice<f32>>,
    weights: Option<&Tensor>,
    given: u32,
) -> Result<CudaSlice<f32>> {
    let stream = device.cuda_stream();
    let terms = Terms::new(problem, false, given)?;
    // SAFETY: the kernel writes its one number before anything reads it.
    let sum = unsafe { device.alloc::<f32>(1) }?;
    let labels = problem.labels.as_ref().map(Tensor::storage_and_layout);
    let weights = weights.map(Tensor::storage_and_layout);
    let mut addresses = Addresses::on(&stream);
    let labels_at = labels.as_ref().map_or(Ok(0), |(storage, layout)| addresses.of_tensor(storage, layout))?;
    let weights_at = weights.as_ref().map_or(Ok(0), |(storage, layout)| addresses.of_tensor(storage, layout))?;
    let (losses_at, sum_at) = (addresses.of(losses), addresses.of(Some(&sum)));
    let of_losses = u32::from(losses.is_some());
    let student = problem.student.dtype();
    let function = function(device, "kd_sum", student, problem.teachers.first().map_or(student, Tensor::dtype))?;
    let mut launch = stream.launch_builder(&function);
    launch.arg(&losses_at).arg(&of_losses).arg(&labels_at).arg(&weights_at).arg(&terms).arg(&sum_at);
    let config = LaunchConfig {
        grid_dim: (1, 1, 1),
        block_dim: (SUM_THREADS as u32, 1, 1),
        shared_mem_bytes: (SUM_THREADS * size_of::<f32>()) as u32,
    };
    // SAFETY: as in `rows`.
    unsafe { launch.launch(config) }.w()?;
    drop(addresses);
    Ok(sum)
}

/// A kernel for these types, compiled if this process has not used it on this GPU yet.
fn function(device: &CudaDevice, name: &'static str, student: DType, teacher: DType) -> Result<CudaFunction> {
    type Key = (usize, &'static str, &'static str, &'static str);
    static COMPILED: LazyLock<Mutex<HashMap<Key, CudaFunction>>> = LazyLock::new(Mutex::default);
    let (student, teacher) = (kernel_type(Input::StudentLogits, student)?, kernel_type(Input::TeacherLogits, teacher)?);
    let stream = device.cuda_stream();
    let key = |name| (stream.context().ordinal(), name, student, teacher);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(function) = compiled.get(&key(name)) {
        return Ok(function.clone());
    }
    let source = format!("#define STUDENT {student}\n#define TEACHER {teacher}\n{SOURCE}");
    let ptx = compile_ptx(source).map_err(|error| candle_core::Error::Cuda(Box::new(error)))?;
    let module = stream.context().load_module(ptx).w()?;
    for name in ["kd_loss_rows", "kd_sum"] {
        compiled.insert(key(name), module.load_function(name).w()?);
    }
    Ok(compiled[&key(name)].clone())
}

fn uninitialised(device: &CudaDevice, count: usize, dtype: DType) -> Result<CudaStorage> {
    // SAFETY: the kernel writes all of it before anything reads it, in one stream.
    unsafe {
        Ok(match dtype {
            DType::F16 => CudaStorage::wrap_cuda_slice(device.alloc::<f16>(count)?, device.clone()),
            DType::BF16 => CudaStorage::wrap_cuda_slice(device.alloc::<bf16>(count)?, device.clone()),
            _ => CudaStorage::wrap_cuda_slice(device.alloc::<f32>(count)?, device.clone()),
        })
    }
}

fn elsewhere() -> Error {
    candle_core::Error::msg("a tensor of the loss is not on the GPU of the student's logits").into()
}

/// Device addresses for one launch, and what keeps candle's streams in order until it is made.
struct Addresses<'a> {
    stream: &'a CudaStream,
    guards: Vec<SyncOnDrop<'a>>,
}

impl<'a> Addresses<'a> {
    fn on(stream: &'a CudaStream) -> Addresses<'a> {
        Addresses { stream, guards: Vec::new() }
    }

    /// That of a slice; 0 if there is none.
    fn of<N>(&mut self, slice: Option<&'a CudaSlice<N>>) -> u64 {
        let Some(slice) = slice else { return 0 };
        let (at, guard) = slice.device_ptr(self.stream);
        self.guards.push(guard);
        at
    }

    fn of_tensor(&mut self, storage: &'a Storage, layout: &Layout) -> Result<u64> {
        match storage {
            Storage::Cuda(storage) => self.of_storage(storage, layout.start_offset()),
            _ => Err(elsewhere()),
        }
    }

    /// That of the number at `offset`.
    fn of_storage(&mut self, storage: &'a CudaStorage, offset: usize) -> Result<u64> {
        let dtype = storage.dtype();
        let at = match dtype {
            DType::U8 => self.of(Some(storage.as_cuda_slice::<u8>()?)),
            DType::U32 => self.of(Some(storage.as_cuda_slice::<u32>()?)),
            DType::I64 => self.of(Some(storage.as_cuda_slice::<i64>()?)),
            DType::F16 => self.of(Some(storage.as_cuda_slice::<f16>()?)),
            DType::BF16 => self.of(Some(storage.as_cuda_slice::<bf16>()?)),
            _ => self.of(Some(storage.as_cuda_slice::<f32>()?)),
        };
        Ok(at + (offset * dtype.size_in_bytes()) as u64)
    }
}

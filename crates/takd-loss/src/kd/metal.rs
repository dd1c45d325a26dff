//! Runs `kd_loss.metal`.
//!
//! Metal compiles it for the types at hand when they are first used, so that building the crate needs nothing that candle's own
//! `metal` feature does not.
//!
//! Verified: this file type-checks for macOS; the kernel's text, compiled as C++ with a shim (`tests/kernel_shim`), agrees with
//! the CPU kernel up to rounding in losses and gradients, for every type of logits, and finds the same rows bad. Not verified:
//! it has not been compiled by Metal's own compiler, nor run on Apple's hardware; its speed is unknown.

use super::gpu::{
    Block, GIVEN_GRAD, GIVEN_TOTAL, GIVEN_UPSTREAM, GIVEN_WEIGHTS, MOST_TEACHERS, SUM_THREADS, Terms, kernel_type,
    offset_aligned,
};
use super::problem::{Gradient, Outcome, Problem};
use crate::error::{Error, Input, Result};
use crate::settings::Reduction;
use candle_core::backend::BackendStorage;
use candle_core::metal_backend::DeviceId;
use candle_core::op::BackpropOp;
use candle_core::{DType, Layout, MetalDevice, MetalStorage, Shape, Storage, Tensor};
use candle_metal_kernels::MetalKernelError;
use candle_metal_kernels::metal::{Buffer, ComputeCommandEncoder, ComputePipeline};
use objc2_metal::{MTLCompileOptions, MTLSize};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// The kernel's text; its steps are those of [`crate::cpu`].
const SOURCE: &str = include_str!("kd_loss.metal");

/// A buffer and its first byte that counts.
type Place<'a> = (&'a Buffer, usize);

/// The loss, and its gradient if it is asked for; NaN for bad rows. Launches kernels and waits for none.
pub(super) fn kd_loss(problem: &Problem, gradient: Gradient<'_>) -> Result<Outcome> {
    let device = problem.student.device().as_metal_device()?;
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
            let size = problem.student.elem_count();
            let grad = device.new_buffer(size.max(1), dtype, "kd_loss grad")?;
            let grad = Storage::Metal(MetalStorage::new(grad, device.clone(), size, dtype));
            Some(Tensor::from_storage(grad, problem.student.shape().clone(), BackpropOp::none(), false))
        }
    };
    let loss = if batch == 0 {
        device.new_buffer_with_data(&[0f32])?
    } else {
        let losses = device.new_buffer(batch, DType::F32, "kd_loss losses")?;
        rows(problem, device, Some(&losses), grad.as_ref(), None)?;
        match problem.reduction {
            Reduction::None => losses,
            _ => sum(problem, device, Some(&losses), None, 0)?,
        }
    };
    let loss = Storage::Metal(MetalStorage::new(loss, device.clone(), shape.elem_count(), DType::F32));
    Ok(Outcome { loss, shape, grad })
}

/// Multiplies `grad`, which nobody else has seen, with `upstream`. Rows with an upstream gradient of 1 stay as they are, so that
/// the usual case costs a launch that reads one number a row; the others are computed again, so that they are rounded once.
pub(super) fn rescale(problem: &Problem, grad: &Tensor, upstream: &Tensor) -> Result<()> {
    if problem.batch() == 0 {
        return Ok(());
    }
    let device = problem.student.device().as_metal_device()?;
    rows(problem, device, None, Some(grad), Some(upstream))
}

/// Launches `kd_loss_rows`, either with room for the losses or with an upstream gradient.
fn rows(
    problem: &Problem,
    device: &MetalDevice,
    losses: Option<&Buffer>,
    grad: Option<&Tensor>,
    upstream: Option<&Tensor>,
) -> Result<()> {
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

    let student = place(&student_storage, student_layout)?;
    // What is not given is bound to the student's logits, and not read.
    let labels = labels.as_ref().map_or(Ok(student), |(storage, layout)| place(storage, layout))?;
    let weights = weights.as_ref().map_or(Ok(student), |(storage, layout)| place(storage, layout))?;
    let upstream = upstream.as_ref().map_or(Ok(student), |(storage, layout)| place(storage, layout))?;
    let grad = grad.as_ref().map(|(storage, layout)| place(storage, layout)).transpose()?;
    let pipeline = pipeline(device, "kd_loss_rows", student_dtype, teacher_dtype)?;
    {
        let commands = device.command_encoder()?;
        commands.set_compute_pipeline_state(&pipeline);
        let encoder: &ComputeCommandEncoder = commands.as_ref();
        let input = |index, (buffer, byte): Place<'_>| encoder.set_input_buffer(index, Some(buffer), byte);
        input(0, student);
        input(1, labels);
        input(2, weights);
        input(3, total.as_deref().map_or(student, |total| (total, 0)));
        input(4, upstream);
        encoder.set_bytes(5, &terms);
        for (index, output) in [(6, losses.map(|losses| (losses, 0))), (7, grad)] {
            match output {
                Some((buffer, byte)) => encoder.set_output_buffer(index, Some(buffer), byte),
                None => input(index, student),
            }
        }
        for index in 0..MOST_TEACHERS {
            let teacher = teachers.get(index).map_or(Ok(student), |(storage, layout)| place(storage, layout))?;
            input(8 + index, teacher);
        }
        let mut block = Block::new(problem.classes());
        while block.threads * block.rows > pipeline.max_total_threads_per_threadgroup() && block.threads > 32 {
            block.threads /= 2;
        }
        encoder.set_threadgroup_memory_length(0, block.shared_bytes());
        let blocks = MTLSize { width: problem.batch().div_ceil(block.rows), height: 1, depth: 1 };
        encoder.dispatch_thread_groups(blocks, MTLSize { width: block.threads, height: block.rows, depth: 1 });
    }
    Ok(())
}

/// Launches `kd_sum`: of the losses, or else of the weights of the rows that count.
fn sum(
    problem: &Problem,
    device: &MetalDevice,
    losses: Option<&Buffer>,
    weights: Option<&Tensor>,
    given: u32,
) -> Result<Arc<Buffer>> {
    let terms = Terms::new(problem, false, given)?;
    let sum = device.new_buffer(1, DType::F32, "kd_loss sum")?;
    let (student_storage, student_layout) = problem.student.storage_and_layout();
    let student = place(&student_storage, student_layout)?;
    let labels = problem.labels.as_ref().map(Tensor::storage_and_layout);
    let labels = labels.as_ref().map_or(Ok(student), |(storage, layout)| place(storage, layout))?;
    let weights = weights.map(Tensor::storage_and_layout);
    let weights = weights.as_ref().map_or(Ok(student), |(storage, layout)| place(storage, layout))?;
    let dtype = problem.student.dtype();
    let pipeline = pipeline(device, "kd_sum", dtype, problem.teachers.first().map_or(dtype, Tensor::dtype))?;
    let commands = device.command_encoder()?;
    commands.set_compute_pipeline_state(&pipeline);
    let encoder: &ComputeCommandEncoder = commands.as_ref();
    let input = |index, (buffer, byte): Place<'_>| encoder.set_input_buffer(index, Some(buffer), byte);
    input(0, losses.map_or(student, |losses| (losses, 0)));
    encoder.set_bytes(1, &u32::from(losses.is_some()));
    input(2, labels);
    input(3, weights);
    encoder.set_bytes(4, &terms);
    encoder.set_output_buffer(5, Some(&sum), 0);
    encoder.set_threadgroup_memory_length(0, SUM_THREADS * size_of::<f32>());
    let one = MTLSize { width: 1, height: 1, depth: 1 };
    encoder.dispatch_thread_groups(one, MTLSize { width: SUM_THREADS, height: 1, depth: 1 });
    drop(commands);
    Ok(sum)
}

/// A kernel for these types, compiled if this process has not used it on this device yet.
fn pipeline(device: &MetalDevice, name: &'static str, student: DType, teacher: DType) -> Result<ComputePipeline> {
    type Key = (DeviceId, &'static str, &'static str, &'static str);
    static COMPILED: LazyLock<Mutex<HashMap<Key, ComputePipeline>>> = LazyLock::new(Mutex::default);
    let (student, teacher) = (kernel_type(Input::StudentLogits, student)?, kernel_type(Input::TeacherLogits, teacher)?);
    let mut compiled = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(pipeline) = compiled.get(&(device.id(), name, student, teacher)) {
        return Ok(pipeline.clone());
    }
    let options = MTLCompileOptions::new();
    // Fast arithmetic may take NaN for a number.
    #[allow(deprecated)] // its successor needs macOS 15
    options.setFastMathEnabled(false);
    let source = format!("#define STUDENT {student}\n#define TEACHER {teacher}\n{SOURCE}");
    let compile = || -> std::result::Result<ComputePipeline, MetalKernelError> {
        let library = device.new_library_with_source(&source, Some(&options))?;
        device.new_compute_pipeline_state_with_function(&library.get_function(name, None)?)
    };
    let pipeline = compile().map_err(candle_core::Error::wrap)?;
    compiled.insert((device.id(), name, student, teacher), pipeline.clone());
    Ok(pipeline)
}

/// The place of a tensor's numbers.
fn place<'a>(storage: &'a Storage, layout: &Layout) -> Result<Place<'a>> {
    match storage {
        Storage::Metal(storage) => {
            Ok((storage.buffer(), layout.start_offset() * BackendStorage::dtype(storage).size_in_bytes()))
        }
        _ => Err(elsewhere()),
    }
}

fn elsewhere() -> Error {
    candle_core::Error::msg("a tensor of the loss is not on the GPU of the student's logits").into()
}

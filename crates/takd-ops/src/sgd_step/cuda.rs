//! Runs `sgd_step.cu`.

use super::params::{SgdParams, SgdUpdate};
use crate::cuda::{Arg, Gpu, Source, address};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{DeviceRepr, result};
use candle_core::{CudaDevice, Result, Tensor};

const SOURCE: Source = Source { name: "sgd_step", text: include_str!("sgd_step.cu"), contract: false };

/// Parameters of a launch, as in the kernel.
const MOST: usize = 96;

/// Threads of a block.
const THREADS: u32 = 256;

/// Numbers of the largest parameter that a thread takes, and the most blocks for a parameter.
const NUMBERS: u64 = 4;
const BLOCKS: u64 = 1024;

#[repr(C)]
#[derive(Clone, Copy)]
struct Update {
    param: u64,
    momentum_buffer: u64,
    grad: u64,
    count: u64,
    weight_decay: f32,
}

/// The kernel's argument; entries beyond the launch's blocks are not read.
#[repr(C)]
#[derive(Clone, Copy)]
struct Updates([Update; MOST]);

// SAFETY: `repr(C)`, plain numbers, field for field the kernel's.
unsafe impl DeviceRepr for Updates {}

/// Two launches for every [`MOST`] parameters. Parameters and momentum are contiguous f32, gradients f32.
pub(super) fn step(updates: &[SgdUpdate<'_>], params: SgdParams, device: &CudaDevice) -> Result<Tensor> {
    let gpu = Gpu::new(device);
    // SAFETY: it is written next, before anything can read it.
    let verdict = unsafe { device.alloc::<u32>(1) }?;
    let verdict_at = gpu.address(&verdict);
    // SAFETY: the four bytes are those of the number just allocated.
    unsafe { result::memset_d8_async(verdict_at, 0xff, size_of::<u32>(), device.cuda_stream().cu_stream()) }.w()?;

    let grads: Vec<Tensor> = updates.iter().map(|update| update.grad.contiguous()).collect::<Result<_>>()?;
    let all = updates.iter().zip(&grads).map(|(update, grad)| {
        Ok(Update {
            param: address(update.param)?,
            momentum_buffer: address(update.momentum_buffer)?,
            grad: address(grad)?,
            count: grad.elem_count() as u64,
            weight_decay: update.weight_decay as f32,
        })
    });
    let all: Vec<Update> = all.collect::<Result<_>>()?;
    let launches = |kernel, args: &dyn Fn(Updates, u32) -> Vec<Arg<Updates>>| -> Result<()> {
        let function = gpu.function(&SOURCE, &[], kernel)?;
        for (i, part) in all.chunks(MOST).enumerate() {
            let mut padded = [part[0]; MOST];
            padded[..part.len()].copy_from_slice(part);
            let largest = part.iter().map(|update| update.count).max().unwrap_or(0);
            let blocks = largest.div_ceil(NUMBERS * u64::from(THREADS)).clamp(1, BLOCKS) as u32;
            let grid = (blocks, part.len() as u32, 1);
            // SAFETY: the arguments are the kernel's, in its order and of its types. Each address has `count` numbers, which
            // the checked shapes have. Parameters and momentum are written though they are lent to be read: their memory is
            // the GPU's, where no reference of Rust's points, and what reads it comes later in the device's one stream.
            unsafe { gpu.launch(&function, grid, (THREADS, 1, 1), &args(Updates(padded), (i * MOST) as u32)) }?;
        }
        Ok(())
    };
    launches("find_not_finite", &|updates, first| {
        vec![Arg::Struct(updates), Arg::U32(first), Arg::Address(verdict_at)]
    })?;
    let SgdParams { lr, momentum, nesterov } = params;
    launches("sgd_step", &|updates, _| {
        let numbers = [Arg::F32(lr as f32), Arg::F32(momentum as f32), Arg::I32(i32::from(nesterov))];
        [Arg::Struct(updates)].into_iter().chain(numbers).chain([Arg::Address(verdict_at)]).collect()
    })?;
    Ok(gpu.tensor(verdict, ()))
}

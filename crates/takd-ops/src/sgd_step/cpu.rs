//! One parameter's step on the CPU, in f32: two passes, each vectorised by the compiler.

use super::params::{SgdParams, SgdUpdate};
use crate::cpu::{arch, run};
use candle_core::{CpuStorage, InplaceOp3, Layout, Result, bail};
use rayon::prelude::*;

/// Parameter and momentum buffer are contiguous.
pub(super) fn step(update: &SgdUpdate, params: SgdParams) -> Result<()> {
    let SgdUpdate { param, grad, momentum_buffer, weight_decay } = *update;
    let grad = grad.contiguous()?;
    momentum_buffer.inplace_op3(&grad, param, &Accumulate { momentum: params.momentum, weight_decay })?;
    param.inplace_op3(&grad, momentum_buffer, &Descend { params, weight_decay })
}

/// `buffer = momentum · buffer + grad + weight_decay · param`.
struct Accumulate {
    momentum: f64,
    weight_decay: f64,
}

impl InplaceOp3 for Accumulate {
    fn name(&self) -> &'static str {
        "sgd-momentum"
    }

    fn cpu_fwd(
        &self,
        buffer: &mut CpuStorage,
        buffer_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
        param: &CpuStorage,
        param_layout: &Layout,
    ) -> Result<()> {
        let (momentum, decay) = (self.momentum as f32, self.weight_decay as f32);
        let (grad, param) = (values(grad, grad_layout)?, values(param, param_layout)?);
        in_chunks(values_mut(buffer, buffer_layout)?, grad, param, |buffer, grad, param| {
            for ((buffer, &grad), &param) in buffer.iter_mut().zip(grad).zip(param) {
                *buffer = momentum * *buffer + (grad + decay * param);
            }
        });
        Ok(())
    }
}

/// `param −= lr · direction`.
struct Descend {
    params: SgdParams,
    weight_decay: f64,
}

impl InplaceOp3 for Descend {
    fn name(&self) -> &'static str {
        "sgd-descend"
    }

    fn cpu_fwd(
        &self,
        param: &mut CpuStorage,
        param_layout: &Layout,
        grad: &CpuStorage,
        grad_layout: &Layout,
        buffer: &CpuStorage,
        buffer_layout: &Layout,
    ) -> Result<()> {
        let SgdParams { lr, momentum, nesterov } = self.params;
        let (lr, momentum, decay) = (lr as f32, momentum as f32, self.weight_decay as f32);
        let (grad, buffer) = (values(grad, grad_layout)?, values(buffer, buffer_layout)?);
        in_chunks(values_mut(param, param_layout)?, grad, buffer, |param, grad, buffer| {
            if nesterov {
                for ((param, &grad), &buffer) in param.iter_mut().zip(grad).zip(buffer) {
                    *param -= lr * (grad + decay * *param + momentum * buffer);
                }
            } else {
                for (param, &buffer) in param.iter_mut().zip(buffer) {
                    *param -= lr * buffer;
                }
            }
        });
        Ok(())
    }
}

/// Numbers of a task; with fewer a second thread does not pay.
const CHUNK: usize = 1 << 15;

/// Runs `update` over parts of the three, in the widest vectors the processor has.
fn in_chunks(target: &mut [f32], a: &[f32], b: &[f32], update: impl Fn(&mut [f32], &[f32], &[f32]) + Sync) {
    let arch = arch();
    let chunk = |(target, (a, b)): (&mut [f32], (&[f32], &[f32]))| run(arch, || update(target, a, b));
    if target.len() <= CHUNK {
        return chunk((target, (a, b)));
    }
    target.par_chunks_mut(CHUNK).zip(a.par_chunks(CHUNK).zip(b.par_chunks(CHUNK))).for_each(chunk);
}

/// The numbers of a contiguous f32 tensor.
fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&values[start..end]),
        _ => bail!("sgd_step: expected contiguous f32 values"),
    }
}

fn values_mut<'a>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (CpuStorage::F32(values), Some((start, end))) => Ok(&mut values[start..end]),
        _ => bail!("sgd_step: expected contiguous f32 values"),
    }
}

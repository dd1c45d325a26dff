//! What the device can do at most; the CPU on all threads of the pool.

use candle_core::{DType, Device, Result, Storage, Tensor};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::hint::black_box;
use std::time::Instant;

const MATRIX: usize = 1024;
/// Four times the numbers that a large cache holds.
const COPIED: usize = 32 << 20;
const FMA_LOOPS: usize = 2_000_000;
/// As many as hide the latency of two multiply-adds a cycle, and fit in 16 registers.
const FMA_CHAINS: usize = 12;

/// The best rates so far: the machine's other work only ever lowers them.
pub struct Machine {
    /// GFLOP/s of candle's product of two square matrices in f32.
    pub matmul: f64,
    /// GFLOP/s of multiply-adds on registers alone; not known of a GPU.
    pub fma: Option<f64>,
    /// GB/s read and written in copying buffers that no cache holds.
    pub copy: f64,
    matrix: Tensor,
    from: Tensor,
    to: Vec<f32>,
}

impl Machine {
    pub fn new(device: &Device) -> Result<Self> {
        let (side, copied) = if device.is_cpu() { (MATRIX, COPIED) } else { (4 * MATRIX, 4 * COPIED) };
        let matrix = Tensor::randn(0f32, 1., (side, side), device)?;
        let from = Tensor::ones(copied, DType::F32, device)?;
        let to = vec![0.0; if device.is_cpu() { copied } else { 0 }];
        Ok(Self { matmul: 0.0, fma: None, copy: 0.0, matrix, from, to })
    }

    /// A tenth of a second or two.
    pub fn measure(&mut self) -> Result<()> {
        let Self { matrix, from, to, .. } = self;
        let device = matrix.device();
        let threads = rayon::current_num_threads();
        let copied = from.elem_count();
        for _ in 0..3 {
            let start = Instant::now();
            black_box(matrix.matmul(matrix)?);
            device.synchronize()?;
            self.matmul = self.matmul.max(giga(2 * matrix.dim(0)?.pow(3), start));

            if device.is_cpu() {
                let start = Instant::now();
                let flop: usize = rayon::broadcast(|_| Arch::new().dispatch(FmaLoop)).iter().sum();
                self.fma = Some(self.fma.unwrap_or_default().max(giga(flop, start)));
            }

            let start = Instant::now();
            match &*from.storage_and_layout().0 {
                Storage::Cpu(from) => {
                    let (part, from) = (copied.div_ceil(threads), from.as_slice::<f32>()?);
                    to.par_chunks_mut(part).zip(from.par_chunks(part)).for_each(|(to, from)| to.copy_from_slice(from));
                }
                _ => _ = black_box(from.copy()?),
            }
            device.synchronize()?;
            self.copy = self.copy.max(giga(2 * size_of::<f32>() * copied, start));
        }
        Ok(())
    }
}

fn giga(count: usize, start: Instant) -> f64 {
    count as f64 / start.elapsed().as_secs_f64() / 1e9
}

struct FmaLoop;

impl WithSimd for FmaLoop {
    /// Multiplications and additions.
    type Output = usize;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> usize {
        let half = simd.splat_f32s(black_box(0.5));
        let mut sums = [half; FMA_CHAINS];
        for _ in 0..FMA_LOOPS {
            for sum in &mut sums {
                *sum = simd.mul_add_f32s(*sum, half, half);
            }
        }
        black_box(sums);
        2 * FMA_LOOPS * FMA_CHAINS * S::F32_LANES
    }
}

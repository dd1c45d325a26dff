//! The two usual shapes of a launch.

use super::gpu::{Arg, Gpu, Source};
use candle_core::Result;
use candle_core::cuda_backend::cudarc::driver::DeviceRepr;

/// Threads of a block if each has a number of its own.
const THREADS: usize = 256;

/// Channels that a block of sums has, one a column of its threads.
const CHANNELS: usize = 32;

impl Gpu {
    /// Launches a kernel with a thread for each of `count` numbers.
    ///
    /// # Safety
    /// As for [`Gpu::launch`].
    pub(crate) unsafe fn each<S: DeviceRepr>(
        &self,
        source: &Source,
        kernel: &'static str,
        count: usize,
        args: &[Arg<S>],
    ) -> Result<()> {
        let function = self.function(source, &[], kernel)?;
        let grid = (count.div_ceil(THREADS) as u32, 1, 1);
        // SAFETY: the caller's.
        unsafe { self.launch(&function, grid, (THREADS as u32, 1, 1), args) }
    }

    /// Launches a kernel of one block for every 32 channels. Everything after it waits for these few blocks, so they have as
    /// many rows of threads as possible.
    ///
    /// # Safety
    /// As for [`Gpu::launch`].
    pub(crate) unsafe fn each_channel<S: DeviceRepr>(
        &self,
        source: &Source,
        kernel: &'static str,
        channels: usize,
        args: &[Arg<S>],
    ) -> Result<()> {
        let function = self.function(source, &[], kernel)?;
        let grid = (channels.div_ceil(CHANNELS) as u32, 1, 1);
        // SAFETY: the caller's.
        unsafe { self.launch(&function, grid, (CHANNELS as u32, 32, 1), args) }
    }

    /// The same with `blocks` blocks along the grid's `x`, each with a part of the pixels, and the channels along `y`.
    ///
    /// # Safety
    /// As for [`Gpu::launch`].
    pub(crate) unsafe fn each_part_and_channel<S: DeviceRepr>(
        &self,
        source: &Source,
        kernel: &'static str,
        blocks: usize,
        channels: usize,
        args: &[Arg<S>],
    ) -> Result<()> {
        let function = self.function(source, &[], kernel)?;
        let grid = (blocks as u32, channels.div_ceil(CHANNELS) as u32, 1);
        // SAFETY: the caller's.
        unsafe { self.launch(&function, grid, (CHANNELS as u32, 8, 1), args) }
    }
}

pub(crate) fn int<S>(number: usize) -> Arg<S> {
    Arg::I32(number as i32)
}

/// A count, 64 bits wide.
pub(crate) fn count<S>(number: usize) -> Arg<S> {
    Arg::Address(number as u64)
}

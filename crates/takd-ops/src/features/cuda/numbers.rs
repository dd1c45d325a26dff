//! Runs `numbers.cu`: features to and from plain numbers.

use crate::cuda::{Arg, Buffer, Gpu, Source, ValuesAt, count, int};
use candle_core::Result;

const SOURCE: Source = Source {
    name: "numbers",
    text: concat!(include_str!("../../cuda/common.cu"), include_str!("numbers.cu")),
    contract: true,
};

/// The order of an image's numbers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    ChannelsLast,
    ChannelsFirst,
}

/// The numbers of features.
pub(crate) fn numbers(gpu: &Gpu, dims: [usize; 4], values: ValuesAt, order: Order) -> Result<Buffer> {
    let ([_, height, width, channels], len) = (dims, dims.iter().product());
    let to = gpu.buffer(len)?;
    let pixels = if order == Order::ChannelsFirst { height * width } else { 0 };
    let args = [Arg::Struct(values), Arg::Address(gpu.address(&to)), count(len), int(channels), int(pixels)];
    // SAFETY: the arguments are the kernel's, in its order and of its types; both have `len` numbers.
    unsafe { gpu.each(&SOURCE, "numbers", len, &args) }?;
    Ok(to)
}

/// A gradient at `from`, of features in [`Order::ChannelsFirst`], in [`Order::ChannelsLast`].
pub(crate) fn channels_last(gpu: &Gpu, dims: [usize; 4], from: u64) -> Result<Buffer> {
    let ([_, height, width, channels], len) = (dims, dims.iter().product());
    let to = gpu.buffer(len)?;
    let args: [Arg; 5] =
        [Arg::Address(from), Arg::Address(gpu.address(&to)), count(len), int(channels), int(height * width)];
    // SAFETY: as in `numbers`.
    unsafe { gpu.each(&SOURCE, "channels_last", len, &args) }?;
    Ok(to)
}

/// Adds one buffer to the other, which is as long.
pub(super) fn add(gpu: &Gpu, to: &Buffer, from: &Buffer) -> Result<()> {
    let len = from.len();
    let args: [Arg; 3] = [Arg::Address(gpu.address(to)), Arg::Address(gpu.address(from)), count(len)];
    // SAFETY: as in `numbers`. `to` is written though it is lent to be read: its memory is the GPU's, where no reference of
    // Rust's points, and what reads it comes later in the device's one stream.
    unsafe { gpu.each(&SOURCE, "add", len, &args) }
}

//! The order of an epoch's images.

use rand::seq::SliceRandom;
use takd_rng::Streams;

/// The order in which epoch `epoch` goes through `n` images: a permutation of `0..n`, from the stream `shuffle/epoch N`.
pub fn epoch_order(n: usize, streams: &Streams, epoch: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..n as u32).collect();
    order.shuffle(&mut streams.stream(&format!("shuffle/epoch {epoch}")));
    order
}

//! Batches made by the CPU.

use super::{
    epoch::Epoch,
    types::{Batch, Mixed},
};
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use rayon::{ThreadPool, prelude::*};

/// Which threads make the images of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Threads<'a> {
    /// All those of the rayon pool.
    Pool,
    /// The one that asks for the batch.
    Current,
    /// Those of this pool, in which nothing else waits.
    Own(&'a ThreadPool),
}

/// The batches of an epoch, in the CPU's memory.
pub(super) fn batches<'a>(
    epoch: Epoch<'a>,
    threads: Threads<'a>,
) -> impl Iterator<Item = Result<Batch>> + Send + use<'a> {
    let table = epoch.config.normalization.table();
    let images = epoch.images;
    let (height, width) = (images.height(), images.width());
    let size = height * width * 3;
    epoch.cut().map(move |indices| {
        let indices = indices?;
        let mut values = vec![0f32; indices.len() * size];
        let make = |(values, &index): (&mut [f32], &u32)| epoch.sample(index, &table, values);
        match threads {
            Threads::Pool => values.par_chunks_exact_mut(size).zip(indices).try_for_each(make)?,
            Threads::Current => values.chunks_exact_mut(size).zip(indices).try_for_each(make)?,
            Threads::Own(pool) => pool.install(|| values.par_chunks_exact_mut(size).zip(indices).try_for_each(make))?,
        }
        let mut labels: Vec<u32> = indices.iter().map(|&index| images.labels()[index as usize]).collect();
        let tensor = |labels| Tensor::from_vec(labels, indices.len(), &Device::Cpu);
        let mut mixed = None;
        if let (Some(mix), Some(first)) = (epoch.config.augmentation.mix, indices.first()) {
            let shares = mix.apply(&mut values, &labels, (height, width), &mut epoch.batch_stream(*first));
            labels = shares.most;
            mixed = Some(Mixed { labels: tensor(shares.rest)?, share: shares.share });
        }
        let shape = (indices.len(), height, width, 3);
        Ok(Batch {
            images: Tensor::from_vec(values, shape, &Device::Cpu)?.permute((0, 3, 1, 2))?,
            labels: tensor(labels)?,
            mixed,
            indices: indices.to_vec(),
            index: Tensor::new(indices, &Device::Cpu)?,
        })
    })
}

/// The batches moved to the device on which a network is to have them.
pub(super) fn moved_to<'a>(
    device: &'a Device,
    batches: impl Iterator<Item = Result<Batch>> + 'a,
) -> Box<dyn Iterator<Item = Result<Batch>> + 'a> {
    Box::new(batches.map(|batch| {
        let Batch { images, labels, mixed, indices, index } = batch?;
        let [images, labels, index] = [images, labels, index].map(|tensor| tensor.to_device(device));
        let moved = |Mixed { labels, share }| Ok::<_, Error>(Mixed { labels: labels.to_device(device)?, share });
        Ok(Batch { images: images?, labels: labels?, mixed: mixed.map(moved).transpose()?, indices, index: index? })
    }))
}

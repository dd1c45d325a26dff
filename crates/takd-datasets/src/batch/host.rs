//! Batches made by the processor.

use super::{Batch, Epoch};
use crate::Result;
use candle_core::{Device, Tensor};
use rayon::prelude::*;

/// Who makes the images of a batch.
#[derive(Debug, Clone, Copy)]
pub(super) enum Hands {
    Pool,
    ThisThread,
}

impl<'a> Epoch<'a> {
    pub(super) fn batches(self, hands: Hands) -> impl Iterator<Item = Result<Batch>> + Send + use<'a> {
        let table = self.config.normalization.table();
        let (height, width) = (self.images.height(), self.images.width());
        let size = height * width * 3;
        self.cut().map(move |indices| {
            let indices = indices?;
            let mut values = vec![0f32; indices.len() * size];
            let make = |(values, &index): (&mut [f32], &u32)| {
                self.window(index).fill(self.images.image(index as usize), (height, width), &table, values);
            };
            match hands {
                Hands::Pool => values.par_chunks_exact_mut(size).zip(indices).for_each(make),
                Hands::ThisThread => values.chunks_exact_mut(size).zip(indices).for_each(make),
            }
            let labels: Vec<u32> = indices.iter().map(|&index| self.images.labels()[index as usize]).collect();
            let shape = (indices.len(), height, width, 3);
            Ok(Batch {
                images: Tensor::from_vec(values, shape, &Device::Cpu)?.permute((0, 3, 1, 2))?,
                labels: Tensor::from_vec(labels, indices.len(), &Device::Cpu)?,
                indices: indices.to_vec(),
                index: Tensor::new(indices, &Device::Cpu)?,
            })
        })
    }
}

/// The batches where a network is to have them.
pub(super) fn moved_to<'a>(
    device: &'a Device,
    batches: impl Iterator<Item = Result<Batch>> + 'a,
) -> Box<dyn Iterator<Item = Result<Batch>> + 'a> {
    Box::new(batches.map(|batch| {
        let Batch { images, labels, indices, index } = batch?;
        let [images, labels, index] = [images, labels, index].map(|tensor| tensor.to_device(device));
        Ok(Batch { images: images?, labels: labels?, indices, index: index? })
    }))
}

//! A network over many images without training it.

use crate::Result;
use candle_core::{D, DType, Device, Tensor};
use candle_nn::ModuleT;
use serde::{Deserialize, Serialize};
use takd_datasets::{Augmentation, BatchConfig, Images, Normalization, batches};
use takd_models::Network;

/// Images a pass: enough to keep the processor busy, few enough for its memory.
const BATCH: usize = 256;

/// How a network does on images that it was not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of the images whose largest logit is their label's, 0 to 1.
    pub accuracy: f64,
    /// How many images there were.
    pub images: usize,
}

/// Images, and how they enter a network.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub images: &'a Images,
    pub normalization: Normalization,
    pub device: &'a Device,
}

impl View<'_> {
    /// Calls `each(logits, labels)` for the images named by `order`, a batch at a time.
    fn each_batch(
        &self,
        network: &Network,
        order: &[u32],
        mut each: impl FnMut(Tensor, &Tensor) -> Result<()>,
    ) -> Result<()> {
        let config =
            BatchConfig { batch_size: BATCH, augmentation: Augmentation::None, normalization: self.normalization };
        for batch in batches(self.images, order, &config, 0, 0, self.device) {
            let batch = batch?;
            each(network.forward_t(&batch.images, false)?.detach(), &batch.labels)?;
        }
        Ok(())
    }

    /// The logits of the images named by `order`, `[images, classes]`.
    pub(crate) fn logits(&self, network: &Network, order: &[u32]) -> Result<Tensor> {
        let mut logits = Vec::new();
        self.each_batch(network, order, |batch, _| {
            logits.push(batch);
            Ok(())
        })?;
        Ok(Tensor::cat(&logits, 0)?)
    }

    pub(crate) fn evaluate(&self, network: &Network, order: &[u32]) -> Result<Evaluation> {
        let (mut loss, mut hits) = (0.0, 0);
        self.each_batch(network, order, |logits, labels| {
            let mean = takd_loss::cross_entropy(&logits, labels)?.to_scalar::<f32>()?;
            loss += f64::from(mean) * logits.dim(0)? as f64;
            hits += correct(&logits, labels)?;
            Ok(())
        })?;
        let images = order.len();
        Ok(Evaluation { loss: loss / images as f64, accuracy: hits as f64 / images as f64, images })
    }
}

/// How many rows have their largest logit at their label.
pub(crate) fn correct(logits: &Tensor, labels: &Tensor) -> Result<usize> {
    let hits = logits.argmax(D::Minus1)?.eq(labels)?.to_dtype(DType::U32)?;
    Ok(hits.sum_all()?.to_scalar::<u32>()? as usize)
}

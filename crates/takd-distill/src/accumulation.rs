//! A batch computed in parts, one after the other, whose gradients are added: memory holds the activations of one part only.

use crate::Result;
use candle_core::Tensor;
use candle_core::backprop::GradStore;
use std::ops::Range;
use takd_datasets::{Batch, Mixed};

/// What a batch leaves, without its graph, which holds every activation.
pub(crate) struct BatchResult {
    /// The mean over the images, a scalar.
    pub loss: Tensor,
    /// The cross-entropy of the loss, a scalar; nothing if it is the loss, or not asked for.
    pub cross_entropy: Option<Tensor>,
    /// `[batch, classes]`.
    pub logits: Tensor,
    /// Those of the loss.
    pub gradients: GradStore,
}

/// A batch's loss and gradients, computed in so many parts: the sum of those of each part by its share of the images, which are
/// the batch's own, but for what a layer makes of several images together.
///
/// `compute` gives the loss of a part times the share that is handed to it, and its gradients. All of a part but its result is
/// freed before the next.
pub(crate) fn in_parts(
    batch: &Batch,
    parts: usize,
    mut compute: impl FnMut(&Batch, Share) -> Result<BatchResult>,
) -> Result<BatchResult> {
    if parts <= 1 {
        return compute(batch, Share(None));
    }
    let images = batch.indices.len();
    let mut sum: Option<BatchResult> = None;
    let mut logits = Vec::with_capacity(parts);
    for range in ranges(images, parts) {
        let share = Share(Some(range.len() as f64 / images as f64));
        let part = compute(&part(batch, range)?, share)?;
        logits.push(part.logits.clone());
        sum = Some(match sum {
            None => part,
            Some(sum) => sum.plus(part)?,
        });
    }
    match sum {
        Some(sum) => Ok(BatchResult { logits: Tensor::cat(&logits, 0)?, ..sum }),
        None => compute(batch, Share(None)),
    }
}

/// How much of its batch a part is; the whole batch is not multiplied by anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share(Option<f64>);

impl Share {
    /// A mean over the part's images, times its share.
    pub(crate) fn of(self, mean: Tensor) -> Result<Tensor> {
        Ok(match self.0 {
            Some(share) => (mean * share)?,
            None => mean,
        })
    }
}

impl BatchResult {
    /// The sums; the logits are those of the first.
    fn plus(mut self, other: Self) -> Result<Self> {
        self.gradients.extend(other.gradients)?;
        let cross_entropy = match (self.cross_entropy, other.cross_entropy) {
            (Some(sum), Some(part)) => Some((sum + part)?),
            _ => None,
        };
        Ok(Self { loss: (self.loss + other.loss)?, cross_entropy, ..self })
    }
}

/// `0..images` in so many ranges, the longer ones first, by one at most.
fn ranges(images: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let (least, longer) = (images / parts, images % parts);
    let start = move |part: usize| part * least + part.min(longer);
    (0..parts).map(move |part| start(part)..start(part + 1)).filter(|range| !range.is_empty())
}

/// Some images of a batch. Images that were mixed stay mixed with those that they were, though these be in other parts.
fn part(batch: &Batch, range: Range<usize>) -> Result<Batch> {
    let narrow = |tensor: &Tensor| tensor.narrow(0, range.start, range.len());
    let mixed = |mixed: &Mixed| Ok::<_, crate::Error>(Mixed { labels: narrow(&mixed.labels)?, share: mixed.share });
    Ok(Batch {
        images: narrow(&batch.images)?,
        labels: narrow(&batch.labels)?,
        mixed: batch.mixed.as_ref().map(mixed).transpose()?,
        index: narrow(&batch.index)?,
        indices: batch.indices[range.clone()].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::teaching::mixed_loss;
    use candle_core::{CpuStorage, CustomOp1, Device, Layout, Shape, Var};
    use candle_nn::ModuleT;
    use std::sync::Arc;
    use takd_loss::{KdLoss, cross_entropy};
    use takd_models::Network;

    /// Images of 32x32 in memory as batches have them, of ten classes.
    fn batch(images: usize) -> Result<Batch> {
        let device = &Device::Cpu;
        let values = Tensor::from_iter((0..images * 32 * 32 * 3).map(|i| (i as f32 * 0.37).sin()), device)?;
        let images_tensor = values.reshape((images, 32, 32, 3))?.permute((0, 3, 1, 2))?;
        let label = |i: usize| (i * i + 3) as u32 % 10;
        let index: Vec<u32> = (0..images as u32).collect();
        Ok(Batch {
            images: images_tensor,
            labels: Tensor::from_iter((0..images).map(label), device)?,
            mixed: Some(Mixed { labels: Tensor::from_iter((0..images).map(|i| label(i + 5)), device)?, share: 0.3 }),
            index: Tensor::from_vec(index.clone(), images, device)?,
            indices: index,
        })
    }

    fn result(loss: &Tensor, logits: &Tensor) -> Result<BatchResult> {
        let gradients = takd_ops::backward(loss)?;
        Ok(BatchResult { loss: loss.detach(), cross_entropy: None, logits: logits.detach(), gradients })
    }

    fn distance(a: &Tensor, b: &Tensor) -> Result<f32> {
        Ok((a - b)?.abs()?.max_all()?.to_scalar()?)
    }

    #[test]
    fn parts_give_the_gradient_of_the_batch_if_no_layer_looks_at_several_images() -> Result<()> {
        let batch = batch(7)?;
        let weights = Var::from_tensor(&Tensor::from_iter((0..10).map(|i| i as f32 * 0.1 - 0.4), &Device::Cpu)?)?;
        let compute = |batch: &Batch, share: Share| {
            let means = batch.images.mean((2, 3))?.narrow(1, 0, 1)?;
            let logits = means.affine(30.0, 1.0)?.broadcast_mul(weights.as_tensor())?;
            let kd = KdLoss::default();
            let loss = mixed_loss(batch, |labels| Ok(kd.cross_entropy(&logits, labels)?))?;
            result(&share.of(loss)?, &logits)
        };
        let whole = in_parts(&batch, 1, compute)?;
        let gradient = |result: &BatchResult| result.gradients.get(weights.as_tensor()).cloned().expect("a gradient");
        assert!(gradient(&whole).abs()?.max_all()?.to_scalar::<f32>()? > 1e-2);
        for parts in 2..=7 {
            let found = in_parts(&batch, parts, compute)?;
            assert!(distance(&gradient(&found), &gradient(&whole))? < 1e-6, "{parts} parts");
            assert!(distance(&found.loss, &whole.loss)? < 1e-6, "{parts} parts");
            assert_eq!(found.logits.to_vec2::<f32>()?, whole.logits.to_vec2::<f32>()?, "{parts} parts");
        }
        Ok(())
    }

    #[test]
    fn gradient_of_a_network_is_that_of_its_parts_by_their_shares() -> Result<()> {
        let batch = batch(5)?;
        let model = "resnet8".parse().expect("a network");
        let (network, parameters) = Network::random(model, 10, 0, &Device::Cpu)?;
        let compute = |batch: &Batch, share: Share| {
            let logits = network.forward_t(&batch.images, true)?;
            result(&share.of(cross_entropy(&logits, &batch.labels)?)?, &logits)
        };
        let found = in_parts(&batch, 2, compute)?;
        // Three images and two.
        let [first, second] = [0..3, 3..5].map(|range| compute(&part(&batch, range)?, Share(None)));
        let (first, second) = (first?, second?);
        let at_once = compute(&batch, Share(None))?;
        let mut differs = false;
        for (name, var) in parameters.trainable() {
            let of = |result: &BatchResult| result.gradients.get(var.as_tensor()).cloned().expect("a gradient");
            let expected = ((of(&first) * 0.6)? + (of(&second) * 0.4)?)?;
            assert!(distance(&of(&found), &expected)? < 1e-5, "{name}");
            differs |= distance(&of(&at_once), &expected)? > 1e-3;
        }
        assert!(differs, "batch normalisation sees each part alone");
        assert_eq!(found.logits.dims(), [5, 10]);
        Ok(())
    }

    /// Does nothing, and is alive as long as the graph that it is in.
    struct InGraph(#[expect(dead_code, reason = "it is counted")] Arc<()>);

    impl CustomOp1 for InGraph {
        fn name(&self) -> &'static str {
            "in-graph"
        }

        fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
            Ok((storage.clone(), layout.shape().clone()))
        }

        fn bwd(&self, _: &Tensor, _: &Tensor, grad: &Tensor) -> candle_core::Result<Option<Tensor>> {
            Ok(Some(grad.clone()))
        }
    }

    #[test]
    fn graph_of_a_part_is_gone_before_the_next() -> Result<()> {
        let weights = Var::new(&[0.5f32], &Device::Cpu)?;
        let alive = Arc::new(());
        let mut seen = Vec::new();
        let compute = |batch: &Batch, share: Share| {
            assert_eq!(Arc::strong_count(&alive), 1, "a graph before this one is still there");
            seen.push(batch.indices.len());
            let logits = batch.images.flatten_from(1)?.narrow(1, 0, 10)?.contiguous()?;
            let logits = logits.broadcast_mul(weights.as_tensor())?.apply_op1(InGraph(alive.clone()))?;
            assert_eq!(Arc::strong_count(&alive), 2);
            result(&share.of(cross_entropy(&logits, &batch.labels)?)?, &logits)
        };
        let whole = in_parts(&batch(8)?, 3, compute)?;
        assert_eq!(Arc::strong_count(&alive), 1);
        assert_eq!((seen, whole.logits.dims()), (vec![3, 3, 2], [8, 10].as_slice()));
        Ok(())
    }
}

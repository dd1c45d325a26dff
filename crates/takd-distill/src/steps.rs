//! Training steps whose results are read later, several at once.

use crate::optimizer::Update;
use crate::records::Losses;
use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use takd_loss::Input;

/// How many steps, or passes without training, are taken before their results are read. While a GPU works on some, the
/// processor prepares the next; reading waits for all of them. On the processor itself nothing would be gained.
pub(crate) fn queue_len(device: &Device) -> usize {
    if device.is_cpu() { 1 } else { 16 }
}

/// How the terms of the loss follow from the loss and the cross-entropy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KlWeight {
    /// λ, above 0.
    pub lambda: f64,
    /// What KL, as averaged over the images alone, is multiplied by in the loss.
    pub factor: f64,
}

/// What a step leaves on its device.
pub(crate) struct StepResult<'a> {
    /// Scalar, f32, without its graph.
    pub loss: Tensor,
    /// The cross-entropy of the loss, a scalar, and how the loss is made of it; nothing if it is the loss.
    pub cross_entropy: Option<(Tensor, KlWeight)>,
    /// `[batch, classes]`, without its graph.
    pub logits: Tensor,
    /// `[batch]`.
    pub labels: Tensor,
    pub update: Update<'a>,
}

/// What a step adds to its epoch's sums.
pub(crate) struct Measures {
    /// Of the batch before the step.
    pub loss: Losses,
    /// How many images were right.
    pub correct: usize,
    pub images: usize,
}

impl KlWeight {
    /// The terms of a loss, solved for KL: `loss = (1 − λ)·CE + factor·KL`.
    pub(crate) fn losses(self, loss: f64, cross_entropy: f64) -> Losses {
        let kl = (loss - (1.0 - self.lambda) * cross_entropy) / self.factor;
        // KL is never negative; its rounding may be.
        Losses { loss, cross_entropy, kl: Some(kl.max(0.0)) }
    }
}

/// The measures of each step in order, or what ceased to be a number in it; steps after such a one say nothing. Waits once
/// for all of them.
pub(crate) fn read(steps: &[StepResult<'_>]) -> Result<Vec<Result<Measures>>> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let all = |part: &dyn Fn(&StepResult<'_>) -> Tensor| steps.iter().map(part).collect::<Vec<_>>();
    let losses = Tensor::stack(&all(&|step| step.loss.clone()), 0)?.to_vec1::<f32>()?;
    let cross_entropies = Tensor::stack(&all(&|step| step.cross_entropy()), 0)?.to_vec1::<f32>()?;
    let verdicts = Tensor::stack(&all(&|step| step.update.verdict.clone()), 0)?.to_vec1::<u32>()?;
    let logits = Tensor::cat(&all(&|step| step.logits.clone()), 0)?;
    let labels = Tensor::cat(&all(&|step| step.labels.clone()), 0)?;
    let hits = logits.argmax(D::Minus1)?.eq(&labels)?.to_vec1::<u8>()?;
    let mut hits = hits.into_iter();
    let mut measures = Vec::with_capacity(steps.len());
    for (index, step) in steps.iter().enumerate() {
        let images = step.labels.dims1()?;
        let correct = hits.by_ref().take(images).map(usize::from).sum();
        measures.push(step.measures(losses[index], cross_entropies[index], verdicts[index], correct, images));
    }
    Ok(measures)
}

impl StepResult<'_> {
    fn measures(&self, loss: f32, ce: f32, verdict: u32, correct: usize, images: usize) -> Result<Measures> {
        if !loss.is_finite() {
            return Err(Error::NotFinite(self.reason(loss)?));
        }
        self.update.check(verdict)?;
        let (loss, ce) = (f64::from(loss), f64::from(ce));
        let loss = match &self.cross_entropy {
            Some((_, weight)) => weight.losses(loss, ce),
            None => Losses { loss, cross_entropy: ce, kl: None },
        };
        Ok(Measures { loss, correct, images })
    }

    fn cross_entropy(&self) -> Tensor {
        self.cross_entropy.as_ref().map_or(&self.loss, |(cross_entropy, _)| cross_entropy).clone()
    }

    /// Why the loss is not a number: a loss on a GPU does not say.
    fn reason(&self, loss: f32) -> Result<String> {
        let logits = self.logits.flatten_all()?.to_vec1::<f32>()?;
        Ok(match logits.into_iter().find(|logit| !logit.is_finite()) {
            Some(value) => format!("{} hold {value}", Input::StudentLogits),
            None => format!("the loss is {loss}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::DType;

    /// A step with two images of three classes, of which the network gets the first right.
    fn step(loss: f32, logit: f32, verdict: u32) -> Result<StepResult<'static>> {
        let device = &Device::Cpu;
        Ok(StepResult {
            loss: Tensor::new(loss, device)?,
            cross_entropy: None,
            logits: Tensor::new(&[[0., logit, 0.], [0., 0., 1f32]], device)?,
            labels: Tensor::new(&[1u32, 0], device)?,
            update: Update { verdict: Tensor::new(verdict, device)?, names: vec!["first", "second"] },
        })
    }

    fn texts(steps: &[StepResult<'_>]) -> Result<Vec<String>> {
        let text = |measures: Result<Measures>| match measures {
            Ok(Measures { loss, correct, images }) => format!("{}, {correct} of {images}", loss.loss),
            Err(error) => error.to_string(),
        };
        Ok(read(steps)?.into_iter().map(text).collect())
    }

    #[test]
    fn each_step_is_told_in_its_place_with_what_ceased_to_be_a_number() -> Result<()> {
        let one = StepResult {
            logits: Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?,
            labels: Tensor::new(&[0u32], &Device::Cpu)?,
            ..step(0.25, 0.0, u32::MAX)?
        };
        let steps = [
            step(0.5, 1.0, u32::MAX)?,
            one,
            step(1.5, 1.0, 1)?,
            step(f32::INFINITY, 1.0, u32::MAX)?,
            // Every gradient of such a step is NaN too; what came first is told.
            step(f32::NAN, f32::NAN, 0)?,
        ];
        let bad = ["the gradient of second is not finite", "the loss is inf", "the student's logits hold NaN"];
        assert_eq!(texts(&steps)?, [&["0.5, 1 of 2", "0.25, 1 of 1"], &bad[..]].concat());
        assert_eq!(texts(&[])?, [""; 0]);
        Ok(())
    }

    #[test]
    fn terms_of_the_loss_make_it_up() -> Result<()> {
        // λ = 0.25, τ = 4: 0.75 · 2 + 0.25 · 16 · 0.5.
        let weight = KlWeight { lambda: 0.25, factor: 4.0 };
        let steps = [StepResult {
            cross_entropy: Some((Tensor::new(2f32, &Device::Cpu)?, weight)),
            ..step(3.5, 1.0, u32::MAX)?
        }];
        let measures = read(&steps)?.remove(0)?;
        assert_eq!(measures.loss, Losses { loss: 3.5, cross_entropy: 2.0, kl: Some(0.5) });
        Ok(())
    }
}

//! Training steps whose outcome is read later, several at once.

use crate::optimizer::Moved;
use crate::{Error, Result};
use candle_core::{D, Device, Tensor};
use takd_loss::Input;

/// How many steps, or passes without training, are taken before what they left is read. While a GPU works on some the
/// processor prepares the next; reading waits for all of them. On the processor itself nothing would be won.
pub(crate) fn queue_len(device: &Device) -> usize {
    if device.is_cpu() { 1 } else { 16 }
}

/// A step that was taken; what it left is on its device still.
pub(crate) struct Taken<'a> {
    /// Scalar, f32, without its graph.
    pub loss: Tensor,
    /// `[batch, classes]`, without its graph.
    pub logits: Tensor,
    /// `[batch]`.
    pub labels: Tensor,
    pub moved: Moved<'a>,
}

/// What a step adds to its epoch's sums.
pub(crate) struct Outcome {
    /// The batch's loss before the step.
    pub loss: f64,
    /// How many images were right.
    pub correct: usize,
    pub images: usize,
}

/// What each of the steps left, in their order, or what ceased to be a number in it; those after such a step say nothing.
/// Waits once for all of them.
pub(crate) fn read(steps: &[Taken<'_>]) -> Result<Vec<Result<Outcome>>> {
    if steps.is_empty() {
        return Ok(Vec::new());
    }
    let all = |part: fn(&Taken<'_>) -> Tensor| steps.iter().map(part).collect::<Vec<_>>();
    let losses = Tensor::stack(&all(|step| step.loss.clone()), 0)?.to_vec1::<f32>()?;
    let verdicts = Tensor::stack(&all(|step| step.moved.verdict.clone()), 0)?.to_vec1::<u32>()?;
    let logits = Tensor::cat(&all(|step| step.logits.clone()), 0)?;
    let labels = Tensor::cat(&all(|step| step.labels.clone()), 0)?;
    let hits = logits.argmax(D::Minus1)?.eq(&labels)?.to_vec1::<u8>()?;
    let mut hits = hits.into_iter();
    let outcome = |((step, loss), verdict): ((&Taken<'_>, f32), u32)| {
        let images = step.labels.dims1()?;
        let correct = hits.by_ref().take(images).map(usize::from).sum();
        if !loss.is_finite() {
            return Err(Error::NotFinite(step.why(loss)?));
        }
        step.moved.check(verdict)?;
        Ok(Outcome { loss: f64::from(loss), correct, images })
    };
    Ok(steps.iter().zip(losses).zip(verdicts).map(outcome).collect())
}

impl Taken<'_> {
    /// Why the loss is no number: a loss on a GPU does not say.
    fn why(&self, loss: f32) -> Result<String> {
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
    fn taken(loss: f32, logit: f32, verdict: u32) -> Result<Taken<'static>> {
        let device = &Device::Cpu;
        Ok(Taken {
            loss: Tensor::new(loss, device)?,
            logits: Tensor::new(&[[0., logit, 0.], [0., 0., 1f32]], device)?,
            labels: Tensor::new(&[1u32, 0], device)?,
            moved: Moved { verdict: Tensor::new(verdict, device)?, names: vec!["first", "second"] },
        })
    }

    fn told(steps: &[Taken<'_>]) -> Result<Vec<String>> {
        let tell = |outcome: Result<Outcome>| match outcome {
            Ok(Outcome { loss, correct, images }) => format!("{loss}, {correct} of {images}"),
            Err(error) => error.to_string(),
        };
        Ok(read(steps)?.into_iter().map(tell).collect())
    }

    #[test]
    fn each_step_is_told_in_its_place_with_what_ceased_to_be_a_number() -> Result<()> {
        let one = Taken {
            logits: Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?,
            labels: Tensor::new(&[0u32], &Device::Cpu)?,
            ..taken(0.25, 0.0, u32::MAX)?
        };
        let steps = [
            taken(0.5, 1.0, u32::MAX)?,
            one,
            taken(1.5, 1.0, 1)?,
            taken(f32::INFINITY, 1.0, u32::MAX)?,
            // Every gradient of such a step is NaN too; what came first is told.
            taken(f32::NAN, f32::NAN, 0)?,
        ];
        let bad = ["the gradient of second is not finite", "the loss is inf", "the student's logits hold NaN"];
        assert_eq!(told(&steps)?, [&["0.5, 1 of 2", "0.25, 1 of 1"], &bad[..]].concat());
        assert_eq!(told(&[])?, [""; 0]);
        Ok(())
    }
}

//! A network with some of its outputs, in another order perhaps: one that was trained on more classes, or on the same in another order.

use crate::{Checkpoint, ModelSpec, Network, Parameters};
use candle_core::{Device, Result, Tensor};
use std::path::Path;

impl Network {
    /// The network with these outputs of `parameters`, those of `spec`, as its logits, class by class; and its parameters, which
    /// share no memory with those. All other layers are as they were.
    ///
    /// # Errors
    /// If an output is not there or the parameters are another network's.
    pub fn with_outputs(
        spec: ModelSpec,
        parameters: &Parameters,
        outputs: &[usize],
        device: &Device,
    ) -> Result<(Self, Parameters)> {
        let chosen = outputs.iter().map(|&output| u32::try_from(output).map_err(candle_core::Error::wrap));
        let chosen = chosen.collect::<Result<Vec<u32>>>()?;
        let chosen = Tensor::new(chosen.as_slice(), &Device::Cpu)?;
        let head = spec.layers(outputs.len()).fully_connected.pop().map(|layer| format!("{}.", layer.name));
        let tensors = parameters.all().into_iter().map(|(name, var)| {
            let tensor = var.to_device(&Device::Cpu)?;
            let is_head = head.as_ref().is_some_and(|head| name.starts_with(head));
            Ok((name, if is_head { tensor.index_select(&chosen, 0)? } else { tensor }))
        });
        let tensors = tensors.collect::<Result<Vec<_>>>()?;
        let bytes = safetensors::serialize(tensors, None).map_err(candle_core::Error::wrap)?;
        let checkpoint = Checkpoint { path: Path::new("memory"), bytes: &bytes };
        Self::from_checkpoint(spec, outputs.len(), checkpoint, device).map_err(candle_core::Error::wrap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{DType, IndexOp};
    use candle_nn::ModuleT;

    #[test]
    fn logits_of_chosen_outputs_are_those_of_the_whole_network() -> Result<()> {
        for name in ["plane2", "resnet8", "imagenet-resnet14"] {
            let spec: ModelSpec = name.parse().unwrap();
            let (whole, parameters) = Network::random(spec, 6, 3, &Device::Cpu)?;
            let images = Tensor::rand(-1f32, 1f32, (2, 3, 32, 32), &Device::Cpu)?;
            let logits = whole.forward_t(&images, false)?;
            let (some, own) = Network::with_outputs(spec, &parameters, &[4, 0, 5], &Device::Cpu)?;
            assert_eq!(some.classes(), 3);
            assert_eq!(own.all().len(), parameters.all().len());
            let found = some.forward_t(&images, false)?;
            for (class, output) in [4, 0, 5].into_iter().enumerate() {
                let difference = (found.i((.., class))? - logits.i((.., output))?)?.abs()?.max_all()?;
                assert!(difference.to_dtype(DType::F32)?.to_scalar::<f32>()? < 1e-4, "{name}, class {class}");
            }
            assert!(Network::with_outputs(spec, &parameters, &[6], &Device::Cpu).is_err());
        }
        Ok(())
    }
}

//! The tensors of a model as they are stored, from and to safetensors.

use crate::tensor::{Stored, Values};
use crate::{Error, Result, WeightPrecision};
use candle_core::{DType, Device};
use half::f16;
use safetensors::{Dtype, SafeTensors, View};
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use takd_models::layers::Layers;
use takd_models::{Checkpoint, CheckpointError, ModelSpec, Network, Parameters};

/// The name of the scales of an 8-bit tensor is that of the tensor and this.
pub(crate) const SCALE: &str = ".scale";

/// What the names of batch normalisation's counters and variances end with.
const COUNTER: &str = ".num_batches_tracked";
const VARIANCE: &str = ".running_var";

/// Tensors by the names that the published PyTorch code gives them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Weights(BTreeMap<String, Stored>);

impl Weights {
    /// Those of a network in memory, as they are.
    pub(crate) fn of(parameters: &Parameters) -> Result<Self> {
        let stored = parameters.all().into_iter().map(|(name, var)| {
            let shape = var.dims().to_vec();
            let tensor = var.as_detached_tensor().to_device(&Device::Cpu)?;
            let values = if tensor.dtype() == DType::I64 {
                Values::Counter(tensor.to_scalar()?)
            } else {
                Values::F32(tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)
            };
            Ok((name, Stored { shape, values }))
        });
        stored.collect::<Result<_>>().map(Self)
    }

    /// Those in the bytes of a safetensors file; `path` is for errors.
    pub(crate) fn parse(bytes: &[u8], path: &Path) -> Result<Self> {
        let file = SafeTensors::deserialize(bytes).map_err(|error| {
            let reason = error.to_string();
            Error::Checkpoint(CheckpointError::Damaged { path: path.into(), reason })
        })?;
        let mut tensors: BTreeMap<String, Stored> = BTreeMap::new();
        for (name, view) in file.iter() {
            let problem =
                |problem: &str| Error::Weights { path: path.into(), tensor: name.into(), problem: problem.into() };
            // It is part of the tensor that it is the scale of.
            let weight = name.strip_suffix(SCALE).and_then(|weight| file.tensor(weight).ok());
            if weight.is_some_and(|weight| weight.dtype() == Dtype::I8) {
                continue;
            }
            let (shape, data) = (view.shape().to_vec(), view.data());
            let values = match view.dtype() {
                Dtype::F32 => Values::F32(floats(data)),
                Dtype::F16 => Values::F16(data.as_chunks().0.iter().map(|&bytes| f16::from_le_bytes(bytes)).collect()),
                Dtype::I8 => {
                    let scale = file.tensor(&format!("{name}{SCALE}")).ok();
                    let scale = scale
                        .filter(|scale| scale.dtype() == Dtype::F32 && scale.shape() == &shape[..shape.len().min(1)]);
                    let scale = scale.filter(|_| shape.len() > 1);
                    let Some(scale) = scale else {
                        return Err(problem("has no 32-bit scale for each of its output channels beside it"));
                    };
                    let weights = data.iter().map(|&byte| byte.cast_signed()).collect();
                    Values::Int8 { weights, scale: floats(scale.data()) }
                }
                Dtype::I64 if shape.is_empty() => match data.first_chunk() {
                    Some(&counter) => Values::Counter(i64::from_le_bytes(counter)),
                    None => return Err(problem("is empty")),
                },
                other => return Err(problem(&format!("is of type {other}{shape:?}, which no model of takd's has"))),
            };
            tensors.insert(name.to_owned(), Stored { shape, values });
        }
        Ok(Self(tensors))
    }

    /// The bytes of a safetensors file. Equal weights give equal bytes.
    pub(crate) fn to_safetensors(&self) -> Result<Vec<u8>> {
        let tensors = self.0.iter().flat_map(|(name, Stored { shape, values })| {
            let entry =
                |name: String, dtype, shape: &[usize], bytes| (name, Entry { dtype, shape: shape.into(), bytes });
            match values {
                Values::F32(values) => vec![entry(name.clone(), Dtype::F32, shape, le_bytes(values))],
                Values::F16(values) => {
                    let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
                    vec![entry(name.clone(), Dtype::F16, shape, bytes)]
                }
                Values::Int8 { weights, scale } => {
                    let bytes = weights.iter().map(|weight| weight.cast_unsigned()).collect();
                    vec![
                        entry(name.clone(), Dtype::I8, shape, bytes),
                        entry(format!("{name}{SCALE}"), Dtype::F32, &shape[..1], le_bytes(scale)),
                    ]
                }
                Values::Counter(counter) => vec![entry(name.clone(), Dtype::I64, shape, counter.to_le_bytes().into())],
            }
        });
        // Without it, transformers refuses the file.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(tensors, Some(metadata)).map_err(|error| Error::Tensor(candle_core::Error::wrap(error)))
    }

    /// The same weights, those of convolutions and fully connected layers rounded.
    pub(crate) fn rounded_to(&self, precision: WeightPrecision, layers: &Layers) -> Self {
        let mut rounded = self.clone();
        for name in weights_of(layers) {
            if let Some(stored) = rounded.0.get_mut(&name) {
                *stored = stored.rounded_to(precision);
            }
        }
        rounded
    }

    /// The same weights, all that are stored in fewer bits as 32-bit floats.
    fn as_floats(&self) -> Self {
        let float = |stored: &Stored| match stored.precision() {
            Some(_) => stored.rounded_to(WeightPrecision::F32),
            None => stored.clone(),
        };
        Self(self.0.iter().map(|(name, stored)| (name.clone(), float(stored))).collect())
    }

    /// The network, and its parameters as 32-bit floats; `path` is for errors.
    pub(crate) fn network(
        &self,
        spec: ModelSpec,
        classes: usize,
        path: &Path,
        device: &Device,
    ) -> Result<(Network, Parameters)> {
        let bytes = self.as_floats().to_safetensors()?;
        Ok(Network::from_checkpoint(spec, classes, Checkpoint { path, bytes: &bytes }, device)?)
    }

    /// Refuses tensors that are not the network's, not stored in this precision, or not numbers.
    pub(crate) fn check(&self, spec: ModelSpec, classes: usize, precision: WeightPrecision, path: &Path) -> Result<()> {
        // First, because another network's weights can be recognised. Which precision made a number infinite is told below.
        let built = self.network(spec, classes, path, &Device::Cpu);
        if !matches!(built, Err(Error::Checkpoint(CheckpointError::NotFinite { .. }))) {
            built?;
        }
        let weights = weights_of(&spec.layers(classes));
        for (name, stored) in &self.0 {
            let expected = if weights.contains(name) {
                Some(precision)
            } else {
                (!name.ends_with(COUNTER)).then_some(WeightPrecision::F32)
            };
            let form =
                |precision: Option<WeightPrecision>| precision.map_or("an integer".into(), |form| form.to_string());
            let problem = if stored.precision() != expected {
                format!("is stored as {}, and must be as {}", form(stored.precision()), form(expected))
            } else if let Some(value) = stored.not_finite() {
                format!("has {value} among its numbers, stored as {}: nothing can be computed with it", form(expected))
            } else if name.ends_with(VARIANCE) && stored.floats().iter().any(|variance| *variance < 0.0) {
                "has a variance below 0".to_owned()
            } else {
                continue;
            };
            return Err(Error::Weights { path: path.into(), tensor: name.clone(), problem });
        }
        Ok(())
    }

    /// A tensor that [`Weights::check`] has seen.
    pub(crate) fn get(&self, name: &str) -> &Stored {
        &self.0[name]
    }
}

/// The names of the tensors that are stored in fewer bits.
fn weights_of(layers: &Layers) -> Vec<String> {
    let convs = layers.convs().map(|conv| &conv.name);
    let names = convs.chain(layers.fully_connected.iter().map(|layer| &layer.name));
    names.map(|name| format!("{name}.weight")).collect()
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

fn le_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A tensor of a file that is to be written.
struct Entry {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Entry {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        Cow::Borrowed(&self.bytes)
    }

    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

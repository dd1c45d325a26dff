//! What training changes: the weights and the running statistics of one network, by name; drawn from a seed or taken
//! from a checkpoint.

use crate::layers::{COUNTER, is_statistic};
use crate::stored::Tensors;
use candle_core::{DType, Device, Result, Shape, Tensor, Var, bail};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::distr::{Distribution, Uniform};
use rand_distr::Normal;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use takd_rng::{ChaCha8Rng, Streams};

/// The variables of one network. Clones share them, and so does the network.
#[derive(Clone, Debug)]
pub struct Parameters(Arc<BTreeMap<String, Var>>);

impl Parameters {
    /// The variables that an optimiser changes, in order of their names.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        self.all().into_iter().filter(|(name, _)| !is_statistic(name)).collect()
    }

    /// Every variable, the running statistics included, in order of their names.
    pub fn all(&self) -> Vec<(String, Var)> {
        self.0.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// The variables as the bytes of a safetensors file, with `metadata` in its header. Several entries of metadata come
    /// in no fixed order.
    ///
    /// # Errors
    /// If a tensor cannot be read from its device.
    pub fn to_safetensors(
        &self,
        metadata: HashMap<String, String>,
    ) -> std::result::Result<Vec<u8>, safetensors::SafeTensorError> {
        let tensors = self.all().into_iter().map(|(name, var)| (name, var.into_inner()));
        safetensors::serialize(tensors, Some(metadata))
    }

    /// What `build` makes, and the variables that it asked its builder for: 32-bit floats on `device`, whatever their
    /// precision in a checkpoint; `num_batches_tracked` alone is a 64-bit integer, as in PyTorch.
    pub(crate) fn create<N>(
        source: Source,
        device: &Device,
        build: impl FnOnce(VarBuilder) -> Result<N>,
    ) -> Result<(N, Self)> {
        let creator = Creator { source, vars: Mutex::default() };
        let built = build(VarBuilder::from_backend(Box::new(&creator), DType::F32, device.clone()))?;
        let vars = creator.vars.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((built, Self(Arc::new(vars))))
    }
}

/// What new variables hold.
pub(crate) enum Source<'a> {
    /// Numbers drawn from the stream `init/<tensor>` of the network.
    Streams(Streams),
    /// The checkpoint's tensors; 0 for counters that it lacks.
    Checkpoint(&'a Tensors<'a>),
}

impl Source<'_> {
    fn value(&self, shape: &Shape, name: &str, init: Init) -> Result<Tensor> {
        match self {
            Self::Streams(streams) => draw(shape, init, &mut streams.stream(&format!("init/{name}"))),
            Self::Checkpoint(tensors) => match tensors.get(name) {
                Some(stored) => {
                    let tensor = stored.tensor()?;
                    if tensor.shape() != shape {
                        bail!("tensor `{name}` has shape {:?}, not {:?}", tensor.dims(), shape.dims())
                    }
                    Ok(tensor)
                }
                None if name.ends_with(COUNTER) => Tensor::zeros(shape, DType::I64, &Device::Cpu),
                None => bail!("there is no tensor `{name}`"),
            },
        }
    }
}

fn draw(shape: &Shape, init: Init, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    let count = shape.elem_count();
    let values: Vec<f32> = match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Uniform { lo, up } => {
            let uniform = Uniform::new(lo, up).map_err(candle_core::Error::wrap)?;
            (0..count).map(|_| uniform.sample(rng) as f32).collect()
        }
        Init::Randn { mean, stdev } => {
            let normal = Normal::new(mean, stdev).map_err(candle_core::Error::wrap)?;
            (0..count).map(|_| normal.sample(rng) as f32).collect()
        }
        Init::Kaiming { .. } => bail!("no layer here is initialised by candle's Kaiming hint"),
    };
    Tensor::from_vec(values, shape, &Device::Cpu)
}

/// Creates each variable as a network asks for it.
struct Creator<'a> {
    source: Source<'a>,
    vars: Mutex<BTreeMap<String, Var>>,
}

impl SimpleBackend for &Creator<'_> {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> Result<Tensor> {
        let var = Var::from_tensor(&self.source.value(&shape, name, init)?.to_dtype(dtype)?.to_device(device)?)?;
        if self.vars.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), var.clone()).is_some() {
            bail!("two layers have a tensor `{name}`")
        }
        Ok(var.into_inner())
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> Result<Tensor> {
        bail!("`{name}` was asked for without a shape")
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match &self.source {
            Source::Streams(_) => true,
            Source::Checkpoint(tensors) => tensors.contains_key(name) || name.ends_with(COUNTER),
        }
    }
}

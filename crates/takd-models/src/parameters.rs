//! What training changes: the weights and the running statistics of one network, by name; drawn from a seed or read
//! from a checkpoint.

use crate::CheckpointError;
use crate::checkpoint::Layout;
use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rand::distr::{Distribution, Uniform};
use rand_distr::Normal;
use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The variables of one network. Clones share them.
///
/// Building a network over [`Parameters::var_builder`] creates each variable as it is asked for: drawn from the stream
/// named after it, or taken from the checkpoint.
#[derive(Clone, Debug)]
pub struct Parameters {
    vars: Arc<Mutex<BTreeMap<String, Var>>>,
    source: Source,
}

#[derive(Clone, Debug)]
enum Source {
    Seed(u64),
    Checkpoint { path: PathBuf, tensors: Arc<HashMap<String, Tensor>> },
}

impl Parameters {
    /// Fresh parameters: each is drawn from a stream of its own name under `seed`, so that a network's
    /// initial weights depend on nothing else.
    pub fn random(seed: u64) -> Self {
        Self { vars: Arc::default(), source: Source::Seed(seed) }
    }

    /// The parameters in a safetensors file, as written by [`Parameters::save`] or exported from PyTorch.
    ///
    /// # Errors
    /// Where the file is missing or damaged.
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        Self::from_safetensors(path, &bytes)
    }

    /// The same from the file's bytes; `path` is for errors.
    pub(crate) fn from_safetensors(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let damaged = |reason: String| CheckpointError::Damaged { path: path.to_owned(), reason };
        // Its own errors say it more shortly than candle's around them.
        safetensors::SafeTensors::deserialize(bytes).map_err(|error| damaged(error.to_string()))?;
        let tensors =
            candle_core::safetensors::load_buffer(bytes, &Device::Cpu).map_err(|error| damaged(error.to_string()))?;
        Ok(Self {
            vars: Arc::default(),
            source: Source::Checkpoint { path: path.to_owned(), tensors: Arc::new(tensors) },
        })
    }

    /// Where a network gets its tensors from: 32-bit variables on `device`, whatever the checkpoint's precision;
    /// `num_batches_tracked` alone is a 64-bit integer, as in PyTorch.
    pub fn var_builder(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, device.clone())
    }

    /// The same for a network that is only evaluated: its tensors share their numbers with the variables, also after
    /// these change, but no gradient is prepared for them, so that a forward pass keeps no activations.
    pub fn frozen_var_builder(&self, device: &Device) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(Frozen(self.clone())), DType::F32, device.clone())
    }

    /// The variables an optimiser moves, in order of their names.
    pub fn trainable(&self) -> Vec<(String, Var)> {
        self.lock().iter().filter(|(name, _)| !is_statistic(name)).map(|(n, v)| (n.clone(), v.clone())).collect()
    }

    /// Number of trainable values, as PyTorch counts them.
    pub fn trainable_count(&self) -> usize {
        self.trainable().iter().map(|(_, var)| var.elem_count()).sum()
    }

    /// Every variable, the running statistics included, in order of their names.
    pub fn all(&self) -> Vec<(String, Var)> {
        self.lock().iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }

    /// A copy of every variable as it is now.
    ///
    /// # Errors
    /// Where a device fails to copy.
    pub fn snapshot(&self) -> candle_core::Result<BTreeMap<String, Tensor>> {
        self.lock().iter().map(|(name, var)| Ok((name.clone(), var.as_detached_tensor().copy()?))).collect()
    }

    /// The checkpoint's tensors that no network has asked for, in order of their names; empty for drawn parameters.
    ///
    /// [`Network::load`](crate::Network::load) refuses a file that has any.
    pub fn unused(&self) -> Vec<String> {
        let vars = self.lock();
        self.checkpoint_layout().into_keys().filter(|name| !vars.contains_key(name)).collect()
    }

    /// Writes the variables to a safetensors file with `metadata` in its header: beside its place first, then renamed
    /// into it, so that a kill leaves the old file or the new one.
    ///
    /// # Errors
    /// Where the file cannot be written or a tensor cannot be read from its device.
    pub fn save(&self, path: &Path, metadata: HashMap<String, String>) -> Result<(), CheckpointError> {
        let bytes = self
            .to_safetensors(metadata)
            .map_err(|error| CheckpointError::Damaged { path: path.to_owned(), reason: error.to_string() })?;
        let mut beside = path.as_os_str().to_owned();
        beside.push(".partial");
        std::fs::write(&beside, bytes)
            .and_then(|()| std::fs::rename(&beside, path))
            .map_err(|source| CheckpointError::Io { path: path.to_owned(), source })
    }

    /// The variables as the bytes of a safetensors file, with `metadata` in its header. More than one entry of
    /// metadata comes in no fixed order.
    ///
    /// # Errors
    /// Where a tensor cannot be read from its device.
    pub fn to_safetensors(&self, metadata: HashMap<String, String>) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let tensors = self.all().into_iter().map(|(name, var)| (name, var.into_inner()));
        safetensors::serialize(tensors, Some(metadata))
    }

    /// Names and shapes of what the checkpoint holds; nothing for drawn parameters.
    pub(crate) fn checkpoint_layout(&self) -> Layout {
        match &self.source {
            Source::Seed(_) => Layout::new(),
            Source::Checkpoint { tensors, .. } => {
                tensors.iter().map(|(name, tensor)| (name.clone(), tensor.dims().to_vec())).collect()
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Var>> {
        // Nothing panics while it holds the lock, and the map is whole between any two steps.
        self.vars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn create(&self, shape: &Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Var> {
        let tensor = match &self.source {
            Source::Seed(seed) => draw(shape, init, &mut takd_rng::stream(*seed, &format!("init/{name}")))?,
            Source::Checkpoint { path, tensors } => {
                let Some(tensor) = tensors.get(name) else {
                    candle_core::bail!(
                        "checkpoint {} has no tensor `{name}`; load it as the network that it was saved from",
                        path.display()
                    )
                };
                if tensor.shape() != shape {
                    candle_core::bail!(
                        "checkpoint {}: tensor `{name}` is {:?}, but the network needs {:?}; \
                         load it as the network that it was saved from",
                        path.display(),
                        tensor.dims(),
                        shape.dims()
                    )
                }
                tensor.clone()
            }
        };
        Var::from_tensor(&tensor.to_dtype(dtype)?.to_device(device)?)
    }
}

fn is_statistic(name: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"].iter().any(|suffix| name.ends_with(suffix))
}

fn draw(shape: &Shape, init: Init, rng: &mut takd_rng::ChaCha8Rng) -> candle_core::Result<Tensor> {
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
        Init::Kaiming { .. } => candle_core::bail!("no layer here is initialised by candle's Kaiming hint"),
    };
    Tensor::from_vec(values, shape, &Device::Cpu)
}

impl SimpleBackend for Parameters {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let mut vars = self.lock();
        if let Some(var) = vars.get(name) {
            if var.shape() != &shape || var.dtype() != dtype || !var.device().same_device(device) {
                candle_core::bail!(
                    "`{name}` is shared with a network built before, as {:?} {:?}, and cannot be {:?} {dtype:?} here; \
                     give this network `Parameters` of its own",
                    var.dims(),
                    var.dtype(),
                    shape.dims()
                )
            }
            return Ok(var.as_tensor().clone());
        }
        let var = self.create(&shape, name, init, dtype, device)?;
        vars.insert(name.to_owned(), var.clone());
        Ok(var.into_inner())
    }

    fn get_unchecked(&self, name: &str, _dtype: DType, _device: &Device) -> candle_core::Result<Tensor> {
        match self.lock().get(name) {
            Some(var) => Ok(var.as_tensor().clone()),
            None => candle_core::bail!("no parameter `{name}` has been created"),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        match &self.source {
            Source::Seed(_) => true,
            Source::Checkpoint { tensors, .. } => tensors.contains_key(name),
        }
    }
}

/// [`Parameters`] without gradients.
struct Frozen(Parameters);

impl SimpleBackend for Frozen {
    fn get(&self, shape: Shape, name: &str, init: Init, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let tensor = self.0.get(shape, name, init, dtype, device)?;
        // A layer makes variables of its statistics: a detached tensor would be copied for that, a variable is shared.
        Ok(if is_statistic(name) { tensor } else { tensor.detach() })
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        Ok(self.0.get_unchecked(name, dtype, device)?.detach())
    }

    fn contains_tensor(&self, name: &str) -> bool {
        self.0.contains_tensor(name)
    }
}

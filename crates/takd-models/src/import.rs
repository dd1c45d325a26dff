//! Networks from elsewhere: a file is read, its network is recognised, and what was done on the way is told.

use crate::layers::{COUNTER, Shapes};
use crate::names::{MAPS, NameMap, common_prefix};
use crate::nearest::{difference, likeness, nearest, recognise};
use crate::parameters::Source;
use crate::shown::Shown;
use crate::stored::{Contents, Tensors};
use crate::{Checkpoint, CheckpointError, Format, ModelSpec, Network, Origin, Parameters, Recognised, file};
use candle_core::{DType, Device};
use std::path::Path;

/// A file whose tensors are those of a network: names, shapes and numbers were checked, and nothing was copied yet.
#[derive(Debug)]
pub struct Import<'a> {
    /// Which network it is.
    pub spec: ModelSpec,
    /// Its number of classes.
    pub classes: usize,
    /// What the file was, and what was done on the way.
    pub origin: Origin,
    path: &'a Path,
    tensors: Tensors<'a>,
}

impl<'a> Checkpoint<'a> {
    /// Finds out which network the file holds, by the names and shapes of its tensors, whatever the file is called.
    ///
    /// It may be a safetensors file or one of `torch.save`, which is read as data: nothing in it is executed. There the state dict may
    /// stand under a key, beside epochs, optimisers and options. What all names begin with (`module.`, `_orig_mod.`, `model.`) is
    /// dropped, and names of other libraries are mapped to those here. `num_batches_tracked` may be missing and is 0 then. Otherwise
    /// the tensors must be those of one network, no fewer and no more, so that another network's file is never taken for part of it;
    /// and their numbers must be finite.
    ///
    /// # Errors
    /// If the file is damaged, holds no state dict or that of an unknown network, or has a number that is not finite.
    pub fn recognise(self) -> Result<Import<'a>, CheckpointError> {
        let file = File::open(self)?;
        let readings = file.readings();
        match readings.iter().find_map(|reading| Some((reading, recognise(&reading.shapes)?))) {
            Some((reading, network)) => file.import(reading, network),
            None => Err(file.unknown(&readings)),
        }
    }

    /// [`Checkpoint::recognise`] for a file that should hold this network.
    ///
    /// # Errors
    /// As [`Checkpoint::recognise`], or if the file holds another network.
    pub fn import_as(self, spec: ModelSpec, classes: usize) -> Result<Import<'a>, CheckpointError> {
        let file = File::open(self)?;
        let (readings, expected) = (file.readings(), spec.layers(classes).tensors());
        let like = |reading: &&Reading| likeness(&reading.shapes, &expected);
        // Of equals the last: that with the names as they are.
        let reading = readings.iter().rev().max_by(|a, b| like(a).total_cmp(&like(b))).unwrap_or(&readings[0]);
        let Some(misfit) = difference(&reading.shapes, &expected) else {
            return file.import(reading, Recognised { spec, classes });
        };
        let holds = readings.iter().find_map(|reading| recognise(&reading.shapes));
        let (path, misfit, origin) = (self.path.to_owned(), Box::new(misfit), Box::new(file.origin(reading)));
        Err(CheckpointError::Misfit { path, spec, classes, misfit, holds, origin })
    }
}

impl Import<'_> {
    /// The network and its parameters.
    ///
    /// # Errors
    /// If a tensor could not be copied.
    pub fn network(&self, device: &Device) -> Result<(Network, Parameters), CheckpointError> {
        let Self { spec, classes, .. } = *self;
        Parameters::create(Source::Checkpoint(&self.tensors), device, |vb| Network::new(spec, classes, vb))
            .map_err(|error| damaged(self.path, error.to_string()))
    }
}

impl Network {
    /// The network in a file, and its parameters. [`Checkpoint::recognise`] says which files it may be.
    ///
    /// # Errors
    /// As [`Checkpoint::import_as`], or if the file cannot be read.
    pub fn load(
        spec: ModelSpec,
        classes: usize,
        path: &Path,
        device: &Device,
    ) -> Result<(Self, Parameters), CheckpointError> {
        let bytes = std::fs::read(path).map_err(|source| CheckpointError::Io { path: path.to_owned(), source })?;
        Self::from_checkpoint(spec, classes, Checkpoint { path, bytes: &bytes }, device)
    }

    /// [`Network::load`] for a file that was read already.
    ///
    /// # Errors
    /// As [`Checkpoint::import_as`].
    pub fn from_checkpoint(
        spec: ModelSpec,
        classes: usize,
        checkpoint: Checkpoint,
        device: &Device,
    ) -> Result<(Self, Parameters), CheckpointError> {
        checkpoint.import_as(spec, classes)?.network(device)
    }
}

/// A file whose network is not known yet.
struct File<'a> {
    path: &'a Path,
    format: Format,
    contents: Contents<'a>,
    prefix: String,
}

/// One way to read the names in a file, and the shapes that they have.
struct Reading {
    map: Option<&'static NameMap>,
    /// With those of the counters that the file lacks.
    shapes: Shapes,
    /// How many these are.
    counters: usize,
}

impl<'a> File<'a> {
    fn open(Checkpoint { path, bytes }: Checkpoint<'a>) -> Result<Self, CheckpointError> {
        let (format, contents) = file::contents(bytes).map_err(|error| error.at(path))?;
        let prefix = common_prefix(&contents.tensors);
        Ok(Self { path, format, contents, prefix })
    }

    /// The names as they are, then as each library's that has such. A map by which two tensors would have one name is not this file's.
    fn readings(&self) -> Vec<Reading> {
        let readings = std::iter::once(None).chain(MAPS.iter().map(Some)).filter_map(|map| {
            let tensors = &self.contents.tensors;
            let shapes = tensors.iter().map(|(name, tensor)| (renamed(name, &self.prefix, map), tensor.dims.clone()));
            let mut shapes: Shapes = shapes.collect();
            let changed = tensors.keys().any(|name| !shapes.contains_key(without(&self.prefix, name)));
            (shapes.len() == tensors.len() && (changed || map.is_none())).then_some(())?;
            let counters: Vec<_> =
                shapes.keys().filter_map(|name| Some(name.strip_suffix("running_var")?.to_owned() + COUNTER)).collect();
            for counter in counters {
                shapes.entry(counter).or_default();
            }
            let counters = shapes.len() - tensors.len();
            Some(Reading { map, shapes, counters })
        });
        readings.collect()
    }

    fn import(self, reading: &Reading, network: Recognised) -> Result<Import<'a>, CheckpointError> {
        let path = self.path;
        for (name, tensor) in &self.contents.tensors {
            let floats = [DType::F16, DType::BF16, DType::F32, DType::F64].contains(&tensor.dtype);
            if !floats && !name.ends_with(COUNTER) {
                let dtype = tensor.dtype.as_str();
                return Err(damaged(path, format!("tensor {} is of type {dtype}, which no network has", Shown(name))));
            }
            if let Some(value) = tensor.not_finite().map_err(|error| damaged(path, error.to_string()))? {
                return Err(CheckpointError::NotFinite { path: path.to_owned(), tensor: name.clone(), value });
            }
        }
        let origin = self.origin(reading);
        let Recognised { spec, classes } = network;
        let tensors = self.contents.tensors.into_iter();
        let tensors = tensors.map(|(name, tensor)| (renamed(&name, &self.prefix, reading.map), tensor)).collect();
        Ok(Import { spec, classes, origin, path, tensors })
    }

    fn unknown(&self, readings: &[Reading]) -> CheckpointError {
        let alike = readings.iter().filter_map(|reading| Some((reading, nearest(&reading.shapes)?)));
        let most = alike.max_by(|(_, (_, a)), (_, (_, b))| a.total_cmp(b));
        let (reading, nearest) = most.map_or((&readings[0], None), |(reading, (nearest, _))| (reading, Some(nearest)));
        let tensors = &self.contents.tensors;
        CheckpointError::Unknown {
            path: self.path.to_owned(),
            tensors: tensors.len(),
            first: tensors.keys().next().cloned(),
            nearest: nearest.map(Box::new),
            origin: Box::new(self.origin(reading)),
        }
    }

    fn origin(&self, reading: &Reading) -> Origin {
        let weights = self.contents.tensors.iter().filter(|(name, _)| !name.ends_with(COUNTER));
        let mut precisions = Vec::new();
        for (_, tensor) in weights {
            if !precisions.contains(&tensor.dtype) {
                precisions.push(tensor.dtype);
            }
        }
        Origin {
            format: self.format,
            nested: self.contents.nested.clone(),
            prefix: self.prefix.clone(),
            names_of: reading.map.map(|map| map.whose),
            counters: reading.counters,
            precisions,
        }
    }
}

fn renamed(name: &str, prefix: &str, map: Option<&NameMap>) -> String {
    let name = without(prefix, name);
    map.map_or_else(|| name.to_owned(), |map| map.rename(name))
}

fn without<'a>(prefix: &str, name: &'a str) -> &'a str {
    name.strip_prefix(prefix).unwrap_or(name)
}

fn damaged(path: &Path, reason: String) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), reason }
}

//! Checkpoints as they come, and what can be wrong with one: the file itself, or that it is another network's.

use crate::ModelSpec;
use crate::layers::Shapes;
use std::fmt;
use std::path::{Path, PathBuf};

/// A safetensors or PyTorch file that was read.
#[derive(Clone, Copy, Debug)]
pub struct Checkpoint<'a> {
    /// Where it was read, for errors.
    pub path: &'a Path,
    /// What stands in it.
    pub bytes: &'a [u8],
}

/// Why a network could not be loaded from a checkpoint.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is missing or unreadable.
    #[error("cannot read checkpoint {}: {source}", path.display())]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The file is not a whole safetensors or PyTorch file, holds something else than tensors, or a tensor could not be copied.
    #[error(
        "checkpoint {} is damaged or neither a safetensors file nor a PyTorch state dict: {reason}; fetch it again, or write it \
         again (torch.save(model.state_dict(), path) or safetensors.torch.save_file)",
        path.display()
    )]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file is a PyTorch file in a format of before PyTorch 1.6.
    #[error(
        "checkpoint {} is in the format of PyTorch before 1.6, which is not read; load it in a newer PyTorch and save it again: \
         torch.save(torch.load(path, map_location=\"cpu\", weights_only=True), path)",
        path.display()
    )]
    Legacy {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The file's tensors are not those of the network.
    #[error("checkpoint {} does not fit {spec} with {classes} classes: {misfit}; {}", path.display(), remedy(*holds))]
    Misfit {
        /// The checkpoint.
        path: PathBuf,
        /// The network asked for.
        spec: ModelSpec,
        /// Its number of classes.
        classes: usize,
        /// The first difference.
        misfit: Box<Misfit>,
        /// The network whose tensors the file holds, if there is one.
        holds: Option<Recognised>,
    },
}

/// A network that was recognised by the names and shapes of its tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recognised {
    /// Which network it is.
    pub spec: ModelSpec,
    /// Its number of classes.
    pub classes: usize,
}

/// A difference between a checkpoint's tensors and a network's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    /// The network has this tensor, the file has not.
    Missing(String),
    /// Both have the tensor, in different shapes.
    Shape {
        /// Its name.
        tensor: String,
        /// Its shape in the file.
        found: Vec<usize>,
        /// Its shape in the network.
        expected: Vec<usize>,
    },
    /// The file has these tensors, the network has not.
    Unused(Vec<String>),
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(tensor) => write!(f, "the file has no tensor `{}`", tensor.escape_debug()),
            Self::Shape { tensor, found, expected } => {
                write!(f, "tensor `{tensor}` has shape {found:?} in the file, {expected:?} in the network")
            }
            Self::Unused(tensors) => match tensors.as_slice() {
                [] => f.write_str("the file has more tensors than the network"),
                [tensor] => write!(f, "the file has a tensor `{}`, the network has not", tensor.escape_debug()),
                [first, rest @ ..] => {
                    let (count, first) = (1 + rest.len(), first.escape_debug());
                    write!(f, "the file has {count} tensors that the network has not, `{first}` first")
                }
            },
        }
    }
}

fn remedy(holds: Option<Recognised>) -> String {
    match holds {
        Some(Recognised { spec, classes }) => format!("it holds {spec} with {classes} classes: load it as that"),
        None => "load it as the network that it was saved from".to_owned(),
    }
}

/// The first difference that counts: what is missing, then shapes, then what is left over.
pub(crate) fn difference(found: &Shapes, expected: &Shapes) -> Option<Misfit> {
    if let Some(name) = expected.keys().find(|name| !found.contains_key(*name)) {
        return Some(Misfit::Missing(name.clone()));
    }
    for (name, expected) in expected {
        if let Some(found) = found.get(name).filter(|found| *found != expected) {
            return Some(Misfit::Shape { tensor: name.clone(), found: found.clone(), expected: expected.clone() });
        }
    }
    let unused: Vec<_> = found.keys().filter(|name| !expected.contains_key(*name)).cloned().collect();
    (!unused.is_empty()).then_some(Misfit::Unused(unused))
}

/// The network with exactly these tensors.
pub(crate) fn recognise(found: &Shapes) -> Option<Recognised> {
    let networks = ModelSpec::all().filter_map(|spec| {
        // The last layer's bias has a number for each class.
        let logits = spec.layers(1).fully_connected.pop()?;
        let &[classes] = found.get(&format!("{}.bias", logits.name))?.as_slice() else { return None };
        Some(Recognised { spec, classes })
    });
    let mut networks = networks.filter(|network| network.classes > 0);
    networks.find(|network| network.spec.layers(network.classes).tensors() == *found)
}

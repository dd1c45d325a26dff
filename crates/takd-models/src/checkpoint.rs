//! Checkpoints as they come, and what can be wrong with one: the file itself, or that it is another network's.

use crate::shown::{Shown, ShownList};
use crate::{ModelName, ModelSpec, Origin};
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
    /// The file is a tar archive, as PyTorch wrote in 2016.
    #[error(
        "checkpoint {} is a tar archive, as the first versions of PyTorch wrote, which is not read; if you trust who made it (this \
         executes what is in it), save it again: torch.save(torch.load(path, map_location=\"cpu\", weights_only=False), path)",
        path.display()
    )]
    Tar {
        /// The checkpoint.
        path: PathBuf,
    },
    /// The file holds a pickled object, such as a whole module, in place of a state dict.
    #[error(
        "checkpoint {} holds a whole object of {}{}, which only code can load, and nothing in a file is executed here; if you trust who \
         made it (this executes what is in it), save its tensors where its code is: torch.save({}.state_dict(), path)",
        path.display(), Shown(class), under(key.as_deref()), loaded(class, key.as_deref())
    )]
    Object {
        /// The checkpoint.
        path: PathBuf,
        /// The key that the object stands under; `None` if it is all of the file.
        key: Option<String>,
        /// Its class, with its module.
        class: String,
    },
    /// The file holds several state dicts, and none under the usual keys.
    #[error(
        "checkpoint {} holds several state dicts, under {}; save the one that is meant: \
         torch.save(torch.load(path, map_location=\"cpu\")[key], path)",
        path.display(), ShownList(keys)
    )]
    Several {
        /// The checkpoint.
        path: PathBuf,
        /// Their keys; of many, the first few.
        keys: Vec<String>,
    },
    /// A number in the file is infinite or not a number, or too large for a 32-bit float.
    #[error(
        "checkpoint {} has {value} in its tensor {}, and a network with it computes no numbers; take a checkpoint from before its \
         training diverged",
        path.display(), Shown(tensor)
    )]
    NotFinite {
        /// The checkpoint.
        path: PathBuf,
        /// The tensor's name in the file.
        tensor: String,
        /// The first such number.
        value: f32,
    },
    /// The file's tensors are those of no network here.
    #[error(
        "checkpoint {} holds {tensors} tensors, which are no network of this crate: {}{}; {}",
        path.display(), likeness(nearest.as_deref(), first.as_deref()), names(origin), nearest_remedy(nearest.as_deref())
    )]
    Unknown {
        /// The checkpoint.
        path: PathBuf,
        /// How many tensors the file holds.
        tensors: usize,
        /// The first of them by name.
        first: Option<String>,
        /// The network that they are most like; `None` if they are like none.
        nearest: Option<Box<Nearest>>,
        /// How the tensors were found in the file.
        origin: Box<Origin>,
    },
    /// The file's tensors are not those of the network.
    #[error(
        "checkpoint {} does not fit {spec} with {classes} classes: {misfit}{}; {}",
        path.display(), names(origin), remedy(misfit, *holds)
    )]
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
        /// How the tensors were found in the file.
        origin: Box<Origin>,
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

/// A network that a file's tensors are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nearest {
    /// Which network it is.
    pub spec: ModelSpec,
    /// The number of classes in the file; `None` if it lacks the last layer.
    pub classes: Option<usize>,
    /// The first difference.
    pub misfit: Misfit,
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
    /// The file has all tensors of the network but those of its shortcuts.
    NoProjections,
    /// The first convolution is that of ResNets for small images, in a network for large ones.
    CifarStem,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(tensor) => write!(f, "the file has no tensor {}", Shown(tensor)),
            Self::Shape { tensor, found, expected } => {
                write!(f, "tensor {} has shape {found:?} in the file, {expected:?} in the network", Shown(tensor))
            }
            Self::Unused(tensors) => match tensors.as_slice() {
                [] => f.write_str("the file has more tensors than the network"),
                [tensor] => write!(f, "the file has a tensor {}, the network has not", Shown(tensor)),
                [first, rest @ ..] => {
                    let (count, first) = (1 + rest.len(), Shown(first));
                    write!(f, "the file has {count} tensors that the network has not, {first} first")
                }
            },
            Self::NoProjections => f.write_str(
                "where the shape changes, its shortcuts are without parameters (option A of He et al. 2016: every second pixel, \
                 channels of zeros); those of the network are 1×1 convolutions with batch normalisation (option B)",
            ),
            Self::CifarStem => f.write_str(
                "its first convolution is 3×3, as for images of 32×32; that of the network is 7×7 with stride 2 and a max-pool",
            ),
        }
    }
}

fn remedy(misfit: &Misfit, holds: Option<Recognised>) -> String {
    match (holds, misfit) {
        (Some(Recognised { spec, classes }), _) => format!("it holds {spec} with {classes} classes: load it as that"),
        (None, Misfit::NoProjections | Misfit::CifarStem) => "no network of this crate is that one".to_owned(),
        (None, _) => "load it as the network that it was saved from".to_owned(),
    }
}

fn likeness(nearest: Option<&Nearest>, first: Option<&str>) -> String {
    match (nearest, first) {
        (Some(Nearest { spec, classes, misfit }), _) => {
            let classes = classes.map(|classes| format!(" with {classes} classes")).unwrap_or_default();
            format!("it looks like {spec}{classes}, but {misfit}")
        }
        (None, Some(first)) => format!("it has no names like theirs, {} first", Shown(first)),
        (None, None) => "it is empty".to_owned(),
    }
}

fn nearest_remedy(nearest: Option<&Nearest>) -> String {
    match nearest {
        Some(Nearest { spec, .. }) => format!("take a file of {spec} itself"),
        None => format!("there are {}", ModelName::all().map(|name| name.to_string()).collect::<Vec<_>>().join(", ")),
    }
}

/// What must be known to find the names of an error in the file.
fn names(origin: &Origin) -> String {
    let notes = origin.of_names();
    if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) }
}

fn under(key: Option<&str>) -> String {
    key.map(|key| format!(" under {}", Shown(key))).unwrap_or_default()
}

/// Python that loads an object of this class.
fn loaded(class: &str, key: Option<&str>) -> String {
    let load = if class.starts_with("__torch__.") {
        "torch.jit.load(path, map_location=\"cpu\")"
    } else {
        "torch.load(path, map_location=\"cpu\", weights_only=False)"
    };
    // One of the known keys, so that it needs no escape.
    key.map_or(load.to_owned(), |key| format!("{load}[\"{key}\"]"))
}

//! What can be wrong with a checkpoint: the file itself, or that it is another network's.

use crate::ModelSpec;
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

/// A checkpoint that could not be read or written, or is not of the network asked for.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is missing, unreadable or unwritable.
    #[error("cannot access checkpoint {}: {source}", path.display())]
    Io {
        /// The checkpoint.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not whole safetensors data, or a tensor could not be copied.
    #[error(
        "checkpoint {} is damaged or not safetensors: {reason}; fetch or write it again (a PyTorch file is converted \
         by safetensors.torch.save_file)",
        path.display()
    )]
    Damaged {
        /// The checkpoint.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
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
        /// The network and number of classes whose tensors the file holds, if there is one.
        holds: Option<(ModelSpec, usize)>,
    },
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
            Self::Missing(tensor) => write!(f, "it has no tensor `{tensor}`"),
            Self::Shape { tensor, found, expected } => {
                write!(f, "its tensor `{tensor}` is {found:?}, but the network needs {expected:?}")
            }
            Self::Unused(tensors) => match tensors.as_slice() {
                [tensor] => write!(f, "the network has no tensor `{tensor}`"),
                [first, rest @ ..] => write!(f, "the network has no tensor `{first}` nor {} others in it", rest.len()),
                [] => f.write_str("nothing is left over"),
            },
        }
    }
}

fn remedy(holds: Option<(ModelSpec, usize)>) -> String {
    match holds {
        Some((spec, classes)) => format!("it holds {spec} with {classes} classes: load it as that"),
        None => "load it as the network that it was saved from".to_owned(),
    }
}

/// Names and shapes of tensors.
pub(crate) type Layout = BTreeMap<String, Vec<usize>>;

/// The first difference that counts: what is missing, then shapes, then what is left over.
pub(crate) fn difference(found: &Layout, expected: &Layout) -> Option<Misfit> {
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

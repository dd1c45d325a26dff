//! What a file was and what was done on the way to a network's tensors, as data.

use crate::shown::{Shown, ShownList};
use candle_core::DType;
use std::fmt;

/// How the tensors of an [`Import`](crate::Import) were found in their file. It prints as one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What kind of file it is.
    pub format: Format,
    /// Where the state dict stands in it; `None` if the file holds nothing else.
    pub nested: Option<Nested>,
    /// What all names began with and was dropped, such as `module.` of `DataParallel`; may be empty.
    pub prefix: String,
    /// Whose names were mapped to those of the network here; `None` if they are the same.
    pub names_of: Option<&'static str>,
    /// How many `num_batches_tracked` the file lacks; they are 0.
    pub counters: usize,
    /// The precisions of the weights in the file. In the network they are 32-bit floats.
    pub precisions: Vec<DType>,
}

/// A kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Hugging Face's safetensors.
    Safetensors,
    /// `torch.save` of PyTorch 1.6 or later.
    Pytorch,
    /// `torch.save` of PyTorch before 1.6.
    PytorchLegacy,
}

/// The place of a state dict in a larger dict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nested {
    /// The key that it stands under; keys one below the other are joined by dots.
    pub key: String,
    /// Keys of other state dicts beside it, which were not read; of many, the first few.
    pub others: Vec<String>,
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safetensors => "safetensors file",
            Self::Pytorch => "PyTorch file",
            Self::PytorchLegacy => "PyTorch file of before 1.6",
        })
    }
}

impl Origin {
    /// What stands between the names in the file and those of the network; empty if they are the same.
    pub(crate) fn of_names(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some(Nested { key, others }) = &self.nested {
            let not_read = if others.is_empty() { String::new() } else { format!(" (not {})", ShownList(others)) };
            notes.push(format!("state dict under {}{not_read}", Shown(key)));
        }
        if !self.prefix.is_empty() {
            notes.push(format!("prefix {} dropped", Shown(&self.prefix)));
        }
        if let Some(whose) = self.names_of {
            notes.push(format!("names mapped from those of {whose}"));
        }
        notes
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let precisions: Vec<_> = self.precisions.iter().map(DType::as_str).collect();
        let mut notes = vec![format!("{}, {}", self.format, precisions.join(" and "))];
        notes.extend(self.of_names());
        if self.counters > 0 {
            notes.push(format!("{} missing num_batches_tracked set to 0", self.counters));
        }
        f.write_str(&notes.join("; "))
    }
}

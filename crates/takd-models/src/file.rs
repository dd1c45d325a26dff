//! The tensors of a file, whose kind is told by its first bytes.

use crate::origin::Format;
use crate::pytorch::{self, LEGACY};
use crate::shown::{Shown, printable};
use crate::stored::{Contents, Stored};
use crate::unreadable::Unreadable;
use candle_core::DType;
use safetensors::SafeTensors;

/// What is in a file.
///
/// # Errors
/// If the file is damaged or of no known kind, holds something else than a state dict, or a tensor would reach outside of it.
pub(crate) fn contents(bytes: &[u8]) -> Result<(Format, Contents<'_>), Unreadable> {
    if bytes.starts_with(LEGACY) {
        Ok((Format::PytorchLegacy, pytorch::of_legacy(bytes)?))
    } else if bytes.starts_with(b"PK\x03\x04") {
        Ok((Format::Pytorch, pytorch::of_zip(bytes)?))
    } else if bytes.get(257..262) == Some(b"ustar") {
        Err(Unreadable::Tar)
    } else if matches!(bytes, [0x80, 2..=5, ..]) && bytes.get(8) != Some(&b'{') {
        // Not the length of a safetensors file's header.
        Err("it is a pickle that torch.save did not write".into())
    } else {
        Ok((Format::Safetensors, of_safetensors(bytes)?))
    }
}

fn of_safetensors(bytes: &[u8]) -> Result<Contents<'_>, Unreadable> {
    let file = SafeTensors::deserialize(bytes).map_err(|error| printable(&error.to_string(), 300))?;
    let stored = file.iter().map(|(name, view)| {
        let dtype = DType::try_from(view.dtype()).map_err(|error| format!("tensor {}: {error}", Shown(name)))?;
        Ok((name.to_owned(), Stored::whole(dtype, view.shape(), view.data())))
    });
    Ok(Contents { tensors: stored.collect::<Result<_, String>>()?, nested: None })
}

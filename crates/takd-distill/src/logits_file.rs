//! A file of a teacher's kept logits, in its run's folder: those of all images of a split, or of some of them.

use crate::logits_key::Keep;
use crate::{Error, Result};
use candle_core::{Device, Tensor};
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use takd_loss::TopK;
use takd_store::{Claim, RunId, seal};

/// The most bytes that a file of logits may have. Earlier versions kept so many in one, and a header.
const FILE_AT_MOST: u64 = (1 << 30) + HEADER_AT_MOST;

/// The most bytes of a file beside the logits themselves.
const HEADER_AT_MOST: u64 = 1 << 20;

/// The tensors of a file, each with a row for an image: all logits (`[images, classes]`, f32) …
const ALL: [&str; 1] = ["logits"];

/// … or the parts of a [`TopK`]: listed classes (`[images, k]`, u32), their logits (`[images, k]`, f32) and the tail
/// (`[images]`, f32).
const TOP_K: [&str; 3] = ["indices", "top_logits", "tail"];

/// What stands in the file's header.
#[derive(Serialize, Deserialize)]
struct Header {
    run: RunId,
    /// The file's name, which says what images, how they were seen, and what is kept.
    file: String,
    /// How many images the file has.
    images: usize,
    classes: usize,
}

/// What a file must hold.
pub(crate) struct Expected<'a> {
    pub teacher: &'a RunId,
    pub images: usize,
    pub classes: usize,
    pub keep: Keep,
}

/// Where logits are while a student is trained.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum HeldIn {
    Memory,
    Disk,
}

/// Logits of some images, on their way into a file.
pub(crate) enum Rows {
    All(Vec<f32>),
    TopK { k: usize, temperature: f64, indices: Vec<u32>, logits: Vec<f32>, tail: Vec<f32> },
}

impl Rows {
    pub(crate) fn new(keep: Keep) -> Self {
        match keep {
            Keep::All => Self::All(Vec::new()),
            Keep::TopK { k, temperature } => {
                Self::TopK { k, temperature, indices: Vec::new(), logits: Vec::new(), tail: Vec::new() }
            }
        }
    }

    /// Adds what is kept of these logits, `[images, classes]`, all of them finite.
    pub(crate) fn add(&mut self, values: Vec<f32>, classes: usize) -> Result<()> {
        match self {
            Self::All(all) if all.is_empty() => *all = values,
            Self::All(all) => all.extend(values),
            Self::TopK { k, temperature, indices, logits, tail } => {
                let values = Tensor::from_vec(values, ((), classes), &Device::Cpu)?;
                let top = TopK::from_logits(&values, *k, *temperature)?;
                indices.extend(top.indices.flatten_all()?.to_vec1::<u32>()?);
                logits.extend(top.logits.flatten_all()?.to_vec1::<f32>()?);
                tail.extend(top.tail.to_vec1::<f32>()?);
            }
        }
        Ok(())
    }

    /// Writes them into the file called `name` of the teacher's run.
    pub(crate) fn write(self, claim: &Claim, name: &str, classes: usize) -> Result<()> {
        let device = &Device::Cpu;
        let (images, tensors) = match self {
            Self::All(values) => {
                let images = values.len() / classes;
                (images, vec![(ALL[0], Tensor::from_vec(values, (images, classes), device)?)])
            }
            Self::TopK { k, indices, logits, tail, .. } => {
                let images = tail.len();
                let indices = Tensor::from_vec(indices, (images, k), device)?;
                let logits = Tensor::from_vec(logits, (images, k), device)?;
                (images, TOP_K.into_iter().zip([indices, logits, Tensor::from_vec(tail, images, device)?]).collect())
            }
        };
        let header = Header { run: claim.id().clone(), file: name.to_owned(), images, classes };
        let tensors = tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor));
        Ok(claim.write(name, &seal::to_safetensors(tensors, &header)?)?)
    }
}

/// A file of logits that was found whole.
#[derive(Debug)]
pub(crate) struct LogitsFile {
    path: PathBuf,
    bytes: Bytes,
    /// The tensors, in the order of their names above.
    tensors: Vec<Place>,
}

#[derive(Debug)]
enum Bytes {
    Memory(Vec<u8>),
    Disk(File),
}

/// Where a tensor stands in its file.
#[derive(Clone, Copy, Debug)]
struct Place {
    start: usize,
    row_bytes: usize,
}

impl LogitsFile {
    /// The file at `path`, if there is one, its every bit checked.
    pub(crate) fn open(path: &Path, expected: &Expected<'_>, held_in: HeldIn) -> Result<Option<Self>> {
        let &Expected { teacher, images, classes, keep } = expected;
        let Some(bytes) = takd_store::read_file(path, FILE_AT_MOST)? else { return Ok(None) };
        let (header, tensors) = parse(path, &bytes, teacher)?;
        if (header.images, header.classes) != (images, classes) {
            let Header { images, classes, .. } = header;
            return Err(Error::damaged(path, format!("it holds the logits of {images} images for {classes} classes")));
        }
        let names = match keep {
            Keep::All => &ALL[..],
            Keep::TopK { .. } => &TOP_K[..],
        };
        let places = names.iter().map(|name| {
            let tensor = tensors.tensor(name).map_err(|error| Error::damaged(path, error))?;
            let row_bytes = tensor.data().len() / images.max(1);
            if let Keep::TopK { k, .. } = keep
                && tensor.shape().get(1).is_some_and(|&found| found != k)
            {
                return Err(Error::damaged(path, format!("it lists {:?} classes and not {k}", tensor.shape())));
            }
            Ok(Place { start: tensor.data().as_ptr().addr() - bytes.as_ptr().addr(), row_bytes })
        });
        let tensors = places.collect::<Result<Vec<_>>>()?;
        let start = tensors.iter().map(|place| place.start).min().unwrap_or_default();
        let bytes = match held_in {
            HeldIn::Memory => Bytes::Memory(bytes),
            HeldIn::Disk => Bytes::Disk(open_again(path, &bytes[..start])?),
        };
        Ok(Some(Self { path: path.to_owned(), bytes, tensors }))
    }

    #[cfg(test)]
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.bytes, Bytes::Memory(_))
    }

    /// Adds the bytes of a row of a tensor to `row`.
    pub(crate) fn read(&self, tensor: usize, row: usize, into: &mut Vec<u8>) -> Result<()> {
        let Place { start, row_bytes } = self.tensors[tensor];
        let start = start + row * row_bytes;
        match &self.bytes {
            Bytes::Memory(bytes) => into.extend_from_slice(&bytes[start..][..row_bytes]),
            Bytes::Disk(file) => {
                let length = into.len();
                into.resize(length + row_bytes, 0);
                let mut file: &File = file;
                let read = file.seek(SeekFrom::Start(start as u64)).and_then(|_| file.read_exact(&mut into[length..]));
                read.map_err(takd_store::Error::io("read", &self.path))?;
            }
        }
        Ok(())
    }
}

/// The file at `path`, of which `beginning` was read and checked a moment ago. As the hash of all of it stands there, it is
/// the same file.
fn open_again(path: &Path, beginning: &[u8]) -> Result<File> {
    let open = || -> std::io::Result<(File, Vec<u8>)> {
        let mut file = File::open(path)?;
        let mut found = vec![0; beginning.len()];
        file.read_exact(&mut found)?;
        Ok((file, found))
    };
    let (file, found) = open().map_err(takd_store::Error::io("read", path))?;
    if found == beginning { Ok(file) } else { Err(Error::damaged(path, "it changed while it was read")) }
}

/// Fails unless the file holds logits of `teacher`, as they were written.
pub(crate) fn check(path: &Path, teacher: &RunId) -> Result<()> {
    let Some(bytes) = takd_store::read_file(path, FILE_AT_MOST)? else { return Ok(()) };
    parse(path, &bytes, teacher).map(drop)
}

/// The header and the tensors, one row for each of the header's images.
fn parse<'a>(path: &Path, bytes: &'a [u8], teacher: &RunId) -> Result<(Header, SafeTensors<'a>)> {
    let (header, tensors) = seal::from_safetensors::<Header>(path, bytes)?;
    if header.run != *teacher || !path.ends_with(&header.file) {
        return Err(Error::damaged(path, format!("it is {} of run {}", header.file, header.run)));
    }
    let mut names = tensors.names();
    names.sort_unstable();
    let Header { images, classes, .. } = header;
    let k = tensors.tensor(TOP_K[0]).ok().and_then(|tensor| tensor.shape().get(1).copied()).unwrap_or_default();
    let expected: &[(&str, Dtype, &[usize])] = match names.as_slice() {
        ["logits"] => &[(ALL[0], Dtype::F32, &[images, classes])],
        ["indices", "tail", "top_logits"] if (1..=classes).contains(&k) => &[
            (TOP_K[0], Dtype::U32, &[images, k]),
            (TOP_K[1], Dtype::F32, &[images, k]),
            (TOP_K[2], Dtype::F32, &[images]),
        ],
        _ => return Err(Error::damaged(path, format!("its tensors are {names:?}, which are no logits"))),
    };
    for &(name, dtype, shape) in expected {
        let tensor = tensors.tensor(name).map_err(|error| Error::damaged(path, error))?;
        if tensor.shape() != shape || tensor.dtype() != dtype {
            let problem = format!("its tensor `{name}` is {:?} of {:?}", tensor.shape(), tensor.dtype());
            return Err(Error::damaged(path, problem));
        }
    }
    Ok((header, tensors))
}

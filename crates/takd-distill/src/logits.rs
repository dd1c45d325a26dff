//! A teacher's logits, computed once and kept in its run's folder for all that it teaches.

use crate::claim::Claimed;
use crate::config::DeviceType;
use crate::evaluate::View;
use crate::recipe::REPLAYED;
use crate::{Error, Event, Pass, Result, RunId, Store, Watch, seal};
use candle_core::{Device, Tensor};
use memmap2::Mmap;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;
use takd_datasets::{Augmentation, Batch, Split};
use takd_models::Network;

/// How often another process's claim is looked at.
const PATIENCE: Duration = Duration::from_millis(200);

const TENSOR: &str = "logits";

/// Which images, seen how.
#[derive(Clone, Copy)]
pub(crate) struct Seen<'a> {
    pub split: Split,
    pub view: View<'a>,
    /// The augmentation, and which of its replayed draws.
    pub augmentation: Augmentation,
    pub replay: usize,
}

impl Seen<'_> {
    fn file(&self) -> String {
        let device = DeviceType::of(self.view.images.device()).as_str();
        let replay = match self.augmentation {
            Augmentation::None => String::new(),
            Augmentation::CropFlip { .. } => format!("-replay{}", self.replay),
        };
        format!("logits-{}-{}{replay}-{device}.safetensors", self.split, self.view.images.images().len())
    }
}

/// What stands in the file's header.
#[derive(Serialize, Deserialize)]
struct Header {
    run: RunId,
    /// The file's name, which tells the images, their form and the device.
    file: String,
    images: usize,
    classes: usize,
}

/// Logits `[images, classes]` in a file, read where they are needed.
pub(crate) struct KeptLogits {
    map: Mmap,
    /// The numbers' bytes.
    values: Range<usize>,
    images: usize,
    classes: usize,
}

impl KeptLogits {
    /// The kept logits of the network of run `teacher`; computed with `network()` where they are not there or damaged.
    pub(crate) fn open_or_compute(
        store: &Store,
        teacher: &RunId,
        seen: Seen<'_>,
        network: &mut dyn FnMut() -> Result<Network>,
        watch: &mut Watch<'_>,
    ) -> Result<Self> {
        let path = store.dir(teacher).join(seen.file());
        if let Ok(Some(kept)) = Self::open(&path, teacher, &seen) {
            return Ok(kept);
        }
        // Before there is a claim, which would make a folder for a run that was deleted; and below again.
        store.model(teacher)?;
        let folder = loop {
            match store.claim(teacher)? {
                Some(folder) => break folder,
                // Another of its students computes them.
                None if watch(Event::Waiting(teacher)).is_break() => return Err(Error::Stopped),
                None => std::thread::sleep(PATIENCE),
            }
        };
        // While we waited it may have been damaged or deleted, and its network be that of an epoch on the way.
        store.model(teacher)?;
        match Self::open(&path, teacher, &seen) {
            Ok(Some(kept)) => return Ok(kept),
            Ok(None) => {}
            Err(error @ Error::Damaged { .. }) => tracing::warn!("{error}; computing it again"),
            Err(error) => return Err(error),
        }
        Self::compute(&folder, teacher, &seen, &network()?, watch)?;
        let kept = Self::open(&path, teacher, &seen)?;
        kept.ok_or_else(|| Error::damaged(&path, &"it was deleted as soon as it was written"))
    }

    fn compute(
        folder: &Claimed,
        teacher: &RunId,
        seen: &Seen<'_>,
        network: &Network,
        watch: &mut Watch<'_>,
    ) -> Result<()> {
        let (images, classes) = (seen.view.images.images().len(), network.classes());
        let all: Vec<u32> = (0..images as u32).collect();
        let augmentation = (seen.augmentation, REPLAYED, seen.replay);
        let logits = seen.view.logits(network, &all, augmentation, Pass::TeacherLogits, watch)?;
        if let Some(at) = logits.iter().position(|logit| !logit.is_finite()) {
            let image = at / classes;
            return Err(Error::NotFinite(format!(
                "the logits of the teacher, run {teacher}, hold {} for image {image}",
                logits[at]
            )));
        }
        let tensor = Tensor::from_vec(logits, (images, classes), &Device::Cpu)?;
        let header = Header { run: teacher.clone(), file: seen.file(), images, classes };
        folder.write(&header.file, &seal::to_safetensors([(TENSOR.to_owned(), tensor)], &header)?)
    }

    fn open(path: &Path, teacher: &RunId, seen: &Seen<'_>) -> Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("read", path)(error)),
        };
        // SAFETY: nobody changes the bytes under the map: takd's own writers rename whole files into place and never
        // write into one that is there.
        let map = unsafe { Mmap::map(&file) }.map_err(Error::io("read", path))?;
        let (Header { images, classes, .. }, values) = parse(path, &map, teacher)?;
        match images == seen.view.images.images().len() {
            true => Ok(Some(Self { map, values, images, classes })),
            false => Err(Error::damaged(path, &format!("it holds the logits of {images} images"))),
        }
    }

    /// Where students on `device` read them: a GPU gets a copy, where that takes no more than is left of `room` bytes.
    pub(crate) fn placed_on(self, device: &Device, room: &mut usize) -> Result<PlacedLogits> {
        let bytes = self.values.len();
        if device.is_cpu() || bytes > *room {
            return Ok(PlacedLogits::File(self));
        }
        *room -= bytes;
        Ok(PlacedLogits::Device(Tensor::from_vec(self.all(), (self.images, self.classes), device)?))
    }

    /// All of them.
    pub(crate) fn all(&self) -> Vec<f32> {
        (0..self.images).flat_map(|index| self.row(index)).collect()
    }

    fn row(&self, index: usize) -> impl Iterator<Item = f32> + '_ {
        let bytes = &self.map[self.values.clone()][4 * self.classes * index..][..4 * self.classes];
        bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes))
    }
}

/// Kept logits as they are read batch by batch.
pub(crate) enum PlacedLogits {
    File(KeptLogits),
    /// `[images, classes]`.
    Device(Tensor),
}

impl PlacedLogits {
    /// The logits of the batch's images, `[batch, classes]`, on its device.
    pub(crate) fn rows(&self, batch: &Batch) -> Result<Tensor> {
        match self {
            Self::File(kept) => {
                let indices = &batch.indices;
                let mut rows = Vec::with_capacity(indices.len() * kept.classes);
                for &index in indices {
                    rows.extend(kept.row(index as usize));
                }
                Ok(Tensor::from_vec(rows, (indices.len(), kept.classes), batch.images.device())?)
            }
            Self::Device(all) => Ok(all.index_select(&batch.index, 0)?),
        }
    }
}

/// The files of kept logits in a run's folder.
pub(crate) fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("read the folder", dir)(error)),
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("logits-") && name.ends_with(".safetensors")
    });
    files.sort();
    Ok(files)
}

/// Fails unless the file holds logits of `teacher`, as they were written.
pub(crate) fn check(path: &Path, bytes: &[u8], teacher: &RunId) -> Result<()> {
    parse(path, bytes, teacher).map(drop)
}

/// The header, and where the numbers are.
fn parse(path: &Path, bytes: &[u8], teacher: &RunId) -> Result<(Header, Range<usize>)> {
    let (header, tensors) = seal::from_safetensors::<Header>(path, bytes)?;
    if header.run != *teacher || !path.ends_with(&header.file) {
        return Err(Error::damaged(path, &format!("it is {} of run {}", header.file, header.run)));
    }
    let tensor = tensors.tensor(TENSOR).map_err(|error| Error::damaged(path, &error))?;
    if tensor.shape() != [header.images, header.classes] || tensor.dtype() != safetensors::Dtype::F32 {
        return Err(Error::damaged(path, &format!("its tensor is {:?} of {}", tensor.shape(), tensor.dtype())));
    }
    // The only tensor: its bytes are the file's last.
    let start = bytes.len() - tensor.data().len();
    Ok((header, start..bytes.len()))
}

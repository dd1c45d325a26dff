//! Images ready for batches on a device.

#[cfg(feature = "cuda")]
use super::{augmentation::Augmentation, cuda::Gpu};
use crate::{Error, Images, Result};
use candle_core::Device;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// The most bytes of images that are copied to a GPU.
#[cfg(feature = "cuda")]
const MAX_BYTES_ON_GPU: usize = 1 << 30;

/// [`Images`] ready for batches on a device; made by [`Images::placed_on`].
#[derive(Debug)]
pub struct PlacedImages<'a> {
    images: &'a Images,
    device: Device,
    /// A GPU that has the images too.
    #[cfg(feature = "cuda")]
    gpu: Option<Gpu>,
    /// Who decodes images that are not in memory as they came.
    decoders: Option<ThreadPool>,
}

impl Images {
    /// These images, so that [`batches`](crate::batches) gives tensors of `device`. With the feature `cuda`, up to 1 GiB of
    /// images are copied to an NVIDIA GPU now, and it makes the batches itself, in one launch each, if their pixels are only moved
    /// and mirrored; otherwise the CPU makes each batch and moves it to its device. The batches are the same, bit for bit.
    ///
    /// # Errors
    /// If the GPU has no room, or its kernel cannot be compiled.
    pub fn placed_on(&self, device: &Device) -> Result<PlacedImages<'_>> {
        #[cfg(feature = "cuda")]
        let gpu = match device {
            Device::Cuda(cuda)
                if !self.is_empty() && self.pixels().is_some_and(|pixels| pixels.len() <= MAX_BYTES_ON_GPU) =>
            {
                Some(Gpu::new(self, cuda)?)
            }
            _ => None,
        };
        // As many as the caller works with.
        let pool = || ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build();
        let decoders = self.are_stored().then(pool).transpose().map_err(|error| Error::Threads(error.to_string()))?;
        Ok(PlacedImages {
            images: self,
            device: device.clone(),
            #[cfg(feature = "cuda")]
            gpu,
            decoders,
        })
    }
}

impl<'a> PlacedImages<'a> {
    /// The images themselves.
    pub fn images(&self) -> &'a Images {
        self.images
    }

    /// The device that the batches are on.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn decoders(&self) -> Option<&ThreadPool> {
        self.decoders.as_ref()
    }

    /// The GPU that makes batches of this augmentation itself.
    #[cfg(feature = "cuda")]
    pub(super) fn gpu(&self, augmentation: &Augmentation) -> Option<&Gpu> {
        self.gpu.as_ref().filter(|_| augmentation.is_window())
    }
}

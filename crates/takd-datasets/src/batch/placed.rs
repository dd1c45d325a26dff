//! Images ready for batches on a device.

#[cfg(feature = "cuda")]
use super::cuda::Gpu;
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
    maker: Maker,
    /// Who decodes images that are not in memory.
    decoders: Option<ThreadPool>,
}

/// Who makes the batches.
#[derive(Debug)]
pub(super) enum Maker {
    /// The CPU, which moves them to this device.
    Cpu(Device),
    /// A GPU that has the images.
    #[cfg(feature = "cuda")]
    Gpu(Gpu),
}

impl Images {
    /// These images, so that [`batches`](crate::batches) gives tensors of `device`. With the feature `cuda`, up to 1 GiB of
    /// images are copied to an NVIDIA GPU now, and it makes the batches itself, in one launch each; otherwise the CPU makes
    /// each batch and moves it to its device. The batches are the same, bit for bit.
    ///
    /// # Errors
    /// If the GPU has no room, or its kernel cannot be compiled.
    pub fn placed_on(&self, device: &Device) -> Result<PlacedImages<'_>> {
        let maker = match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda)
                if !self.is_empty() && self.pixels().is_some_and(|pixels| pixels.len() <= MAX_BYTES_ON_GPU) =>
            {
                Maker::Gpu(Gpu::new(self, cuda)?)
            }
            device => Maker::Cpu(device.clone()),
        };
        let decoders = match self.pixels() {
            Some(_) => None,
            None => {
                // As many as the caller works with.
                let pool = ThreadPoolBuilder::new().num_threads(rayon::current_num_threads()).build();
                Some(pool.map_err(|error| Error::Threads(error.to_string()))?)
            }
        };
        Ok(PlacedImages { images: self, device: device.clone(), maker, decoders })
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

    pub(super) fn maker(&self) -> &Maker {
        &self.maker
    }
}

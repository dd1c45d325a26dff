//! Where images are when their batches are made.

#[cfg(feature = "cuda")]
use super::cuda::Gpu;
use crate::{Images, Result};
use candle_core::Device;

/// [`Images`] ready for batches on a device; made by [`Images::placed_on`].
#[derive(Debug)]
pub struct Placed<'a> {
    images: &'a Images,
    device: Device,
    place: Place,
}

/// Who makes the batches.
#[derive(Debug)]
pub(super) enum Place {
    /// The processor, which moves them to this device.
    Host(Device),
    /// A GPU that has the images.
    #[cfg(feature = "cuda")]
    Gpu(Gpu),
}

impl Images {
    /// These images, so that [`batches`](crate::batches) gives tensors of `device`. An NVIDIA GPU gets all bytes now and makes
    /// the batches itself, in one launch each, unless there is more than a GiB of them; everywhere else the processor makes
    /// each batch and moves it to its device. The batches are the same, bit for bit.
    ///
    /// # Errors
    /// Where the GPU has no room, or its kernel cannot be compiled.
    pub fn placed_on(&self, device: &Device) -> Result<Placed<'_>> {
        let place = match device {
            #[cfg(feature = "cuda")]
            Device::Cuda(cuda) if !self.is_empty() && self.pixels().len() <= 1 << 30 => {
                Place::Gpu(Gpu::new(self, cuda)?)
            }
            device => Place::Host(device.clone()),
        };
        Ok(Placed { images: self, device: device.clone(), place })
    }
}

impl<'a> Placed<'a> {
    /// The images themselves.
    pub fn images(&self) -> &'a Images {
        self.images
    }

    /// Where the batches are.
    pub fn device(&self) -> &Device {
        &self.device
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }
}

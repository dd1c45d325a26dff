//! Batches made by an NVIDIA GPU that has all images, by `batch.cu`.
//!
//! NVRTC, which candle's own `cuda` feature links, compiles it when images are placed; nothing is needed when the crate is
//! built but what candle needs.

use super::{epoch::Epoch, types::Batch};
use crate::{Error, Images, Result};
use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::{CudaFunction, CudaSlice, DevicePtr, LaunchConfig, PushKernelArg};
use candle_core::cuda_backend::cudarc::nvrtc::{CompileError, compile_ptx};
use candle_core::op::BackpropOp;
use candle_core::{CudaDevice, CudaStorage, Device, Shape, Storage, Tensor};
use std::iter;
use std::sync::LazyLock;

const SOURCE: &str = include_str!("batch.cu");

/// Threads of a block, which makes an image.
const THREADS: u32 = 512;

/// Images whose windows are drawn and copied at a time, in whole batches: enough that the copy costs a batch next to nothing, few
/// enough that an epoch's first batch does not wait for it.
const IMAGES_A_GROUP: usize = 512;

/// A GPU's copy of the images, and its kernel.
#[derive(Debug)]
pub(super) struct Gpu {
    device: CudaDevice,
    /// `[n, height, width, 3]`.
    pixels: CudaSlice<u8>,
    /// `[n]`.
    labels: CudaSlice<u32>,
    kernel: CudaFunction,
}

/// The windows of some whole batches, as the kernel takes them.
pub(super) struct WindowGroup<'a> {
    order: &'a [u32],
    /// `order`; for each image the top of its window, its left side, whether it is mirrored; then the bits of the table of
    /// normalised values.
    words: Vec<u32>,
}

/// The windows of an epoch's images, a group at a time.
pub(super) fn window_groups(epoch: Epoch<'_>) -> impl Iterator<Item = WindowGroup<'_>> + Send {
    let table: Vec<u32> =
        epoch.config.normalization.table().as_flattened().iter().map(|value| value.to_bits()).collect();
    let batches = (IMAGES_A_GROUP / epoch.batch_size()).max(1);
    epoch.order.chunks(epoch.batch_size() * batches).map(move |order| {
        // A window that begins farther outside than this shows the same: black.
        let within = |offset: isize, size: usize| offset.clamp(-(size as isize), size as isize) as i32 as u32;
        let count = order.len();
        let mut words = vec![0; 4 * count];
        for (row, &index) in order.iter().enumerate() {
            let window = epoch.window(index);
            words[row] = index;
            words[count + row] = within(window.top, epoch.images.height());
            words[2 * count + row] = within(window.left, epoch.images.width());
            words[3 * count + row] = u32::from(window.mirrored);
        }
        words.extend(&table);
        WindowGroup { order, words }
    })
}

/// Where a batch stands within the words of its group on the GPU.
struct PlaceInGroup<'a> {
    words: &'a Tensor,
    /// Number of images of the group.
    images: usize,
    /// The batch's first image.
    first: usize,
}

impl Gpu {
    pub(super) fn new(images: &Images, device: &CudaDevice) -> Result<Self> {
        let kernel = device.get_or_load_custom_func("make_batch", "takd_make_batch", ptx()?)?.into_cuda_function();
        let (pixels, labels) =
            (device.clone_htod(images.pixels().unwrap_or_default())?, device.clone_htod(images.labels())?);
        Ok(Self { device: device.clone(), pixels, labels, kernel })
    }

    /// The batches of an epoch: a copy to the GPU for each group, a launch for each batch, and nothing that waits.
    pub(super) fn batches<'a>(
        &'a self,
        epoch: Epoch<'a>,
        groups: impl Iterator<Item = WindowGroup<'a>> + 'a,
    ) -> Box<dyn Iterator<Item = Result<Batch>> + 'a> {
        Box::new(groups.flat_map(move |WindowGroup { order, words }| -> Box<dyn Iterator<Item = Result<Batch>> + 'a> {
            let count = words.len();
            let words = match Tensor::from_vec(words, count, &Device::Cuda(self.device.clone())) {
                Ok(words) => words,
                Err(error) => return Box::new(iter::once(Err(error.into()))),
            };
            let batches = Epoch { order, ..epoch }.cut().enumerate();
            Box::new(batches.map(move |(batch, indices)| {
                let place = PlaceInGroup { words: &words, images: order.len(), first: batch * epoch.batch_size() };
                self.batch(epoch.images, &place, indices?)
            }))
        }))
    }

    /// The batch of `indices`.
    fn batch(&self, images: &Images, place: &PlaceInGroup<'_>, indices: &[u32]) -> Result<Batch> {
        let (height, width) = (images.height(), images.width());
        let shape = Shape::from((indices.len(), height, width, 3));
        // SAFETY: the kernel writes all of both before anything reads them, in one stream.
        let (batch, labels) =
            unsafe { (self.device.alloc::<f32>(shape.elem_count())?, self.device.alloc::<u32>(indices.len())?) };
        let index = place.words.narrow(0, place.first, indices.len())?;
        {
            let (words, _) = place.words.storage_and_layout();
            let Storage::Cuda(words) = &*words else { return Err(not_on_gpu()) };
            let words = words.as_cuda_slice::<u32>()?;
            let stream = self.device.cuda_stream();
            // The guards keep the memory from being given away before the launch is made.
            let (pixels_at, _pixels) = self.pixels.device_ptr(&stream);
            let (all_labels_at, _all_labels) = self.labels.device_ptr(&stream);
            let (words_at, _words) = words.device_ptr(&stream);
            let (batch_at, _batch) = batch.device_ptr(&stream);
            let (labels_at, _labels) = labels.device_ptr(&stream);
            let after = |words: usize| words_at + (words * size_of::<u32>()) as u64;
            let (table_at, windows_at) = (after(4 * place.images), after(place.first));
            let [count, height, width] = [place.images, height, width].map(|size| size as u32);

            let mut launch = stream.launch_builder(&self.kernel);
            launch.arg(&pixels_at).arg(&all_labels_at).arg(&table_at).arg(&windows_at);
            launch.arg(&count).arg(&height).arg(&width).arg(&batch_at).arg(&labels_at);
            let blocks = indices.len() as u32;
            let config = LaunchConfig { grid_dim: (blocks, 1, 1), block_dim: (THREADS, 1, 1), shared_mem_bytes: 0 };
            // SAFETY: the arguments are the kernel's, in its order and of its types. Every index has been found to be an
            // image's; for each of the batch's the kernel reads a label, four words and, inside of the image only, its pixels,
            // and writes a label and an image.
            unsafe { launch.launch(config) }.w()?;
        }
        let tensor =
            |storage, shape: Shape| Tensor::from_storage(Storage::Cuda(storage), shape, BackpropOp::none(), false);
        Ok(Batch {
            images: tensor(CudaStorage::wrap_cuda_slice(batch, self.device.clone()), shape).permute((0, 3, 1, 2))?,
            labels: tensor(CudaStorage::wrap_cuda_slice(labels, self.device.clone()), indices.len().into()),
            mixed: None,
            indices: indices.to_vec(),
            index,
        })
    }
}

fn not_on_gpu() -> Error {
    candle_core::Error::msg("the windows of a batch are not on its GPU").into()
}

/// The kernel, compiled once in a process.
fn ptx() -> Result<&'static str> {
    static PTX: LazyLock<Result<String, CompileError>> = LazyLock::new(|| Ok(compile_ptx(SOURCE)?.to_src()));
    match &*PTX {
        Ok(ptx) => Ok(ptx),
        Err(error) => {
            Err(candle_core::Error::msg(format!("the CUDA kernel of batches does not compile: {error}")).into())
        }
    }
}

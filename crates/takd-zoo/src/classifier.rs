//! Classifying images with a model: the very pixels that its accuracy was measured on, then the likeliest classes.

use crate::{Error, Model, Result};
use candle_core::{DType, Device, Tensor};
use candle_nn::ModuleT;
use std::path::Path;
use takd_datasets::{Fit, decode_image, read_image};
use takd_models::Network;

/// How many images pass the network at once.
const BATCH: usize = 64;

/// A model that is ready to classify images. Threads may share it.
#[derive(Clone, Debug)]
pub struct Classifier {
    network: Network,
    class_names: Vec<String>,
    fit: Fit,
    /// What each value of a byte becomes, for each channel.
    normalized: [[f32; 256]; 3],
    device: Device,
}

/// A class that an image may be of.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Guess {
    /// The class, from 0.
    pub class: usize,
    /// Its name.
    pub name: String,
    /// How likely the network takes it to be, 0 to 1.
    pub probability: f64,
}

impl Classifier {
    /// Puts the model's network on a device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn new(model: &Model, device: &Device) -> Result<Self> {
        let config = model.config();
        Ok(Self {
            network: model.network(device)?.0.frozen(),
            class_names: config.class_names.clone(),
            fit: config.input.scaling,
            normalized: config.input.normalization().table(),
            device: device.clone(),
        })
    }

    /// The pixels `[height, width, 3]` that the network is given of an image file: JPEG, PNG, WebP, GIF, TIFF or BMP, turned upright as its
    /// EXIF data say and scaled as the model's images were.
    ///
    /// # Errors
    /// If the file is missing, no image, or damaged. The error names it.
    pub fn read(&self, path: &Path) -> Result<Vec<u8>> {
        Ok(read_image(path, self.fit)?)
    }

    /// [`Classifier::read`] for bytes that were read already; `path` is for errors.
    ///
    /// # Errors
    /// If the bytes are no image or damaged.
    pub fn decode(&self, bytes: &[u8], path: &Path) -> Result<Vec<u8>> {
        Ok(decode_image(bytes, path, self.fit)?)
    }

    /// For each image the `top` likeliest classes, the likeliest first; of equally likely ones the first. Each image is pixels as
    /// [`Classifier::read`] gives them. A batch of them passes the network at once.
    ///
    /// # Errors
    /// If an image has another size, the device fails, or the network's answer is not a number.
    pub fn classify(&self, images: &[impl AsRef<[u8]>], top: usize) -> Result<Vec<Vec<Guess>>> {
        let mut guesses = Vec::with_capacity(images.len());
        for batch in images.chunks(BATCH) {
            let first = guesses.len();
            let logits = self.batch_logits(batch, first)?.to_device(&Device::Cpu)?.to_vec2::<f32>()?;
            for (place, logits) in logits.into_iter().enumerate() {
                guesses.push(self.guesses(&logits, top).ok_or(Error::NotANumber { index: first + place })?);
            }
        }
        Ok(guesses)
    }

    /// [`Classifier::read`] and [`Classifier::classify`] for files, of which no more than a batch is in memory at once.
    ///
    /// # Errors
    /// As these; the first file that cannot be read ends it.
    pub fn classify_files(&self, files: &[impl AsRef<Path>], top: usize) -> Result<Vec<Vec<Guess>>> {
        let mut guesses = Vec::with_capacity(files.len());
        for batch in files.chunks(BATCH) {
            let images = batch.iter().map(|file| self.read(file.as_ref())).collect::<Result<Vec<_>>>()?;
            guesses.extend(self.classify(&images, top)?);
        }
        Ok(guesses)
    }

    /// The network's logits, `[images, classes]` on its device, of all images at once.
    ///
    /// # Errors
    /// If an image has another size, or the device fails.
    pub fn logits(&self, images: &[impl AsRef<[u8]>]) -> Result<Tensor> {
        self.batch_logits(images, 0)
    }

    /// `first` is the index of the first image, for errors.
    fn batch_logits(&self, images: &[impl AsRef<[u8]>], first: usize) -> Result<Tensor> {
        let side = self.fit.side();
        let expected = 3 * side * side;
        if images.is_empty() {
            return Ok(Tensor::zeros((0, self.class_names.len()), DType::F32, &self.device)?);
        }
        let mut values = Vec::with_capacity(images.len() * expected);
        for (place, image) in images.iter().enumerate() {
            let image = image.as_ref();
            if image.len() != expected {
                return Err(Error::ImageSize { index: first + place, found: image.len(), expected, side });
            }
            let channels = self.normalized.iter().cycle();
            values.extend(image.iter().zip(channels).map(|(&byte, table)| table[usize::from(byte)]));
        }
        let images = Tensor::from_vec(values, (images.len(), side, side, 3), &self.device)?.permute((0, 3, 1, 2))?;
        Ok(self.network.forward_t(&images, false)?)
    }

    /// `None` if a logit is not a number, or infinite.
    fn guesses(&self, logits: &[f32], top: usize) -> Option<Vec<Guess>> {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return None;
        }
        // The largest becomes 1, so that none overflows.
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let odds: Vec<f64> = logits.iter().map(|&logit| (f64::from(logit) - f64::from(largest)).exp()).collect();
        let sum: f64 = odds.iter().sum();
        let mut classes: Vec<usize> = (0..logits.len()).collect();
        classes.sort_by(|&a, &b| logits[b].total_cmp(&logits[a]));
        let guess =
            |class: usize| Guess { class, name: self.class_names[class].clone(), probability: odds[class] / sum };
        Some(classes.into_iter().take(top).map(guess).collect())
    }
}

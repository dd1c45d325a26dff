//! What the tests share.

use candle_core::{DType, Device, Tensor};
use std::error::Error;
use std::path::Path;
use takd_datasets::{Fit, Normalization};
use takd_models::{ModelSpec, Network, Parameters};
use takd_zoo::{Config, Input, Model};

pub type Outcome<T = ()> = Result<T, Box<dyn Error>>;

/// Numbers from 0 to 1 that follow from a name.
pub fn numbers(name: &str) -> impl Iterator<Item = f32> {
    let mut state = name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    })
}

/// A network whose batch normalisations are as if it had been trained: none of their numbers is 0 or 1.
pub fn network(spec: ModelSpec, classes: usize, seed: u64) -> Outcome<(Network, Parameters)> {
    let (network, parameters) = Network::random(spec, classes, seed, &Device::Cpu)?;
    for (name, var) in parameters.all() {
        let is_of_norm = name.contains("running_") || (var.dims().len() == 1 && var.dtype() == DType::F32);
        if is_of_norm {
            let low = if name.ends_with("running_var") || name.ends_with("weight") { 0.5 } else { -0.25 };
            let values: Vec<f32> = numbers(&name).take(var.elem_count()).map(|number| low + number / 2.0).collect();
            var.set(&Tensor::from_vec(values, var.dims(), &Device::Cpu)?)?;
        }
        if name.ends_with("num_batches_tracked") {
            var.set(&Tensor::new(1234i64, &Device::Cpu)?)?;
        }
    }
    Ok((network, parameters))
}

pub fn class_names(classes: usize) -> Vec<String> {
    (0..classes).map(|class| format!("class {class}")).collect()
}

/// A configuration for images of `side` x `side`.
pub fn config(spec: ModelSpec, classes: usize, side: usize) -> Outcome<Config> {
    let normalization = Normalization { mean: [0.5, 0.4, 0.3], std: [0.25, 0.2, 0.3] };
    Ok(Config::new(spec, class_names(classes), Input::new(Fit::square(side)?, normalization), "mit"))
}

pub fn model(name: &str, classes: usize, side: usize) -> Outcome<(Model, Network)> {
    let spec: ModelSpec = name.parse()?;
    let (network, parameters) = network(spec, classes, 31)?;
    Ok((Model::new(config(spec, classes, side)?, &parameters)?, network))
}

/// Pixels of so many images, `[side, side, 3]` each.
pub fn images(count: usize, side: usize) -> Vec<Vec<u8>> {
    let pixels =
        |image| numbers(&format!("image {image}")).take(3 * side * side).map(|number| (256.0 * number) as u8).collect();
    (0..count).map(pixels).collect()
}

/// The largest difference, as a share of the largest number.
pub fn difference(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(0f32, |largest, value| largest.max(value.abs()));
    let off =
        found.iter().zip(expected).fold(0f32, |off, (a, b)| if a.is_nan() { f32::NAN } else { off.max((a - b).abs()) });
    off / largest
}

/// A BMP file with these pixels.
pub fn write_bmp(path: &Path, width: usize, height: usize, pixels: &[u8]) -> std::io::Result<()> {
    let row = (3 * width).next_multiple_of(4);
    let mut file = b"BM".to_vec();
    file.extend((54 + row * height).to_le_bytes()[..4].iter());
    file.extend([0, 0, 0, 0, 54, 0, 0, 0, 40, 0, 0, 0]);
    file.extend([width, height].iter().flat_map(|size| (*size as u32).to_le_bytes()));
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    // Rows from the lowest up, blue first.
    for y in (0..height).rev() {
        let start = file.len();
        file.extend(pixels[3 * width * y..][..3 * width].chunks(3).flat_map(|pixel| [pixel[2], pixel[1], pixel[0]]));
        file.resize(start + row, 0);
    }
    std::fs::write(path, file)
}

//! Exported networks give the logits of takd's own, in a runtime that is somebody else's.

use crate::common::{Outcome, difference, images, model};
use candle_core::Device;
use std::io::Cursor;
use takd_zoo::{Classifier, Model, OnnxInput, WeightPrecision};
use tract_onnx::prelude::*;

/// As a share of the largest logit.
const TOLERANCE: f32 = 1e-4;

/// The logits that tract computes of these images.
fn tracts_logits(file: &[u8], model: &Model, input: OnnxInput, images: &[Vec<u8>]) -> Outcome<Vec<f32>> {
    let side = model.config().input.height;
    let pixels = images.concat();
    let (fact, tensor): (InferenceFact, Tensor) = match input {
        OnnxInput::Pixels => {
            let shape = [images.len(), side, side, 3];
            (u8::fact(shape).into(), Tensor::from_shape(&shape, &pixels)?)
        }
        OnnxInput::Normalized => {
            let shape = [images.len(), 3, side, side];
            let table = model.config().input.normalization().table();
            let value = |image: usize, channel: usize, place: usize| {
                table[channel][usize::from(pixels[(image * side * side + place) * 3 + channel])]
            };
            let mut values = Vec::new();
            for image in 0..images.len() {
                for channel in 0..3 {
                    values.extend((0..side * side).map(|place| value(image, channel, place)));
                }
            }
            (f32::fact(shape).into(), Tensor::from_shape(&shape, &values)?)
        }
    };
    // The shape is told to it here alone: the file leaves the number of images open.
    let plan = onnx().model_for_read(&mut Cursor::new(file))?.with_input_fact(0, fact)?;
    let plan = plan.into_optimized()?.into_runnable()?;
    let outputs = plan.run(tvec!(tensor.into()))?;
    Ok(outputs[0].to_array_view::<f32>()?.iter().copied().collect())
}

fn holds_to_our_own(name: &str, classes: usize, side: usize) -> Outcome {
    let (whole, _) = model(name, classes, side)?;
    for (precision, input, count) in [
        (WeightPrecision::F32, OnnxInput::Normalized, 1),
        (WeightPrecision::F32, OnnxInput::Pixels, 3),
        (WeightPrecision::F16, OnnxInput::Pixels, 2),
        (WeightPrecision::Int8, OnnxInput::Normalized, 2),
        (WeightPrecision::Int8, OnnxInput::Pixels, 1),
    ] {
        let model = whole.stored_as(precision)?;
        let images = images(count, side);
        let expected = Classifier::new(&model, &Device::Cpu)?.logits(&images)?.flatten_all()?.to_vec1()?;
        let found = tracts_logits(&model.to_onnx(input)?, &model, input, &images)?;
        let off = difference(&found, &expected);
        assert!(off <= TOLERANCE, "{name}, {precision}, {input:?}: off by {off:.1e} of the largest logit");
        println!("{name}, {precision}, {input:?}: {off:.1e}");
    }
    Ok(())
}

#[test]
fn plain_networks_hold_to_our_own() -> Outcome {
    holds_to_our_own("plane2", 10, 32)
}

#[test]
fn plain_networks_with_more_fully_connected_layers_hold_to_our_own() -> Outcome {
    holds_to_our_own("plane8-wide", 12, 32)
}

#[test]
fn resnets_hold_to_our_own_for_any_size() -> Outcome {
    holds_to_our_own("resnet8", 10, 32)?;
    holds_to_our_own("resnet14", 7, 19)
}

#[test]
fn resnets_of_bottlenecks_hold_to_our_own() -> Outcome {
    holds_to_our_own("imagenet-resnet14", 10, 37)
}

#[test]
fn resnets_of_basic_blocks_hold_to_our_own() -> Outcome {
    holds_to_our_own("imagenet-resnet18", 10, 32)
}

#[test]
fn file_is_as_small_as_its_weights() -> Outcome {
    let (whole, _) = model("plane2", 10, 32)?;
    for precision in WeightPrecision::ALL {
        let model = whole.stored_as(precision)?;
        let (weights, file) = (model.cost(None)?.bytes, model.to_onnx(OnnxInput::Pixels)?.len());
        assert!(file < weights + 2000, "{precision}: {file} bytes of ONNX for {weights} of weights");
        println!("plane2 as {precision}: {weights} bytes of safetensors, {file} of ONNX");
    }
    Ok(())
}

//! What a network is made of: how many parameters, called what, drawn how.

use crate::common::{Outcome, drawn, snapshot};
use candle_core::{DType, Device, Tensor};
use candle_nn::{ModuleT, VarBuilder, VarMap};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use takd_models::{Checkpoint, ModelName, ModelSpec, Network, Parameters};

fn values(parameters: &Parameters) -> Outcome<BTreeMap<String, Vec<f32>>> {
    snapshot(parameters)?
        .into_iter()
        .map(|(name, t)| Ok((name, t.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?)))
        .collect()
}

/// Images without randomness.
fn images(count: usize) -> Outcome<Tensor> {
    let pixels = (0..count * 3 * 32 * 32).map(|i| (i * 37 % 255) as f32 / 127.0 - 1.0);
    Ok(Tensor::from_iter(pixels, &Device::Cpu)?.reshape((count, 3, 32, 32))?)
}

#[test]
fn every_network_has_as_many_parameters_as_published() -> Outcome {
    let published = [
        ("plane2", 13_082, 215_172),
        ("plane4", 37_338, 475_652),
        ("plane6", 82_778, 1_107_204),
        ("plane8", 327_962, 1_246_276),
        ("plane10", 2_487_850, 2_931_460),
        ("resnet8", 78_042, 83_892),
        ("resnet14", 175_258, 181_108),
        ("resnet20", 272_474, 278_324),
        ("resnet26", 369_690, 375_540),
        ("resnet32", 466_906, 472_756),
        ("resnet44", 661_338, 667_188),
        ("resnet56", 855_770, 861_620),
        ("resnet110", 1_730_714, 1_736_564),
        ("imagenet-resnet14", 8_036_426, 8_220_836),
        ("imagenet-resnet18", 11_181_642, 11_227_812),
        ("imagenet-resnet20", 9_433_674, 9_618_084),
        ("imagenet-resnet26", 13_966_666, 14_151_076),
        ("imagenet-resnet34", 21_289_802, 21_335_972),
        ("imagenet-resnet50", 23_528_522, 23_712_932),
        ("imagenet-resnet101", 42_520_650, 42_705_060),
    ];
    assert_eq!(published.len(), ModelName::all().count());
    for (name, ten, hundred) in published {
        for (classes, expected) in [(10, ten), (100, hundred)] {
            let spec = name.parse::<ModelName>()?.spec(classes);
            assert_eq!(spec.parameter_count(classes), expected, "{name}, {classes} classes");
            let parameters = drawn(name, classes, 0)?.1;
            let built: usize = parameters.trainable().iter().map(|(_, var)| var.elem_count()).sum();
            assert_eq!(built, expected, "{name}, {classes} classes, built");
        }
    }
    Ok(())
}

#[test]
fn resnets_for_imagenet_have_as_many_parameters_as_torchvisions() -> Outcome {
    for (depth, expected) in [
        (14, 10_064_936),
        (18, 11_689_512),
        (20, 11_462_184),
        (26, 15_995_176),
        (34, 21_797_672),
        (50, 25_557_032),
        (101, 44_549_160),
    ] {
        assert_eq!(format!("imagenet-resnet{depth}").parse::<ModelSpec>()?.parameter_count(1000), expected, "{depth}");
    }
    Ok(())
}

#[test]
fn every_network_has_the_tensors_that_its_list_of_layers_says() -> Outcome {
    for spec in ModelSpec::all() {
        let (_, parameters) = Network::random(spec, 3, 0, &Device::Cpu)?;
        let bytes = parameters.to_safetensors(HashMap::new())?;
        // A checkpoint is held to the list.
        Network::from_checkpoint(spec, 3, Checkpoint { path: Path::new("memory"), bytes: &bytes }, &Device::Cpu)?;
    }
    Ok(())
}

#[test]
fn any_number_of_classes_gives_that_many_logits() -> Outcome {
    for (name, classes) in [("plane2", 1), ("plane6", 11), ("plane8", 3), ("resnet8", 1000)] {
        let network = drawn(name, classes, 0)?.0;
        assert_eq!(network.forward_t(&images(2)?, false)?.dims(), [2, classes], "{name}");
    }
    assert!(drawn("resnet8", 0, 0).is_err());
    Ok(())
}

#[test]
fn same_seed_same_weights_and_another_seed_others() -> Outcome {
    let draw = |seed| values(&drawn("resnet8", 10, seed)?.1);
    assert_eq!(draw(20)?, draw(20)?);
    let (a, b) = (draw(20)?, draw(31)?);
    for (name, weights) in a.iter().filter(|(name, _)| name.contains("conv") || name.starts_with("fc")) {
        assert_ne!(*weights, b[name], "{name}");
    }
    Ok(())
}

#[test]
fn a_tensor_depends_on_its_seed_its_network_and_its_name_alone() -> Outcome {
    let (ten, hundred) = (values(&drawn("resnet8", 10, 20)?.1)?, values(&drawn("resnet8", 100, 20)?.1)?);
    for (name, weights) in ten.iter().filter(|(name, _)| !name.starts_with("fc")) {
        assert_eq!(*weights, hundred[name], "{name}");
    }
    // Same shape, different names.
    assert_ne!(ten["layer1.0.conv1.weight"], ten["layer1.0.conv2.weight"]);
    Ok(())
}

#[test]
fn equally_named_tensors_of_two_networks_of_one_seed_start_differently() -> Outcome {
    for (student, teacher) in [("resnet8", "resnet110"), ("plane2-narrow", "plane4-narrow"), ("plane4", "plane6")] {
        let (student, teacher) = (values(&drawn(student, 10, 20)?.1)?, values(&drawn(teacher, 10, 20)?.1)?);
        let mut compared = 0;
        for (name, weights) in student.iter().filter(|(name, _)| name.contains("conv") || name.starts_with("fc")) {
            let constant = weights.iter().all(|weight| *weight == weights[0]);
            if let Some(others) = teacher.get(name).filter(|others| others.len() == weights.len() && !constant) {
                let equal = weights.iter().zip(others).filter(|(a, b)| a == b).count();
                assert!(equal * 100 <= weights.len(), "{name}: {equal} of {} numbers are equal", weights.len());
                compared += 1;
            }
        }
        assert!(compared >= 3, "{compared}");
    }
    Ok(())
}

#[test]
fn a_network_starts_the_same_whatever_is_drawn_before_it() -> Outcome {
    let alone = values(&drawn("resnet8", 10, 20)?.1)?;
    for teacher in ["resnet110", "resnet20", "resnet8"] {
        drawn(teacher, 10, 20)?;
        assert_eq!(values(&drawn("resnet8", 10, 20)?.1)?, alone, "taught by {teacher}");
    }
    Ok(())
}

#[test]
fn convolution_and_linear_layers_are_drawn_as_pytorch_draws_them() -> Outcome {
    let (_, parameters) = drawn("plane10", 100, 55)?;
    for (name, var) in parameters.trainable() {
        let fan_in = parameters
            .trainable()
            .iter()
            .find(|(other, var)| *other == name.replace("bias", "weight") && var.rank() > 1)
            .map(|(_, weight)| weight.dims()[1..].iter().product::<usize>());
        let values: Vec<f32> = var.flatten_all()?.to_vec1()?;
        let Some(fan_in) = fan_in else {
            let expected = if name.ends_with("weight") { 1.0 } else { 0.0 };
            assert!(values.iter().all(|&v| v == expected), "{name}: batch normalisation");
            continue;
        };
        // kaiming_uniform_(a=√5), and the bias likewise.
        let bound = 1.0 / (fan_in as f32).sqrt();
        let largest = values.iter().fold(0f32, |largest, v| largest.max(v.abs()));
        assert!(largest <= bound && largest > 0.7 * bound, "{name}: {largest} of {bound}");
        if values.len() > 10_000 {
            let (mean, stdev) = moments(&values);
            let expected = f64::from(bound) / 3f64.sqrt();
            assert!(mean.abs() < 0.05 * expected && (stdev / expected - 1.0).abs() < 0.02, "{name}: {mean} {stdev}");
        }
    }
    Ok(())
}

#[test]
fn resnet_convolutions_are_drawn_from_the_fan_out_normal() -> Outcome {
    let (_, parameters) = drawn("resnet20", 10, 55)?;
    let (mut projections, mut normalisations) = (0, 0);
    for (name, tensor) in snapshot(&parameters)? {
        let values: Vec<f32> = tensor.flatten_all()?.to_dtype(DType::F32)?.to_vec1()?;
        if let &[c_out, _, height, width] = tensor.dims() {
            let (mean, stdev) = moments(&values);
            let expected = (2.0 / (height * width * c_out) as f64).sqrt();
            // Five standard errors.
            let close = 5.0 / (values.len() as f64).sqrt();
            assert!(mean.abs() < close * expected && (stdev / expected - 1.0).abs() < close, "{name}: {mean} {stdev}");
            projections += usize::from(name.ends_with("downsample.0.weight"));
        } else if !name.starts_with("fc") {
            let one = name.ends_with("weight") || name.ends_with("running_var");
            assert!(values.iter().all(|&v| v == f32::from(u8::from(one))), "{name}");
            normalisations += 1;
        }
    }
    assert_eq!((projections, normalisations), (2, 5 * 21));
    Ok(())
}

fn moments(values: &[f32]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&v| f64::from(v)).sum::<f64>() / count;
    let variance = values.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / count;
    (mean, variance.sqrt())
}

#[test]
fn training_moves_the_running_statistics_that_are_saved() -> Outcome {
    for name in ["plane2", "resnet8"] {
        let (network, parameters) = drawn(name, 10, 31)?;
        let before = values(&parameters)?;
        network.forward_t(&images(4)?, false)?;
        assert_eq!(values(&parameters)?, before, "{name}: evaluation changes nothing");
        network.forward_t(&images(4)?, true)?;
        let after = values(&parameters)?;
        let written = parameters.to_safetensors(Default::default())?;
        let written = candle_core::safetensors::load_buffer(&written, &Device::Cpu)?;
        let mut changed = 0;
        for (tensor, values) in &after {
            let on_disk = &written[tensor];
            assert_eq!(on_disk.flatten_all()?.to_dtype(DType::F32)?.to_vec1::<f32>()?, *values, "{name}: {tensor}");
            if tensor.ends_with("num_batches_tracked") {
                assert_eq!((on_disk.dtype(), on_disk.to_scalar::<i64>()?), (DType::I64, 1), "{name}: {tensor}");
            } else {
                assert_eq!(on_disk.dtype(), DType::F32, "{name}: {tensor}");
                assert_eq!(*values != before[tensor], tensor.contains("running_"), "{name}: {tensor}");
            }
            changed += usize::from(*values != before[tensor]);
        }
        assert_eq!(changed, 3 * if name == "plane2" { 2 } else { 9 }, "{name}");
    }
    Ok(())
}

#[test]
fn drawn_networks_stay_what_they_were() -> Outcome {
    let pinned: [(&str, [f32; 10]); 2] = [
        (
            "plane2",
            [
                0.050917, -0.081983, -0.139658, -0.154540, 0.052995, -0.165917, -0.202384, -0.251856, -0.042596,
                -0.240707,
            ],
        ),
        (
            "resnet8",
            [
                -0.220767, -0.168516, -0.071095, 0.042014, -0.437524, -0.042936, -0.062802, -0.036719, -0.001278,
                0.158177,
            ],
        ),
    ];
    for (name, expected) in pinned {
        let logits: Vec<f32> = drawn(name, 10, 31)?.0.forward_t(&images(1)?, false)?.flatten_all()?.to_vec1()?;
        let off = logits.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0f32, f32::max);
        assert!(off < 1e-4, "{name}: {logits:?}");
    }
    Ok(())
}

#[test]
fn frozen_network_sees_what_training_changes_and_keeps_no_gradients() -> Outcome {
    for name in ["plane2", "resnet8"] {
        let (trained, parameters) = drawn(name, 10, 1)?;
        let frozen = trained.frozen();
        let images = images(4)?;
        trained.forward_t(&images, true)?;
        for (_, var) in parameters.trainable() {
            var.set(&(var.as_detached_tensor() * 0.5)?)?;
        }
        let (logits, expected) = (frozen.forward_t(&images, false)?, trained.forward_t(&images, false)?);
        assert_eq!(logits.to_vec2::<f32>()?, expected.to_vec2::<f32>()?, "{name}");
        assert!(expected.track_op() && !logits.track_op(), "{name}");
    }
    Ok(())
}

#[test]
fn deepest_network_in_plain_operations_fits_the_stack_of_a_worker_thread() -> Outcome {
    // f64 goes the way that f32 goes on a GPU: a graph of many thousand tensors, which candle walks and frees recursively.
    let step = || -> candle_core::Result<usize> {
        let vars = VarMap::new();
        let vb = VarBuilder::from_varmap(&vars, DType::F64, &Device::Cpu);
        let network = Network::new("resnet110".parse().map_err(candle_core::Error::wrap)?, 10, vb)?;
        let images = Tensor::ones((1, 3, 32, 32), DType::F64, &Device::Cpu)?;
        let grads = network.forward_t(&images, true)?.sqr()?.sum_all()?.backward()?;
        Ok(vars.all_vars().iter().filter(|var| grads.get(var).is_some()).count())
    };
    // Rust's default, and so rayon's.
    let thread = std::thread::Builder::new().stack_size(2 << 20).spawn(step)?;
    // 111 convolutions and normalisations of two tensors more, and the last layer's two.
    assert_eq!(thread.join().expect("no panic")?, 3 * 111 + 2);
    Ok(())
}

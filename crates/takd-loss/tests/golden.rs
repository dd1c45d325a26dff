//! Values and gradients that PyTorch computed in float64, on the CPU and on a GPU if there is one.
//!
//! The crate's own file (`golden/make_golden.py` made it, every loss of the family) is always held to; the larger one where
//! it is found (`TAKD_REFERENCE_DIR`, else `../shared/reference` beside the workspace).

mod common;

use candle_core::{DType, Device, Tensor};
use common::{CPU, Golden, cuda, golden, gradient, kd_of, read, relative_distance, scalar, var};
use std::path::{Path, PathBuf};
use takd_loss::{
    Batch, Dgkd, Dist, DistillationLoss, Dkd, KdLoss, MultiTeacherKd, Reduction, StandardizedKd, cross_entropy,
};

/// The types of logits that a device's kernel takes, with how close its results are to come.
fn types(device: &Device, close: [(DType, f64); 4]) -> Vec<(DType, f64)> {
    close.into_iter().filter(|(dtype, _)| device.is_cpu() || *dtype != DType::F64).collect()
}

fn hold_to_large(golden: &Golden, device: &Device) {
    let cases = golden
        .cases
        .iter()
        .filter_map(|(name, settings)| Some((name, settings["T"].as_f64()?, settings["lam"].as_f64()?)));
    let cases: Vec<_> = cases.collect();
    assert!(!cases.is_empty());
    for (name, temperature, lambda) in cases {
        let tensor = |part: &str| golden.tensors[&format!("{name}.{part}")].to_device(device).unwrap();
        let (teacher, labels) = (tensor("teacher"), tensor("labels"));
        for (reduction, word) in [(Reduction::BatchMean, "batchmean"), (Reduction::Mean, "mean")] {
            let kd = KdLoss { temperature, lambda, reduction, ..KdLoss::default() };
            for dtype in if device.is_cpu() { vec![DType::F32, DType::F64] } else { vec![DType::F32] } {
                let student = var(&tensor("student"), dtype);
                let loss = kd.forward(&student, &teacher.to_dtype(dtype).unwrap(), &labels).unwrap();
                let expected = scalar(&tensor(&format!("{word}.loss")));
                let apart = (scalar(&loss) - expected).abs() / expected.abs();
                assert!(apart < 2e-6, "case {name}, {word}, {dtype:?}: loss {loss} for {expected}, {apart:e} apart");

                let grad = gradient(&loss, &student).unwrap();
                let apart = relative_distance(&grad, &tensor(&format!("{word}.grad_student")));
                assert!(apart < 2e-6, "case {name}, {word}, {dtype:?}: gradients {apart:e} apart");
            }
        }
        let student = tensor("student");
        let student = if device.is_cpu() { student } else { student.to_dtype(DType::F32).unwrap() };
        let ce = scalar(&cross_entropy(&student, &labels).unwrap());
        let expected = scalar(&tensor("ce"));
        assert!((ce - expected).abs() < 2e-6 * expected.abs(), "case {name}: cross-entropy {ce} for {expected}");
    }
}

#[test]
fn agrees_with_pytorch_on_the_large_file() {
    let directory = std::env::var_os("TAKD_REFERENCE_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"), PathBuf::from);
    let path = directory.join("kd_loss.safetensors");
    if !path.exists() {
        println!("skipped: no {}; TAKD_REFERENCE_DIR names its folder", path.display());
        return;
    }
    let golden = read(&std::fs::read(path).unwrap());
    hold_to_large(&golden, &CPU);
    cuda().iter().for_each(|device| hold_to_large(&golden, device));
}

#[test]
fn every_loss_agrees_with_its_paper_s_equation() {
    hold_to_own(&CPU);
}

#[test]
fn every_loss_agrees_with_its_paper_s_equation_on_cuda() {
    cuda().iter().for_each(hold_to_own);
}

fn hold_to_own(device: &Device) {
    let golden = golden();
    assert!(golden.cases.len() > 30);
    for (name, settings) in &golden.cases {
        let tensor =
            |part: &str| golden.tensors.get(&format!("{name}.{part}")).map(|tensor| tensor.to_device(device).unwrap());
        let number = |key: &str| settings[key].as_f64();
        let kd = kd_of(settings);
        let temperature = kd.temperature;
        let w = || number("w").unwrap();
        let loss: Box<dyn DistillationLoss> = match settings["loss"].as_str().unwrap() {
            "kd" => Box::new(kd),
            "mean" => Box::new(MultiTeacherKd { kd }),
            "dense" => Box::new(Dgkd { kd, dropped: 0, seed: 1 }),
            "dkd" => Box::new(Dkd {
                cross_entropy: w(),
                alpha: number("alpha").unwrap(),
                beta: number("beta").unwrap(),
                temperature,
            }),
            "standardized" => Box::new(StandardizedKd { kd }),
            "dist" => Box::new(Dist {
                cross_entropy: w(),
                beta: number("beta").unwrap(),
                gamma: number("gamma").unwrap(),
                temperature,
            }),
            other => panic!("{name}: no loss called {other}"),
        };
        let labels = &tensor("labels").unwrap();
        let close = [(DType::F64, 1e-10), (DType::F32, 4e-6), (DType::F16, 4e-3), (DType::BF16, 3e-2)];
        for (dtype, close) in types(device, close) {
            let student = var(&tensor("student").unwrap(), dtype);
            let teachers: Vec<Tensor> =
                (0..).map_while(|i| tensor(&format!("teacher{i}"))).map(|t| t.to_dtype(dtype).unwrap()).collect();
            let value = match tensor("weights") {
                Some(weights) => kd.forward_weighted(&student, &teachers[0], labels, Some(&weights)),
                None => {
                    let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels, step: 0 };
                    loss.loss(&batch)
                }
            };
            let value = value.unwrap_or_else(|error| panic!("{name}, {dtype:?}: {error}"));
            let apart = relative_distance(&value, &tensor("loss").unwrap());
            assert!(apart < close, "{name}, {dtype:?}: loss {value}, {apart:e} apart");
            let apart = relative_distance(&gradient(&value, &student).unwrap(), &tensor("grad").unwrap());
            assert!(apart < close, "{name}, {dtype:?}: gradients {apart:e} apart");
        }
    }
}

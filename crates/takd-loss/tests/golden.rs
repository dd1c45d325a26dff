//! Values and gradients that PyTorch worked out in float64, for both reductions.
//!
//! The small file of the crate itself is always held to; the larger one where it is found (`TAKD_REFERENCE_DIR`, else
//! `../shared/reference` beside the workspace).

mod common;

use candle_core::{DType, Tensor};
use common::{CPU, gradient, relative_distance, scalar, var};
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use takd_loss::{KdLoss, Reduction, cross_entropy};

struct Golden {
    tensors: HashMap<String, Tensor>,
    cases: Vec<(String, f64, f64)>, // name, temperature, λ
}

fn read(path: &Path) -> Golden {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).unwrap();
    let mut cases: Vec<_> = header
        .metadata()
        .iter()
        .flatten()
        .filter_map(|(name, settings)| {
            let settings: Value = serde_json::from_str(settings).ok()?;
            Some((
                name.clone(),
                settings["T"].as_f64()?,
                settings["lam"].as_f64()?,
            ))
        })
        .collect();
    cases.sort_by(|a, b| a.0.cmp(&b.0));
    Golden {
        tensors: candle_core::safetensors::load(path, &CPU).unwrap(),
        cases,
    }
}

fn hold_to(golden: &Golden) {
    assert!(!golden.cases.is_empty());
    for (name, temperature, lambda) in &golden.cases {
        let tensor = |part: &str| &golden.tensors[&format!("{name}.{part}")];
        let (teacher, labels) = (tensor("teacher"), tensor("labels"));
        for (reduction, word) in [
            (Reduction::BatchMean, "batchmean"),
            (Reduction::Mean, "mean"),
        ] {
            let kd = KdLoss {
                temperature: *temperature,
                lambda: *lambda,
                reduction,
                ..KdLoss::default()
            };
            for dtype in [DType::F32, DType::F64] {
                let student = var(tensor("student"), dtype);
                let loss = kd
                    .forward(&student, &teacher.to_dtype(dtype).unwrap(), labels)
                    .unwrap();
                let expected = scalar(tensor(&format!("{word}.loss")));
                let apart = (scalar(&loss) - expected).abs() / expected.abs();
                assert!(
                    apart < 2e-6,
                    "case {name}, {word}, {dtype:?}: loss {loss} for {expected}, {apart:e} apart"
                );

                let grad = gradient(&loss, &student).unwrap();
                let apart = relative_distance(&grad, tensor(&format!("{word}.grad_student")));
                assert!(
                    apart < 2e-6,
                    "case {name}, {word}, {dtype:?}: gradients {apart:e} apart"
                );
            }
        }
        let ce = scalar(&cross_entropy(tensor("student"), labels).unwrap());
        let expected = scalar(tensor("ce"));
        assert!(
            (ce - expected).abs() < 2e-6 * expected.abs(),
            "case {name}: cross-entropy {ce} for {expected}"
        );
    }
}

#[test]
fn agrees_with_pytorch_on_the_large_file() {
    let directory = std::env::var_os("TAKD_REFERENCE_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/reference"),
        PathBuf::from,
    );
    let path = directory.join("kd_loss.safetensors");
    if !path.exists() {
        println!(
            "skipped: no {}; TAKD_REFERENCE_DIR names its folder",
            path.display()
        );
        return;
    }
    hold_to(&read(&path));
}

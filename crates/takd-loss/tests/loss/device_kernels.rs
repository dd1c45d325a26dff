//! The CUDA and the Metal kernel without their devices: compiled as C++ with a shim and compared with PyTorch's values and the
//! CPU kernel, and the CUDA one compiled by nvcc. Each test passes and says so if its compiler is missing.

use crate::common::{CPU, golden, kd_of, labels, logits, relative_distance, values, var};
use candle_core::{DType, Tensor};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use takd_loss::{Batch, Dgkd, DistillationLoss, KdLoss, Reduction};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn nvcc_compiles_the_cuda_kernel_for_every_type() {
    let roots = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let found = roots.chain([PathBuf::from("/usr/local/cuda")]).map(|root| root.join("bin/nvcc"));
    let Some(nvcc) = [PathBuf::from("nvcc")].into_iter().chain(found).find(|nvcc| runs(nvcc)) else {
        println!("skipped: no nvcc on PATH or under CUDA_HOME");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    for arch in ["sm_80", "sm_90"] {
        for (student, teacher) in [("f32", "f32"), ("f16", "f32"), ("f32", "bf16"), ("bf16", "f16")] {
            let output = Command::new(&nvcc)
                .args(["-cubin", "-arch", arch])
                .arg(format!("-DSTUDENT={student}"))
                .arg(format!("-DTEACHER={teacher}"))
                .arg("-o")
                .arg(out.path().join("kernel.cubin"))
                .arg(here("src/kd/kd_loss.cu"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{arch} {student} {teacher}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// A kernel under the shim, compiled for one pair of types.
struct Shim {
    program: PathBuf,
    student: DType,
    teacher: DType,
}

fn kernel_type(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "f16",
        DType::BF16 => "bf16",
        _ => "f32",
    }
}

impl Shim {
    fn build(which: &str, student: DType, teacher: DType, directory: &Path) -> Option<Shim> {
        let compiler = std::env::var_os("CXX").map_or_else(|| PathBuf::from("c++"), PathBuf::from);
        let probe = directory.join("probe.cpp");
        std::fs::write(&probe, "#include <barrier>\nint main() { std::barrier<> one(1); }\n").unwrap();
        let probed = Command::new(&compiler).args(["-std=c++20", "-fsyntax-only"]).arg(&probe).output();
        if !probed.is_ok_and(|output| output.status.success()) {
            println!("skipped: no compiler for C++20; CXX names one");
            return None;
        }
        let program = directory.join(format!("{which}_{student:?}_{teacher:?}"));
        let output = Command::new(compiler)
            .args(["-std=c++20", "-O1", "-pthread", "-Wall", "-Werror", "-ffp-contract=off"])
            .arg(format!("-DSTUDENT={}", kernel_type(student)))
            .arg(format!("-DTEACHER={}", kernel_type(teacher)))
            .arg("-I")
            .arg(here("src/kd"))
            .arg(here("tests/kernel_shim").join(format!("{which}.cpp")))
            .arg("-o")
            .arg(&program)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Some(Shim { program, student, teacher })
    }

    /// The loss, or losses, and the gradient (`[batch, classes]`) that the kernel computes for a case.
    fn run(&self, case: &Case, threads: usize, rows: usize) -> (Vec<f64>, Tensor) {
        let directory = tempfile::tempdir().unwrap();
        let (input, output) = (directory.path().join("input"), directory.path().join("output"));
        std::fs::write(&input, case.bytes()).unwrap();
        let ended = Command::new(&self.program)
            .args([threads.to_string(), rows.to_string()])
            .args([&input, &output])
            .status()
            .unwrap();
        assert!(ended.success());
        let bytes = std::fs::read(output).unwrap();
        let floats = |bytes: &[u8]| -> Vec<f64> {
            bytes.chunks(4).map(|b| f32::from_le_bytes(b.try_into().unwrap()).into()).collect()
        };
        let (batch, shape) = (case.student.dims()[0], case.student.dims());
        let losses = match case.kd.reduction {
            Reduction::None => floats(&bytes[4..][..4 * batch]),
            _ => floats(&bytes[..4]),
        };
        let grad = Tensor::from_raw_buffer(&bytes[4 + 4 * batch..], self.student, shape, &CPU).unwrap();
        (losses, grad)
    }
}

/// A batch, as the kernels get it.
#[derive(Clone)]
struct Case {
    kd: KdLoss,
    student: Tensor,
    teachers: Vec<Tensor>,
    labels: Tensor,
    weights: Option<Tensor>,
    /// The upstream gradient, one for all rows or one a row: the kernel runs a second time for it.
    upstream: Option<Vec<f32>>,
}

fn raw(tensor: &Tensor) -> Vec<u8> {
    match tensor.dtype() {
        DType::F32 => {
            tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        DType::F16 => {
            let numbers = tensor.flatten_all().unwrap().to_vec1::<half::f16>().unwrap();
            numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        DType::BF16 => {
            let numbers = tensor.flatten_all().unwrap().to_vec1::<half::bf16>().unwrap();
            numbers.iter().flat_map(|x| x.to_le_bytes()).collect()
        }
        DType::U8 => tensor.to_vec1::<u8>().unwrap(),
        DType::U32 => tensor.to_vec1::<u32>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
        _ => tensor.to_vec1::<i64>().unwrap().iter().flat_map(|x| x.to_le_bytes()).collect(),
    }
}

impl Case {
    fn bytes(&self) -> Vec<u8> {
        let (batch, classes) = self.student.dims2().unwrap();
        let KdLoss { temperature, lambda, reduction, label_smoothing, ignore_index, .. } = self.kd;
        let mean = matches!(reduction, Reduction::BatchMean | Reduction::Mean);
        let total = mean && (self.weights.is_some() || ignore_index.is_some());
        let reads_labels = lambda < 1.0 || ignore_index.is_some();
        let teachers = if lambda > 0.0 { self.teachers.as_slice() } else { &[] };
        let given =
            u32::from(self.weights.is_some()) + 2 * u32::from(total) + 4 * u32::from(self.upstream.is_some()) + 8;
        let words = [
            batch as u32,
            classes as u32,
            teachers.len() as u32,
            if reads_labels { self.labels.dtype().size_in_bytes() as u32 } else { 0 },
            u32::from(lambda < 1.0),
            u32::from(classes % 8 == 0),
            u32::from(self.upstream.as_ref().is_some_and(|upstream| upstream.len() > 1)),
            ignore_index.is_some().into(),
            given,
            0,
        ];
        let mut kl = lambda * temperature * temperature;
        if reduction == Reduction::Mean {
            kl /= classes as f64;
        }
        let scale = if mean && !total { 1.0 / batch as f64 } else { 1.0 };
        let log2_e = std::f64::consts::LOG2_E;
        let mut numbers = vec![1.0 - lambda, label_smoothing, log2_e, log2_e / temperature, temperature, scale];
        numbers.extend((0..8).map(|teacher| if teacher < teachers.len() { kl } else { 0.0 }));

        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(ignore_index.unwrap_or(0).to_le_bytes());
        bytes.extend(numbers.iter().flat_map(|&number| (number as f32).to_le_bytes()));
        bytes.extend(raw(&self.student));
        teachers.iter().for_each(|teacher| bytes.extend(raw(teacher)));
        if reads_labels {
            bytes.extend(raw(&self.labels));
        }
        if let Some(weights) = &self.weights {
            bytes.extend(raw(weights));
        }
        bytes.extend(self.upstream.iter().flatten().flat_map(|upstream| upstream.to_le_bytes()));
        bytes
    }

    /// The CPU kernel's result.
    fn expected(&self) -> (Vec<f64>, Tensor) {
        let student = var(&self.student, self.student.dtype());
        let loss = match &self.weights {
            Some(weights) => self.kd.forward_weighted(&student, &self.teachers[0], &self.labels, Some(weights)),
            None => {
                let dense = Dgkd { kd: self.kd, dropped: 0, seed: 0 };
                let (teacher_logits, labels) = (self.teachers.as_slice(), &self.labels);
                dense.loss(&Batch { student_logits: &student, teacher_logits, labels, step: 0 })
            }
        };
        let loss = loss.unwrap();
        let scaled = match &self.upstream {
            Some(upstream) => loss.broadcast_mul(&Tensor::new(upstream.as_slice(), &CPU).unwrap()).unwrap(),
            None => loss.clone(),
        };
        (values(&loss), crate::common::gradient(&scaled, &student).unwrap())
    }
}

fn shim_agrees(which: &str) {
    let directory = tempfile::tempdir().unwrap();
    for (student, teacher, close) in
        [(DType::F32, DType::F32, 2e-6), (DType::F16, DType::BF16, 1e-3), (DType::BF16, DType::F16, 8e-3)]
    {
        let Some(shim) = Shim::build(which, student, teacher, directory.path()) else {
            return;
        };
        for (batch, classes, threads, rows) in
            [(5, 1, 32, 4), (9, 10, 32, 8), (3, 100, 32, 2), (4, 264, 32, 1), (2, 1031, 64, 1), (2, 2064, 64, 1)]
        {
            for (index, kd) in [
                KdLoss { temperature: 4.0, lambda: 0.5, ..KdLoss::default() },
                KdLoss { temperature: 0.7, lambda: 0.0, reduction: Reduction::Sum, ..KdLoss::default() },
                KdLoss { temperature: 2.5, lambda: 1.0, reduction: Reduction::None, ..KdLoss::default() },
                KdLoss {
                    temperature: 20.0,
                    lambda: 0.3,
                    reduction: Reduction::Mean,
                    label_smoothing: 0.1,
                    ignore_index: Some(0),
                    ..KdLoss::default()
                },
            ]
            .into_iter()
            .enumerate()
            {
                let weighted = index == 3 && batch % 2 == 1;
                let teachers = if index == 0 { 3 } else { 1 };
                let case = Case {
                    kd,
                    student: logits("s", batch, classes, 3.0).to_dtype(shim.student).unwrap(),
                    teachers: (0..teachers)
                        .map(|i| logits(&format!("t{i}"), batch, classes, 3.0).to_dtype(shim.teacher).unwrap())
                        .collect(),
                    labels: labels("y", batch, classes)
                        .to_dtype([DType::U32, DType::U8, DType::I64][batch % 3])
                        .unwrap(),
                    weights: weighted.then(|| Tensor::from_iter((0..batch).map(|row| row as f32 * 0.5), &CPU).unwrap()),
                    upstream: match index {
                        1 => Some(vec![3.0]),
                        2 => Some((0..batch).map(|row| [1.0, -2.0, 0.0][row % 3]).collect()),
                        _ => None,
                    },
                };
                if classes > 256 && case.labels.dtype() == DType::U8 {
                    continue; // a label would not fit
                }
                let (losses, grad) = shim.run(&case, threads, rows);
                let (expected, expected_grad) = case.expected();
                let name = format!("{which} {student:?} {teacher:?} [{batch}, {classes}] {kd:?}");
                for (found, expected) in losses.iter().zip(&expected) {
                    assert!(
                        (found - expected).abs() < 3e-6 * expected.abs().max(1.0),
                        "{name}: {losses:?} {expected:?}"
                    );
                }
                let apart = relative_distance(&grad, &expected_grad);
                let rounding = classes == 1 && values(&grad).iter().all(|g| g.abs() < 1e-5);
                assert!(apart < close || rounding, "{name}: gradients {apart:e} apart");
            }
        }
    }
}

fn shim_agrees_with_pytorch(which: &str) {
    let directory = tempfile::tempdir().unwrap();
    let Some(shim) = Shim::build(which, DType::F32, DType::F32, directory.path()) else {
        return;
    };
    let golden = golden();
    let fused = |settings: &Value| matches!(settings["loss"].as_str(), Some("kd" | "dense"));
    let cases: Vec<_> = golden.cases.iter().filter(|(_, settings)| fused(settings)).collect();
    assert!(cases.len() > 30);
    for (name, settings) in cases {
        let tensor = |part: &str| golden.tensors.get(&format!("{name}.{part}"));
        let narrow = |tensor: &Tensor| tensor.to_dtype(DType::F32).unwrap();
        let case = Case {
            kd: kd_of(settings),
            student: narrow(tensor("student").unwrap()),
            teachers: (0..).map_while(|i| tensor(&format!("teacher{i}"))).map(narrow).collect(),
            labels: tensor("labels").unwrap().clone(),
            weights: tensor("weights").map(narrow),
            upstream: None,
        };
        for (threads, rows) in [(32, 8), (64, 1)] {
            let (losses, grad) = shim.run(&case, threads, rows);
            let losses = Tensor::new(losses, &CPU).unwrap();
            let apart = relative_distance(&losses, tensor("loss").unwrap());
            assert!(apart < 4e-6, "{which} {name}: losses {apart:e} apart");
            let apart = relative_distance(&grad, tensor("grad").unwrap());
            assert!(apart < 4e-6, "{which} {name}: gradients {apart:e} apart");
        }
    }
}

/// The rows whose loss is NaN; each must have a gradient of NaN only, and the others none.
fn bad_rows(case: &Case, (losses, grad): &(Vec<f64>, Tensor), name: &str) -> Vec<usize> {
    let (batch, classes) = case.student.dims2().unwrap();
    let grad = values(grad);
    let is_bad = |row: usize| {
        let finite = grad[row * classes..][..classes].iter().filter(|grad| grad.is_finite()).count();
        assert!(finite == 0 || finite == classes, "{name}: row {row} has {finite} finite gradients");
        finite == 0
    };
    let bad: Vec<_> = (0..batch).filter(|&row| is_bad(row)).collect();
    match case.kd.reduction {
        Reduction::None => assert!((0..batch).all(|row| losses[row].is_nan() == bad.contains(&row)), "{name}"),
        _ => assert_eq!(losses[0].is_nan(), !bad.is_empty(), "{name}: {losses:?}"),
    }
    bad
}

fn shim_makes_bad_rows_nan(which: &str) {
    let directory = tempfile::tempdir().unwrap();
    for dtype in [DType::F32, DType::F16, DType::BF16] {
        let Some(shim) = Shim::build(which, dtype, dtype, directory.path()) else {
            return;
        };
        let clean = logits("s", 9, 10, 3.0).to_dtype(dtype).unwrap();
        let good = Case {
            kd: KdLoss::default(),
            student: clean.clone(),
            teachers: vec![clean.clone()],
            labels: labels("y", 9, 10),
            weights: None,
            upstream: None,
        };
        let is_bad = |case: &Case, expected: &[usize], name: &str| {
            for (reduction, upstream) in [
                (Reduction::BatchMean, None),
                (Reduction::BatchMean, Some(vec![1.0])),
                (Reduction::None, Some(vec![3.0])),
            ] {
                let name = format!("{which} {dtype:?} {name} {reduction:?} upstream {upstream:?}");
                let case = Case { kd: KdLoss { reduction, ..case.kd }, upstream, ..case.clone() };
                assert_eq!(bad_rows(&case, &shim.run(&case, 32, 2), &name), expected, "{name}");
            }
        };
        is_bad(&good, &[], "good");
        let spoilt = |row: usize, value: f64| {
            let mut numbers = values(&clean);
            numbers[row * 10 + 9] = value;
            Tensor::from_vec(numbers, (9, 10), &CPU).unwrap().to_dtype(dtype).unwrap()
        };
        let half = dtype != DType::F32; // whose conversions alone are its own
        let lambdas: &[f64] = if half { &[0.5] } else { &[0.0, 0.5, 1.0] };
        let spoilers: &[f64] = if half { &[f64::NAN] } else { &[f64::NAN, f64::INFINITY, f64::NEG_INFINITY] };
        for (&lambda, &value) in lambdas.iter().flat_map(|lambda| spoilers.iter().map(move |value| (lambda, value))) {
            let kd = KdLoss { lambda, ..KdLoss::default() };
            let name = format!("λ {lambda}, {value}");
            is_bad(&Case { kd, student: spoilt(4, value), ..good.clone() }, &[4], &name);
            let expected: &[usize] = if lambda > 0.0 { &[8] } else { &[] };
            is_bad(&Case { kd, teachers: vec![spoilt(8, value)], ..good.clone() }, expected, &name);
        }
        let labels = Tensor::new(&[0i64, 1, 2, -1, 4, 5, 10, 7, 8], &CPU).unwrap();
        is_bad(&Case { labels: labels.clone(), ..good.clone() }, &[3, 6], "labels");
        let kd = KdLoss { ignore_index: Some(-1), ..KdLoss::default() };
        is_bad(&Case { kd, labels, student: spoilt(3, f64::NAN), ..good.clone() }, &[6], "labels, one ignored");
        for weight in [-1.0, f32::NAN, f32::INFINITY] {
            let weights = Some(Tensor::new(&[1f32, 1.0, 2.0, 0.0, 1.0, weight, 1.0, 1.0, 1.0], &CPU).unwrap());
            is_bad(&Case { weights, student: spoilt(3, f64::NAN), ..good.clone() }, &[5], &format!("weight {weight}"));
        }
        // NaN from above, in the bits that a GPU makes it of.
        let case = Case { upstream: Some(vec![f32::from_bits(0x7fff_ffff)]), ..good.clone() };
        assert!(values(&shim.run(&case, 32, 2).1).iter().all(|grad| grad.is_nan()), "{which} {dtype:?}");
    }
}

#[test]
fn cuda_kernel_agrees_with_pytorch() {
    shim_agrees_with_pytorch("cuda");
}

#[test]
fn metal_kernel_agrees_with_pytorch() {
    shim_agrees_with_pytorch("metal");
}

#[test]
fn cuda_kernel_agrees_with_the_cpu_kernel() {
    shim_agrees("cuda");
}

#[test]
fn metal_kernel_agrees_with_the_cpu_kernel() {
    shim_agrees("metal");
}

#[test]
fn cuda_kernel_makes_bad_rows_nan() {
    shim_makes_bad_rows_nan("cuda");
}

#[test]
fn metal_kernel_makes_bad_rows_nan() {
    shim_makes_bad_rows_nan("metal");
}

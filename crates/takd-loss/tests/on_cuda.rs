//! The loss on a GPU compared with the loss on the CPU. Each test passes and says so if there is no CUDA device.
//!
//! Losses are f32 on both; the CPU's are summed in f64, the GPU's in f32. Gradients are held to the rounding of their type.
#![cfg(feature = "cuda")]

mod common;

use candle_core::{DType, Device, Tensor, Var};
use common::{CPU, cuda, gradient, labels, logits, relative_distance, rows, scalar, values, var};
use takd_loss::{
    BadRows, Batch, DistillationLoss, Error, Input, KdLoss, MultiTeacherKd, Reduction, TopK, cross_entropy,
};

const REDUCTIONS: [Reduction; 4] = [Reduction::BatchMean, Reduction::Mean, Reduction::Sum, Reduction::None];

/// How far apart two losses may be, and two gradients of a type.
const LOSS: f64 = 3e-6;
fn close(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 1e-3,
        DType::BF16 => 8e-3,
        _ => 3e-6,
    }
}

/// A batch on the CPU.
struct Given {
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    weights: Option<Tensor>,
}

impl Given {
    fn new(batch: usize, classes: usize, student: DType, teacher: DType) -> Given {
        let weights = (0..batch).map(|row| (row % 4) as f32 * 0.5);
        Given {
            student: logits("s", batch, classes, 3.0).to_dtype(student).unwrap(),
            teacher: logits("t", batch, classes, 3.0).to_dtype(teacher).unwrap(),
            labels: labels("y", batch, classes),
            weights: Some(Tensor::from_iter(weights, &CPU).unwrap()),
        }
    }

    /// Loss and gradient on a device, the loss having been multiplied with `above`.
    fn on(&self, device: &Device, kd: KdLoss, above: f64) -> takd_loss::Result<(Tensor, Tensor)> {
        let there = |tensor: &Tensor| tensor.to_device(device).unwrap();
        let student = Var::from_tensor(&there(&self.student)).unwrap();
        let weights = self.weights.as_ref().map(there);
        let loss = kd.forward_weighted(&student, &there(&self.teacher), &there(&self.labels), weights.as_ref())?;
        let grad = gradient(&if above == 1.0 { loss.clone() } else { (&loss * above)? }, &student)?;
        Ok((loss, grad))
    }

    fn agrees(&self, device: &Device, kd: KdLoss, above: f64) {
        let (classes, dtype) = (self.student.dims()[1], self.student.dtype());
        let name = format!("{classes} classes, {dtype:?}, {:?}, {kd:?}, above {above}", self.teacher.dtype());
        let (loss, grad) = self.on(device, kd, above).unwrap_or_else(|error| panic!("{name}: {error}"));
        let (expected, expected_grad) = self.on(&CPU, kd, above).unwrap();
        assert_eq!((loss.dims(), loss.dtype()), (expected.dims(), DType::F32), "{name}");
        let apart = relative_distance(&loss, &expected);
        assert!(apart < LOSS, "{name}: {loss} for {expected}, {apart:e} apart");
        assert_eq!(grad.dtype(), dtype, "{name}");
        let apart = relative_distance(&grad, &expected_grad);
        assert!(apart < close(dtype), "{name}: gradients {apart:e} apart");
    }
}

/// Settings that between them take every path of the kernel.
fn settings() -> Vec<KdLoss> {
    let mut all = Vec::new();
    for bad_rows in [BadRows::Error, BadRows::Nan] {
        for reduction in REDUCTIONS {
            all.push(KdLoss { reduction, bad_rows, ..KdLoss::default() });
        }
        let rest = KdLoss { bad_rows, label_smoothing: 0.1, ignore_index: Some(3), ..KdLoss::default() };
        all.push(KdLoss { temperature: 2.5, lambda: 0.0, ..rest });
        all.push(KdLoss { temperature: 0.7, lambda: 1.0, reduction: Reduction::Sum, ..rest });
        all.push(KdLoss { temperature: 20.0, lambda: 0.3, reduction: Reduction::Mean, ..rest });
    }
    all
}

#[test]
fn agrees_with_the_cpu() {
    let Some(device) = cuda() else { return };
    // A warp a row, aligned and not; a block a row, aligned and not. 19 rows fill no block.
    for classes in [10, 100, 1000, 1031, 2064] {
        for (student, teacher) in [
            (DType::F32, DType::F32),
            (DType::F16, DType::F16),
            (DType::BF16, DType::BF16),
            (DType::F32, DType::BF16),
            (DType::BF16, DType::F32),
        ] {
            let given = Given::new(19, classes, student, teacher);
            let plain = Given { weights: None, ..Given::new(19, classes, student, teacher) };
            for kd in settings() {
                plain.agrees(&device, kd, 1.0);
                given.agrees(&device, kd, 7.0);
            }
        }
    }
}

#[test]
fn labels_of_every_type_are_read() {
    let Some(device) = cuda() else { return };
    for dtype in [DType::U8, DType::U32, DType::I64] {
        let mut given = Given::new(9, 10, DType::F32, DType::F32);
        given.labels = given.labels.to_dtype(dtype).unwrap();
        given.agrees(&device, KdLoss { ignore_index: Some(2), ..KdLoss::default() }, 1.0);
    }
}

#[test]
fn views_are_read_as_they_are() {
    let Some(device) = cuda() else { return };
    let wide = logits("s", 9, 40, 2.0).to_dtype(DType::F32).unwrap();
    let tall = logits("t", 24, 9, 2.0).to_dtype(DType::F32).unwrap();
    let many = labels("y", 20, 24);
    let on = |device: &Device| {
        let there = |tensor: &Tensor| tensor.to_device(device).unwrap();
        let student = Var::from_tensor(&there(&wide)).unwrap();
        let (teacher, labels) = (there(&tall).t().unwrap(), there(&many).narrow(0, 7, 9).unwrap());
        let view = student.narrow(1, 5, 24).unwrap();
        let columns = KdLoss::default().forward(&view, &teacher, &labels).unwrap();
        // Rows from the second on: contiguous, but from an offset that is a multiple of 16 bytes or is none.
        let odd = there(&logits("o", 9, 25, 2.0).to_dtype(DType::F32).unwrap());
        let (rows, odd) = (student.narrow(0, 1, 8).unwrap(), odd.narrow(0, 1, 8).unwrap());
        let labels = labels.narrow(0, 1, 8).unwrap();
        let rows = cross_entropy(&rows, &labels).unwrap();
        let odd = cross_entropy(&odd, &labels).unwrap();
        let grad = gradient(&(&columns + &rows).unwrap(), &student).unwrap();
        (Tensor::stack(&[columns, rows, odd], 0).unwrap(), grad)
    };
    let ((losses, grad), (expected, expected_grad)) = (on(&device), on(&CPU));
    assert!(relative_distance(&losses, &expected) < LOSS, "{losses} for {expected}");
    assert!(relative_distance(&grad, &expected_grad) < close(DType::F32));
}

#[test]
fn each_row_has_its_gradient_from_above() {
    let Some(device) = cuda() else { return };
    for dtype in [DType::F32, DType::BF16] {
        let on = |device: &Device| {
            let there = |tensor: &Tensor| tensor.to_device(device).unwrap();
            let student = Var::from_tensor(&there(&logits("s", 4, 12, 3.0).to_dtype(dtype).unwrap())).unwrap();
            let teacher = there(&logits("t", 4, 12, 3.0).to_dtype(dtype).unwrap());
            let kd = KdLoss { reduction: Reduction::None, bad_rows: BadRows::Nan, ..KdLoss::default() };
            let each = kd.forward(&student, &teacher, &there(&labels("y", 4, 12))).unwrap();
            let factors = Tensor::new(&[1f32, -2.0, 0.0, 3.0], device).unwrap();
            gradient(&(each * factors).unwrap().sum_all().unwrap(), &student).unwrap()
        };
        let apart = relative_distance(&on(&device), &on(&CPU));
        assert!(apart < close(dtype), "{dtype:?}: {apart:e}");
    }
}

#[test]
fn backward_can_run_twice_and_forward_and_grad_is_both() {
    let Some(device) = cuda() else { return };
    let there = |tensor: Tensor| tensor.to_dtype(DType::F32).unwrap().to_device(&device).unwrap();
    let student = Var::from_tensor(&there(logits("s", 9, 40, 3.0))).unwrap();
    let (teacher, labels) = (there(logits("t", 9, 40, 3.0)), labels("y", 9, 40).to_device(&device).unwrap());
    let loss = KdLoss::default().forward(&student, &teacher, &labels).unwrap();
    let once = values(&gradient(&loss, &student).unwrap());
    assert_eq!(once, values(&gradient(&loss, &student).unwrap()));
    let (alone, grad) = KdLoss::default().forward_and_grad(&student, &teacher, &labels).unwrap();
    assert_eq!((scalar(&alone), values(&grad)), (scalar(&loss), once));
}

#[test]
fn the_gradient_is_written_into_memory_kept() {
    let Some(device) = cuda() else { return };
    for (dtype, classes) in
        [DType::F32, DType::F16, DType::BF16].into_iter().flat_map(|dtype| [(dtype, 10), (dtype, 2064)])
    {
        let there = |tensor: Tensor| tensor.to_dtype(dtype).unwrap().to_device(&device).unwrap();
        let (student, teacher) = (there(logits("s", 9, classes, 3.0)), there(logits("t", 9, classes, 3.0)));
        let labels = labels("y", 9, classes).to_device(&device).unwrap();
        let used = |count: usize| there(Tensor::full(f64::NAN, count, &CPU).unwrap());
        let (_, expected) = KdLoss::default().forward_and_grad(&student, &teacher, &labels).unwrap();
        // At a multiple of 16 bytes, and at none: there the row is added up in another order.
        for start in [0, 8, 1] {
            let room = used(10 * classes);
            let grad = room.narrow(0, start, 9 * classes).unwrap().reshape((9, classes)).unwrap();
            KdLoss::default().forward_and_grad_into(&student, &teacher, &labels, &grad).unwrap();
            let apart = relative_distance(&grad, &expected);
            let close = if start == 1 { close(dtype) } else { 0.0 };
            assert!(apart <= close, "{dtype:?}, {classes} classes, from {start}: {apart:e}");
            let (written, all) = (values(&grad), values(&room));
            assert!(all[..start].iter().chain(&all[start + written.len()..]).all(|number| number.is_nan()));
        }
    }
}

#[test]
fn memory_kept_has_what_the_cpu_says_where_f32_does_not_do() {
    let Some(device) = cuda() else { return };
    let there = |numbers: [f32; 3]| Tensor::new(&[numbers], &device).unwrap();
    let (student, teacher, grad) = (there([3e38, -3e38, 0.0]), there([-3e38, 3e38, 0.0]), there([f32::NAN; 3]));
    let labels = Tensor::new(&[0u32], &device).unwrap();
    let loss = KdLoss::default().forward_and_grad_into(&student, &teacher, &labels, &grad).unwrap();
    assert!(!scalar(&loss).is_nan());
    assert_eq!(values(&grad), [2.0, -2.0, 0.0]);
    let found = KdLoss::default().forward_and_grad_into(
        &student,
        &teacher,
        &labels,
        &Tensor::zeros((1, 3), DType::F32, &CPU).unwrap(),
    );
    assert!(matches!(found, Err(Error::Device { input: Input::Gradient, .. })));
}

#[test]
fn several_teachers_teach_at_once() {
    let Some(device) = cuda() else { return };
    let on = |device: &Device| {
        let there = |tensor: Tensor| tensor.to_dtype(DType::F32).unwrap().to_device(device).unwrap();
        let student = Var::from_tensor(&there(logits("s", 9, 100, 3.0))).unwrap();
        let teacher_logits: Vec<_> = (0..3).map(|i| there(logits(&format!("t{i}"), 9, 100, 3.0))).collect();
        let labels = labels("y", 9, 100).to_device(device).unwrap();
        let kd = KdLoss { bad_rows: BadRows::Nan, ..KdLoss::default() };
        let batch = Batch { student_logits: &student, teacher_logits: &teacher_logits, labels: &labels, step: 0 };
        let loss = MultiTeacherKd { kd }.loss(&batch).unwrap();
        let grad = gradient(&loss, &student).unwrap();
        (loss, grad)
    };
    let ((loss, grad), (expected, expected_grad)) = (on(&device), on(&CPU));
    assert!(relative_distance(&loss, &expected) < LOSS);
    assert!(relative_distance(&grad, &expected_grad) < close(DType::F32));
}

#[test]
fn an_empty_batch_has_no_loss() {
    let Some(device) = cuda() else { return };
    // Cut from something: neither candle nor CUDA makes tensors of nothing.
    let student = Tensor::zeros((1, 5), DType::F32, &device).unwrap().narrow(0, 0, 0).unwrap();
    let labels = Tensor::zeros(1, DType::U32, &device).unwrap().narrow(0, 0, 0).unwrap();
    for reduction in REDUCTIONS {
        let kd = KdLoss { reduction, ..KdLoss::default() };
        let (loss, grad) = kd.forward_and_grad(&student, &student, &labels).unwrap();
        let dims: &[usize] = if reduction == Reduction::None { &[0] } else { &[] };
        assert_eq!((loss.dims(), grad.dims()), (dims, [0, 5].as_slice()));
        assert!(values(&loss).iter().all(|&loss| loss == 0.0));
    }
}

/// Batches of 9 rows with a bad one, the sixth.
fn spoilt(classes: usize) -> Vec<(&'static str, Given)> {
    let good = || Given { weights: None, ..Given::new(9, classes, DType::F32, DType::F32) };
    let spoil = |tensor: &Tensor, at: usize, value: f64| {
        let mut numbers = values(tensor);
        numbers[at] = value;
        Tensor::from_vec(numbers, tensor.dims(), &CPU).unwrap()
    };
    let narrow = |tensor: Tensor| tensor.to_dtype(DType::F32).unwrap();
    let mut all = Vec::new();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let logit = |tensor: &Tensor| narrow(spoil(tensor, 5 * classes + 7, value));
        all.push(("student", Given { student: logit(&good().student), ..good() }));
        all.push(("teacher", Given { teacher: logit(&good().teacher), ..good() }));
    }
    for value in [-1.0, classes as f64] {
        let labels = spoil(&good().labels, 5, value).to_dtype(DType::I64).unwrap();
        all.push(("label", Given { labels, ..good() }));
    }
    for value in [-1.0, f64::NAN] {
        let weights = Some(narrow(spoil(&Tensor::ones(9, DType::F32, &CPU).unwrap(), 5, value)));
        all.push(("weight", Given { weights, ..good() }));
    }
    all
}

#[test]
fn bad_rows_are_the_errors_that_they_are_on_the_cpu() {
    let Some(device) = cuda() else { return };
    for classes in [10, 2064] {
        for reduction in REDUCTIONS {
            for (what, given) in spoilt(classes) {
                let kd = KdLoss { reduction, ..KdLoss::default() };
                let found = given.on(&device, kd, 1.0).unwrap_err().to_string();
                assert_eq!(found, given.on(&CPU, kd, 1.0).unwrap_err().to_string(), "{what}, {classes} classes");
            }
        }
    }
}

#[test]
fn bad_rows_are_nan_where_nothing_is_to_wait() {
    let Some(device) = cuda() else { return };
    for classes in [10, 2064] {
        for reduction in REDUCTIONS {
            for above in [1.0, 7.0] {
                for (what, given) in spoilt(classes) {
                    let name = format!("{what}, {classes} classes, {reduction:?}, above {above}");
                    let kd = KdLoss { reduction, bad_rows: BadRows::Nan, ..KdLoss::default() };
                    let (loss, grad) = given.on(&device, kd, above).unwrap();
                    let losses = values(&loss);
                    let bad = |row: usize| reduction != Reduction::None || row == 5;
                    assert!((0..losses.len()).all(|row| losses[row].is_nan() == bad(row)), "{name}: {losses:?}");
                    for (row, grad) in rows(&grad.to_device(&CPU).unwrap()).iter().enumerate() {
                        assert!(grad.iter().all(|grad| grad.is_nan() == (row == 5)), "{name}: row {row}");
                    }
                }
            }
        }
    }
}

#[test]
fn finite_logits_beyond_f32_are_worked_out_on_the_cpu() {
    let Some(device) = cuda() else { return };
    let given = Given {
        student: Tensor::new(&[[3e38f32, -3e38, 0.0]], &CPU).unwrap(),
        teacher: Tensor::new(&[[-3e38f32, 3e38, 0.0]], &CPU).unwrap(),
        labels: Tensor::new(&[0u32], &CPU).unwrap(),
        weights: None,
    };
    let (loss, grad) = given.on(&device, KdLoss::default(), 1.0).unwrap();
    assert!(!scalar(&loss).is_nan());
    assert_eq!(values(&grad), [2.0, -2.0, 0.0]);
    let nan = KdLoss { bad_rows: BadRows::Nan, ..KdLoss::default() };
    assert!(scalar(&given.on(&device, nan, 1.0).unwrap().0).is_nan());
}

#[test]
fn a_top_k_teacher_teaches_by_candle_operations() {
    let Some(device) = cuda() else { return };
    let there = |tensor: &Tensor| tensor.to_device(&device).unwrap();
    let (labels, teacher) = (labels("y", 9, 100), logits("t", 9, 100, 3.0).to_dtype(DType::F32).unwrap());
    let student = logits("s", 9, 100, 3.0);
    for bad_rows in [BadRows::Error, BadRows::Nan] {
        let kd = KdLoss { temperature: 2.0, ignore_index: Some(3), bad_rows, ..KdLoss::default() };
        for k in [1, 8, 100] {
            let on = |device: &Device| {
                let there = |tensor: &Tensor| tensor.to_device(device).unwrap();
                let top = TopK::from_logits(&there(&teacher), k, 2.0).unwrap();
                let student = Var::from_tensor(&there(&student.to_dtype(DType::F32).unwrap())).unwrap();
                let loss = kd.forward_top_k(&student, &top, &there(&labels), None).unwrap();
                let grad = gradient(&loss, &student).unwrap();
                (loss, grad)
            };
            let ((loss, grad), (expected, expected_grad)) = (on(&device), on(&CPU));
            assert!(relative_distance(&loss, &expected) < LOSS, "k {k}: {loss} for {expected}");
            let apart = relative_distance(&grad, &expected_grad);
            assert!(apart < 1e-5, "k {k}: gradients {apart:e} apart"); // a longer chain of roundings
        }
        let top = TopK::from_logits(&there(&teacher), 8, 2.0).unwrap();
        let mut numbers = values(&student);
        numbers[5 * 100 + 7] = f64::NAN;
        let spoilt = Tensor::from_vec(numbers, (9, 100), &CPU).unwrap().to_dtype(DType::F32).unwrap();
        let found = kd.forward_top_k(&there(&spoilt), &top, &there(&labels), None).unwrap_err();
        let named = matches!(found, Error::NotFinite { input: Input::StudentLogits, row: 5, column: 7, .. });
        assert!(named, "{found}");
    }
    let wide = var(&there(&student), DType::F64);
    let found = KdLoss::default().forward(&wide, &wide, &there(&labels)).unwrap_err();
    assert!(matches!(found, Error::DType { input: Input::StudentLogits, .. }), "{found}");
}

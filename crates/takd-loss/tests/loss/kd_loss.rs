//! What the fused loss promises, beyond agreeing with golden values.

use crate::common::{CPU, gradient, labels, logits, relative_distance, rows, scalar, values, var};
use candle_core::{DType, Tensor};
use proptest::prelude::*;
use takd_loss::{BadRows, Error, Input, KdLoss, Reduction, cross_entropy, reference};

const REDUCTIONS: [Reduction; 4] = [Reduction::BatchMean, Reduction::Mean, Reduction::Sum, Reduction::None];

fn kd(temperature: f64, lambda: f64) -> KdLoss {
    KdLoss { temperature, lambda, ..KdLoss::default() }
}

#[test]
fn gradient_is_the_slope_of_the_loss() {
    let (student, teacher, labels) = (logits("s", 3, 7, 2.0), logits("t", 3, 7, 2.0), labels("y", 3, 7));
    for temperature in [0.5, 1.0, 4.0, 30.0] {
        for reduction in [Reduction::BatchMean, Reduction::Mean, Reduction::Sum] {
            let kd = KdLoss { reduction, label_smoothing: 0.1, ..kd(temperature, 0.6) };
            let point = var(&student, DType::F64);
            let slope = values(&gradient(&kd.forward(&point, &teacher, &labels).unwrap(), &point).unwrap());
            let at = values(&student);
            for i in 0..at.len() {
                let shifted = |by: f64| {
                    let mut at = at.clone();
                    at[i] += by;
                    scalar(&kd.forward(&Tensor::from_vec(at, (3, 7), &CPU).unwrap(), &teacher, &labels).unwrap())
                };
                let expected = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
                assert!((slope[i] - expected).abs() < 1e-8, "τ {temperature}, {reduction:?}: {} {expected}", slope[i]);
            }
        }
    }
}

#[test]
fn kernel_agrees_with_plain_operations_at_every_width() {
    // Around each vector's width, a block's end and the point where threads take over.
    for classes in (1..=35).chain([63, 64, 65, 127, 1000, 1023, 1024, 1025, 1039, 2047, 2048, 2049, 2063, 5000]) {
        for (dtype, close) in [(DType::F32, 3e-6), (DType::F16, 2e-3), (DType::BF16, 2e-2)] {
            let (teacher, labels) = (logits("t", 5, classes, 3.0), labels("y", 5, classes));
            let student = var(&logits("s", 5, classes, 3.0), dtype);
            let teacher = teacher.to_dtype(dtype).unwrap();
            for (temperature, lambda) in [(4.0, 0.5), (2.7, 0.5), (1.0, 0.5), (3.0, 1.0), (3.0, 0.0)] {
                let kd = kd(temperature, lambda);
                let fused = kd.forward(&student, &teacher, &labels).unwrap();
                let wide = var(student.as_tensor(), DType::F64);
                let teacher = teacher.to_dtype(DType::F64).unwrap();
                let plain = reference::kd_loss(&kd, &wide, &teacher, &labels, None).unwrap();
                let apart = (scalar(&fused) - scalar(&plain)).abs() / scalar(&plain).max(1.0);
                assert!(apart < 3e-6, "{classes} classes, {dtype:?}, τ {temperature}, λ {lambda}: {apart:e}");
                let (fused, plain) = (gradient(&fused, &student).unwrap(), gradient(&plain, &wide).unwrap());
                let apart = relative_distance(&fused, &plain);
                // With one class the gradient is nothing but rounding.
                let fits = if classes == 1 { values(&fused).iter().all(|g| g.abs() < 1e-6) } else { apart < close };
                assert!(fits, "{classes} classes, {dtype:?}, τ {temperature}, λ {lambda}: gradient {apart:e}");
            }
        }
    }
}

#[test]
fn loss_does_not_depend_on_the_number_of_threads() {
    let (student, teacher) = (logits("s", 67, 1300, 3.0), logits("t", 67, 1300, 3.0));
    let (student, labels) = (var(&student, DType::F32), labels("y", 67, 1300));
    let teacher = teacher.to_dtype(DType::F32).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let (loss, grad) = kd(4.0, 0.5).forward_and_grad(&student, &teacher, &labels).unwrap();
            (values(&loss), values(&grad))
        })
    };
    let alone = on(1);
    for threads in [2, 3, 7] {
        assert_eq!(alone, on(threads), "{threads} threads");
    }
}

#[test]
fn forward_and_grad_is_forward_and_backward() {
    let (teacher, labels) = (logits("t", 9, 40, 3.0), labels("y", 9, 40));
    let student = var(&logits("s", 9, 40, 3.0), DType::F32);
    for reduction in REDUCTIONS {
        let kd = KdLoss { reduction, ..kd(5.0, 0.3) };
        let (loss, grad) = kd.forward_and_grad(&student, &teacher, &labels).unwrap();
        let through = kd.forward(&student, &teacher, &labels).unwrap();
        assert_eq!(values(&loss), values(&through));
        assert_eq!(values(&grad), values(&gradient(&through, &student).unwrap()));
        let dims: &[usize] = if reduction == Reduction::None { &[9] } else { &[] };
        assert_eq!(through.dims(), dims);
    }
}

#[test]
fn gradient_from_above_reaches_the_student() {
    let (teacher, labels) = (logits("t", 4, 12, 3.0), labels("y", 4, 12));
    let student = var(&logits("s", 4, 12, 3.0), DType::F32);
    let plain = kd(4.0, 0.5).forward(&student, &teacher, &labels).unwrap();
    let once = gradient(&plain, &student).unwrap();
    let scaled = (plain.clone() * 7.0).unwrap();
    assert!(relative_distance(&gradient(&scaled, &student).unwrap(), &(&once * 7.0).unwrap()) < 1e-6);
    let twice = (&plain + &plain).unwrap();
    assert!(relative_distance(&gradient(&twice, &student).unwrap(), &(&once * 2.0).unwrap()) < 1e-6);

    let each = KdLoss { reduction: Reduction::None, ..kd(4.0, 0.5) }.forward(&student, &teacher, &labels).unwrap();
    let factors = Tensor::new(&[1f32, -2.0, 0.0, 3.0], &CPU).unwrap();
    let grad = rows(&gradient(&(&each * &factors).unwrap().sum_all().unwrap(), &student).unwrap());
    let sum = rows(&gradient(&each, &student).unwrap());
    for (row, factor) in [1.0, -2.0, 0.0, 3.0].into_iter().enumerate() {
        for (found, one) in grad[row].iter().zip(&sum[row]) {
            assert!((found - factor * one).abs() < 1e-6);
        }
    }
}

#[test]
fn backward_can_run_twice() {
    let student = var(&logits("s", 4, 12, 3.0), DType::F32);
    let loss = kd(4.0, 0.5).forward(&student, &logits("t", 4, 12, 3.0), &labels("y", 4, 12)).unwrap();
    assert_eq!(values(&gradient(&loss, &student).unwrap()), values(&gradient(&loss, &student).unwrap()));
}

#[test]
fn scaled_loss_keeps_small_f16_gradients() {
    // A confident student: its gradients are below f16's smallest number unless the loss is scaled up first.
    let student = var(&Tensor::new(&[[30f64, 0.0, 1.0]], &CPU).unwrap(), DType::F16);
    let label = Tensor::new(&[0u32], &CPU).unwrap();
    let loss = cross_entropy(&student, &label).unwrap();
    assert_eq!(values(&gradient(&loss, &student).unwrap())[1], 0.0);
    let scaled = values(&gradient(&(loss * 2f64.powi(28)).unwrap(), &student).unwrap());
    let expected = (-30f64).exp() * 2f64.powi(28);
    assert!((scaled[1] / expected - 1.0).abs() < 1e-2, "{scaled:?} for {expected:e}");
}

#[test]
fn autograd_goes_through_the_layers_below() {
    // Gradients of a linear layer's weight: the same through the fused loss and through plain operations.
    let (input, labels) = (logits("x", 6, 5, 1.0).to_dtype(DType::F32).unwrap(), labels("y", 6, 9));
    let teacher = logits("t", 6, 9, 2.0).to_dtype(DType::F32).unwrap();
    let weight = var(&logits("w", 5, 9, 1.0), DType::F32);
    let student = input.matmul(&weight).unwrap();
    let fused = kd(4.0, 0.5).forward(&student, &teacher, &labels).unwrap();
    let plain = reference::kd_loss(&kd(4.0, 0.5), &student, &teacher, &labels, None).unwrap();
    let (fused, plain) = (gradient(&fused, &weight).unwrap(), gradient(&plain, &weight).unwrap());
    assert!(relative_distance(&fused, &plain) < 1e-6);
}

#[test]
fn lambda_0_never_reads_the_teacher_and_is_cross_entropy() {
    let (student, labels) = (var(&logits("s", 4, 6, 2.0), DType::F32), labels("y", 4, 6));
    let nan = Tensor::full(f32::NAN, (4, 6), &CPU).unwrap();
    let loss = kd(4.0, 0.0).forward(&student, &nan, &labels).unwrap();
    assert_eq!(values(&loss), values(&cross_entropy(&student, &labels).unwrap()));
}

#[test]
fn lambda_1_never_reads_the_labels() {
    let (student, teacher) = (var(&logits("s", 4, 6, 2.0), DType::F32), logits("t", 4, 6, 2.0));
    let right = kd(4.0, 1.0).forward(&student, &teacher, &labels("y", 4, 6)).unwrap();
    let wrong = kd(4.0, 1.0).forward(&student, &teacher, &Tensor::full(99u32, 4, &CPU).unwrap()).unwrap();
    assert_eq!(values(&right), values(&wrong));
}

#[test]
fn labels_of_every_integer_type_mean_the_same() {
    let (student, teacher, labels) = (logits("s", 8, 6, 2.0), logits("t", 8, 6, 2.0), labels("y", 8, 6));
    let loss = |dtype| values(&kd(4.0, 0.5).forward(&student, &teacher, &labels.to_dtype(dtype).unwrap()).unwrap());
    assert_eq!(loss(DType::U8), loss(DType::U32));
    assert_eq!(loss(DType::I64), loss(DType::U32));
}

#[test]
fn teacher_may_have_another_type_than_the_student() {
    let (student, teacher, labels) = (logits("s", 8, 60, 2.0), logits("t", 8, 60, 2.0), labels("y", 8, 60));
    for student_dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
        for teacher_dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            let student = student.to_dtype(student_dtype).unwrap();
            let teacher = teacher.to_dtype(teacher_dtype).unwrap();
            let loss = kd(4.0, 0.5).forward(&student, &teacher, &labels).unwrap();
            let plain = reference::kd_loss(&kd(4.0, 0.5), &student, &teacher, &labels, None).unwrap();
            assert!((scalar(&loss) - scalar(&plain)).abs() < 1e-5, "{student_dtype:?} {teacher_dtype:?}");
            assert_eq!(loss.dtype(), if student_dtype == DType::F64 { DType::F64 } else { DType::F32 });
        }
    }
}

#[test]
fn views_are_read_as_they_are() {
    let (wide, tall) = (logits("s", 8, 20, 2.0), logits("t", 7, 8, 2.0));
    let (student, teacher) = (wide.narrow(1, 5, 7).unwrap(), tall.t().unwrap());
    let labels = labels("y", 16, 7).narrow(0, 4, 8).unwrap();
    let student = student.to_dtype(DType::F32).unwrap();
    let copied = |tensor: &Tensor| Tensor::from_vec(values(tensor), tensor.dims(), &CPU).unwrap();
    for student in [student.clone(), student.narrow(0, 0, 8).unwrap()] {
        let view = kd(4.0, 0.5).forward(&student, &teacher, &labels).unwrap();
        let copy = kd(4.0, 0.5).forward(&copied(&student).to_dtype(DType::F32).unwrap(), &copied(&teacher), &labels);
        assert_eq!(values(&view), values(&copy.unwrap()));
    }
    let (rows, teacher) = (wide.narrow(0, 2, 3).unwrap(), logits("t", 3, 20, 1.0));
    let labels = labels.narrow(0, 1, 3).unwrap();
    let view = kd(4.0, 0.5).forward(&rows, &teacher, &labels).unwrap();
    assert_eq!(values(&view), values(&kd(4.0, 0.5).forward(&copied(&rows), &teacher, &labels).unwrap()));
}

#[test]
fn teacher_may_be_the_student_itself() {
    let student = var(&logits("s", 4, 30, 3.0), DType::F32);
    let loss = kd(4.0, 1.0).forward(&student, &student, &labels("y", 4, 30)).unwrap();
    assert_eq!(scalar(&loss), 0.0);
    assert!(values(&gradient(&loss, &student).unwrap()).iter().all(|g| g.abs() < 1e-7));
}

#[test]
fn an_empty_batch_has_no_loss() {
    for reduction in REDUCTIONS {
        let kd = KdLoss { reduction, ..KdLoss::default() };
        let (none, no_labels) = (Tensor::zeros((0, 5), DType::F32, &CPU).unwrap(), labels("y", 0, 5));
        let (loss, grad) = kd.forward_and_grad(&none, &none, &no_labels).unwrap();
        assert!(values(&loss).iter().all(|&loss| loss == 0.0));
        assert_eq!(grad.dims(), [0, 5]);
        let student = var(&none, DType::F32);
        let loss = kd.forward(&student, &none, &no_labels).unwrap();
        assert_eq!(gradient(&loss, &student).unwrap().dims(), [0, 5]);
    }
}

#[test]
fn a_single_class_leaves_nothing_to_learn() {
    let student = var(&logits("s", 3, 1, 3.0), DType::F32);
    let loss = kd(4.0, 0.5).forward(&student, &logits("t", 3, 1, 3.0), &labels("y", 3, 1)).unwrap();
    assert_eq!(scalar(&loss), 0.0);
    assert!(values(&gradient(&loss, &student).unwrap()).iter().all(|g| g.abs() < 1e-7));
}

#[test]
fn extreme_logits_and_temperatures_stay_finite_and_right() {
    let student = Tensor::new(&[[1e4f32, -1e4, 0.0, 9.99e3], [-1e4, -1e4, -1e4, -1e4], [1e4, 1e4, 1e4, 1e4]], &CPU);
    let teacher = Tensor::new(&[[-1e4f32, 1e4, 0.0, 1.0], [1e4, 1e4, 1e4, 1e4], [0.0, -1e4, 1e4, 9.999e3]], &CPU);
    let (student, teacher) = (student.unwrap(), teacher.unwrap());
    let labels = Tensor::new(&[1u32, 2, 3], &CPU).unwrap();
    for temperature in [0.1, 0.5, 1.0, 4.0, 7.3, 100.0] {
        let kd = kd(temperature, 0.5);
        let point = var(&student, DType::F32);
        let wide = var(&student, DType::F64);
        let fused = kd.forward(&point, &teacher, &labels).unwrap();
        let plain = kd.forward(&wide, &teacher, &labels).unwrap(); // in f64, another path
        assert!((scalar(&fused) / scalar(&plain) - 1.0).abs() < 1e-6, "τ {temperature}: {fused} for {plain}");
        let apart = relative_distance(&gradient(&fused, &point).unwrap(), &gradient(&plain, &wide).unwrap());
        assert!(apart < 1e-6, "τ {temperature}: {apart:e}");
    }
}

#[test]
fn the_largest_finite_numbers_are_still_numbers() {
    let student = var(&Tensor::new(&[[3e38f64, -3e38, 0.0]], &CPU).unwrap(), DType::F32);
    let teacher = Tensor::new(&[[-3e38f32, 3e38, 0.0]], &CPU).unwrap();
    let loss = kd(4.0, 0.5).forward(&student, &teacher, &Tensor::new(&[0u32], &CPU).unwrap()).unwrap();
    assert!(!scalar(&loss).is_nan());
    assert_eq!(values(&gradient(&loss, &student).unwrap()), [2.0, -2.0, 0.0]); // λτ(p' − q)
}

#[test]
fn what_is_far_below_the_largest_counts_for_nothing() {
    for dtype in [DType::F32, DType::F64] {
        let student = var(&Tensor::zeros((1, 2), DType::F64, &CPU).unwrap(), dtype);
        for low in [-1e4f64, -1e20, -1e38] {
            let teacher = Tensor::new(&[[0.0, low]], &CPU).unwrap().to_dtype(dtype).unwrap();
            let loss = kd(1.0, 1.0).forward(&student, &teacher, &Tensor::new(&[0u32], &CPU).unwrap()).unwrap();
            assert!((scalar(&loss) - 2f64.ln()).abs() < 1e-6, "{low:e}, {dtype:?}: {loss}");
            assert_eq!(values(&gradient(&loss, &student).unwrap()), [-0.5, 0.5]);
        }
    }
}

#[test]
fn not_a_number_is_reported_with_its_place() {
    let clean = logits("s", 70, 300, 2.0).to_dtype(DType::F32).unwrap();
    let labels = labels("y", 70, 300);
    for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        for dtype in [DType::F32, DType::F64, DType::F16, DType::BF16] {
            for column in [0, 7, 299] {
                let mut spoilt = values(&clean);
                spoilt[41 * 300 + column] = bad;
                spoilt[66 * 300] = bad; // the first is named, whichever thread meets one first
                let spoilt = Tensor::from_vec(spoilt, (70, 300), &CPU).unwrap().to_dtype(dtype).unwrap();
                let clean = clean.to_dtype(dtype).unwrap();
                for lambda in [0.0, 0.5, 1.0] {
                    let found = kd(4.0, lambda).forward(&spoilt, &clean, &labels).unwrap_err();
                    let Error::NotFinite { input: Input::StudentLogits, row: 41, column: at, value } = found else {
                        panic!("{found}")
                    };
                    assert_eq!((at, value.is_nan()), (column, bad.is_nan()));
                }
                let found = kd(4.0, 0.5).forward(&clean, &spoilt, &labels).unwrap_err();
                let Error::NotFinite { input: Input::TeacherLogits, row: 41, .. } = found else { panic!("{found}") };
            }
        }
    }
}

#[test]
fn wrong_inputs_are_named() {
    let (student, teacher, good) = (logits("s", 4, 6, 2.0), logits("t", 4, 6, 2.0), labels("y", 4, 6));
    let says = |result: takd_loss::Result<Tensor>| result.unwrap_err().to_string();
    let kd = kd(4.0, 0.5);

    for (labels, bad) in [(Tensor::new(&[0i64, 5, -1, 2], &CPU), -1), (Tensor::new(&[0i64, 5, 6, 2], &CPU), 6)] {
        let found = says(kd.forward(&student, &teacher, &labels.unwrap()));
        assert!(
            found.starts_with(&format!("the label of row 2 is {bad}, but with 6 classes a label is 0 to 5")),
            "{found}"
        );
    }
    let found = says(kd.forward(&student, &logits("t", 4, 7, 1.0), &good));
    assert!(found.contains("the teacher's logits have shape [4, 7], but must be [4, 6]"), "{found}");
    let found = says(kd.forward(&student.flatten_all().unwrap(), &teacher, &good));
    assert!(found.contains("the student's logits have shape [24], but must be [batch, classes]"), "{found}");
    let found = says(kd.forward(&Tensor::zeros((4, 0), DType::F32, &CPU).unwrap(), &teacher, &good));
    assert!(found.contains("one class or more"), "{found}");
    let found = says(kd.forward(&student, &teacher, &labels("y", 3, 6)));
    assert!(found.contains("the labels have shape [3], but must be [4]"), "{found}");
    let found = says(kd.forward(&student, &teacher, &good.to_dtype(DType::F32).unwrap()));
    assert!(found.contains("the labels are F32, but must be u32, i64 or u8"), "{found}");
    let found = says(kd.forward(&student.to_dtype(DType::U32).unwrap(), &teacher, &good));
    assert!(found.contains("the student's logits are U32, but must be f32"), "{found}");
    for (bad, name) in [
        (KdLoss { temperature: 0.0, ..kd }, "temperature is 0"),
        (KdLoss { temperature: f64::NAN, ..kd }, "temperature is NaN"),
        (KdLoss { lambda: 1.5, ..kd }, "lambda is 1.5"),
        (KdLoss { label_smoothing: -0.1, ..kd }, "label_smoothing is -0.1"),
    ] {
        let found = says(bad.forward(&student, &teacher, &good));
        assert!(found.starts_with(name), "{found}");
    }
    let weights = Tensor::new(&[1f32, 1.0, -0.5, 1.0], &CPU).unwrap();
    let found = says(kd.forward_weighted(&student, &teacher, &good, Some(&weights)));
    assert!(found.starts_with("the weight of row 2 is -0.5"), "{found}");
    let weights = Tensor::new(&[1f32, f32::NAN, 0.5, 1.0], &CPU).unwrap();
    let found = says(kd.forward_weighted(&student, &teacher, &good, Some(&weights)));
    assert!(found.contains("the sample weights hold NaN at row 1"), "{found}");
}

#[test]
fn bad_rows_are_errors_on_the_cpu_whatever_is_asked_for() {
    let kd = KdLoss { bad_rows: BadRows::Nan, ..kd(4.0, 0.5) };
    let good = logits("s", 2, 3, 1.0);
    let found = kd.forward(&good, &good, &Tensor::new(&[0u32, 3], &CPU).unwrap()).unwrap_err();
    assert!(matches!(found, Error::Label { row: 1, label: 3, classes: 3 }), "{found}");
    let found = kd.cross_entropy(&Tensor::full(f32::NAN, (2, 3), &CPU).unwrap(), &labels("y", 2, 3)).unwrap_err();
    assert!(matches!(found, Error::NotFinite { input: Input::StudentLogits, row: 0, column: 0, .. }), "{found}");
}

#[test]
fn cross_entropy_is_the_loss_without_its_teacher() {
    let (student, labels) = (logits("s", 5, 7, 2.0), labels("y", 5, 7));
    let settings = KdLoss { label_smoothing: 0.1, reduction: Reduction::Sum, ..kd(4.0, 0.5) };
    let alone = settings.cross_entropy(&student, &labels).unwrap();
    let plain = KdLoss { lambda: 0.0, ..settings }.forward(&student, &student, &labels).unwrap();
    assert_eq!(scalar(&alone), scalar(&plain));
}

#[test]
fn ignored_rows_count_as_absent() {
    let (student, teacher) = (logits("s", 4, 6, 2.0), logits("t", 4, 6, 2.0));
    let all = Tensor::new(&[2i64, -100, 3, -100], &CPU).unwrap();
    let pick = |tensor: &Tensor| tensor.index_select(&Tensor::new(&[0u32, 2], &CPU).unwrap(), 0).unwrap();
    for lambda in [0.0, 0.5, 1.0] {
        let kd = KdLoss { ignore_index: Some(-100), ..kd(4.0, lambda) };
        let point = var(&student, DType::F64);
        let loss = kd.forward(&point, &teacher, &all).unwrap();
        let short = kd.forward(&pick(&student), &pick(&teacher), &pick(&all)).unwrap();
        assert!((scalar(&loss) - scalar(&short)).abs() < 1e-12);
        let grad = rows(&gradient(&loss, &point).unwrap());
        assert!([1, 3].iter().all(|&row: &usize| grad[row].iter().all(|&g| g == 0.0)));
    }
    let none = KdLoss { ignore_index: Some(7), ..KdLoss::default() };
    let loss = none.forward(&student, &teacher, &Tensor::full(7i64, 4, &CPU).unwrap()).unwrap();
    assert_eq!(scalar(&loss), 0.0);
}

#[test]
fn a_row_of_weight_two_counts_as_two_rows() {
    let (student, teacher, labels) = (logits("s", 3, 6, 2.0), logits("t", 3, 6, 2.0), labels("y", 3, 6));
    let weights = Tensor::new(&[1f32, 2.0, 0.0], &CPU).unwrap();
    let weighted = kd(4.0, 0.5).forward_weighted(&student, &teacher, &labels, Some(&weights)).unwrap();
    let pick = |tensor: &Tensor| tensor.index_select(&Tensor::new(&[0u32, 1, 1], &CPU).unwrap(), 0).unwrap();
    let repeated = kd(4.0, 0.5).forward(&pick(&student), &pick(&teacher), &pick(&labels)).unwrap();
    assert!((scalar(&weighted) - scalar(&repeated)).abs() < 1e-12);
}

#[test]
fn error_passes_through_functions_that_return_candle_s_result() {
    fn step(student: &Tensor) -> candle_core::Result<Tensor> {
        Ok(KdLoss::default().forward(student, student, &labels("y", 2, 3))?)
    }
    let found = step(&Tensor::full(f32::NAN, (2, 3), &CPU).unwrap()).unwrap_err().to_string();
    assert!(found.contains("the student's logits hold NaN at row 0, column 0"), "{found}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn loss_is_never_negative_and_gradient_rows_sum_to_zero(
        batch in 1usize..6, classes in 1usize..40, seed in 0u32..1000,
        temperature in 0.1f64..50.0, lambda in 0f64..=1.0, spread in 0.01f64..100.0,
    ) {
        let student = var(&logits(&format!("s{seed}"), batch, classes, spread), DType::F32);
        let (teacher, labels) = (logits(&format!("t{seed}"), batch, classes, spread), labels(&format!("y{seed}"), batch, classes));
        let loss = kd(temperature, lambda).forward(&student, &teacher, &labels).unwrap();
        prop_assert!(scalar(&loss) >= 0.0);
        let largest = 1.0 + temperature;
        for row in rows(&gradient(&loss, &student).unwrap()) {
            prop_assert!(row.iter().sum::<f64>().abs() < 1e-6 * largest, "{row:?}");
        }
    }

    #[test]
    fn shifting_a_row_s_logits_changes_nothing(shift in -50f64..50.0, seed in 0u32..1000) {
        let (student, teacher) = (logits(&format!("s{seed}"), 2, 11, 3.0), logits(&format!("t{seed}"), 2, 11, 3.0));
        let labels = labels(&format!("y{seed}"), 2, 11);
        let loss = |by: f64| {
            let student = var(&(&student + by).unwrap(), DType::F64);
            let loss = kd(4.0, 0.5).forward(&student, &(&teacher - by).unwrap(), &labels).unwrap();
            (scalar(&loss), values(&gradient(&loss, &student).unwrap()))
        };
        let ((still, still_grad), (shifted, shifted_grad)) = (loss(0.0), loss(shift));
        prop_assert!((still - shifted).abs() < 1e-9);
        prop_assert!(still_grad.iter().zip(&shifted_grad).all(|(a, b)| (a - b).abs() < 1e-9));
    }

    #[test]
    fn permuting_rows_permutes_gradients(seed in 0u32..1000, turn in 1usize..6) {
        let (student, teacher, labels) = (
            logits(&format!("s{seed}"), 6, 11, 3.0).to_dtype(DType::F32).unwrap(),
            logits(&format!("t{seed}"), 6, 11, 3.0).to_dtype(DType::F32).unwrap(),
            labels(&format!("y{seed}"), 6, 11),
        );
        let order = Tensor::from_vec((0..6).map(|row| (row + turn as u32) % 6).collect::<Vec<_>>(), 6, &CPU).unwrap();
        let turned = |tensor: &Tensor| tensor.index_select(&order, 0).unwrap();
        let (_, grad) = kd(4.0, 0.5).forward_and_grad(&student, &teacher, &labels).unwrap();
        let (_, of_turned) =
            kd(4.0, 0.5).forward_and_grad(&turned(&student), &turned(&teacher), &turned(&labels)).unwrap();
        prop_assert_eq!(values(&turned(&grad)), values(&of_turned));
    }
}

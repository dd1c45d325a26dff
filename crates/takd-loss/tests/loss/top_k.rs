//! What a teacher in compact form promises.

use crate::common::{CPU, gradient, labels, logits, relative_distance, scalar, values, var};
use candle_core::{DType, Tensor};
use takd_loss::{Error, Input, KdLoss, Reduction, TopK, reference};

fn kd(temperature: f64, lambda: f64) -> KdLoss {
    KdLoss { temperature, lambda, ..KdLoss::default() }
}

#[test]
fn keeps_the_largest_logits_and_what_the_others_come_to() {
    let teacher = Tensor::new(&[[1f64, 5.0, 5.0, -2.0], [0.0, 0.0, 0.0, 9.0]], &CPU).unwrap();
    let top = TopK::from_logits(&teacher, 2, 2.0).unwrap();
    assert_eq!(top.indices.to_vec2::<u32>().unwrap(), [[1, 2], [3, 0]]);
    assert_eq!(top.logits.to_vec2::<f64>().unwrap(), [[5.0, 5.0], [9.0, 0.0]]);
    let tail = values(&top.tail);
    assert!((tail[0] - (0.5f64.exp() + (-1f64).exp()).ln()).abs() < 1e-7);
    assert!((tail[1] - 2f64.ln()).abs() < 1e-7);
    let half = TopK::from_logits(&teacher.to_dtype(DType::BF16).unwrap(), 2, 2.0).unwrap();
    assert_eq!(half.logits.dtype(), DType::BF16);
}

#[test]
fn every_class_listed_is_the_loss_of_all_logits() {
    for classes in [1, 2, 10, 100, 1500] {
        let (student, teacher) = (logits("s", 5, classes, 3.0), logits("t", 5, classes, 3.0));
        let labels = labels("y", 5, classes);
        for (dtype, close) in [(DType::F64, 1e-12), (DType::F32, 3e-6), (DType::F16, 2e-3), (DType::BF16, 2e-2)] {
            for (temperature, lambda) in [(4.0, 0.5), (2.7, 0.3), (1.0, 1.0)] {
                let kd = KdLoss { label_smoothing: 0.1, ..kd(temperature, lambda) };
                let top = TopK::from_logits(&teacher, classes, temperature).unwrap();
                let student = var(&student, dtype);
                let loss = kd.forward_top_k(&student, &top, &labels, None).unwrap();
                let wide = var(&student, DType::F64);
                let full = kd.forward(&wide, &teacher, &labels).unwrap();
                assert!((scalar(&loss) - scalar(&full)).abs() < 3e-6 * scalar(&full).max(1.0), "{classes} {dtype:?}");
                let (grad, full) = (gradient(&loss, &student).unwrap(), gradient(&full, &wide).unwrap());
                let rounding = classes == 1 && values(&grad).iter().all(|g| g.abs() < 1e-6);
                let apart = relative_distance(&grad, &full);
                assert!(apart < close || rounding, "{classes} {dtype:?} τ {temperature}: {apart:e}");
            }
        }
    }
}

#[test]
fn kernel_agrees_with_plain_operations() {
    for (classes, k) in [(3, 1), (10, 4), (10, 9), (100, 7), (1000, 64), (1025, 1024), (2100, 1), (5000, 300)] {
        let (student, teacher) = (logits("s", 4, classes, 3.0), logits("t", 4, classes, 3.0));
        let labels = labels("y", 4, classes);
        for (dtype, close) in [(DType::F64, 1e-10f64), (DType::F32, 5e-6), (DType::F16, 2e-3), (DType::BF16, 2e-2)] {
            for (kd, weighted) in [
                (kd(4.0, 0.5), false),
                (KdLoss { label_smoothing: 0.2, reduction: Reduction::Mean, ..kd(2.7, 0.5) }, true),
                (KdLoss { reduction: Reduction::None, ..kd(1.0, 1.0) }, false),
                (KdLoss { reduction: Reduction::Sum, ignore_index: Some(0), ..kd(40.0, 0.9) }, true),
            ] {
                let weights = weighted.then(|| Tensor::new(&[1f32, 0.5, 0.0, 2.0], &CPU).unwrap());
                let top = TopK::from_logits(&teacher, k, kd.temperature).unwrap();
                let student = var(&student, dtype);
                let wide = var(&student, DType::F64);
                let fused = kd.forward_top_k(&student, &top, &labels, weights.as_ref()).unwrap();
                let plain = reference::top_k_kd_loss(&kd, &wide, &top, &labels, weights.as_ref()).unwrap();
                let name = format!("{classes} classes, {k} kept, {dtype:?}, {kd:?}");
                assert!(relative_distance(&fused, &plain) < close.min(3e-6), "{name}: {fused} for {plain}");
                let (fused, plain) = ((fused * 3.0).unwrap(), (plain * 3.0).unwrap());
                let apart = relative_distance(&gradient(&fused, &student).unwrap(), &gradient(&plain, &wide).unwrap());
                assert!(apart < close, "{name}: gradients {apart:e} apart");
            }
        }
    }
}

#[test]
fn gradient_is_the_slope_of_the_loss() {
    let (student, teacher, labels) = (logits("s", 3, 7, 2.0), logits("t", 3, 7, 2.0), labels("y", 3, 7));
    let kd = kd(2.0, 0.7);
    let top = TopK::from_logits(&teacher, 3, 2.0).unwrap();
    let point = var(&student, DType::F64);
    let slope = values(&gradient(&kd.forward_top_k(&point, &top, &labels, None).unwrap(), &point).unwrap());
    let at = values(&student);
    for i in 0..at.len() {
        let shifted = |by: f64| {
            let mut at = at.clone();
            at[i] += by;
            let student = Tensor::from_vec(at, (3, 7), &CPU).unwrap();
            scalar(&kd.forward_top_k(&student, &top, &labels, None).unwrap())
        };
        let expected = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        assert!((slope[i] - expected).abs() < 1e-8, "{} for {expected}", slope[i]);
    }
}

#[test]
fn divergence_grows_with_k_up_to_that_of_all_logits() {
    let (student, teacher) = (logits("s", 6, 50, 2.0), logits("t", 6, 50, 2.0));
    let (kd, labels) = (kd(3.0, 1.0), labels("y", 6, 50));
    let full = scalar(&kd.forward(&student, &teacher, &labels).unwrap());
    let mut before = 0.0;
    for k in [1, 2, 5, 10, 25, 49, 50] {
        let top = TopK::from_logits(&teacher, k, 3.0).unwrap();
        let loss = scalar(&kd.forward_top_k(&student, &top, &labels, None).unwrap());
        assert!(loss >= before - 1e-7 && loss <= full + 1e-7, "k {k}: {before}, {loss}, {full}");
        before = loss;
    }
    assert!((before - full).abs() < 1e-12);
}

#[test]
fn a_student_that_agrees_has_nothing_to_learn() {
    let student = var(&logits("s", 4, 300, 3.0), DType::F32);
    let top = TopK::from_logits(&student, 20, 4.0).unwrap();
    let loss = kd(4.0, 1.0).forward_top_k(&student, &top, &labels("y", 4, 300), None).unwrap();
    assert!(scalar(&loss) < 1e-5);
    assert!(values(&gradient(&loss, &student).unwrap()).iter().all(|g| g.abs() < 1e-6));
}

#[test]
fn extreme_logits_and_temperatures_stay_finite_and_right() {
    let (mut student, mut teacher) = (vec![-1e4f32; 1300], vec![0f32; 1300]);
    (student[3], student[1290], student[7]) = (1e4, 9.999e3, -9.99e3);
    (teacher[3], teacher[1290], teacher[8], teacher[9]) = (-1e4, 1e4, 9.9999e3, 9.99e3);
    let student = Tensor::from_vec(student, (1, 1300), &CPU).unwrap();
    let teacher = Tensor::from_vec(teacher, (1, 1300), &CPU).unwrap();
    let labels = Tensor::new(&[8u32], &CPU).unwrap();
    for scale in [1.0, 1e3, 1e30] {
        let (student, teacher) = ((&student * scale).unwrap(), (&teacher * scale).unwrap());
        for temperature in [0.1, 1.0, 7.3, 100.0] {
            for k in [1, 2, 300, 1300] {
                let kd = kd(temperature, 0.5);
                let top = TopK::from_logits(&teacher, k, temperature).unwrap();
                let (point, wide) = (var(&student, DType::F32), var(&student, DType::F64));
                let fused = kd.forward_top_k(&point, &top, &labels, None).unwrap();
                let plain = kd.forward_top_k(&wide, &top, &labels, None).unwrap(); // in f64, another path
                let name = format!("scale {scale}, τ {temperature}, k {k}");
                assert!(scalar(&plain).is_finite(), "{name}");
                assert!((scalar(&fused) / scalar(&plain) - 1.0).abs() < 1e-6, "{name}: {fused} for {plain}");
                let apart = relative_distance(&gradient(&fused, &point).unwrap(), &gradient(&plain, &wide).unwrap());
                assert!(apart < 2e-6, "{name}: {apart:e}");
            }
        }
    }
}

#[test]
fn a_teacher_without_a_rest_wants_nothing_elsewhere() {
    let student = var(&logits("s", 2, 6, 1.0), DType::F32);
    let mut top = TopK::from_logits(&logits("t", 2, 6, 1.0), 2, 1.0).unwrap();
    top.tail = Tensor::new(&[f32::NEG_INFINITY; 2], &CPU).unwrap();
    let loss = kd(1.0, 1.0).forward_top_k(&student, &top, &labels("y", 2, 6), None).unwrap();
    let plain = reference::top_k_kd_loss(&kd(1.0, 1.0), &student, &top, &labels("y", 2, 6), None).unwrap();
    assert!((scalar(&loss) - scalar(&plain)).abs() < 1e-6);
    let listed = top.indices.to_vec2::<u32>().unwrap();
    for (row, grad) in crate::common::rows(&gradient(&loss, &student).unwrap()).iter().enumerate() {
        assert!((0..6).all(|class| listed[row].contains(&class) || grad[class as usize] > 0.0));
    }
}

#[test]
fn what_is_wrong_is_named() {
    let (student, teacher, labels) = (logits("s", 3, 8, 2.0), logits("t", 3, 8, 2.0), labels("y", 3, 8));
    let good = TopK::from_logits(&teacher, 2, 4.0).unwrap();
    let says = |kd: KdLoss, top: &TopK| kd.forward_top_k(&student, top, &labels, None).unwrap_err();
    let text = says(kd(3.0, 0.5), &good).to_string();
    assert!(text.starts_with("temperature is 3, but must be the one"), "{text}");
    assert!(TopK::from_logits(&teacher, 0, 4.0).is_err());
    assert!(TopK::from_logits(&teacher, 9, 4.0).is_err());

    let indices = |rows: [[u32; 2]; 3]| TopK { indices: Tensor::new(&rows, &CPU).unwrap(), ..good.clone() };
    let found = says(kd(4.0, 0.5), &indices([[0, 1], [2, 2], [8, 1]]));
    assert!(matches!(found, Error::ListedClass { row: 1, class: 2, classes: 8 }), "{found}");
    let found = says(kd(4.0, 0.5), &indices([[0, 1], [2, 3], [8, 1]]));
    assert!(matches!(found, Error::ListedClass { row: 2, class: 8, classes: 8 }), "{found}");
    let tail = TopK { tail: Tensor::new(&[0f32, f32::NAN, 0.0], &CPU).unwrap(), ..good.clone() };
    let found = says(kd(4.0, 0.5), &tail);
    assert!(matches!(found, Error::NotFinite { input: Input::TopKTail, row: 1, .. }), "{found}");
    let short = TopK { tail: Tensor::new(&[0f32, 0.0], &CPU).unwrap(), ..good.clone() };
    assert!(matches!(says(kd(4.0, 0.5), &short), Error::Shape { input: Input::TopKTail, .. }));

    // λ = 0 never reads it.
    assert!(kd(4.0, 0.0).forward_top_k(&student, &indices([[9; 2]; 3]), &labels, None).is_ok());

    // NaN and infinities, listed or not, in a vector's middle and in its rest.
    for lambda in [0.5, 1.0] {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            for column in 0..8 {
                let mut numbers = values(&student);
                numbers[8 + column] = value;
                let spoilt = Tensor::from_vec(numbers, (3, 8), &CPU).unwrap().to_dtype(DType::F32).unwrap();
                let found = kd(4.0, lambda).forward_top_k(&spoilt, &good, &labels, None).unwrap_err();
                let at = matches!(found, Error::NotFinite { input: Input::StudentLogits, row: 1, column: at, .. } if at == column);
                assert!(at, "λ {lambda}, {value} at {column}: {found}");
            }
        }
    }
}

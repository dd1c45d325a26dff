//! `forward_and_grad_into`: the gradient in memory that its caller keeps.

use crate::common::{CPU, labels, logits, scalar, values};
use candle_core::{DType, Tensor};
use takd_loss::{Error, Input, KdLoss, Reduction};

/// Memory of one that has been used before: every number of it is NaN.
fn used(like: &Tensor) -> Tensor {
    Tensor::full(f64::NAN, like.dims(), &CPU).unwrap().to_dtype(like.dtype()).unwrap()
}

#[test]
fn it_holds_the_gradient_in_new_memory_bit_for_bit() {
    let reductions = [Reduction::BatchMean, Reduction::Mean, Reduction::Sum, Reduction::None];
    for (batch, classes) in [(0, 5), (1, 1), (9, 10), (67, 1300), (5, 2049), (3, 5000)] {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            for reduction in reductions {
                let kd = KdLoss { reduction, label_smoothing: 0.1, ignore_index: Some(0), ..KdLoss::default() };
                let student = logits("s", batch, classes, 3.0).to_dtype(dtype).unwrap();
                let teacher = logits("t", batch, classes, 3.0).to_dtype(dtype).unwrap();
                let labels = labels("y", batch, classes);
                let grad = used(&student);
                let loss = kd.forward_and_grad_into(&student, &teacher, &labels, &grad).unwrap();
                let (expected, expected_grad) = kd.forward_and_grad(&student, &teacher, &labels).unwrap();
                assert_eq!(values(&loss), values(&expected), "[{batch}, {classes}], {dtype:?}, {reduction:?}");
                assert_eq!(values(&grad), values(&expected_grad), "[{batch}, {classes}], {dtype:?}, {reduction:?}");
            }
        }
    }
}

#[test]
fn a_large_one_is_written_past_the_caches_and_the_same() {
    // 65 MiB, and rows that begin anywhere in a line of the cache.
    let (batch, classes) = (132, 129_051);
    let row = |name: &str| logits(name, 1, classes, 3.0).to_dtype(DType::F32).unwrap();
    let many = |row: Tensor| row.broadcast_as((batch, classes)).unwrap().contiguous().unwrap();
    let (student, teacher, labels) = (many(row("s")), many(row("t")), labels("y", batch, classes));
    let grad = used(&student);
    let loss = KdLoss::default().forward_and_grad_into(&student, &teacher, &labels, &grad).unwrap();
    let (expected, expected_grad) = KdLoss::default().forward_and_grad(&student, &teacher, &labels).unwrap();
    assert_eq!(scalar(&loss), scalar(&expected));
    let bits = |grad: &Tensor| grad.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    assert!(bits(&grad) == bits(&expected_grad));
}

#[test]
fn views_are_read_and_written_where_they_are() {
    let (wide, tall) = (logits("s", 8, 20, 2.0), logits("t", 7, 8, 2.0));
    let (student, teacher) = (wide.narrow(1, 5, 7).unwrap(), tall.t().unwrap());
    let labels = labels("y", 8, 7);
    let room = used(&logits("g", 12, 7, 1.0));
    let grad = room.narrow(0, 3, 8).unwrap();
    KdLoss::default().forward_and_grad_into(&student, &teacher, &labels, &grad).unwrap();
    let (_, expected) = KdLoss::default().forward_and_grad(&student, &teacher, &labels).unwrap();
    assert_eq!(values(&grad), values(&expected));
    for untouched in [room.narrow(0, 0, 3).unwrap(), room.narrow(0, 11, 1).unwrap()] {
        assert!(values(&untouched).iter().all(|number| number.is_nan()));
    }
}

#[test]
fn every_step_overwrites_the_one_before() {
    let (teacher, labels) = (logits("t", 4, 30, 3.0), labels("y", 4, 30));
    let grad = used(&teacher);
    for step in ["a", "b", "c"] {
        let student = logits(step, 4, 30, 3.0);
        KdLoss::default().forward_and_grad_into(&student, &teacher, &labels, &grad).unwrap();
        let (_, expected) = KdLoss::default().forward_and_grad(&student, &teacher, &labels).unwrap();
        assert_eq!(values(&grad), values(&expected));
    }
    // A batch with an error in it does not keep the memory from the next.
    let spoilt = Tensor::full(f64::NAN, (4, 30), &CPU).unwrap();
    let found = KdLoss::default().forward_and_grad_into(&spoilt, &teacher, &labels, &grad).unwrap_err();
    assert!(matches!(found, Error::NotFinite { input: Input::StudentLogits, row: 0, column: 0, .. }), "{found}");
    KdLoss::default().forward_and_grad_into(&teacher, &teacher, &labels, &grad).unwrap();
    assert!(values(&grad).iter().all(|number| number.is_finite()));
}

#[test]
fn memory_that_does_not_fit_is_named() {
    let (both, teacher, labels) = (logits("s", 8, 6, 2.0), logits("t", 4, 6, 2.0), labels("y", 4, 6));
    let student = both.narrow(0, 0, 4).unwrap();
    let kd = KdLoss::default();
    let says = |grad: &Tensor| kd.forward_and_grad_into(&student, &teacher, &labels, grad).unwrap_err().to_string();
    let found = says(&Tensor::zeros((4, 7), DType::F64, &CPU).unwrap());
    assert!(
        found.contains("the gradient's numbers have shape [4, 7], but must be [4, 6], as the student's"),
        "{found}"
    );
    let found = says(&Tensor::zeros((4, 6), DType::F32, &CPU).unwrap());
    assert!(found.contains("the gradient's numbers are F32, but must be f64"), "{found}");
    let found = says(&Tensor::zeros((6, 4), DType::F64, &CPU).unwrap().t().unwrap());
    assert!(found.contains("the gradient's tensor is not contiguous"), "{found}");
    // The same numbers, or others of the same memory.
    for rows in [student.clone(), both.narrow(0, 4, 4).unwrap()] {
        let found = says(&rows);
        assert!(found.contains("the gradient's tensor shares memory with the student's logits"), "{found}");
    }
    let found = says(&teacher);
    assert!(found.contains("the gradient's tensor shares memory with the teacher's logits"), "{found}");
    assert_eq!(values(&teacher), values(&logits("t", 4, 6, 2.0)));
}

//! The family's own promises, beside the golden values.

use crate::common::{CPU, gradient, labels, logits, relative_distance, scalar, values, var};
use candle_core::{DType, Tensor};
use takd_loss::{
    Batch, Dgkd, Dist, DistillationLoss, Dkd, Error, Input, KdLoss, MultiTeacherKd, Reduction, StandardizedKd,
};

fn family() -> Vec<Box<dyn DistillationLoss>> {
    vec![
        Box::new(KdLoss::default()),
        Box::new(MultiTeacherKd::default()),
        Box::new(Dgkd { dropped: 0, ..Dgkd::default() }),
        Box::new(Dkd::default()),
        Box::new(StandardizedKd::default()),
        Box::new(Dist::default()),
    ]
}

fn teachers(count: usize, batch: usize, classes: usize) -> Vec<Tensor> {
    (0..count).map(|i| logits(&format!("teacher {i}"), batch, classes, 3.0)).collect()
}

#[test]
fn every_gradient_is_the_slope_of_its_loss() {
    let (student, teachers, labels) = (logits("s", 4, 6, 1.5), teachers(1, 4, 6), labels("y", 4, 6));
    for loss in family() {
        let of = |student: &Tensor| {
            loss.loss(&Batch { student_logits: student, teacher_logits: &teachers, labels: &labels, step: 0 }).unwrap()
        };
        let point = var(&student, DType::F64);
        let slope = values(&gradient(&of(&point), &point).unwrap());
        let at = values(&student);
        for i in 0..at.len() {
            let shifted = |by: f64| {
                let mut at = at.clone();
                at[i] += by;
                scalar(&of(&Tensor::from_vec(at, (4, 6), &CPU).unwrap()))
            };
            let expected = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
            assert!((slope[i] - expected).abs() < 1e-7, "{}: {} {expected}", loss.name(), slope[i]);
        }
    }
}

#[test]
fn every_loss_reports_what_is_not_a_number() {
    let (student, labels) = (logits("s", 4, 6, 1.5), labels("y", 4, 6));
    let mut spoilt = values(&student);
    spoilt[2 * 6 + 3] = f64::NAN;
    let spoilt = Tensor::from_vec(spoilt, (4, 6), &CPU).unwrap();
    for loss in family() {
        let of = |student: &Tensor, teacher: &Tensor| {
            let teachers = [teacher.clone()];
            let batch = Batch { student_logits: student, teacher_logits: &teachers, labels: &labels, step: 0 };
            loss.loss(&batch).unwrap_err()
        };
        let found = of(&spoilt, &student);
        assert!(
            matches!(found, Error::NotFinite { input: Input::StudentLogits, row: 2, column: 3, .. }),
            "{}: {found}",
            loss.name()
        );
        let found = of(&student, &spoilt);
        assert!(
            matches!(found, Error::NotFinite { input: Input::TeacherLogits, row: 2, column: 3, .. }),
            "{}: {found}",
            loss.name()
        );
    }
}

#[test]
fn every_loss_takes_an_empty_batch_and_refuses_a_wrong_label() {
    for loss in family() {
        let none = Tensor::zeros((0, 6), DType::F32, &CPU).unwrap();
        let no_teachers = [none.clone()];
        let no_labels = labels("y", 0, 6);
        let batch = Batch { student_logits: &none, teacher_logits: &no_teachers, labels: &no_labels, step: 0 };
        assert_eq!(scalar(&loss.loss(&batch).unwrap()), 0.0, "{}", loss.name());

        let (student, teachers) = (logits("s", 2, 6, 1.0), teachers(1, 2, 6));
        let wrong = Tensor::new(&[1u32, 6], &CPU).unwrap();
        let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &wrong, step: 0 };
        let found = loss.loss(&batch).unwrap_err();
        assert!(matches!(found, Error::Label { row: 1, label: 6, classes: 6 }), "{}: {found}", loss.name());
    }
}

#[test]
fn losses_of_one_teacher_refuse_two() {
    let (student, teachers, labels) = (logits("s", 2, 6, 1.0), teachers(2, 2, 6), labels("y", 2, 6));
    let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &labels, step: 0 };
    for loss in
        [&KdLoss::default() as &dyn DistillationLoss, &Dkd::default(), &StandardizedKd::default(), &Dist::default()]
    {
        let found = loss.loss(&batch).unwrap_err().to_string();
        assert_eq!(
            found,
            format!(
                "{} was given 2 teachers, but takes one teacher: change the list of teachers or the loss",
                loss.name()
            )
        );
    }
    let alone = Batch { teacher_logits: &[], ..batch };
    assert!(MultiTeacherKd::default().loss(&alone).is_err());
    assert!(Dgkd { dropped: 2, ..Dgkd::default() }.loss(&batch).is_err());
}

#[test]
fn several_teachers_teach_as_their_losses_together() {
    let (teachers, labels) = (teachers(3, 5, 1100), labels("y", 5, 1100));
    for dtype in [DType::F64, DType::F32] {
        let student = var(&logits("s", 5, 1100, 2.0), dtype);
        for kd in [KdLoss::default(), KdLoss { temperature: 2.5, reduction: Reduction::Mean, ..KdLoss::default() }] {
            let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &labels, step: 0 };
            let together = MultiTeacherKd { kd }.loss(&batch).unwrap();
            let alone: Vec<_> = teachers.iter().map(|t| kd.forward(&student, t, &labels).unwrap()).collect();
            let mean = (Tensor::stack(&alone, 0).unwrap().sum_all().unwrap() / 3.0).unwrap();
            assert!((scalar(&together) / scalar(&mean) - 1.0).abs() < 1e-6);
            let apart = relative_distance(&gradient(&together, &student).unwrap(), &gradient(&mean, &student).unwrap());
            assert!(apart < 2e-6, "{dtype:?} {apart:e}");
        }
    }
}

#[test]
fn one_teacher_of_many_is_plain_kd() {
    let (student, teachers, labels) = (logits("s", 5, 9, 2.0), teachers(1, 5, 9), labels("y", 5, 9));
    let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &labels, step: 0 };
    let kd = scalar(&KdLoss::default().loss(&batch).unwrap());
    assert_eq!(scalar(&MultiTeacherKd::default().loss(&batch).unwrap()), kd);
    assert_eq!(scalar(&Dgkd { dropped: 0, ..Dgkd::default() }.loss(&batch).unwrap()), kd);
}

#[test]
fn dense_guidance_drops_the_same_teachers_in_the_same_step() {
    let dgkd = Dgkd { dropped: 2, ..Dgkd::default() };
    let kept: Vec<_> = (0..200).map(|step| dgkd.kept(5, step)).collect();
    assert_eq!(kept, (0..200).map(|step| dgkd.kept(5, step)).collect::<Vec<_>>());
    assert_ne!(kept, (0..200).map(|step| Dgkd { seed: 1, ..dgkd }.kept(5, step)).collect::<Vec<_>>());
    assert!(kept.iter().all(|kept| kept.len() == 3 && kept.windows(2).all(|pair| pair[0] < pair[1])));
    for teacher in 0..5 {
        let times = kept.iter().filter(|kept| kept.contains(&teacher)).count();
        assert!((90..=150).contains(&times), "teacher {teacher} kept {times} times of 200, 120 expected");
    }
}

#[test]
fn dense_guidance_teaches_with_the_kept_ones_only() {
    let (student, teachers, labels) = (logits("s", 5, 9, 2.0), teachers(3, 5, 9), labels("y", 5, 9));
    let dgkd = Dgkd { dropped: 2, ..Dgkd::default() };
    for step in 0..5 {
        let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &labels, step };
        let kept = dgkd.kept(3, step)[0];
        let alone = KdLoss::default().forward(&student, &teachers[kept], &labels).unwrap();
        assert_eq!(scalar(&dgkd.loss(&batch).unwrap()), scalar(&alone));
    }
}

#[test]
fn decoupled_weights_of_kd_give_kd() {
    // With α = 1 and β = 1 − p_y of the teacher, DKD is KD (eq. 6 of the paper); for one row β is one number.
    let (student, teacher, label) = (logits("s", 1, 8, 2.0), logits("t", 1, 8, 2.0), labels("y", 1, 8));
    let tau = 3.0;
    let q = {
        let scaled: Vec<f64> = values(&teacher).iter().map(|t| (t / tau).exp()).collect();
        scaled[values(&label)[0] as usize] / scaled.iter().sum::<f64>()
    };
    let teachers = [teacher];
    let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &label, step: 0 };
    let dkd = Dkd { cross_entropy: 0.0, alpha: 1.0, beta: 1.0 - q, temperature: tau }.loss(&batch).unwrap();
    let kd = KdLoss { temperature: tau, lambda: 1.0, ..KdLoss::default() }.loss(&batch).unwrap();
    assert!((scalar(&dkd) - scalar(&kd)).abs() < 1e-12);
}

#[test]
fn standardised_loss_does_not_see_the_size_of_logits() {
    let (student, teachers, labels) = (logits("s", 5, 9, 2.0), teachers(1, 5, 9), labels("y", 5, 9));
    let of = |student: &Tensor| {
        let kd = KdLoss { lambda: 1.0, temperature: 2.0, ..KdLoss::default() };
        let batch = Batch { student_logits: student, teacher_logits: &teachers, labels: &labels, step: 0 };
        scalar(&StandardizedKd { kd }.loss(&batch).unwrap())
    };
    assert!((of(&student) - of(&((&student * 5.0).unwrap() + 3.0).unwrap())).abs() < 1e-6);
}

#[test]
fn perfectly_correlated_student_has_no_relation_loss() {
    let (teachers, labels) = (teachers(1, 5, 9), labels("y", 5, 9));
    let batch = Batch { student_logits: &teachers[0], teacher_logits: &teachers, labels: &labels, step: 0 };
    let dist = Dist { cross_entropy: 0.0, ..Dist::default() };
    // The ε under the correlations leaves a few millionths.
    assert!(scalar(&dist.loss(&batch).unwrap()).abs() < 1e-5);
}

#[test]
fn extreme_logits_leave_every_loss_finite() {
    let student = Tensor::new(&[[1e4f32, -1e4, 0.0], [0.0, 0.0, 0.0]], &CPU).unwrap();
    let teachers = [Tensor::new(&[[-1e4f32, 1e4, 0.0], [0.0, 0.0, 0.0]], &CPU).unwrap()];
    let labels = Tensor::new(&[1u32, 2], &CPU).unwrap();
    for loss in family() {
        let student = var(&student, DType::F32);
        let batch = Batch { student_logits: &student, teacher_logits: &teachers, labels: &labels, step: 0 };
        let value = loss.loss(&batch).unwrap();
        assert!(scalar(&value).is_finite(), "{}", loss.name());
        let grad = values(&gradient(&value, &student).unwrap());
        assert!(grad.iter().all(|g| g.is_finite()), "{}: {grad:?}", loss.name());
    }
}

//! What a row comes down to: its sums, its loss, and the factors of its gradient.

use super::ahead::Ahead;
use super::exponentials::Exponentials;
use super::student_block::StudentBlock;
use super::teacher_block::TeacherBlock;
use crate::terms::Terms;
use pulp::Arch;
use std::f64::consts::LOG2_E;

/// The sums of a row's student logits; d is a logit's distance to the maximum, 0 or less.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StudentSums {
    pub max: f32,
    /// `Σ exp d`, for the cross-entropy.
    pub ce: f64,
    /// `Σ exp(d/τ)`, for the KL term.
    pub kl: f64,
    /// `Σ d`, for label smoothing.
    pub distance: f64,
    /// How many logits.
    pub count: usize,
}

/// The sums of a row's teacher logits; d_t and d_s are the teacher's and the student's distances to their maxima.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TeacherSums {
    pub max: f32,
    /// The maximum that d_s counts from.
    student_max: f32,
    /// `Σ exp(d_t/τ)`.
    pub kl: f64,
    /// `Σ exp(d_t/τ)·(d_t − d_s)`.
    cross: f64,
}

/// A block of logits that step 1 works on.
#[derive(Clone, Copy)]
pub(crate) struct Block<'a> {
    pub logits: &'a [f32],
    /// The block after it.
    pub ahead: Ahead,
    /// The row's maximum so far.
    pub floor: f32,
}

/// Step 1 for the student: leaves the block's exponentials in `powers`, and if there are two kinds, the KL term's `width`
/// further on.
pub(crate) fn student_sums(
    arch: Arch,
    Block { logits, ahead, floor }: Block,
    exponentials: Exponentials,
    powers: &mut [f32],
    width: usize,
) -> StudentSums {
    let count = logits.len();
    match exponentials {
        Exponentials::One { rate, power } => {
            let sums = StudentBlock { logits, ahead, floor, rate, power, powers }.sums(arch);
            StudentSums { max: sums.max, ce: sums.ce, kl: sums.kl, distance: sums.distance, count }
        }
        Exponentials::Two { ce, kl } => {
            let (ce_powers, kl_powers) = powers.split_at_mut(width);
            let ce = StudentBlock { logits, ahead, floor, rate: ce, power: 1, powers: ce_powers }.sums(arch);
            let kl = StudentBlock { logits, ahead, floor, rate: kl, power: 1, powers: kl_powers }.sums(arch);
            StudentSums { max: ce.max, ce: ce.kl, kl: kl.kl, distance: ce.distance, count }
        }
    }
}

/// Step 1 for a teacher, beside whose block are the student's logits and the maximum that their distances count from.
pub(crate) fn teacher_sums(
    arch: Arch,
    Block { logits, ahead, floor }: Block,
    student_logits: &[f32],
    student_max: f32,
    terms: &Terms,
    powers: &mut [f32],
) -> TeacherSums {
    let rate = (LOG2_E / terms.temperature) as f32;
    let sums = TeacherBlock { logits, ahead, floor, rate, powers, student_logits, student_max }.sums(arch);
    TeacherSums { max: sums.max, student_max, kl: sums.kl, cross: sums.cross }
}

impl StudentSums {
    pub(crate) const EMPTY: StudentSums =
        StudentSums { max: f32::NEG_INFINITY, ce: 0.0, kl: 0.0, distance: 0.0, count: 0 };

    /// Step 2: the sums of two parts of a row, brought to the greater of their maxima.
    pub(crate) fn merge(self, other: StudentSums, terms: &Terms) -> StudentSums {
        if self.count == 0 {
            return other;
        }
        let max = self.max.max(other.max);
        let mut merged = StudentSums { max, ce: 0.0, kl: 0.0, distance: 0.0, count: self.count + other.count };
        for part in [self, other] {
            let drop = f64::from(part.max) - f64::from(max);
            merged.ce += part.ce * exp(drop);
            merged.kl += part.kl * exp(drop / terms.temperature);
            merged.distance += part.distance + part.count as f64 * drop;
        }
        merged
    }
}

impl TeacherSums {
    pub(crate) const EMPTY: TeacherSums = TeacherSums { max: f32::NEG_INFINITY, student_max: 0.0, kl: 0.0, cross: 0.0 };

    /// Step 2 for a teacher.
    pub(crate) fn merge(self, other: TeacherSums, terms: &Terms) -> TeacherSums {
        if self.kl == 0.0 {
            return other;
        }
        let max = self.max.max(other.max);
        let student_max = self.student_max.max(other.student_max);
        let mut merged = TeacherSums { max, student_max, kl: 0.0, cross: 0.0 };
        for part in [self, other] {
            let drop = f64::from(part.max) - f64::from(max);
            let student_drop = f64::from(part.student_max) - f64::from(student_max);
            let scale = exp(drop / terms.temperature);
            merged.kl += scale * part.kl;
            merged.cross += scale * (part.cross + part.kl * (drop - student_drop));
        }
        merged
    }
}

/// `exp x`, which is most often needed at 0: for the part that has the maximum.
pub(crate) fn exp(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.exp() }
}

/// Step 3: the loss of one row.
pub(crate) fn row_loss(
    student: &StudentSums,
    teachers: &[TeacherSums],
    on_label: Option<f64>,
    classes: usize,
    terms: &Terms,
) -> f64 {
    let mut loss = 0.0;
    if let Some(on_label) = on_label {
        // −Σ target_c · log p_c, the target being 1 − ε on the label and ε/C everywhere.
        let smooth = terms.smoothing * student.distance / classes as f64;
        let on_label = on_label - f64::from(student.max);
        loss += terms.ce * (student.ce.ln() - (1.0 - terms.smoothing) * on_label - smooth);
    }
    for (teacher, share) in teachers.iter().zip(&terms.kl) {
        // Σ q_c (log q_c − log p_c), with q and p the softmax of d_t/τ and d_s/τ. Rounding must not make it negative.
        let kl = teacher.cross / (terms.temperature * teacher.kl) + (student.kl / teacher.kl).ln();
        loss += share * if kl.is_finite() { kl.max(0.0) } else { kl };
    }
    loss
}

/// What the exponentials of a row are multiplied with in its gradient.
pub(crate) struct Shares {
    /// `exp d` of the student.
    pub ce: f64,
    /// `exp(d/τ)` of the student.
    pub kl: f64,
    /// Taken off everywhere, for label smoothing.
    pub flat: f64,
    /// Taken off at the label.
    pub label: f64,
    /// What everything is multiplied with, over τ.
    pub scale: f64,
}

impl Shares {
    pub(crate) fn new(student: &StudentSums, scale: f64, classes: usize, terms: &Terms) -> Shares {
        let ce = terms.ce * scale;
        let kl = terms.kl.iter().sum::<f64>() * scale / terms.temperature;
        Shares {
            ce: ce / student.ce,
            kl: kl / student.kl,
            flat: ce * terms.smoothing / classes as f64,
            label: ce * (1.0 - terms.smoothing),
            scale: scale / terms.temperature,
        }
    }

    /// For a block whose maximum is `drop` below the row's (0 or less): the shares of its student's exponentials, of the
    /// cross-entropy and of the KL term.
    pub(crate) fn of_student(&self, drop: f64, terms: &Terms) -> [f32; 2] {
        [self.ce * exp(drop), self.kl * exp(drop / terms.temperature)].map(|share| share as f32)
    }

    /// The same for a teacher's, whose part of the loss over its sum is `kl`.
    pub(crate) fn of_teacher(&self, kl: f64, drop: f64, terms: &Terms) -> f32 {
        (kl * self.scale * exp(drop / terms.temperature)) as f32
    }
}

/// The largest of a row, if all of them are finite.
pub(crate) fn max_f64(row: &[f64]) -> Option<f64> {
    row.iter().try_fold(f64::NEG_INFINITY, |max, &x| x.is_finite().then_some(max.max(x)))
}

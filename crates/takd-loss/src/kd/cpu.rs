//! The kernel on the CPU: each row is worked on by one thread, in blocks, in vectors as wide as the processor has
//! (AVX-512, AVX2 with FMA, NEON; one lane elsewhere), chosen when it runs.
//!
//! The steps, which have the same names in `kd_loss.cu` and `kd_loss.metal`:
//!
//! 1. `student_sums`, `teacher_sums`: of one block, its maximum and the sums of exponentials below it;
//! 2. `merge`: the sums of two parts of a row, brought to a common maximum;
//! 3. `row_loss`: the row's loss from its sums;
//! 4. `student_grad`, `teacher_grad`: the row's gradient, block by block.
//!
//! A row is read from memory once: for step 4 it is still in a cache. No result depends on the number of threads.

use super::lanes::{BLOCK, Logit, Number, exp2};
use super::{Target, Terms};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::f64::consts::LOG2_E;

/// Logits of student and teachers below which one thread is done before a second has woken.
const WORTH_A_THREAD: usize = 1 << 14;

/// A batch of logits in memory, contiguous, and what to make of it.
pub(super) struct Batch<'a, S, T> {
    /// `[batch, classes]`.
    pub student: &'a [S],
    /// Each `[batch, classes]`.
    pub teachers: Vec<&'a [T]>,
    pub classes: usize,
    /// One a row.
    pub targets: &'a [Target],
    pub terms: &'a Terms,
}

/// Index of a row whose logits are not all finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NotFiniteRow(pub usize);

/// Writes each row's loss and, into `grad` where it is given (`[batch, classes]`), the gradient of their sum.
///
/// Of rows with logits that are not finite, the first is the error; then `losses` and `grad` hold nothing of use.
pub(super) fn kd_loss<S: Logit, T: Logit>(
    batch: &Batch<'_, S, T>,
    losses: &mut [f64],
    grad: Option<&mut [S]>,
) -> Result<(), NotFiniteRow> {
    in_tasks(batch, losses, grad, |first, losses, grad| {
        Arch::new().dispatch(Rows {
            batch,
            first,
            losses,
            grad,
        })
    })
}

/// As [`kd_loss`], plainly and in f64, for f64 logits.
pub(super) fn kd_loss_f64(
    batch: &Batch<'_, f64, f64>,
    losses: &mut [f64],
    grad: Option<&mut [f64]>,
) -> Result<(), NotFiniteRow> {
    in_tasks(batch, losses, grad, |first, losses, grad| {
        each_row(batch.classes, first, losses, grad, |index, grad| {
            row_f64(batch, index, grad)
        })
    })
}

/// Shares the rows out to threads. `work` gets the index of a first row, the losses from there on and their rows of
/// the gradient. How the rows are cut never changes a result: they do not depend on each other.
fn in_tasks<S: Number, T: Number>(
    batch: &Batch<'_, S, T>,
    losses: &mut [f64],
    grad: Option<&mut [S]>,
    work: impl Fn(usize, &mut [f64], Option<&mut [S]>) -> Result<(), NotFiniteRow> + Sync,
) -> Result<(), NotFiniteRow> {
    let row_work = batch.classes * (1 + batch.teachers.len());
    let task_rows = (WORTH_A_THREAD / 2 / row_work.max(1)).max(1);
    if losses.len() <= 2 * task_rows {
        return work(0, losses, grad);
    }
    let losses = losses.par_chunks_mut(task_rows).enumerate();
    // The first bad row, whichever thread met one first.
    let bad = match grad {
        Some(grad) => losses
            .zip(grad.par_chunks_mut(task_rows * batch.classes))
            .filter_map(|((task, losses), grad)| work(task * task_rows, losses, Some(grad)).err())
            .min(),
        None => losses
            .filter_map(|(task, losses)| work(task * task_rows, losses, None).err())
            .min(),
    };
    bad.map_or(Ok(()), Err)
}

/// Runs `work` on each row of a task in turn.
#[inline(always)]
fn each_row<S>(
    classes: usize,
    first: usize,
    losses: &mut [f64],
    mut grad: Option<&mut [S]>,
    mut work: impl FnMut(usize, Option<&mut [S]>) -> Option<f64>,
) -> Result<(), NotFiniteRow> {
    for (index, loss) in losses.iter_mut().enumerate() {
        let grad = grad
            .as_deref_mut()
            .map(|grad| &mut grad[index * classes..][..classes]);
        *loss = work(first + index, grad).ok_or(NotFiniteRow(first + index))?;
    }
    Ok(())
}

/// One task: the rows from `first` on.
struct Rows<'a, S, T> {
    batch: &'a Batch<'a, S, T>,
    first: usize,
    losses: &'a mut [f64],
    grad: Option<&'a mut [S]>,
}

impl<S: Logit, T: Logit> WithSimd for Rows<'_, S, T> {
    type Output = Result<(), NotFiniteRow>;

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) -> Self::Output {
        let mut room = Room {
            student: S::room(),
            teacher: T::room(),
            grad: S::room(),
            teacher_sums: vec![TeacherSums::EMPTY; self.batch.teachers.len()],
        };
        each_row(
            self.batch.classes,
            self.first,
            self.losses,
            self.grad,
            #[inline(always)]
            |index, mut grad| {
                row(simd, self.batch, index, grad.as_deref_mut(), &mut room)
                    // Finite logits can still overflow on the way (1e38 and -3e38 in a row): f64 has room for those.
                    .or_else(|| row_f64(self.batch, index, grad))
            },
        )
    }
}

/// What a task needs beside the tensors: blocks widened to f32, and a row's sums, one a teacher.
struct Room<S: Logit, T: Logit> {
    student: S::Room,
    teacher: T::Room,
    grad: S::Room,
    teacher_sums: Vec<TeacherSums>,
}

/// Loss of one row, and its gradient into `grad`. Nothing where the loss is not finite.
#[inline(always)]
fn row<V: Simd, S: Logit, T: Logit>(
    simd: V,
    batch: &Batch<'_, S, T>,
    index: usize,
    grad: Option<&mut [S]>,
    room: &mut Room<S, T>,
) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target {
        label,
        weight,
        upstream,
    } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(|grad| grad.fill(S::default()));
        return Some(0.0);
    }
    let first = index * classes;
    let student = &batch.student[first..][..classes];

    // Steps 1 and 2.
    let mut sums = StudentSums::EMPTY;
    room.teacher_sums.fill(TeacherSums::EMPTY);
    for (start, block) in (0..).step_by(BLOCK).zip(student.chunks(BLOCK)) {
        let wide = S::widen(block, &mut room.student);
        let part = student_sums(simd, wide, terms);
        for (sums, teacher) in room.teacher_sums.iter_mut().zip(&batch.teachers) {
            let block = T::widen(&teacher[first + start..][..block.len()], &mut room.teacher);
            *sums = sums.merge(teacher_sums(simd, block, wide, part.max, terms), terms);
        }
        sums = sums.merge(part, terms);
    }

    // Step 3.
    let on_label = label.map(|label| student[label].to_f64());
    let loss = weight * row_loss(&sums, &room.teacher_sums, on_label, classes, terms);
    if !loss.is_finite() {
        return None;
    }

    // Step 4.
    let Some(grad) = grad else { return Some(loss) };
    let shares = Shares::new(&sums, weight * upstream, classes, terms);
    for (start, block) in (0..).step_by(BLOCK).zip(grad.chunks_mut(BLOCK)) {
        let length = block.len();
        let wide = S::widen(&student[start..][..length], &mut room.student);
        S::narrow(
            block,
            &mut room.grad,
            #[inline(always)]
            |block| {
                student_grad(simd, wide, sums.max, &shares, terms, block);
                for ((sums, teacher), share) in
                    room.teacher_sums.iter().zip(&batch.teachers).zip(&terms.kl)
                {
                    let wide = T::widen(&teacher[first + start..][..length], &mut room.teacher);
                    teacher_grad(
                        simd,
                        wide,
                        sums.max,
                        share * shares.scale / sums.kl,
                        terms,
                        block,
                    );
                }
                if let Some(on_label) =
                    label.and_then(|label| block.get_mut(label.wrapping_sub(start)))
                {
                    *on_label -= shares.label as f32;
                }
            },
        );
    }
    Some(loss)
}

/// What a row's student logits come down to; d is a logit's distance to the maximum, 0 or less.
#[derive(Clone, Copy, Debug)]
struct StudentSums {
    max: f32,
    /// `Σ exp d`, for the cross-entropy.
    ce: f64,
    /// `Σ exp(d/τ)`, for the KL term.
    kl: f64,
    /// `Σ d`, for label smoothing.
    distance: f64,
    /// How many logits.
    count: usize,
}

/// What a row's teacher logits come down to; d_t and d_s are the teacher's and the student's distances to their maxima.
#[derive(Clone, Copy, Debug)]
struct TeacherSums {
    max: f32,
    /// The maximum that d_s counts from.
    student_max: f32,
    /// `Σ exp(d_t/τ)`.
    kl: f64,
    /// `Σ exp(d_t/τ)·(d_t − d_s)`.
    cross: f64,
}

/// Step 1 for the student.
#[inline(always)]
fn student_sums<V: Simd>(simd: V, block: &[f32], terms: &Terms) -> StudentSums {
    let max = max(simd, block);
    let (ce, kl, distance) = match (terms.needs_ce(), terms.needs_kl()) {
        (true, true) if terms.temperature != 1.0 => {
            sums_below::<V, true, true>(simd, block, max, terms)
        }
        (true, _) => {
            let (ce, _, distance) = sums_below::<V, true, false>(simd, block, max, terms);
            (ce, ce, distance)
        }
        (false, _) => sums_below::<V, false, true>(simd, block, max, terms),
    };
    StudentSums {
        max,
        ce,
        kl,
        distance,
        count: block.len(),
    }
}

/// The largest of a block.
#[inline(always)]
fn max<V: Simd>(simd: V, block: &[f32]) -> f32 {
    let (head, tail) = V::as_simd_f32s(block);
    let lowest = simd.splat_f32s(f32::NEG_INFINITY);
    let (fours, rest) = pulp::as_arrays::<4, _>(head);
    let mut max = [lowest; 4];
    for four in fours {
        for (max, x) in max.iter_mut().zip(four) {
            *max = simd.max_f32s(*max, *x);
        }
    }
    for x in rest {
        max[0] = simd.max_f32s(max[0], *x);
    }
    if !tail.is_empty() {
        max[1] = simd.max_f32s(max[1], partial(simd, tail, f32::NEG_INFINITY));
    }
    let [a, b, c, d] = max;
    simd.reduce_max_f32s(simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d)))
}

/// The last numbers of a row, fewer than a vector holds; `rest` in the other lanes.
#[inline(always)]
fn partial<V: Simd>(simd: V, tail: &[f32], rest: f32) -> V::f32s {
    let inside = simd.mask_between_m32s(0, tail.len() as u32).mask();
    simd.select_f32s(inside, simd.partial_load_f32s(tail), simd.splat_f32s(rest))
}

/// `Σ exp d`, `Σ exp(d/τ)`, `Σ d` of a block, d counted from `max`.
#[inline(always)]
fn sums_below<V: Simd, const CE: bool, const KL: bool>(
    simd: V,
    block: &[f32],
    max: f32,
    terms: &Terms,
) -> (f64, f64, f64) {
    let zero = simd.splat_f32s(0.0);
    let max = simd.splat_f32s(max);
    let (ce_rate, kl_rate) = (
        simd.splat_f32s(LOG2_E as f32),
        simd.splat_f32s(terms.kl_rate()),
    );
    let (mut ce, mut kl, mut distance) = (zero, zero, zero);
    let (head, tail) = V::as_simd_f32s(block);
    for x in head {
        let d = simd.sub_f32s(*x, max);
        distance = simd.add_f32s(distance, d);
        if CE {
            ce = simd.add_f32s(ce, exp2(simd, simd.mul_f32s(d, ce_rate)));
        }
        if KL {
            kl = simd.add_f32s(kl, exp2(simd, simd.mul_f32s(d, kl_rate)));
        }
    }
    if !tail.is_empty() {
        let inside = simd.mask_between_m32s(0, tail.len() as u32).mask();
        let d = simd.sub_f32s(simd.partial_load_f32s(tail), max);
        distance = simd.add_f32s(distance, simd.select_f32s(inside, d, zero));
        if CE {
            let power = exp2(simd, simd.mul_f32s(d, ce_rate));
            ce = simd.add_f32s(ce, simd.select_f32s(inside, power, zero));
        }
        if KL {
            let power = exp2(simd, simd.mul_f32s(d, kl_rate));
            kl = simd.add_f32s(kl, simd.select_f32s(inside, power, zero));
        }
    }
    let sum = |x| f64::from(simd.reduce_sum_f32s(x));
    (sum(ce), sum(kl), sum(distance))
}

/// Step 1 for a teacher, whose block stands beside the student's.
#[inline(always)]
fn teacher_sums<V: Simd>(
    simd: V,
    block: &[f32],
    student: &[f32],
    student_max: f32,
    terms: &Terms,
) -> TeacherSums {
    let max = max(simd, block);
    let zero = simd.splat_f32s(0.0);
    let (teacher_top, student_top) = (simd.splat_f32s(max), simd.splat_f32s(student_max));
    let rate = simd.splat_f32s(terms.kl_rate());
    let (mut kl, mut cross) = (zero, zero);
    let (head, tail) = V::as_simd_f32s(block);
    let (student_head, student_tail) = V::as_simd_f32s(student);
    for (t, s) in head.iter().zip(student_head) {
        let d = simd.sub_f32s(*t, teacher_top);
        let power = exp2(simd, simd.mul_f32s(d, rate));
        kl = simd.add_f32s(kl, power);
        cross = simd.mul_add_e_f32s(
            power,
            simd.sub_f32s(d, simd.sub_f32s(*s, student_top)),
            cross,
        );
    }
    if !tail.is_empty() {
        let inside = simd.mask_between_m32s(0, tail.len() as u32).mask();
        let d = simd.sub_f32s(simd.partial_load_f32s(tail), teacher_top);
        let d_student = simd.sub_f32s(simd.partial_load_f32s(student_tail), student_top);
        let power = simd.select_f32s(inside, exp2(simd, simd.mul_f32s(d, rate)), zero);
        let apart = simd.select_f32s(inside, simd.sub_f32s(d, d_student), zero);
        kl = simd.add_f32s(kl, power);
        cross = simd.mul_add_e_f32s(power, apart, cross);
    }
    let sum = |x| f64::from(simd.reduce_sum_f32s(x));
    TeacherSums {
        max,
        student_max,
        kl: sum(kl),
        cross: sum(cross),
    }
}

impl StudentSums {
    const EMPTY: StudentSums = StudentSums {
        max: f32::NEG_INFINITY,
        ce: 0.0,
        kl: 0.0,
        distance: 0.0,
        count: 0,
    };

    /// Step 2: the sums of two parts of a row, brought to the greater of their maxima.
    #[inline(always)]
    fn merge(self, other: StudentSums, terms: &Terms) -> StudentSums {
        if self.count == 0 {
            return other;
        }
        let max = self.max.max(other.max);
        let mut merged = StudentSums {
            max,
            ce: 0.0,
            kl: 0.0,
            distance: 0.0,
            count: self.count + other.count,
        };
        for part in [self, other] {
            let drop = f64::from(part.max) - f64::from(max);
            let (ce, kl) = if drop == 0.0 {
                (1.0, 1.0)
            } else {
                (drop.exp(), (drop / terms.temperature).exp())
            };
            merged.ce += part.ce * ce;
            merged.kl += part.kl * kl;
            merged.distance += part.distance + part.count as f64 * drop;
        }
        merged
    }
}

impl TeacherSums {
    const EMPTY: TeacherSums = TeacherSums {
        max: f32::NEG_INFINITY,
        student_max: 0.0,
        kl: 0.0,
        cross: 0.0,
    };

    /// Step 2 for a teacher.
    #[inline(always)]
    fn merge(self, other: TeacherSums, terms: &Terms) -> TeacherSums {
        if self.kl == 0.0 {
            return other;
        }
        let max = self.max.max(other.max);
        let student_max = self.student_max.max(other.student_max);
        let mut merged = TeacherSums {
            max,
            student_max,
            kl: 0.0,
            cross: 0.0,
        };
        for part in [self, other] {
            let drop = f64::from(part.max) - f64::from(max);
            let student_drop = f64::from(part.student_max) - f64::from(student_max);
            let scale = if drop == 0.0 {
                1.0
            } else {
                (drop / terms.temperature).exp()
            };
            merged.kl += scale * part.kl;
            merged.cross += scale * (part.cross + part.kl * (drop - student_drop));
        }
        merged
    }
}

/// Step 3: the loss of one row.
#[inline(always)]
fn row_loss(
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
struct Shares {
    /// `exp d` of the student.
    ce: f64,
    /// `exp(d/τ)` of the student.
    kl: f64,
    /// Taken off everywhere, for label smoothing.
    flat: f64,
    /// Taken off at the label.
    label: f64,
    /// `1/τ`, and what every row's gradient is multiplied with.
    scale: f64,
}

impl Shares {
    #[inline(always)]
    fn new(student: &StudentSums, scale: f64, classes: usize, terms: &Terms) -> Shares {
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
}

/// Step 4 for the student: writes a block of the gradient, but for the label and the teachers.
#[inline(always)]
fn student_grad<V: Simd>(
    simd: V,
    block: &[f32],
    max: f32,
    shares: &Shares,
    terms: &Terms,
    grad: &mut [f32],
) {
    let (ce, kl, flat) = (shares.ce as f32, shares.kl as f32, shares.flat as f32);
    let (ce_rate, kl_rate) = (LOG2_E as f32, terms.kl_rate());
    match (terms.needs_ce(), terms.needs_kl()) {
        (true, true) if terms.temperature != 1.0 => {
            exponentials(simd, block, max, [(ce_rate, ce), (kl_rate, kl)], flat, grad);
        }
        (true, true) => exponentials(simd, block, max, [(ce_rate, ce + kl)], flat, grad),
        (true, false) => exponentials(simd, block, max, [(ce_rate, ce)], flat, grad),
        (false, _) => exponentials(simd, block, max, [(kl_rate, kl)], flat, grad),
    }
}

/// `Σ share·2^(rate·d) − flat` of each number of a block, over one or two pairs of rate and share.
#[inline(always)]
fn exponentials<V: Simd, const N: usize>(
    simd: V,
    block: &[f32],
    max: f32,
    pairs: [(f32, f32); N],
    flat: f32,
    grad: &mut [f32],
) {
    let max = simd.splat_f32s(max);
    let flat = simd.splat_f32s(-flat);
    let (head, tail) = V::as_simd_f32s(block);
    let (grad_head, grad_tail) = V::as_mut_simd_f32s(grad);
    for (x, grad) in head.iter().zip(grad_head) {
        let mut sum = flat;
        for (rate, share) in pairs {
            sum = add_exponential(simd, *x, max, rate, share, sum);
        }
        *grad = sum;
    }
    if !tail.is_empty() {
        let mut sum = flat;
        for (rate, share) in pairs {
            sum = add_exponential(simd, simd.partial_load_f32s(tail), max, rate, share, sum);
        }
        simd.partial_store_f32s(grad_tail, sum);
    }
}

/// Step 4 for a teacher: takes `share·exp(d_t/τ)` off a block of the gradient.
#[inline(always)]
fn teacher_grad<V: Simd>(
    simd: V,
    block: &[f32],
    max: f32,
    share: f64,
    terms: &Terms,
    grad: &mut [f32],
) {
    let max = simd.splat_f32s(max);
    let (rate, share) = (terms.kl_rate(), -share as f32);
    let (head, tail) = V::as_simd_f32s(block);
    let (grad_head, grad_tail) = V::as_mut_simd_f32s(grad);
    for (x, grad) in head.iter().zip(grad_head) {
        *grad = add_exponential(simd, *x, max, rate, share, *grad);
    }
    if !tail.is_empty() {
        let grad = simd.partial_load_f32s(grad_tail);
        let sum = add_exponential(simd, simd.partial_load_f32s(tail), max, rate, share, grad);
        simd.partial_store_f32s(grad_tail, sum);
    }
}

/// `sum + share·2^(rate·(x − max))`.
#[inline(always)]
fn add_exponential<V: Simd>(
    simd: V,
    x: V::f32s,
    max: V::f32s,
    rate: f32,
    share: f32,
    sum: V::f32s,
) -> V::f32s {
    let power = exp2(
        simd,
        simd.mul_f32s(simd.sub_f32s(x, max), simd.splat_f32s(rate)),
    );
    simd.mul_add_e_f32s(power, simd.splat_f32s(share), sum)
}

/// The same row, plainly and in f64. Nothing where a logit is not finite.
fn row_f64<S: Number, T: Number>(
    batch: &Batch<'_, S, T>,
    index: usize,
    grad: Option<&mut [S]>,
) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target {
        label,
        weight,
        upstream,
    } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(|grad| grad.fill(S::default()));
        return Some(0.0);
    }
    let here = index * classes..(index + 1) * classes;
    let student = &batch.student[here.clone()];
    let tau = terms.temperature;

    let top = max_f64(student)?;
    let d = |x: &S| x.to_f64() - top;
    let ce_sum: f64 = student.iter().map(|x| d(x).exp()).sum();
    let kl_sum: f64 = student.iter().map(|x| (d(x) / tau).exp()).sum();
    let smooth = match terms.smoothing {
        0.0 => 0.0,
        smoothing => smoothing * student.iter().map(d).sum::<f64>() / classes as f64,
    };

    let mut loss = 0.0;
    if let Some(label) = label {
        loss += terms.ce * (ce_sum.ln() - (1.0 - terms.smoothing) * d(&student[label]) - smooth);
    }
    let mut teachers = Vec::with_capacity(batch.teachers.len()); // (row, maximum, sum)
    for (teacher, share) in batch.teachers.iter().zip(&terms.kl) {
        let teacher = &teacher[here.clone()];
        let top = max_f64(teacher)?;
        let (mut sum, mut cross) = (0.0, 0.0);
        for (t, s) in teacher.iter().zip(student) {
            let power = ((t.to_f64() - top) / tau).exp();
            sum += power;
            if power > 0.0 {
                cross += power * ((t.to_f64() - top) / tau - d(s) / tau);
            }
        }
        loss += share * (cross / sum + (kl_sum / sum).ln()).max(0.0);
        teachers.push((teacher, top, sum));
    }

    if let Some(grad) = grad {
        let sums = StudentSums {
            max: 0.0,
            ce: ce_sum,
            kl: kl_sum,
            distance: 0.0,
            count: classes,
        };
        let shares = Shares::new(&sums, weight * upstream, classes, terms);
        for (class, grad) in grad.iter_mut().enumerate() {
            let d = d(&student[class]);
            let mut sum = shares.ce * d.exp() + shares.kl * (d / tau).exp() - shares.flat;
            if label == Some(class) {
                sum -= shares.label;
            }
            for ((teacher, top, total), share) in teachers.iter().zip(&terms.kl) {
                sum -= share * shares.scale / total * ((teacher[class].to_f64() - top) / tau).exp();
            }
            *grad = S::from_f64(sum);
        }
    }
    Some(weight * loss)
}

/// The largest of a row, where all of them are finite.
fn max_f64<N: Number>(row: &[N]) -> Option<f64> {
    row.iter().try_fold(f64::NEG_INFINITY, |max, x| {
        let x = x.to_f64();
        x.is_finite().then_some(max.max(x))
    })
}

//! The kernel on the CPU: each row is worked on by one thread, in blocks.
//!
//! The steps, which have the same names in `kd_loss.cu` and `kd_loss.metal`:
//!
//! 1. `student_sums`, `teacher_sums`: of one block, its maximum, the exponentials below it, and their sums;
//! 2. `merge`: the sums of two parts of a row, brought to a common maximum;
//! 3. `row_loss`: the row's loss from its sums;
//! 4. `row_grad`: the row's gradient from its exponentials and sums, block by block.
//!
//! The logits are read once; their exponentials wait in a cache for step 4. No result depends on the number of threads.

use super::numbers::{Logit, Number};
use super::simd::{Ahead, BLOCK, GradBlock, LANES, LARGEST_POWER, Share, StudentBlock, TakeOff, TeacherBlock, fence};
use super::{Target, Terms};
use pulp::Arch;
use rayon::prelude::*;
use std::f64::consts::LOG2_E;
use std::mem::MaybeUninit;

/// Logits of student and teachers below which one thread is done before a second has woken.
const WORTH_A_THREAD: usize = 1 << 14;

/// Tasks for each thread: enough to even out threads that are held up, few enough for a task to keep its buffers.
const TASKS_A_THREAD: usize = 8;

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
    /// Whether the gradient is written past the caches, see [`GradBlock::stream`].
    pub streams: bool,
}

/// Index of a row whose logits are not all finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NotFiniteRow(pub usize);

/// Writes each row's loss and, into `grad` where it is given (`[batch, classes]`), the gradient of their sum.
///
/// On success all of both is written. Of rows with logits that are not finite, the first is the error.
pub(super) fn kd_loss<S: Logit, T: Logit>(
    batch: &Batch<'_, S, T>,
    losses: &mut [f64],
    grad: Option<&mut [MaybeUninit<S>]>,
) -> Result<(), NotFiniteRow> {
    in_tasks(batch.classes, batch.row_work(), losses, grad, |first, losses, grad| {
        let mut room = Room::new(batch.terms, batch.classes, batch.teachers.len(), grad.is_some());
        each_row(batch.classes, first, losses, grad, |index, mut grad| {
            row(batch, index, grad.as_deref_mut(), &mut room)
                // Finite logits can still overflow on the way (1e38 and -3e38 in a row): f64 has room for those.
                .or_else(|| row_f64(batch, index, grad))
        })
    })
}

/// As [`kd_loss`], plainly and in f64, for f64 logits.
pub(super) fn kd_loss_f64(
    batch: &Batch<'_, f64, f64>,
    losses: &mut [f64],
    grad: Option<&mut [MaybeUninit<f64>]>,
) -> Result<(), NotFiniteRow> {
    in_tasks(batch.classes, batch.row_work(), losses, grad, |first, losses, grad| {
        each_row(batch.classes, first, losses, grad, |index, grad| row_f64(batch, index, grad))
    })
}

impl<S, T> Batch<'_, S, T> {
    /// Logits of a row, the student's and the teachers'.
    fn row_work(&self) -> usize {
        self.classes * (1 + self.teachers.len())
    }
}

/// Shares the rows out to threads, given the logits of a row. `work` gets the index of a first row, the losses from there
/// on and their rows of the gradient. How the rows are cut never changes a result: they do not depend on each other.
pub(super) fn in_tasks<S: Send>(
    classes: usize,
    row_work: usize,
    losses: &mut [f64],
    grad: Option<&mut [MaybeUninit<S>]>,
    work: impl Fn(usize, &mut [f64], Option<&mut [MaybeUninit<S>]>) -> Result<(), NotFiniteRow> + Sync,
) -> Result<(), NotFiniteRow> {
    if losses.len() * row_work <= WORTH_A_THREAD || rayon::current_num_threads() == 1 {
        return work(0, losses, grad);
    }
    let even = losses.len().div_ceil(rayon::current_num_threads() * TASKS_A_THREAD);
    let task_rows = even.max(WORTH_A_THREAD / 4 / row_work).max(1);
    let losses = losses.par_chunks_mut(task_rows).enumerate();
    // The first bad row, whichever thread met one first.
    let bad = match grad {
        Some(grad) => losses
            .zip(grad.par_chunks_mut(task_rows * classes))
            .filter_map(|((task, losses), grad)| work(task * task_rows, losses, Some(grad)).err())
            .min(),
        None => losses.filter_map(|(task, losses)| work(task * task_rows, losses, None).err()).min(),
    };
    bad.map_or(Ok(()), Err)
}

/// Runs `work` on each row of a task in turn.
pub(super) fn each_row<S>(
    classes: usize,
    first: usize,
    losses: &mut [f64],
    mut grad: Option<&mut [MaybeUninit<S>]>,
    mut work: impl FnMut(usize, Option<&mut [MaybeUninit<S>]>) -> Option<f64>,
) -> Result<(), NotFiniteRow> {
    for (index, loss) in losses.iter_mut().enumerate() {
        let grad = grad.as_deref_mut().map(|grad| &mut grad[index * classes..][..classes]);
        *loss = work(first + index, grad).ok_or(NotFiniteRow(first + index))?;
    }
    Ok(())
}

/// Which exponentials of the student's logits a loss asks for. A rate is what a logit's distance to the maximum is
/// multiplied with to be an exponent of 2.
#[derive(Clone, Copy)]
pub(super) enum Exponentials {
    /// Those of one rate, and their `power`-th powers: where there is but one term, or τ is a small whole number.
    One { rate: f32, power: usize },
    /// Those of the cross-entropy and of the KL term.
    Two { ce: f32, kl: f32 },
}

impl Exponentials {
    fn new(terms: &Terms) -> Exponentials {
        let (ce, kl) = (LOG2_E as f32, (LOG2_E / terms.temperature) as f32);
        let whole = (1..=LARGEST_POWER).find(|&power| power as f64 == terms.temperature);
        match (terms.needs_ce(), terms.needs_kl(), whole) {
            (true, true, Some(power)) => Exponentials::One { rate: kl, power },
            (true, true, None) => Exponentials::Two { ce, kl },
            (true, false, _) => Exponentials::One { rate: ce, power: 1 },
            (false, _, _) => Exponentials::One { rate: kl, power: 1 },
        }
    }
}

/// What a task needs beside the tensors. Of what is kept for each block of a row, all of the student's comes first, then
/// each teacher's.
pub(super) struct Room<S: Logit, T: Logit> {
    pub arch: Arch,
    pub exponentials: Exponentials,
    /// A block of logits or of their gradient, as f32.
    pub student: S::Room,
    pub teacher: T::Room,
    /// The row's exponentials.
    pub powers: Vec<f32>,
    /// From one array of exponentials to the next.
    pub width: usize,
    /// From one block of exponentials to the next; 0 where no gradient will need them.
    pub step: usize,
    /// The maximum of each block.
    pub maxima: Vec<f32>,
    /// The row's sums for each teacher.
    teacher_sums: Vec<TeacherSums>,
}

impl<S: Logit, T: Logit> Room<S, T> {
    pub(super) fn new(terms: &Terms, classes: usize, teachers: usize, keep: bool) -> Room<S, T> {
        let exponentials = Exponentials::new(terms);
        let student_arrays = match exponentials {
            Exponentials::One { .. } => 1,
            Exponentials::Two { .. } => 2,
        };
        let (length, step) = if keep { (classes, BLOCK) } else { (classes.min(BLOCK), 0) };
        // Whole vectors, and not a multiple of 4096 bytes apart: a processor tells nearby addresses by the last 12 bits.
        let width = length.next_multiple_of(LANES) + LANES;
        Room {
            arch: Arch::new(),
            exponentials,
            student: S::room(),
            teacher: T::room(),
            powers: vec![0.0; width * (student_arrays + teachers)],
            width,
            step,
            maxima: vec![0.0; classes.div_ceil(BLOCK) * (1 + teachers)],
            teacher_sums: vec![TeacherSums::EMPTY; teachers],
        }
    }
}

/// Loss of one row, and its gradient into `grad`. Nothing where the loss is not finite.
fn row<S: Logit, T: Logit>(
    batch: &Batch<'_, S, T>,
    index: usize,
    grad: Option<&mut [MaybeUninit<S>]>,
    room: &mut Room<S, T>,
) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target { label, weight, upstream } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(|grad| grad.fill(MaybeUninit::new(S::default())));
        return Some(0.0);
    }
    let first = index * classes;
    let student = &batch.student[first..][..classes];
    let blocks = classes.div_ceil(BLOCK);
    let Room { arch, exponentials, width, step, .. } = *room;
    // The cross-entropy's exponentials, the KL term's (the same, where one array serves both), each teacher's.
    let (power, kl_array) = match exponentials {
        Exponentials::One { power, .. } => (power, 0),
        Exponentials::Two { .. } => (1, width),
    };
    let teacher_array = |teacher: usize| kl_array + (1 + teacher) * width;

    // Steps 1 and 2.
    let mut sums = StudentSums::EMPTY;
    room.teacher_sums.fill(TeacherSums::EMPTY);
    let (student_maxima, teacher_maxima) = room.maxima.split_at_mut(blocks);
    for (number, block) in student.chunks(BLOCK).enumerate() {
        let ahead = Ahead::of(block);
        let block = S::widen(block, &mut room.student);
        let powers = &mut room.powers[number * step..];
        let part = student_sums(arch, (block, ahead, sums.max), exponentials, powers, width);
        student_maxima[number] = part.max;
        sums = sums.merge(part, terms);
        for (teacher, sums) in room.teacher_sums.iter_mut().enumerate() {
            let logits = &batch.teachers[teacher][first + number * BLOCK..][..block.len()];
            let ahead = Ahead::of(logits);
            let logits = T::widen(logits, &mut room.teacher);
            let powers = &mut room.powers[teacher_array(teacher) + number * step..];
            let part = teacher_sums(arch, (logits, ahead, sums.max), (block, part.max), terms, powers);
            teacher_maxima[teacher * blocks + number] = part.max;
            *sums = sums.merge(part, terms);
        }
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
    // What is written twice is better left in a cache.
    let streams = batch.streams && S::IN_PLACE && batch.teachers.len() < 2;
    for (number, block) in grad.chunks_mut(BLOCK).enumerate() {
        S::narrow(block, &mut room.student, |grad| {
            let [ce, kl] = shares.of_student(f64::from(student_maxima[number]) - f64::from(sums.max), terms);
            let of_teacher = |teacher: usize| {
                let sums = &room.teacher_sums[teacher];
                let drop = f64::from(teacher_maxima[teacher * blocks + number]) - f64::from(sums.max);
                let powers = &room.powers[teacher_array(teacher) + number * step..];
                Share { powers, share: shares.of_teacher(terms.kl[teacher] / sums.kl, drop, terms) }
            };
            let teachers = room.teacher_sums.len();
            let block = GradBlock {
                grad,
                ce: Share { powers: &room.powers[number * step..], share: ce },
                power,
                kl: Share { powers: &room.powers[kl_array + number * step..], share: kl },
                teacher: (teachers > 0).then(|| of_teacher(0)),
                flat: shares.flat as f32,
            };
            // SAFETY: fences follow, before the label's number changes and after the row.
            let grad = if streams { unsafe { block.stream(arch) } } else { block.write(arch) };
            for teacher in 1..teachers {
                TakeOff { grad, teacher: of_teacher(teacher) }.write(arch);
            }
            if let Some(on_label) = label.and_then(|label| grad.get_mut(label.wrapping_sub(number * BLOCK))) {
                if streams {
                    fence();
                }
                *on_label -= shares.label as f32;
            }
            grad
        });
    }
    if streams {
        fence();
    }
    Some(loss)
}

/// What a row's student logits come down to; d is a logit's distance to the maximum, 0 or less.
#[derive(Clone, Copy, Debug)]
pub(super) struct StudentSums {
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

/// What a row's teacher logits come down to; d_t and d_s are the teacher's and the student's distances to their maxima.
#[derive(Clone, Copy, Debug)]
pub(super) struct TeacherSums {
    max: f32,
    /// The maximum that d_s counts from.
    student_max: f32,
    /// `Σ exp(d_t/τ)`.
    kl: f64,
    /// `Σ exp(d_t/τ)·(d_t − d_s)`.
    cross: f64,
}

/// Step 1 for the student, whose block stands before the one ahead of it and whose maximum so far is `floor`: leaves the
/// block's exponentials in `powers`, and where there are two kinds, the KL term's `width` further on.
pub(super) fn student_sums(
    arch: Arch,
    (logits, ahead, floor): (&[f32], Ahead, f32),
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

/// Step 1 for a teacher, as [`student_sums`]; beside its block stand the student's and what that counts from.
fn teacher_sums(
    arch: Arch,
    (logits, ahead, floor): (&[f32], Ahead, f32),
    (student_logits, student_max): (&[f32], f32),
    terms: &Terms,
    powers: &mut [f32],
) -> TeacherSums {
    let rate = (LOG2_E / terms.temperature) as f32;
    let sums = TeacherBlock { logits, ahead, floor, rate, powers, student_logits, student_max }.sums(arch);
    TeacherSums { max: sums.max, student_max, kl: sums.kl, cross: sums.cross }
}

impl StudentSums {
    pub(super) const EMPTY: StudentSums =
        StudentSums { max: f32::NEG_INFINITY, ce: 0.0, kl: 0.0, distance: 0.0, count: 0 };

    /// Step 2: the sums of two parts of a row, brought to the greater of their maxima.
    pub(super) fn merge(self, other: StudentSums, terms: &Terms) -> StudentSums {
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
    const EMPTY: TeacherSums = TeacherSums { max: f32::NEG_INFINITY, student_max: 0.0, kl: 0.0, cross: 0.0 };

    /// Step 2 for a teacher.
    fn merge(self, other: TeacherSums, terms: &Terms) -> TeacherSums {
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

/// `exp x`, which most often is asked at 0: the part that holds the maximum.
pub(super) fn exp(x: f64) -> f64 {
    if x == 0.0 { 1.0 } else { x.exp() }
}

/// Step 3: the loss of one row.
pub(super) fn row_loss(
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
pub(super) struct Shares {
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
    pub(super) fn new(student: &StudentSums, scale: f64, classes: usize, terms: &Terms) -> Shares {
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
    pub(super) fn of_student(&self, drop: f64, terms: &Terms) -> [f32; 2] {
        [self.ce * exp(drop), self.kl * exp(drop / terms.temperature)].map(|share| share as f32)
    }

    /// The same for a teacher's, whose part of the loss over its sum is `kl`.
    fn of_teacher(&self, kl: f64, drop: f64, terms: &Terms) -> f32 {
        (kl * self.scale * exp(drop / terms.temperature)) as f32
    }
}

/// The same row, plainly and in f64. Nothing where a logit is not finite.
fn row_f64<S: Number, T: Number>(
    batch: &Batch<'_, S, T>,
    index: usize,
    grad: Option<&mut [MaybeUninit<S>]>,
) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target { label, weight, upstream } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(|grad| grad.fill(MaybeUninit::new(S::default())));
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
        let sums = StudentSums { max: 0.0, ce: ce_sum, kl: kl_sum, distance: 0.0, count: classes };
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
            grad.write(S::from_f64(sum));
        }
    }
    Some(weight * loss)
}

/// The largest of a row, where all of them are finite.
pub(super) fn max_f64<N: Number>(row: &[N]) -> Option<f64> {
    row.iter().try_fold(f64::NEG_INFINITY, |max, x| {
        let x = x.to_f64();
        x.is_finite().then_some(max.max(x))
    })
}

//! The kernel on the CPU: the loss and the gradient of each row.
//!
//! The logits are read once; their exponentials wait in a cache for step 4. No result depends on the number of threads.

use crate::cpu::{
    Ahead, BLOCK, BadRow, Block, Exponentials, Grad, GradBlock, Logits, Powers, Room, Share, Shares, StudentSums,
    TakeOff, Task, TeacherSums, fence, in_tasks, max_f64, row_loss, student_sums, teacher_sums,
};
use crate::terms::{Target, Terms};

/// A batch of logits in memory, and what to make of it.
pub(super) struct Batch<'a> {
    /// `[batch, classes]`.
    pub student: Logits<'a>,
    /// Each `[batch, classes]`, all of one type: f64 if the student's are, and only then.
    pub teachers: Vec<Logits<'a>>,
    pub classes: usize,
    /// One a row.
    pub targets: &'a [Target],
    pub terms: &'a Terms,
    /// Whether the gradient is written past the caches, see [`GradBlock::stream`].
    pub streams: bool,
}

/// Writes each row's loss and, into `grad` if it is given (`[batch, classes]`), the gradient of their sum.
///
/// On success all of both is written. The first row whose logits are not all finite is the error.
pub(super) fn kd_loss(batch: &Batch, losses: &mut [f64], grad: Option<Grad>) -> Result<(), BadRow> {
    let Batch { student, ref teachers, classes, terms, .. } = *batch;
    in_tasks(classes, classes * (1 + teachers.len()), losses, grad, |task: Task| {
        if let Logits::F64(_) = student {
            return task.each_row(classes, |index, mut grad| row_f64(batch, index, grad.as_mut()));
        }
        let powers = if task.grad.is_some() { Powers::Kept } else { Powers::Dropped };
        let mut room = Room::new(terms, classes, student, teachers, powers);
        task.each_row(classes, |index, mut grad| {
            row(batch, index, grad.as_mut(), &mut room)
                // Finite logits can still overflow on the way (1e38 and -3e38 in a row): f64 has room for those.
                .or_else(|| row_f64(batch, index, grad.as_mut()))
        })
    })
}

/// Loss of one row, and its gradient into `grad`. `None` if the loss is not finite.
fn row(batch: &Batch, index: usize, grad: Option<&mut Grad>, room: &mut Room) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target { label, weight, upstream } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(Grad::fill_with_zeros);
        return Some(0.0);
    }
    let first = index * classes;
    let blocks = classes.div_ceil(BLOCK);
    let Room { arch, exponentials, width, step, .. } = *room;
    // The cross-entropy's exponentials, the KL term's (the same, if one array is for both), each teacher's.
    let (power, kl_array) = match exponentials {
        Exponentials::One { power, .. } => (power, 0),
        Exponentials::Two { .. } => (1, width),
    };
    let teacher_array = |teacher: usize| kl_array + (1 + teacher) * width;

    // Steps 1 and 2.
    let mut sums = StudentSums::EMPTY;
    room.teacher_sums.fill(TeacherSums::EMPTY);
    let (student_maxima, teacher_maxima) = room.maxima.split_at_mut(blocks);
    for number in 0..blocks {
        let start = first + number * BLOCK;
        let range = start..(start + BLOCK).min(first + classes);
        let block = batch.student.range(range.clone());
        let ahead = Ahead::of(block);
        let logits = block.to_f32(arch, &mut room.student);
        let powers = &mut room.powers[number * step..];
        let block = Block { logits, ahead, floor: sums.max };
        let part = student_sums(arch, block, exponentials, powers, width);
        student_maxima[number] = part.max;
        sums = sums.merge(part, terms);
        for (teacher, sums) in room.teacher_sums.iter_mut().enumerate() {
            let block = batch.teachers[teacher].range(range.clone());
            let ahead = Ahead::of(block);
            let block = Block { logits: block.to_f32(arch, &mut room.teacher), ahead, floor: sums.max };
            let powers = &mut room.powers[teacher_array(teacher) + number * step..];
            let part = teacher_sums(arch, block, logits, part.max, terms, powers);
            teacher_maxima[teacher * blocks + number] = part.max;
            *sums = sums.merge(part, terms);
        }
    }

    // Step 3.
    let on_label = label.map(|label| batch.student.get(first + label));
    let loss = weight * row_loss(&sums, &room.teacher_sums, on_label, classes, terms);
    if !loss.is_finite() {
        return None;
    }

    // Step 4.
    let Some(grad) = grad else { return Some(loss) };
    let shares = Shares::new(&sums, weight * upstream, classes, terms);
    // What is written twice is better left in a cache.
    let streams = batch.streams && matches!(batch.student, Logits::F32(_)) && batch.teachers.len() < 2;
    for number in 0..blocks {
        let start = number * BLOCK;
        let block = grad.range(start..(start + BLOCK).min(classes));
        block.write_f32(arch, &mut room.grad, |grad| {
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
            if let Some(on_label) = label.and_then(|label| grad.get_mut(label.wrapping_sub(start))) {
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

/// The same row, plainly and in f64. `None` if a logit is not finite.
fn row_f64(batch: &Batch, index: usize, grad: Option<&mut Grad>) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target { label, weight, upstream } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(Grad::fill_with_zeros);
        return Some(0.0);
    }
    let here = index * classes..(index + 1) * classes;
    let student = batch.student.range(here.clone()).to_f64();
    let tau = terms.temperature;

    let top = max_f64(&student)?;
    let d = |x: &f64| x - top;
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
        let teacher = teacher.range(here.clone()).to_f64();
        let top = max_f64(&teacher)?;
        let (mut sum, mut cross) = (0.0, 0.0);
        for (t, s) in teacher.iter().zip(&*student) {
            let power = ((t - top) / tau).exp();
            sum += power;
            if power > 0.0 {
                cross += power * ((t - top) / tau - d(s) / tau);
            }
        }
        loss += share * (cross / sum + (kl_sum / sum).ln()).max(0.0);
        teachers.push((teacher, top, sum));
    }

    if let Some(grad) = grad {
        let sums = StudentSums { max: 0.0, ce: ce_sum, kl: kl_sum, distance: 0.0, count: classes };
        let shares = Shares::new(&sums, weight * upstream, classes, terms);
        for class in 0..classes {
            let d = d(&student[class]);
            let mut sum = shares.ce * d.exp() + shares.kl * (d / tau).exp() - shares.flat;
            if label == Some(class) {
                sum -= shares.label;
            }
            for ((teacher, top, total), share) in teachers.iter().zip(&terms.kl) {
                sum -= share * shares.scale / total * ((teacher[class] - top) / tau).exp();
            }
            grad.write(class, sum);
        }
    }
    Some(weight * loss)
}

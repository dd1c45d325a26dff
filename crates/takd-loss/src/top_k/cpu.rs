//! The kernel for a top-k teacher on the CPU: the steps of [`crate::cpu`], with the listed classes taken out of the row.
//!
//! The rest of the row, the tail, goes through the same vector kernels, which give the same sums; the listed classes are few
//! and are worked on one by one in f64. Tail and listed classes each have a maximum of their own, so that the tail's
//! probability is right however small it is.

use super::rows::Rows;
use crate::cpu::{
    Ahead, BLOCK, BadRow, Block, Exponentials, Grad, GradBlock, LOWEST, Logits, Powers, Room, Share, Shares,
    StudentSums, Task, exp, in_tasks, largest, max_f64, row_loss, student_sums,
};
use crate::terms::{Target, Terms};

/// Above this, a logit less the distance that makes an exponential vanish may be the same f32: f64 takes over.
const LARGEST: f32 = 1e6;

/// A batch of logits in memory, and what to make of it.
pub(crate) struct Batch<'a> {
    /// `[batch, classes]`.
    pub student: Logits<'a>,
    pub teacher: &'a Rows,
    pub classes: usize,
    /// One a row.
    pub targets: &'a [Target],
    /// With one teacher.
    pub terms: &'a Terms,
}

/// Writes each row's loss and, into `grad` if it is given (`[batch, classes]`), the gradient of their sum.
///
/// On success all of both is written. The error is the first row whose numbers are not all finite, or whose classes are not
/// as they must be.
pub(crate) fn kd_loss(batch: &Batch, losses: &mut [f64], grad: Option<Grad>) -> Result<(), BadRow> {
    let Batch { student, classes, terms, .. } = *batch;
    in_tasks(classes, classes + batch.teacher.k, losses, grad, |task: Task| {
        let mut listed = Vec::new();
        if let Logits::F64(_) = student {
            return task.each_row(classes, |index, mut grad| row_f64(batch, index, grad.as_mut(), &mut listed));
        }
        let powers = if task.grad.is_some() { Powers::Kept } else { Powers::Dropped };
        let mut room = Room::new(terms, classes, student, &[], powers);
        let mut holed = Vec::new();
        task.each_row(classes, |index, mut grad| {
            row(batch, index, grad.as_mut(), &mut room, &mut listed, &mut holed)
                .or_else(|| row_f64(batch, index, grad.as_mut(), &mut listed))
        })
    })
}

/// A class that the teacher lists.
#[derive(Clone, Copy, Debug)]
struct Listed {
    class: usize,
    /// The student's logit.
    student: f64,
    /// Logarithm of the teacher's probability, at the temperature.
    log_q: f64,
}

/// Reads a row of the teacher into `listed`, in the order of the classes. Returns the logarithm of the probability of all
/// others together, minus infinity if they have none; `None` if the classes are not different classes, or a number is not
/// finite.
fn read_teacher(batch: &Batch, index: usize, listed: &mut Vec<Listed>) -> Option<f64> {
    let Batch { teacher, classes, .. } = *batch;
    let student = batch.student.range(index * classes..(index + 1) * classes);
    let here = index * teacher.k..(index + 1) * teacher.k;
    let tail = if teacher.k == classes { f64::NEG_INFINITY } else { teacher.tail[index] };
    listed.clear();
    let mut max = tail;
    for (&class, &logit) in teacher.indices[here.clone()].iter().zip(&teacher.logits[here]) {
        let (class, scaled) = (class as usize, logit / batch.terms.temperature);
        if class >= classes || !scaled.is_finite() {
            return None;
        }
        let student = student.get(class);
        max = max.max(scaled);
        listed.push(Listed { class, student, log_q: scaled });
    }
    listed.sort_unstable_by_key(|listed| listed.class);
    if listed.windows(2).any(|pair| pair[0].class == pair[1].class) {
        return None;
    }
    let sum: f64 = listed.iter().map(|listed| (listed.log_q - max).exp()).sum();
    let total = max + (sum + (tail - max).exp()).ln();
    if !total.is_finite() {
        return None;
    }
    for listed in listed {
        listed.log_q -= total;
    }
    Some(tail - total)
}

/// The classes at the front of `listed` that lie before `end`.
fn before(listed: &[Listed], end: usize) -> &[Listed] {
    &listed[..listed.iter().take_while(|listed| listed.class < end).count()]
}

/// Loss of one row, and its gradient into `grad`. `None` if the loss is not finite.
fn row(
    batch: &Batch,
    index: usize,
    grad: Option<&mut Grad>,
    room: &mut Room,
    listed: &mut Vec<Listed>,
    holed: &mut Vec<f32>,
) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target { label, weight, upstream } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(Grad::fill_with_zeros);
        return Some(0.0);
    }
    let first = index * classes;
    let blocks = classes.div_ceil(BLOCK);
    let tail_log_q = read_teacher(batch, index, listed)?;
    let Room { arch, exponentials, width, step, .. } = *room;
    let (power, kl_array, slowest) = match exponentials {
        Exponentials::One { power, rate } => (power, 0, rate),
        Exponentials::Two { ce, kl } => (1, width, ce.min(kl)),
    };

    // Steps 1 and 2: the tail, then the listed classes.
    let mut tail = StudentSums::EMPTY;
    let mut to_come = &listed[..];
    for number in 0..blocks {
        let start = number * BLOCK;
        let end = (start + BLOCK).min(classes);
        let holes = before(to_come, end);
        to_come = &to_come[holes.len()..];
        let block = batch.student.range(first + start..first + end);
        let ahead = Ahead::of(block);
        let block = block.to_f32(arch, &mut room.student);
        let powers = &mut room.powers[number * step..];
        let part = match holes {
            [] => {
                let block = Block { logits: block, ahead, floor: tail.max };
                student_sums(arch, block, exponentials, powers, width)
            }
            _ if holes.len() == block.len() => StudentSums::EMPTY,
            _ => {
                // Each listed logit is replaced by one so low that its exponential is 0.
                holed.clear();
                holed.extend_from_slice(block);
                holes.iter().for_each(|hole| holed[hole.class - start] = f32::NEG_INFINITY);
                let top = largest(arch, holed);
                if top.is_nan() || top.abs() > LARGEST {
                    return None;
                }
                let top = top.max(tail.max);
                let low = top + LOWEST / slowest;
                holes.iter().for_each(|hole| holed[hole.class - start] = low);
                let block = Block { logits: holed, ahead, floor: tail.max };
                let mut part = student_sums(arch, block, exponentials, powers, width);
                part.count -= holes.len();
                part.distance -= holes.len() as f64 * f64::from(low - top);
                part
            }
        };
        room.maxima[number] = part.max;
        if part.count > 0 {
            tail = tail.merge(part, terms);
        }
    }
    let sums = tail.merge(listed_sums(listed, terms), terms);

    // Step 3.
    let on_label = label.map(|label| batch.student.get(first + label));
    let mut loss = row_loss(&sums, &[], on_label, classes, terms);
    let log_sum = sums.kl.ln();
    let log_p = |student: f64| (student - f64::from(sums.max)) / terms.temperature - log_sum;
    let mut kl: f64 = listed.iter().map(|l| l.log_q.exp() * (l.log_q - log_p(l.student))).sum();
    let tail_q = tail_log_q.exp();
    if tail_q > 0.0 {
        kl += tail_q * (tail_log_q - (log_p(tail.max.into()) + tail.kl.ln()));
    }
    loss = weight * (loss + terms.kl[0] * if kl.is_finite() { kl.max(0.0) } else { kl });
    // The vector loops may miss NaN in a sum of exponentials, but never in a sum of distances.
    if !(loss.is_finite() && sums.distance.is_finite()) {
        return None;
    }

    // Step 4.
    let Some(grad) = grad else { return Some(loss) };
    let shares = Shares::new(&sums, weight * upstream, classes, terms);
    let tail_share = tail_q * terms.kl[0] * shares.scale / tail.kl;
    let mut to_come = &listed[..];
    for number in 0..blocks {
        let start = number * BLOCK;
        let end = (start + BLOCK).min(classes);
        let holes = before(to_come, end);
        to_come = &to_come[holes.len()..];
        grad.range(start..end).write_f32(arch, &mut room.grad, |grad| {
            let max = f64::from(room.maxima[number]);
            let [ce, mut kl] = shares.of_student(max - f64::from(sums.max), terms);
            if tail_q > 0.0 {
                // p − q with q = p · (q of the tail) / (p of the tail).
                kl -= (tail_share * exp((max - f64::from(tail.max)) / terms.temperature)) as f32;
            }
            let grad = GradBlock {
                grad,
                ce: Share { powers: &room.powers[number * step..], share: ce },
                power,
                kl: Share { powers: &room.powers[kl_array + number * step..], share: kl },
                teacher: None,
                flat: shares.flat as f32,
            }
            .write(arch);
            for hole in holes {
                grad[hole.class - start] = listed_grad(hole, &sums, &shares, terms) as f32;
            }
            if let Some(on_label) = label.and_then(|label| grad.get_mut(label.wrapping_sub(start))) {
                *on_label -= shares.label as f32;
            }
            grad
        });
    }
    Some(loss)
}

/// The sums of the student's logits of the listed classes.
fn listed_sums(listed: &[Listed], terms: &Terms) -> StudentSums {
    let max = listed.iter().fold(f64::NEG_INFINITY, |max, listed| max.max(listed.student));
    let mut sums = StudentSums { max: max as f32, ce: 0.0, kl: 0.0, distance: 0.0, count: listed.len() };
    for listed in listed {
        let d = listed.student - max;
        sums.ce += exp(d);
        sums.kl += exp(d / terms.temperature);
        sums.distance += d;
    }
    sums
}

/// Gradient of a listed class, without the label's part.
fn listed_grad(listed: &Listed, sums: &StudentSums, shares: &Shares, terms: &Terms) -> f64 {
    let d = listed.student - f64::from(sums.max);
    let teacher = terms.kl[0] * shares.scale * listed.log_q.exp();
    shares.ce * exp(d) + shares.kl * exp(d / terms.temperature) - teacher - shares.flat
}

/// The same row, plainly and in f64. `None` if a logit is not finite, or a listed class is no class.
fn row_f64(batch: &Batch, index: usize, grad: Option<&mut Grad>, listed: &mut Vec<Listed>) -> Option<f64> {
    let Batch { classes, terms, .. } = *batch;
    let Target { label, weight, upstream } = batch.targets[index];
    if weight == 0.0 {
        grad.into_iter().for_each(Grad::fill_with_zeros);
        return Some(0.0);
    }
    let student = batch.student.range(index * classes..(index + 1) * classes).to_f64();
    let tau = terms.temperature;
    let top = max_f64(&student)?;
    let tail_log_q = read_teacher(batch, index, listed)?;
    let mut in_tail = vec![true; classes];
    listed.iter().for_each(|listed| in_tail[listed.class] = false);

    let tail = || student.iter().zip(&in_tail).filter(|(_, in_tail)| **in_tail).map(|(x, _)| *x);
    let tail_top = tail().fold(f64::NEG_INFINITY, f64::max);
    let tail_sum: f64 = tail().map(|x| ((x - tail_top) / tau).exp()).sum();
    let ce_sum: f64 = student.iter().map(|x| (x - top).exp()).sum();
    let kl_sum: f64 = student.iter().map(|x| ((x - top) / tau).exp()).sum();

    let mut loss = 0.0;
    if let Some(label) = label {
        let smooth = match terms.smoothing {
            0.0 => 0.0,
            smoothing => smoothing * student.iter().map(|x| x - top).sum::<f64>() / classes as f64,
        };
        loss += terms.ce * (ce_sum.ln() - (1.0 - terms.smoothing) * (student[label] - top) - smooth);
    }
    let log_p = |x: f64| (x - top) / tau - kl_sum.ln();
    let tail_q = tail_log_q.exp();
    let mut kl: f64 = listed.iter().map(|l| l.log_q.exp() * (l.log_q - log_p(l.student))).sum();
    if tail_q > 0.0 {
        kl += tail_q * (tail_log_q - (log_p(tail_top) + tail_sum.ln()));
    }
    loss += terms.kl[0] * kl.max(0.0);

    if let Some(grad) = grad {
        let scale = weight * upstream;
        let (ce, kl) = (scale * terms.ce, scale * terms.kl[0] / tau);
        let flat = ce * terms.smoothing / classes as f64;
        let mut q = vec![0.0; classes];
        listed.iter().for_each(|listed| q[listed.class] = listed.log_q.exp());
        for (class, &x) in student.iter().enumerate() {
            let q = if in_tail[class] { tail_q * ((x - tail_top) / tau).exp() / tail_sum } else { q[class] };
            let mut sum = ce * (x - top).exp() / ce_sum + kl * (log_p(x).exp() - q) - flat;
            if label == Some(class) {
                sum -= ce * (1.0 - terms.smoothing);
            }
            grad.write(class, sum);
        }
    }
    Some(weight * loss)
}

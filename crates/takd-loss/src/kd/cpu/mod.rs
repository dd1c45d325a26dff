//! The loss on the CPU: what each row is to learn, the kernel over candle's memory, and what is wrong with a bad row.

mod rows;

use super::problem::{Gradient, Outcome, Problem};
use crate::checks::checked_weights;
use crate::cpu::{BadRow, FillError, Grad, Logits, filled, logits_on_cpu, on_cpu, overwritten};
use crate::error::{Error, Input, Result};
use crate::settings::Reduction;
use crate::terms::Target;
use crate::top_k;
use candle_core::{CpuStorage, DType, Shape, Storage, Tensor};

/// Bytes of a kept gradient from which on it is written past the caches.
const STREAMED: usize = 64 << 20;

pub(super) fn solve(problem: &Problem, gradient: Gradient<'_>) -> Result<Outcome> {
    let targets = targets(problem, gradient)?;
    let mut losses = vec![0.0; problem.batch()];
    let grad = match fill(problem, gradient, &targets, &mut losses) {
        Ok(grad) => grad,
        Err(FillError::BadRow(BadRow(row))) => return Err(what_is_wrong_with(problem, row)),
        Err(FillError::Candle(error)) => return Err(error.into()),
    };
    let (losses, shape) = match problem.reduction {
        Reduction::None => (losses, Shape::from(problem.batch())),
        // In order, whatever threads made them.
        _ => (vec![losses.iter().sum()], Shape::from(())),
    };
    let loss = match problem.student.dtype() {
        DType::F64 => CpuStorage::F64(losses),
        _ => CpuStorage::F32(losses.into_iter().map(|loss| loss as f32).collect()),
    };
    Ok(Outcome { loss: Storage::Cpu(loss), shape, grad })
}

/// Runs the kernel: writes the loss of each row, and the gradient if it is asked for.
fn fill(
    problem: &Problem,
    gradient: Gradient<'_>,
    targets: &[Target],
    losses: &mut [f64],
) -> std::result::Result<Option<Tensor>, FillError> {
    let (classes, terms) = (problem.classes(), &problem.terms);
    let (storage, layout) = problem.student.storage_and_layout();
    let student = logits_on_cpu(&storage, layout)?;
    let guards: Vec<_> = problem.teachers.iter().map(Tensor::storage_and_layout).collect();
    let teachers = guards.iter().map(|(storage, layout)| logits_on_cpu(storage, layout));
    let teachers = teachers.collect::<candle_core::Result<Vec<Logits>>>()?;
    // The system has just zeroed new memory, which is in the caches by that.
    let streams = matches!(gradient, Gradient::Into(_)) && student.bytes() >= STREAMED;
    let kernel = |grad: Option<Grad>| match &problem.top_k {
        Some(teacher) => {
            top_k::cpu::kd_loss(&top_k::cpu::Batch { student, teacher, classes, targets, terms }, losses, grad)
        }
        None => rows::kd_loss(&rows::Batch { student, teachers, classes, targets, terms, streams }, losses, grad),
    };
    match gradient {
        Gradient::Skip => kernel(None).map(|()| None).map_err(FillError::from),
        Gradient::Into(grad) => {
            // SAFETY: the kernels write numbers only.
            unsafe { overwritten(grad, |memory| kernel(Some(memory))) }.map(|()| Some(grad.clone()))
        }
        Gradient::OfTheSum | Gradient::Times(_) => {
            // SAFETY: a kernel that returns `Ok` has written the whole gradient.
            unsafe { filled(&problem.student, |memory| kernel(Some(memory))) }.map(Some)
        }
    }
}

/// What each row is to learn. Refuses labels that are no classes, and bad weights.
fn targets(problem: &Problem, gradient: Gradient<'_>) -> Result<Vec<Target>> {
    let mut targets = vec![Target { label: None, weight: 1.0, upstream: 1.0 }; problem.batch()];
    if let Some(weights) = &problem.weights {
        for (target, weight) in targets.iter_mut().zip(checked_weights(weights)?) {
            target.weight = weight;
        }
    }
    if let Some(labels) = &problem.labels {
        let (storage, layout) = labels.storage_and_layout();
        match labels.dtype() {
            DType::U8 => read_labels(problem, &mut targets, on_cpu::<u8>(&storage, layout)?)?,
            DType::U32 => read_labels(problem, &mut targets, on_cpu::<u32>(&storage, layout)?)?,
            _ => read_labels(problem, &mut targets, on_cpu::<i64>(&storage, layout)?)?,
        }
    }
    if matches!(problem.reduction, Reduction::BatchMean | Reduction::Mean) {
        let total: f64 = targets.iter().map(|target| target.weight).sum();
        for target in &mut targets {
            // If the total is 0 so is each weight.
            target.weight /= if total > 0.0 { total } else { 1.0 };
        }
    }
    if let Gradient::Times(upstream) = gradient {
        for (row, target) in targets.iter_mut().enumerate() {
            target.upstream = upstream[row % upstream.len()];
        }
    }
    Ok(targets)
}

fn read_labels<L: Copy + Into<i64>>(problem: &Problem, targets: &mut [Target], labels: &[L]) -> Result<()> {
    let classes = problem.classes();
    for (row, (target, &label)) in targets.iter_mut().zip(labels).enumerate() {
        let label: i64 = label.into();
        if Some(label) == problem.ignore_index {
            target.weight = 0.0;
        } else if problem.terms.needs_ce() {
            match usize::try_from(label) {
                Ok(label) if label < classes => target.label = Some(label),
                _ => {
                    return Err(Error::Label { row, label, classes });
                }
            }
        }
    }
    Ok(())
}

/// The error for a row that the kernel found bad.
fn what_is_wrong_with(problem: &Problem, row: usize) -> Error {
    let teachers = problem.teachers.iter().map(|teacher| (Input::TeacherLogits, teacher));
    for (input, logits) in std::iter::once((Input::StudentLogits, &problem.student)).chain(teachers) {
        match logits.get(row).and_then(|row| row.to_dtype(DType::F64)?.to_vec1::<f64>()) {
            Ok(values) => {
                if let Some(column) = values.iter().position(|value| !value.is_finite()) {
                    return Error::NotFinite { input, row, column, value: values[column] };
                }
            }
            Err(error) => return error.into(),
        }
    }
    match problem.top_k.as_ref().map(|rows| rows.check(row, problem.classes())) {
        Some(Err(error)) => error,
        _ => unreachable!("the kernel refuses only rows with something wrong in them"),
    }
}

//! Shares the rows of a batch out to threads.

use super::logits::Grad;
use rayon::prelude::*;

/// Logits of student and teachers below which one thread is done before a second has woken up.
const WORTH_A_THREAD: usize = 1 << 14;

/// Tasks for each thread: enough to even out threads that are held up, few enough for a task to keep its buffers.
const TASKS_A_THREAD: usize = 8;

/// Index of a row that has no loss: one of its numbers is not finite, or what the teacher lists for it is not as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BadRow(pub usize);

/// Rows for one thread.
pub(crate) struct Task<'a> {
    /// Index of the first row.
    first: usize,
    /// One a row.
    losses: &'a mut [f64],
    /// `[rows, classes]`.
    pub grad: Option<Grad<'a>>,
}

/// Runs `work` on all rows, given how many logits a row has in all. How the rows are divided never changes a result: they do
/// not depend on each other.
///
/// # Errors
/// The first bad row.
pub(crate) fn in_tasks(
    classes: usize,
    row_logits: usize,
    losses: &mut [f64],
    grad: Option<Grad<'_>>,
    work: impl Fn(Task<'_>) -> Result<(), BadRow> + Sync,
) -> Result<(), BadRow> {
    if losses.len() * row_logits <= WORTH_A_THREAD || rayon::current_num_threads() == 1 {
        return work(Task { first: 0, losses, grad });
    }
    let even = losses.len().div_ceil(rayon::current_num_threads() * TASKS_A_THREAD);
    let rows = even.max(WORTH_A_THREAD / 4 / row_logits).max(1);
    let mut rest = grad;
    let tasks: Vec<Task> = losses
        .chunks_mut(rows)
        .enumerate()
        .map(|(task, losses)| {
            let grad = rest.take().map(|grad| {
                let (grad, after) = grad.split_at(losses.len() * classes);
                rest = Some(after);
                grad
            });
            Task { first: task * rows, losses, grad }
        })
        .collect();
    // The first bad row, whichever thread met one first.
    tasks.into_par_iter().filter_map(|task| work(task).err()).min().map_or(Ok(()), Err)
}

impl Task<'_> {
    /// Runs `work` on each row in turn: it gets the row's index and its part of the gradient, and returns its loss, if it has
    /// one.
    pub(crate) fn each_row(
        self,
        classes: usize,
        mut work: impl FnMut(usize, Option<Grad<'_>>) -> Option<f64>,
    ) -> Result<(), BadRow> {
        let Task { first, losses, mut grad } = self;
        for (index, loss) in losses.iter_mut().enumerate() {
            let grad = grad.as_mut().map(|grad| grad.range(index * classes..(index + 1) * classes));
            *loss = work(first + index, grad).ok_or(BadRow(first + index))?;
        }
        Ok(())
    }
}

//! What the operations share on the CPU.
//!
//! Each row is worked on by one thread, in blocks. The steps, which have the same names in `kd_loss.cu` and `kd_loss.metal`:
//!
//! 1. `student_sums`, `teacher_sums`: of one block, its maximum, the exponentials below it, and their sums;
//! 2. `merge`: the sums of two parts of a row, brought to a common maximum;
//! 3. `row_loss`: the row's loss from its sums;
//! 4. `row_grad`: the row's gradient from its exponentials and sums, block by block.
//!
//! Vector code is made of *kernels*: structs that implement [`pulp::WithSimd`], generic over the kind of vector and compiled once
//! for each. What calls kernels is ordinary code, compiled once.

mod ahead;
mod exponentials;
mod grad_block;
mod logits;
mod memory;
mod room;
mod student_block;
mod sums;
mod tasks;
mod teacher_block;
mod vectors;

pub(crate) use ahead::Ahead;
pub(crate) use exponentials::Exponentials;
pub(crate) use grad_block::{GradBlock, Share, TakeOff, fence};
pub(crate) use logits::{Grad, Logits};
pub(crate) use memory::{FillError, filled, logits_on_cpu, on_cpu, overwritten};
pub(crate) use room::{Powers, Room};
pub(crate) use sums::{Block, Shares, StudentSums, TeacherSums, exp, max_f64, row_loss, student_sums, teacher_sums};
pub(crate) use tasks::{BadRow, Task, in_tasks};
pub(crate) use vectors::{BLOCK, LOWEST, largest};

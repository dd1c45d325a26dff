//! The memory of a task beside the tensors.

use super::exponentials::Exponentials;
use super::logits::{Logits, WideBlock, WideGrad};
use super::sums::TeacherSums;
use super::vectors::{BLOCK, LANES};
use crate::terms::Terms;
use pulp::Arch;

/// The memory of a task. Of what is kept for each block of a row, all of the student's comes first, then each teacher's.
pub(crate) struct Room {
    pub arch: Arch,
    pub exponentials: Exponentials,
    /// A block of logits or of their gradient, as f32.
    pub student: WideBlock,
    pub teacher: WideBlock,
    pub grad: WideGrad,
    /// The row's exponentials.
    pub powers: Vec<f32>,
    /// From one array of exponentials to the next.
    pub width: usize,
    /// From one block of exponentials to the next; 0 if no gradient will need them.
    pub step: usize,
    /// The maximum of each block.
    pub maxima: Vec<f32>,
    /// The row's sums for each teacher.
    pub teacher_sums: Vec<TeacherSums>,
}

/// Whether the exponentials of a row are kept for its gradient.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Powers {
    Kept,
    Dropped,
}

impl Room {
    pub(crate) fn new(terms: &Terms, classes: usize, student: Logits, teachers: &[Logits], powers: Powers) -> Room {
        let exponentials = Exponentials::new(terms);
        let student_arrays = match exponentials {
            Exponentials::One { .. } => 1,
            Exponentials::Two { .. } => 2,
        };
        let (length, step) = match powers {
            Powers::Kept => (classes, BLOCK),
            Powers::Dropped => (classes.min(BLOCK), 0),
        };
        // Whole vectors, and not a multiple of 4096 bytes apart: a processor tells nearby addresses by the last 12 bits.
        let width = length.next_multiple_of(LANES) + LANES;
        Room {
            arch: Arch::new(),
            exponentials,
            student: WideBlock::new(student),
            teacher: WideBlock::new(teachers.first().copied().unwrap_or(Logits::F32(&[]))),
            grad: WideGrad::new(student),
            powers: vec![0.0; width * (student_arrays + teachers.len())],
            width,
            step,
            maxima: vec![0.0; classes.div_ceil(BLOCK) * (1 + teachers.len())],
            teacher_sums: vec![TeacherSums::EMPTY; teachers.len()],
        }
    }
}

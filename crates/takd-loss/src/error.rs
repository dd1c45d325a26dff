//! What can be wrong with a loss's inputs, and what to do about it.

use candle_core::{DType, Shape};
use std::fmt;

/// A result whose error is this crate's [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why a loss could not be computed. Each message names the input that is wrong and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A number of the loss's own configuration is outside its range.
    #[error("{name} is {found}, but must be {range}: set it so in the loss's configuration")]
    Setting {
        /// The field's name.
        name: &'static str,
        /// Its value.
        found: f64,
        /// The values it may take, in words.
        range: &'static str,
    },

    /// A tensor's shape does not fit the student's logits.
    #[error("{input} have shape {found:?}, but must be {expected}: reshape or select them before the loss")]
    Shape {
        /// Which tensor.
        input: Input,
        /// The shape it must have, in words.
        expected: String,
        /// The shape it has.
        found: Shape,
    },

    /// A tensor has a type of number that the loss does not take.
    #[error("{input} are {found:?}, but must be {expected}: convert them with `to_dtype`")]
    DType {
        /// Which tensor.
        input: Input,
        /// The types it may have, in words.
        expected: &'static str,
        /// The type it has.
        found: DType,
    },

    /// A tensor is on another device than the student's logits.
    #[error("{input} are on {found}, the student's logits on {expected}: move them with `to_device`")]
    Device {
        /// Which tensor.
        input: Input,
        /// Where the student's logits are.
        expected: String,
        /// Where it is.
        found: String,
    },

    /// The tensor that the gradient is to be written into is not contiguous.
    #[error("the gradient's tensor is not contiguous: give one that is, as `Tensor::zeros` makes it")]
    NotContiguous,

    /// The tensor that the gradient is to be written into is, or is a view of, one that is read.
    #[error(
        "the gradient's tensor shares memory with {input}: give one with memory of its own, as `Tensor::zeros` makes it"
    )]
    SharedMemory {
        /// Which tensor.
        input: Input,
    },

    /// A label is neither a class nor the ignore index.
    #[error(
        "the label of row {row} is {label}, but with {classes} classes a label is 0 to {}: \
         correct the labels, or name this value as `ignore_index`", classes.saturating_sub(1)
    )]
    Label {
        /// Row of the batch.
        row: usize,
        /// The label found there.
        label: i64,
        /// Number of classes, from the student's logits.
        classes: usize,
    },

    /// NaN or an infinity in an input.
    #[error(
        "{input} hold {value} at row {row}, column {column}: a loss needs finite numbers, \
         look for a diverged network (lower the learning rate) or a mask of infinities (use a large finite number)"
    )]
    NotFinite {
        /// Which tensor.
        input: Input,
        /// Row of the batch.
        row: usize,
        /// Class, or 0 if a row has only one number.
        column: usize,
        /// The number found: NaN, inf or -inf.
        value: f64,
    },

    /// A sample's weight is negative.
    #[error("the weight of row {row} is {value}, but a weight is 0 or more")]
    Weight {
        /// Row of the batch.
        row: usize,
        /// The weight found there.
        value: f64,
    },

    /// A class that a top-k teacher lists is no class, or is listed twice.
    #[error(
        "the top-k teacher lists {class} at row {row}, but a row lists different classes, each 0 to {}: \
         correct the indices", classes.saturating_sub(1)
    )]
    ListedClass {
        /// Row of the batch.
        row: usize,
        /// The class found there.
        class: u32,
        /// Number of classes, from the student's logits.
        classes: usize,
    },

    /// A loss was given another number of teachers than it takes.
    #[error("{loss} was given {found} teachers, but takes {expected}: change the list of teachers or the loss")]
    Teachers {
        /// The loss.
        loss: &'static str,
        /// How many it takes, in words.
        expected: &'static str,
        /// How many there were.
        found: usize,
    },

    /// The tensors are on a device for which this build has no kernel.
    #[error(
        "there is no kernel for {device} in this build: build takd-loss with its feature for that device, or move the tensors to the CPU"
    )]
    NoKernel {
        /// Where the student's logits are.
        device: String,
    },

    /// Anything candle itself reports.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<Error> for candle_core::Error {
    /// So that `?` works in functions that return candle's result.
    fn from(error: Error) -> Self {
        match error {
            Error::Tensor(error) => error,
            other => candle_core::Error::wrap(other),
        }
    }
}

/// One of the tensors a loss takes, as errors name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// The student's logits, `[batch, classes]`.
    StudentLogits,
    /// The teacher's logits, `[batch, classes]`.
    TeacherLogits,
    /// The classes that a top-k teacher lists, `[batch, k]`.
    TopKIndices,
    /// A top-k teacher's logits, `[batch, k]`.
    TopKLogits,
    /// A top-k teacher's tails, for the classes that it does not list, `[batch]`.
    TopKTail,
    /// The labels, `[batch]`.
    Labels,
    /// The weights of the samples, `[batch]`.
    Weights,
    /// The tensor that the gradient is to be written into, `[batch, classes]`.
    Gradient,
}

impl fmt::Display for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Input::StudentLogits => "the student's logits",
            Input::TeacherLogits => "the teacher's logits",
            Input::TopKIndices => "the top-k teacher's indices",
            Input::TopKLogits => "the top-k teacher's logits",
            Input::TopKTail => "the top-k teacher's tails",
            Input::Labels => "the labels",
            Input::Weights => "the sample weights",
            Input::Gradient => "the gradient's numbers",
        })
    }
}

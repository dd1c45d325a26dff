//! Why no experiment can be made for a student within a budget.

use crate::experiment_error::ExperimentError;
use crate::in_force::DifferentSettings;
use crate::recipe::RecipeError;
use std::time::Duration;
use takd_models::ModelName;

/// Why no experiment can be made for a student within a budget.
#[derive(Debug, thiserror::Error)]
pub enum ShrinkError {
    /// The student is the largest of its family.
    #[error("{0} is the largest network of its family, so that none can teach it: name a smaller one, or a teacher")]
    NoLarger(ModelName),
    /// The teacher is no larger than the student.
    #[error("the teacher {teacher} takes no more multiplications than the student {student}: name a larger one")]
    NotLarger {
        /// The student.
        student: ModelName,
        /// The teacher.
        teacher: ModelName,
    },
    /// A file of logits, which has no size that assistants could lie below.
    #[error("a teacher that is known by its logits alone has no size to choose assistants by: name a network")]
    LogitsAlone,
    /// The student is no network that takes these images.
    #[error("{student} takes no images of {side}x{side}: plain CNNs take 32x32 alone, ResNets every size")]
    Size {
        /// The student.
        student: ModelName,
        /// Rows and columns of the images.
        side: usize,
    },
    /// Nothing is held out to choose the best student by.
    #[error(
        "no images are held out of the training of {0}, or its best epoch is chosen by the test images: the best student is chosen by \
         held-out images, by networks of the last epoch"
    )]
    NothingHeldOut(ModelName),
    /// A recipe of something else.
    #[error("it is not of {0}: it needs one cell, with {0} alone and taught along other paths")]
    OtherRecipe(ModelName),
    /// Not even one epoch fits.
    #[error(
        "{} is too short: {student} alone and taught by {teacher} needs a budget of about {} here{}: give a longer one, {}fewer or \
         smaller images, or a smaller teacher",
        humantime::format_duration(*budget),
        humantime::format_duration(Duration::from_secs(needed.as_secs() + 1)),
        if *given { "" } else { " with one epoch" },
        if *given { "fewer epochs, " } else { "" }
    )]
    TooShort {
        /// What is there.
        budget: Duration,
        /// What the least experiment needs.
        needed: Duration,
        /// The student.
        student: ModelName,
        /// The teacher.
        teacher: ModelName,
        /// Whether the epochs were given.
        given: bool,
    },
    /// Settings that do not fit.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// Settings that no file can say.
    #[error(transparent)]
    Settings(#[from] DifferentSettings),
    /// The recipe that would be made cannot be read.
    #[error(transparent)]
    Recipe(#[from] Box<RecipeError>),
    /// A configuration that cannot be, or a network that could not be measured.
    #[error(transparent)]
    Run(#[from] takd_distill::Error),
}

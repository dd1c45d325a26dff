//! A single distillation path.

use super::error::{PathError, PathProblem};
use super::syntax::{self, Name, joined};
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;
use takd_models::ModelName;

/// The networks of one stage of a path, in the order written: at least one, none twice. It derefs to a slice of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stage {
    networks: Vec<ModelName>,
}

impl Stage {
    /// A stage of these networks.
    ///
    /// # Errors
    /// If there are none ([`PathProblem::EmptyStep`]), or one stands twice ([`PathProblem::Twice`]).
    pub fn new(networks: Vec<ModelName>) -> Result<Self, PathProblem> {
        if networks.is_empty() {
            return Err(PathProblem::EmptyStep);
        }
        if let Some(network) = twice(&networks) {
            return Err(PathProblem::Twice(network.to_string()));
        }
        Ok(Self { networks })
    }
}

/// An item that stands in the list twice.
pub(super) fn twice<T: PartialEq>(items: &[T]) -> Option<&T> {
    items.iter().enumerate().find(|&(place, item)| items[..place].contains(item)).map(|(_, item)| item)
}

impl From<ModelName> for Stage {
    fn from(network: ModelName) -> Self {
        Self { networks: vec![network] }
    }
}

impl Deref for Stage {
    type Target = [ModelName];

    fn deref(&self) -> &[ModelName] {
        &self.networks
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&joined(&self.networks, " + "))
    }
}

/// Networks along which knowledge is passed on: those of the first stage learn alone, each network of a later stage
/// alone is taught by all networks of the stage before it. It has at least one stage.
///
/// It parses from `plane10 -> plane4 -> plane2` and prints as `plane10 → plane4 → plane2`, which parses too.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DistillationPath {
    stages: Vec<Stage>,
}

impl DistillationPath {
    /// The path of these stages, or `None` if there are none.
    pub fn new(stages: Vec<Stage>) -> Option<Self> {
        (!stages.is_empty()).then_some(Self { stages })
    }

    /// The stages, teachers before those they teach.
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// How many times a stage is taught by the one before it: one less than there are stages.
    pub fn steps(&self) -> usize {
        self.stages.len() - 1
    }

    /// The last stage: the students.
    pub fn students(&self) -> &Stage {
        &self.stages[self.steps()]
    }

    /// The networks that teach the last stage; none if it is the only one.
    pub fn teachers(&self) -> &[ModelName] {
        self.steps().checked_sub(1).map_or(&[], |stage| &self.stages[stage])
    }

    /// This path with one more stage, which its last stage teaches.
    #[must_use]
    pub fn then(mut self, stage: impl Into<Stage>) -> Self {
        self.stages.push(stage.into());
        self
    }

    /// The path without its last stage, if it has others.
    pub fn before(&self) -> Option<Self> {
        Self::new(self.stages[..self.steps()].to_vec())
    }

    /// The path to one network of a stage (counted from 0): the stages before it, then that network alone.
    ///
    /// # Panics
    /// If the path has no such stage or the stage has no such network.
    #[must_use]
    pub fn up_to(&self, stage: usize, network: ModelName) -> Self {
        assert!(self.stages[stage].contains(&network), "{network} is in stage {stage} of {self}");
        let mut stages = self.stages[..stage].to_vec();
        stages.push(network.into());
        Self { stages }
    }

    /// The path with each network replaced by another, or by itself.
    ///
    /// # Errors
    /// If a stage would have a network twice.
    pub fn replace(&self, mut other: impl FnMut(ModelName) -> ModelName) -> Result<Self, PathProblem> {
        let stages = self.stages.iter().map(|stage| Stage::new(stage.iter().copied().map(&mut other).collect()));
        Ok(Self { stages: stages.collect::<Result<_, _>>()? })
    }
}

impl From<ModelName> for DistillationPath {
    fn from(network: ModelName) -> Self {
        Self { stages: vec![network.into()] }
    }
}

impl fmt::Display for DistillationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&joined(&self.stages, " → "))
    }
}

impl FromStr for DistillationPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let error = |span, problem| PathError { text: text.to_owned(), span, problem };
        let mut stages = Vec::new();
        for stage in syntax::parse(text)? {
            let mut networks: Vec<&Name<'_>> = Vec::new();
            for member in &stage.members {
                match member.choices.as_slice() {
                    [choice] if !member.optional => networks.extend(choice),
                    _ => return Err(error(member.span.clone(), PathProblem::Several)),
                }
            }
            let networks: Result<Vec<ModelName>, PathError> = networks
                .into_iter()
                .map(|name| name.text.parse().map_err(|unknown| error(name.span(), PathProblem::Unknown(unknown))))
                .collect();
            stages.push(Stage::new(networks?).map_err(|problem| error(stage.span, problem))?);
        }
        Ok(Self { stages })
    }
}

//! Distillation paths: networks, each taught by those before it.

use crate::Plan;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;
use takd_datasets::Dataset;
use takd_distill::{DataConfig, DeviceType, Distillation, NUMERICS, Protocol, Recipe, Result, RunConfig, RunId};
use takd_models::{ModelSpec, UnknownModel};

/// Networks through which the knowledge goes, the first alone, each other one taught by all of the stage before it. Parses
/// from `plane10->plane4->plane2`; networks of one stage stand with a `+` between: `plane10+resnet20->plane2`.
///
/// ```
/// use takd_grid::DistillationPath;
///
/// let path: DistillationPath = "plane10 -> plane8+resnet20 -> plane2".parse()?;
/// assert_eq!(path.stages().len(), 3);
/// assert_eq!(path.to_string(), "plane10 → plane8 + resnet20 → plane2");
/// # Ok::<(), takd_grid::PathError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DistillationPath {
    stages: Vec<Vec<ModelSpec>>,
}

/// What is no path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// One of its networks does not exist.
    #[error(transparent)]
    Model(#[from] UnknownModel),
    /// A network stands twice in a stage.
    #[error("`{0}` stands twice in one stage")]
    Twice(ModelSpec),
}

impl DistillationPath {
    /// The networks alone, taught ones after their teachers.
    pub fn stages(&self) -> &[Vec<ModelSpec>] {
        &self.stages
    }

    /// The path that ends with `model`, which the first `stages` stages teach.
    pub(crate) fn up_to(&self, stages: usize, model: ModelSpec) -> Self {
        let mut stages = self.stages[..stages].to_vec();
        stages.push(vec![model]);
        Self { stages }
    }

    /// The networks that teach the last.
    pub(crate) fn teachers(&self) -> &[ModelSpec] {
        self.stages.len().checked_sub(2).map_or(&[], |place| &self.stages[place])
    }
}

impl<const N: usize> From<[ModelSpec; N]> for DistillationPath {
    /// One network a stage.
    fn from(models: [ModelSpec; N]) -> Self {
        Self { stages: models.map(|model| vec![model]).to_vec() }
    }
}

impl fmt::Display for DistillationPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |stage: &Vec<ModelSpec>| stage.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + ");
        f.pad(&self.stages.iter().map(names).collect::<Vec<_>>().join(" → "))
    }
}

impl FromStr for DistillationPath {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let mut stages = Vec::new();
        for stage in text.replace('→', "->").split("->") {
            let mut models: Vec<ModelSpec> = Vec::new();
            for name in stage.split('+') {
                let model = name.trim().parse()?;
                if models.contains(&model) {
                    return Err(PathError::Twice(model));
                }
                models.push(model);
            }
            stages.push(models);
        }
        Ok(Self { stages })
    }
}

/// How strongly one stage teaches the next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Strength {
    /// λ: the teachers' share of the loss, 0 to 1.
    pub lambda: f64,
    /// τ: what the logits are divided by, above 0.
    pub temperature: f64,
}

/// A path and how it is gone.
#[derive(Clone, Debug, PartialEq)]
pub struct PathExperiment {
    /// The networks.
    pub path: DistillationPath,
    /// How networks are trained and chosen, each by its own family's recipe.
    pub protocol: Protocol,
    /// What all of it is trained on.
    pub device: DeviceType,
    /// Epochs of every run; the protocol's where absent.
    pub epochs: Option<usize>,
    /// Augmented forms of each image, where the protocol augments; fresh ones every epoch where absent.
    pub replays: Option<NonZeroUsize>,
    /// One experiment a seed.
    pub seeds: Vec<u64>,
    /// One for each stage but the first.
    pub strengths: Vec<Strength>,
}

impl PathExperiment {
    /// The runs that make it, on `data`.
    ///
    /// # Errors
    /// Where λ or τ is not finite.
    ///
    /// # Panics
    /// Where there are fewer strengths than stages but one.
    pub fn plan(&self, data: &Dataset) -> Result<Plan> {
        let mut plan = Plan::default();
        for &seed in &self.seeds {
            let mut teachers: Vec<RunId> = Vec::new();
            for (place, stage) in self.path.stages.iter().enumerate() {
                let distillation = place.checked_sub(1).map(|step| {
                    let Strength { lambda, temperature } = self.strengths[step];
                    Distillation { teachers: teachers.clone(), lambda, temperature }
                });
                let mut taught = Vec::new();
                for &model in stage {
                    let family = model.family();
                    let epochs = self.epochs.unwrap_or_else(|| self.protocol.epochs(family));
                    let config = RunConfig {
                        numerics: NUMERICS,
                        device: self.device,
                        model,
                        seed,
                        data: DataConfig::of(data),
                        recipe: Recipe { replays: self.replays, ..self.protocol.recipe(family, epochs) }.simplified(),
                        distillation: distillation.clone(),
                    };
                    taught.push(plan.add(self.path.up_to(place, model), data.test.len(), config)?);
                }
                teachers = taught;
            }
        }
        Ok(plan)
    }
}

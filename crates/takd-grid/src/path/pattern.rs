//! Patterns that stand for several paths.

use super::distillation_path::{DistillationPath, Stage, twice};
use super::error::{PathError, PathProblem};
use super::syntax::{self, Name, StagePattern, joined};
use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use takd_models::ModelName;

/// The most paths that a pattern may stand for, repeated ones counted.
pub const MAX_PATHS: usize = 4096;
/// The most stages of a pattern.
pub const MAX_STAGES: usize = 32;
/// The most networks of a stage of a pattern.
pub const MAX_NETWORKS: usize = 16;

/// A text that stands for one path or several; see the [module](crate::path) for the language.
///
/// It is at most [`MAX_PATHS`] paths, of at most [`MAX_STAGES`] stages of at most [`MAX_NETWORKS`] networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    text: String,
    paths: Vec<DistillationPath>,
}

impl PathPattern {
    /// The paths that it stands for, each once, in the order written: the first stage's choices vary slowest, and
    /// *with* comes before *without*.
    pub fn paths(&self) -> &[DistillationPath] {
        &self.paths
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for PathPattern {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let network = |name: &Name<'_>| {
            let unknown = |unknown| PathError {
                text: text.to_owned(),
                span: name.span(),
                problem: PathProblem::Unknown(unknown),
            };
            name.text.parse::<ModelName>().map_err(unknown)
        };
        let stages: Vec<_> =
            syntax::parse(text)?.iter().map(|stage| stage.try_map(network)).collect::<Result<_, PathError>>()?;
        let mut paths = Vec::new();
        for stages in expand(text, &stages)? {
            let stages: Result<Vec<Stage>, PathProblem> = stages.into_iter().map(Stage::new).collect();
            // `expand` leaves neither an empty stage nor an empty path nor a network twice in a stage.
            paths.extend(stages.ok().and_then(DistillationPath::new));
        }
        Ok(Self { text: joined(&stages, " → "), paths })
    }
}

/// The paths that `text` stands for, as they print, for networks of which nothing is known but their names.
pub(crate) fn expand_names(text: &str) -> Result<Vec<String>, PathError> {
    let named = |name: &Name<'_>| Ok::<_, PathError>(name.text.to_owned());
    let stages: Vec<_> = syntax::parse(text)?.iter().map(|stage| stage.try_map(named)).collect::<Result<_, _>>()?;
    let print = |stage: Vec<String>| stage.join(" + ");
    let paths = expand(text, &stages)?.into_iter();
    Ok(paths.map(|stages| stages.into_iter().map(print).collect::<Vec<_>>().join(" → ")).collect())
}

/// The paths that `stages`, parsed from `text`, stand for, each once, as the networks of their stages.
fn expand<N: Clone + Eq + Hash + fmt::Display>(
    text: &str,
    stages: &[StagePattern<N>],
) -> Result<Vec<Vec<Vec<N>>>, PathError> {
    let error = |span, problem| Err(PathError { text: text.to_owned(), span, problem });
    if stages.len() > MAX_STAGES {
        let problem = PathProblem::TooManyStages { stages: stages.len(), limit: MAX_STAGES };
        return error(0..text.len(), problem);
    }
    for stage in stages {
        let most = |choices: &[Vec<N>]| choices.iter().map(Vec::len).max().unwrap_or(0);
        let networks = stage.members.iter().map(|member| most(&member.choices)).sum();
        if networks > MAX_NETWORKS {
            return error(stage.span.clone(), PathProblem::TooManyNetworks { networks, limit: MAX_NETWORKS });
        }
    }
    for stage in stages.first().into_iter().chain(stages.last()) {
        if stage.members.iter().all(|member| member.optional) {
            return error(stage.span.clone(), PathProblem::OptionalEnd);
        }
    }
    let choices = stages.iter().flat_map(|stage| &stage.members);
    let paths = choices
        .fold(1u64, |paths, member| paths.saturating_mul(member.choices.len() as u64 + u64::from(member.optional)));
    if paths > MAX_PATHS as u64 {
        return error(0..text.len(), PathProblem::TooManyPaths { paths, limit: MAX_PATHS });
    }

    let mut paths: Vec<Vec<Vec<N>>> = vec![Vec::new()];
    for stage in stages {
        let choices = stage_choices(stage);
        if let Some(network) = choices.iter().find_map(|networks| twice(networks)) {
            return error(stage.span.clone(), PathProblem::Twice(network.to_string()));
        }
        let with = |path: &Vec<Vec<N>>, networks: &Vec<N>| {
            let mut path = path.clone();
            if !networks.is_empty() {
                path.push(networks.clone());
            }
            path
        };
        paths = paths.iter().flat_map(|path| choices.iter().map(move |networks| with(path, networks))).collect();
    }
    let mut seen = HashSet::new();
    paths.retain(|path| seen.insert(path.clone()));
    Ok(paths)
}

/// Each combination of networks that the stage can consist of; an empty one if it can be left out.
fn stage_choices<N: Clone>(stage: &StagePattern<N>) -> Vec<Vec<N>> {
    let mut combinations: Vec<Vec<N>> = vec![Vec::new()];
    for member in &stage.members {
        let nothing = Vec::new();
        let choices: Vec<&Vec<N>> = member.choices.iter().chain(member.optional.then_some(&nothing)).collect();
        let joined = |networks: &Vec<N>, choice: &[N]| [networks.as_slice(), choice].concat();
        combinations = combinations
            .iter()
            .flat_map(|networks| choices.iter().map(move |choice| joined(networks, choice)))
            .collect();
    }
    combinations
}

//! Checks of values that are each allowed but may not fit together.

use super::document::{Layout, RecipeCell};
use super::error::{RecipeProblem, Span};
use super::settings::{PerStep, Settings};
use super::table::{Item, Result, Source};
use std::fmt;

/// Refuses the paths of a cell that the layout has no place for.
pub(super) fn layout<P: fmt::Display>(item: &Item<'_>, layout: Layout, paths: &[P]) -> Result<()> {
    if layout != Layout::Methods {
        return Ok(());
    }
    let refused = |problem: String| Err(item.source.error(item.at, RecipeProblem::Conflict(problem)));
    let mut methods: [Option<String>; 3] = Default::default();
    let mut student: Option<String> = None;
    for path in paths.iter().map(ToString::to_string) {
        let stages: Vec<&str> = path.split(" → ").collect();
        let last = stages[stages.len() - 1].to_owned();
        if last.contains(" + ") {
            return refused(format!("the layout \"methods\" has one student a cell, `{path}` more"));
        }
        if let Some(student) = student.replace(last.clone()).filter(|student| *student != last) {
            return refused(format!(
                "the layout \"methods\" has one student a cell, not both `{student}` and `{last}`"
            ));
        }
        let method = stages.len().min(3) - 1;
        if let Some(other) = methods[method].replace(path.clone()) {
            let name = ["NoKD", "BLKD", "TAKD"][method];
            return refused(format!("the layout \"methods\" has one path for {name}, not both `{other}` and `{path}`"));
        }
    }
    Ok(())
}

/// Settings of one table, with the places of those that [`steps`] checks.
#[derive(Default)]
pub(super) struct PlacedSettings {
    pub(super) settings: Settings,
    pub(super) lambda_at: Option<Span>,
    pub(super) temperature_at: Option<Span>,
}

/// Refuses a list of λ or τ that has not one for each step of each of the cell's paths. Of the `settings`, the first
/// that have it count.
pub(super) fn steps(source: Source<'_>, cell: &RecipeCell, settings: &[&PlacedSettings]) -> Result<()> {
    let lambda = settings.iter().find_map(|part| part.settings.lambda.as_ref().zip(part.lambda_at));
    let temperature = settings.iter().find_map(|part| part.settings.temperature.as_ref().zip(part.temperature_at));
    for (name, found) in [("lambda", lambda), ("temperature", temperature)] {
        let Some((PerStep::Each(values), at)) = found else { continue };
        let paths = cell.known_paths().iter().map(|path| &path.path);
        if let Some(path) = paths.into_iter().find(|path| path.steps() > 0 && path.steps() != values.len()) {
            let (values, steps) = (counted(values.len(), "value"), counted(path.steps(), "step"));
            let problem = format!("`{name}` has {values}, but `{path}` of the cell `{}` has {steps}", cell.name);
            return Err(source.error(at, RecipeProblem::Conflict(problem)));
        }
    }
    Ok(())
}

fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

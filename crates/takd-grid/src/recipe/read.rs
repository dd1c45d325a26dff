//! From a recipe's text to its value.

use super::check::{self, PlacedSettings};
use super::document::{CellPath, CellPaths, DrawnImages, ImportedFile, Layout, Published, Quick, Recipe, RecipeCell};
use super::error::{Located, RecipeError, RecipeProblem, Span};
use super::keys::{TableKind, nearest};
use super::search;
use super::settings::{self, Settings};
use super::table::{Entry, Item, Result, Source, Table};
use crate::path::{MAX_PATHS, PathError, PathPattern, PathProblem, expand_names};
use std::collections::BTreeMap;
use std::fmt;
use takd_datasets::Normalization;
use takd_models::ModelName;
use toml::de::DeTable;

/// The largest recipe or file of settings, in bytes.
pub const MAX_BYTES: usize = 256 * 1024;

impl Recipe {
    /// Reads a recipe. `origin` is what messages call it: the name of its file or of a shipped recipe.
    ///
    /// # Errors
    /// If it is not TOML, has an unknown key, lacks one, has a value of the wrong type or out of its range, or values
    /// that do not fit together.
    pub fn parse(text: &str, origin: &str) -> std::result::Result<Self, RecipeError> {
        let source = Source { origin, text };
        let document = parse_toml(source)?;
        let table = Table::new(source, TableKind::Recipe, Span::default(), &document)?;

        let title = table.require("title")?.text("a text: what the experiment asks")?.to_owned();
        let published = table.get("source").map(|item| item.text("a text: where it is published")).transpose()?;
        let layout =
            table.get("layout").map(|item| item.word(Layout::ALL, Layout::as_str)).transpose()?.unwrap_or_default();
        let notes = table.get("notes").map(|item| notes(&item)).transpose()?.unwrap_or_default();
        let defaults = match table.get("defaults") {
            Some(item) => placed_settings(&item.table(TableKind::Defaults, "a table of settings")?)?,
            None => PlacedSettings::default(),
        };
        let cells = cells(&table, layout)?;
        let quick = table.get("quick").map(|item| quick(&item, &cells)).transpose()?;
        for (cell, settings) in &cells {
            check::steps(source, cell, &[settings, &defaults])?;
            if let Some((_, quick)) = &quick {
                check::steps(source, cell, &[quick, settings, &defaults])?;
            }
        }
        Ok(Self {
            title,
            source: published.map(str::to_owned),
            layout,
            notes,
            defaults: defaults.settings,
            cells: cells.into_iter().map(|(cell, _)| cell).collect(),
            search: table.get("search").map(|item| search::read(&item)).transpose()?,
            quick: quick.map(|(quick, _)| quick),
            origin: origin.to_owned(),
            text: text.to_owned(),
        })
    }
}

/// The table of a TOML text of at most [`MAX_BYTES`].
pub(super) fn parse_toml(source: Source<'_>) -> Result<DeTable<'_>> {
    if source.text.len() > MAX_BYTES {
        let problem = RecipeProblem::TooLong { bytes: source.text.len(), limit: MAX_BYTES };
        return Err(source.error(Span::default(), problem));
    }
    let parsed = DeTable::parse(source.text).map_err(|error| {
        let at = error.span().map_or(Span::default(), |span| Span { start: span.start, end: span.end });
        source.error(at, RecipeProblem::Syntax(error.message().to_owned()))
    });
    Ok(parsed?.into_inner())
}

fn notes(item: &Item<'_>) -> Result<Vec<String>> {
    let items = item.list("a list of texts")?;
    items.iter().map(|note| note.text("a text").map(str::to_owned)).collect()
}

fn placed_settings(table: &Table<'_>) -> Result<PlacedSettings> {
    Ok(PlacedSettings {
        settings: settings::read(table)?,
        lambda_at: table.get("lambda").map(|item| item.at),
        temperature_at: table.get("temperature").map(|item| item.at),
    })
}

/// The cells, each with its own settings.
fn cells(recipe: &Table<'_>, layout: Layout) -> Result<Vec<(RecipeCell, PlacedSettings)>> {
    const EXPECTED: &str = "one table or more with the header [[cell]], in double brackets";

    let list = recipe.require("cell")?;
    let items = list.list(EXPECTED)?;
    if items.is_empty() {
        return Err(list.expected(EXPECTED));
    }
    let mut cells: Vec<(RecipeCell, PlacedSettings)> = Vec::new();
    let mut paths = 0;
    for item in items {
        let table = item.table(TableKind::Cell(item.text_at("name")), EXPECTED)?;
        let settings = placed_settings(&table)?;
        let cell = cell(&table, layout, settings.settings.clone())?;
        let refused = |problem| Err(table.source.error(table.at, RecipeProblem::Conflict(problem)));
        if cells.iter().any(|(other, _)| other.name == cell.name) {
            return refused(format!("a second cell is called `{}`", cell.name));
        }
        paths += match &cell.paths {
            CellPaths::Known(paths) => paths.len(),
            CellPaths::Missing { paths, .. } => paths.len(),
        };
        if paths > MAX_PATHS {
            return refused(format!("the cells up to this one have {paths} paths; at most {MAX_PATHS}"));
        }
        cells.push((cell, settings));
    }
    Ok(cells)
}

fn cell(table: &Table<'_>, layout: Layout, settings: Settings) -> Result<RecipeCell> {
    let text = |key| table.get(key).map(|item| item.text("a text").map(str::to_owned)).transpose();
    let paths_item = table.require("paths")?;
    let paths = match text("missing")? {
        None => {
            let expand = |text: &str| text.parse().map(|pattern: PathPattern| pattern.paths().to_vec());
            let mut paths = cell_paths(&paths_item, layout, expand)?;
            paper(table, &mut paths, str::parse)?;
            CellPaths::Known(paths)
        }
        Some(why) => {
            let mut paths = cell_paths(&paths_item, layout, expand_names)?;
            paper(table, &mut paths, single_path)?;
            let known = |path: &CellPath<String>| {
                let CellPath { path, paper, at } = path;
                Some(CellPath { path: path.parse().ok()?, paper: *paper, at: *at })
            };
            let known = paths.iter().map(known).collect::<Option<_>>().unwrap_or_default();
            CellPaths::Missing { why, paths, known }
        }
    };
    Ok(RecipeCell {
        name: table.require("name")?.text("a text")?.to_owned(),
        data: table.require("data")?.located("the name of a data set")?,
        import: table.get("import").map(|item| imports(&item, &paths)).transpose()?.unwrap_or_default(),
        paths,
        paper_source: text("paper_source")?,
        note: text("note")?,
        published: table.get("published").map(|item| published(&item)).transpose()?.unwrap_or_default(),
        settings,
        at: table.at,
    })
}

/// The only path that the text stands for, as it prints, whatever its networks are called.
fn single_path(text: &str) -> std::result::Result<String, PathError> {
    let paths = expand_names(text)?;
    let several = || PathError { text: text.to_owned(), span: 0..text.len(), problem: PathProblem::Several };
    <[String; 1]>::try_from(paths).map(|[path]| path).map_err(|_| several())
}

/// The paths of a list of patterns, each once.
fn cell_paths<P: PartialEq + fmt::Display>(
    item: &Item<'_>,
    layout: Layout,
    expand: impl Fn(&str) -> std::result::Result<Vec<P>, PathError>,
) -> Result<Vec<CellPath<P>>> {
    const EXPECTED: &str = "a list of paths such as [\"plane2\", \"plane10 -> plane2\"]";

    let mut paths: Vec<CellPath<P>> = Vec::new();
    for pattern in item.list(EXPECTED)? {
        let text = pattern.text("a path such as \"plane10 -> plane2\"")?;
        for path in expand(text).map_err(|error| item.source.path_error(pattern.at, text, error))? {
            if !paths.iter().any(|known| known.path == path) {
                paths.push(CellPath { path, paper: None, at: pattern.at });
            }
        }
    }
    if paths.is_empty() {
        return Err(item.expected(EXPECTED));
    }
    let names: Vec<&P> = paths.iter().map(|path| &path.path).collect();
    check::layout(item, layout, &names)?;
    Ok(paths)
}

/// The files of networks that begin a path.
fn imports(item: &Item<'_>, paths: &CellPaths) -> Result<BTreeMap<ModelName, ImportedFile>> {
    let known = match paths {
        CellPaths::Known(paths) | CellPaths::Missing { known: paths, .. } => paths,
    };
    let mut imports = BTreeMap::new();
    for Entry { key, key_at, value } in item.entries("a table such as { resnet56 = \"resnet56.pth\" }")? {
        let network: ModelName =
            key.parse().map_err(|unknown| item.source.error(key_at, RecipeProblem::Network(unknown)))?;
        if !known.iter().any(|path| path.path.stages()[0].contains(&network)) {
            let problem = format!("no path of the cell begins with `{network}`");
            return Err(item.source.error(key_at, RecipeProblem::Conflict(problem)));
        }
        imports.insert(network, imported_file(&value)?);
    }
    Ok(imports)
}

fn imported_file(item: &Item<'_>) -> Result<ImportedFile> {
    const FILE: &str = "the name of a file";

    if item.as_text().is_some() {
        return Ok(ImportedFile { file: item.located(FILE)?, normalization: None, order: Vec::new() });
    }
    let table =
        item.table(TableKind::Imported, "the name of a file, or a table such as { file = \"resnet56.pth\" }")?;
    let three = |key, least: f64| {
        let expected = "three numbers, for red, green and blue, of pixels from 0 to 1";
        let Some(item) = table.get(key) else { return Ok(None) };
        let numbers = item.list(expected)?;
        let numbers = numbers.iter().map(|item| Ok(item.number(expected, |number| number > least)? as f32));
        let numbers = numbers.collect::<Result<Vec<f32>>>()?;
        <[f32; 3]>::try_from(numbers).map(Some).map_err(|_| item.expected(expected))
    };
    let normalization = match (three("mean", f64::NEG_INFINITY)?, three("std", 0.0)?) {
        (Some(mean), Some(std)) => Some(Normalization { mean, std }),
        (None, None) => None,
        _ => return Err(item.refused("`mean` and `std` belong together")),
    };
    let order = match table.get("order") {
        Some(item) => {
            let numbers = item.list("the number of an output, from 0, for each class")?;
            numbers.iter().map(|number| Ok(number.whole(0, u32::MAX.into())? as usize)).collect::<Result<_>>()?
        }
        None => Vec::new(),
    };
    Ok(ImportedFile { file: table.require("file")?.located(FILE)?, normalization, order })
}

const PERCENT: &str = "a test accuracy in percent, 0 to 100";

/// Puts the paper's numbers beside the paths.
fn paper<P: PartialEq + fmt::Display>(
    table: &Table<'_>,
    paths: &mut [CellPath<P>],
    single: impl Fn(&str) -> std::result::Result<P, PathError>,
) -> Result<()> {
    let Some(item) = table.get("paper") else { return Ok(()) };
    for Entry { key, key_at, value } in item.entries("a table such as { \"plane10 -> plane2\" = 72.57 }")? {
        let path = single(key).map_err(|error| item.source.path_error(key_at, key, error))?;
        let refused = |problem| Err(item.source.error(key_at, RecipeProblem::Conflict(problem)));
        let Some(place) = paths.iter().position(|known| known.path == path) else {
            return refused(format!("`{path}` is not among the paths of its cell"));
        };
        let accuracy = value.number(PERCENT, |v| (0.0..=100.0).contains(&v))?;
        if paths[place].paper.replace(accuracy).is_some() {
            return refused(format!("`{path}` has two numbers of the paper"));
        }
    }
    Ok(())
}

/// What others reached, in the order of the file.
fn published(item: &Item<'_>) -> Result<Vec<Published>> {
    let one = |Entry { key, value, .. }: Entry<'_>| {
        let percent = value.number(PERCENT, |value| (0.0..=100.0).contains(&value))?;
        Ok(Published { method: key.to_owned(), percent })
    };
    item.entries("a table such as { FitNet = 86.73 }")?.into_iter().map(one).collect()
}

fn quick(item: &Item<'_>, cells: &[(RecipeCell, PlacedSettings)]) -> Result<(Quick, PlacedSettings)> {
    let table = item.table(TableKind::Quick, "a table of what is put in place")?;
    let drawn = |item: Item<'_>| {
        let table = item.table(TableKind::Drawn, "a table such as { train = 2500, test = 1000 }")?;
        let images = |key| settings::whole(&table.require(key)?);
        Ok(DrawnImages { train: images("train")?, test: images("test")? })
    };
    let settings = placed_settings(&table)?;
    let quick = Quick {
        data: table.get("data").map(|item| quick_data(&item, cells)).transpose()?.unwrap_or_default(),
        networks: table.get("networks").map(|item| quick_networks(&item, cells)).transpose()?.unwrap_or_default(),
        drawn: table.get("drawn").map(drawn).transpose()?,
        settings: settings.settings.clone(),
    };
    Ok((quick, settings))
}

fn quick_data(item: &Item<'_>, cells: &[(RecipeCell, PlacedSettings)]) -> Result<BTreeMap<String, Located<String>>> {
    let used: Vec<&str> = cells.iter().map(|(cell, _)| cell.data.value.as_str()).collect();
    let mut data = BTreeMap::new();
    for Entry { key, key_at, value } in item.entries("a table such as { cifar10 = \"shapes10\" }")? {
        if !used.contains(&key) {
            let hint = nearest(key, &used).map_or(String::new(), |used| format!("; did you mean `{used}`?"));
            let problem = format!("no cell uses the data set `{key}`{hint}");
            return Err(item.source.error(key_at, RecipeProblem::Conflict(problem)));
        }
        data.insert(key.to_owned(), value.located("the name of a data set")?);
    }
    Ok(data)
}

fn quick_networks(item: &Item<'_>, cells: &[(RecipeCell, PlacedSettings)]) -> Result<BTreeMap<ModelName, ModelName>> {
    let paths = || cells.iter().flat_map(|(cell, _)| cell.known_paths()).map(|path| &path.path);
    let network = |at: Span, name: &str| {
        name.parse::<ModelName>().map_err(|unknown| item.source.error(at, RecipeProblem::Network(unknown)))
    };
    let refused = |at: Span, problem| Err(item.source.error(at, RecipeProblem::Conflict(problem)));
    let mut networks = BTreeMap::new();
    for Entry { key, key_at, value } in item.entries("a table such as { resnet110 = \"resnet20\" }")? {
        let old = network(key_at, key)?;
        if !paths().any(|path| path.stages().iter().any(|stage| stage.contains(&old))) {
            return refused(key_at, format!("no path of the recipe has the network `{old}`"));
        }
        networks.insert(old, network(value.at, value.text("the name of a network")?)?);
    }
    for path in paths() {
        let replaced = path.replace(|network| networks.get(&network).copied().unwrap_or(network));
        if let Err(problem) = replaced {
            return refused(item.at, format!("of `{path}`, {problem} with these networks in place"));
        }
    }
    Ok(networks)
}

//! `takd recipe`: the recipes that come with takd.

use crate::{output, text_file};
use anyhow::{Context, Result, bail};
use clap::Subcommand;
use std::path::Path;
use takd_grid::recipe::{MAX_BYTES, Recipe, shipped};

#[derive(Subcommand)]
pub(crate) enum Command {
    /// List the recipes that come with takd
    #[command(after_help = "\
Examples:
  takd recipe list
  takd recipe list --json | jq '.[].cells'

Exit status: 0; 2 on a wrong argument.")]
    List {
        /// Print the list as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print a recipe, to read it or to start one of your own from
    #[command(after_help = "\
Examples:
  takd recipe show table1
  takd recipe show table1 > mine.toml
      then change a few lines, and `takd run mine.toml`

Exit status: 0; 1 if there is no such recipe, 2 on a wrong argument.")]
    Show {
        /// Its name in `takd recipe list`
        name: String,
    },
}

pub(crate) fn run(command: &Command) -> Result<()> {
    match command {
        Command::List { json } => list(*json),
        Command::Show { name } => match shipped().iter().find(|recipe| recipe.name == name) {
            Some(recipe) => output::print(recipe.text.trim_end()),
            None => bail!("there is no recipe `{name}`; there are: {}", names()),
        },
    }
}

/// The recipe in a file, or the one of that name that comes with takd.
pub(crate) fn open(name: &str) -> Result<Recipe> {
    if let Some(recipe) = shipped().iter().find(|recipe| recipe.name == name) {
        return Ok(Recipe::parse(recipe.text, recipe.name)?);
    }
    let text = text_file::read(Path::new(name), "a recipe", MAX_BYTES as u64)?;
    let text =
        text.with_context(|| format!("there is no file {name}, nor a recipe of that name; there are: {}", names()))?;
    Ok(Recipe::parse(&text, name)?)
}

fn names() -> String {
    shipped().iter().map(|recipe| recipe.name).collect::<Vec<_>>().join(", ")
}

fn list(json: bool) -> Result<()> {
    let mut listed = Vec::new();
    for recipe in shipped() {
        listed.push((recipe.name, Recipe::parse(recipe.text, recipe.name)?));
    }
    if json {
        let entry = |(name, recipe): &(&str, Recipe)| {
            let cells: Vec<_> = recipe.cells.iter().map(|cell| &cell.name).collect();
            serde_json::json!({ "name": name, "title": recipe.title, "source": recipe.source, "cells": cells })
        };
        return output::print_json(&listed.iter().map(entry).collect::<Vec<_>>());
    }
    let line = |(name, recipe): &(&str, Recipe)| format!("{name}  {}", recipe.title);
    output::print(&listed.iter().map(line).collect::<Vec<_>>().join("\n"))
}

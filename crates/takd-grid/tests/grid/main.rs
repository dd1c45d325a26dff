//! Recipes, plans and experiments, as a program that uses the crate sees them.

mod common;
mod damaged_recipes;
mod given_logits;
mod jobs;
mod on_the_hub;
mod other_data;
mod paper;
mod path;
mod plan;
mod recipe;
mod search;
mod settings;
mod shrink;
mod study;

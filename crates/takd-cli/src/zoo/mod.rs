//! Models to give away: out of runs, into folders; and what is done with such folders.

mod accuracy;
mod evaluate;
mod export;
mod form;
mod images;
mod logits;
mod open;
mod predict;
mod provenance;

pub(crate) use evaluate::Args as EvaluateArgs;
pub(crate) use evaluate::run as evaluate;
pub(crate) use export::Args as ExportArgs;
pub(crate) use export::run as export;
pub(crate) use export::{File, export as export_run};
pub(crate) use form::Form;
pub(crate) use logits::Args as LogitsArgs;
pub(crate) use logits::run as logits;
pub(crate) use predict::Args as PredictArgs;
pub(crate) use predict::run as predict;

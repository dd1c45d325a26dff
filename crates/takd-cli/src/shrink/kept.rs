//! Recipes that were made before: the measurement that a recipe stands on comes out a little different each time, and the same command
//! must go on with the same runs.

use crate::text_file;
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use takd_datasets::Card;
use takd_grid::recipe::MAX_BYTES;
use takd_grid::shrink::{Shrink, ShrinkTeacher};

/// The hexadecimal digits of the hash.
const DIGITS: usize = 8;

/// Where the recipe for what is wanted is kept.
pub(super) struct Kept {
    /// `resnet8-my-photos-3f2a9b01`.
    pub(super) name: String,
    pub(super) file: PathBuf,
}

impl Kept {
    pub(super) fn of(wanted: &Shrink<'_>, card: &Card, out: &Path) -> Self {
        let hash = blake3::hash(identity(wanted, card).as_bytes()).to_hex();
        let name = format!("{}-{}-{}", wanted.student, card.name.as_unscaled(), &hash[..DIGITS]);
        let file = out.join("recipes").join(format!("shrink-{name}.toml"));
        Self { name, file }
    }

    /// The recipe, if it was made before.
    pub(super) fn read(&self) -> Result<Option<String>> {
        text_file::read(&self.file, "a recipe", MAX_BYTES as u64)
    }

    /// Keeps a recipe unless there is one already; gives the one that is kept.
    pub(super) fn write(&self, recipe: &str) -> Result<String> {
        takd_store::make_folder(self.file.parent().context("the recipe has a folder")?)?;
        takd_store::write_new_file(&self.file, recipe.as_bytes())?;
        self.read()?.with_context(|| format!("{} was deleted meanwhile", self.file.display()))
    }
}

/// What is wanted, as text, whatever its parts are called here: the same for the same wish.
fn identity(wanted: &Shrink<'_>, card: &Card) -> String {
    let teacher = match &wanted.teacher {
        ShrinkTeacher::Largest => "the largest".to_owned(),
        ShrinkTeacher::Named(name) => name.to_string(),
        ShrinkTeacher::Elsewhere(_, found) => {
            let scale = found.normalization.map(|scale| (scale.mean, scale.std));
            format!("{} {} {scale:?} {:?} {:?}", found.name, found.hash, found.order, found.class_names)
        }
    };
    format!(
        "student {}\nteacher {teacher}\ndata {:?} {} {}\nbudget {} s\ndevice {}\n{}",
        wanted.student,
        wanted.data.place,
        card.name,
        card.checksum,
        wanted.budget.as_secs(),
        wanted.device,
        wanted.settings.to_toml()
    )
}

//! ImageNet without its images: what a person is told who has none, and what is known of it, so that its runs can be planned.

use takd_datasets::{Card, DatasetName, DatasetRef, Normalization};
use takd_grid::Changes;
use takd_grid::recipe::{CellPaths, Recipe};

/// Its name in recipes.
const NAME: &str = "imagenet";

/// What is said to those who do not have it.
pub(crate) const HOW_TO_GET_IT: &str = "\
Give its images with --data PATH. They are those of ILSVRC 2012: 1281167 for training and 50000 for testing, of 1000 classes, 145 GB,
from image-net.org or huggingface.co/datasets/ILSVRC/imagenet-1k for those who accept the terms there. PATH is a folder with `train`
and `val`, each with a folder for each class, or `val` with all its images and a list of their classes; or one of parquet files.
A folder of other photographs, such as a part of ImageNet, is trained on in the same way.

--dry-run tells, without the images, how long all would take here: on a few processor cores years, so that it is for GPUs.
--preset quick --data shapes10@32 trains such networks on drawn images, in minutes.";

/// The data set, if a single cell is wanted and has it.
pub(crate) fn wanted(recipe: &Recipe, changes: &Changes) -> Option<DatasetRef> {
    let [wanted] = changes.cells.as_slice() else { return None };
    let cell = recipe.cells.iter().find(|cell| cell.name == *wanted)?;
    let is_missing = matches!(cell.paths, CellPaths::Missing { .. }) && cell.data.value == NAME;
    // The quick form has images of its own.
    if !is_missing || changes.preset == takd_grid::Preset::Quick {
        return None;
    }
    Some(DatasetRef { name: NAME.parse().ok()?, place: None })
}

/// Whether this is its name, at any size.
pub(crate) fn is_it(name: &DatasetName) -> bool {
    name.as_unscaled() == NAME
}

/// What everybody's copy has in common (Russakovsky et al. 2015, table 2). It has no images, so that nothing can be trained on it.
pub(crate) fn card(name: DatasetName) -> Card {
    let side = name.fit().map_or(224, |fit| fit.side());
    Card {
        name,
        class_names: (0..1000).map(|class| class.to_string()).collect(),
        height: side,
        width: side,
        train: 1_281_167,
        test: 50_000,
        normalization: Normalization::IMAGENET,
        origin: "ILSVRC 2012, whose images are not here".into(),
        licence: "that of image-net.org: research and education alone".into(),
        checksum: "0".repeat(64),
        notes: vec!["the ids of runs on its images will be others than those of this plan".into()],
    }
}

//! Logits of other images than those that are here.

use std::path::PathBuf;
use takd_datasets::DatasetName;
use takd_store::{printable, printable_path};

/// Why a file's logits are not those of the images that are here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot import {}: {}", printable_path(path), self.reason())]
pub struct OtherImages {
    /// The file.
    pub path: PathBuf,
    /// Which data set they are of, if the file says that.
    pub dataset: Option<String>,
    /// The checksum of their images, as the file has it.
    pub checksum: String,
    /// The data set that is here.
    pub name: DatasetName,
    /// The checksum of its images.
    pub expected: String,
}

impl OtherImages {
    /// The data set that is here at the size of the logits' images, if that is another one by what the file says.
    pub fn at_other_size(&self) -> Option<DatasetName> {
        let said: DatasetName = self.dataset.as_ref()?.parse().ok()?;
        (said.as_unscaled() == self.name.as_unscaled() && said != self.name).then_some(said)
    }

    fn reason(&self) -> String {
        let Self { dataset, checksum, name, expected, .. } = self;
        if let Some(said) = self.at_other_size() {
            return format!("its logits are of the images of {said}, and those here are of {name}, at another size");
        }
        let of = dataset.as_ref().map_or_else(String::new, |dataset| format!(" (of {})", printable(dataset)));
        format!(
            "its logits{of} are of images with the checksum {}, and those of {name} here have {expected}: write it again for \
             these images, in their order",
            printable(checksum)
        )
    }
}

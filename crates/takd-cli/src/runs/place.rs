//! Where runs lie, and which are meant.

use crate::common::DEFAULT_OUT;
use anyhow::{Result, ensure};
use std::path::PathBuf;
use takd_distill::Runs;
use takd_store::RunId;

/// Where the runs lie.
#[derive(clap::Args)]
pub(super) struct Place {
    /// The folder that was --out when they were trained
    #[arg(long, default_value = DEFAULT_OUT, value_name = "DIR")]
    pub out: PathBuf,
}

impl Place {
    /// The runs there; a folder that was never trained into is not made.
    pub(super) fn runs(&self) -> Result<Runs> {
        let root = self.out.join("runs");
        ensure!(
            root.is_dir(),
            "there are no runs: {} does not exist; --out names another folder, takd run, distill and reproduce-table1 train \
             into one",
            root.display()
        );
        Ok(Runs::open(&root)?)
    }
}

/// The runs named, or every one if none is.
pub(super) fn named(runs: &Runs, prefixes: &[String]) -> Result<Vec<RunId>> {
    if prefixes.is_empty() {
        return Ok(runs.ids()?);
    }
    let mut ids = Vec::new();
    for prefix in prefixes {
        let id = runs.find(prefix)?;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

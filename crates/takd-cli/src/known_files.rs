//! Which networks or logits the files of recipes held, kept beside the runs: reports of their runs need the files no longer.
//!
//! ```text
//! <out>/imports/<hash of the name>.json     a file's name as its recipe has it, and what was found in it when it was last used
//! ```

use anyhow::Result;
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::{Path, PathBuf};
use takd_distill::LogitsAbout;
use takd_grid::{Experiment, FromElsewhere};
use takd_store::RunId;

/// The largest record, in bytes: that of logits has the names of their classes.
const AT_MOST: u64 = 1 << 20;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    file: PathBuf,
    network: String,
    outputs: usize,
    blake3: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logits: Option<LogitsAbout>,
}

/// Keeps what the files of these experiments hold.
pub(crate) fn keep(out: &Path, experiments: &[Experiment]) -> Result<()> {
    let folder = out.join("imports");
    let cells = experiments.iter().flat_map(|experiment| &experiment.cells);
    let files = cells.flat_map(|cell| cell.from_elsewhere.values());
    for FromElsewhere { path, model, outputs, hash, logits, .. } in files {
        // A name that JSON cannot hold is looked for as a file every time.
        let Some(name) = path.to_str() else { continue };
        let record = Record {
            file: path.clone(),
            network: model.to_string(),
            outputs: *outputs,
            blake3: hash.clone(),
            logits: logits.clone(),
        };
        takd_store::make_folder(&folder)?;
        takd_store::write_file(&folder.join(format!("{}.json", RunId::of(name))), &serde_json::to_vec(&record)?)?;
    }
    Ok(())
}

/// What was kept; records that cannot be read count for nothing, and their files are needed.
pub(crate) fn read(out: &Path) -> Vec<FromElsewhere> {
    let files = fs::read_dir(out.join("imports")).into_iter().flatten().flatten();
    let record = |path: &Path| -> Option<FromElsewhere> {
        let bytes = takd_store::read_file(path, AT_MOST).ok()??;
        let Record { file, network, outputs, blake3, logits } = serde_json::from_slice(&bytes).ok()?;
        Some(FromElsewhere {
            name: file.display().to_string(),
            path: file,
            model: network.parse().ok()?,
            outputs,
            hash: blake3,
            normalization: None,
            order: Vec::new(),
            class_names: logits.as_ref().map_or_else(Vec::new, |logits| logits.class_names.clone()),
            logits,
        })
    };
    files.filter_map(|file| record(&file.path())).collect()
}

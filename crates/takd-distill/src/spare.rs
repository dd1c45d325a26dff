//! Files of a run that its result does not need.

use crate::checkpoint::{LAST, PREVIOUS};
use crate::runs::Runs;
use crate::{Result, logits_key};
use std::fs;
use takd_store::{Ending, Error as StoreError, RunId};

/// Why a file is there that a run's result does not need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Spare {
    /// What a kill left half written, or did not come to delete.
    Leftover,
    /// The logits of a finished run, kept for those that it teaches. If they are gone, the next of those computes them again.
    KeptLogits,
    /// The last checkpoint of a finished run. If it is gone, a run of more epochs begins anew instead of going on from it.
    Checkpoint,
}

/// A file that a run's result does not need.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpareFile {
    /// Why it is there.
    pub spare: Spare,
    /// Its name in the run's folder.
    pub name: String,
    /// Its length.
    pub bytes: u64,
}

impl Runs {
    /// The files of a run that its result does not need. All that an unfinished run needs to go on is needed.
    ///
    /// # Errors
    /// If the folder or how the run ended cannot be read.
    pub fn spare_files(&self, id: &RunId) -> Result<Vec<SpareFile>> {
        let left = self.half_written(id)?.into_iter();
        let mut spare: Vec<SpareFile> =
            left.map(|file| SpareFile { spare: Spare::Leftover, name: file.name, bytes: file.bytes }).collect();
        if !matches!(self.ending(id)?, Some(Ending::Finished(_))) {
            return Ok(spare);
        }
        let dir = self.dir(id);
        for entry in fs::read_dir(&dir).map_err(StoreError::io("read the folder", &dir))?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let kind = match name.as_str() {
                LAST => Spare::Checkpoint,
                PREVIOUS => Spare::Leftover,
                name if logits_key::is_logits(name) => Spare::KeptLogits,
                _ => continue,
            };
            let metadata = entry.metadata().ok().filter(fs::Metadata::is_file);
            spare.extend(metadata.map(|metadata| SpareFile { spare: kind, name, bytes: metadata.len() }));
        }
        spare.sort_by(|a, b| (a.spare, &a.name).cmp(&(b.spare, &b.name)));
        Ok(spare)
    }

    /// Deletes the files of a run that are spare for one of these reasons, and returns them.
    ///
    /// # Errors
    /// [`takd_store::Error::Claimed`] while somebody works on the run; if a file cannot be deleted.
    pub fn remove_spare(&self, id: &RunId, wanted: &[Spare]) -> Result<Vec<SpareFile>> {
        // Before the claim, which deletes what is half written.
        let half_written = self.spare_files(id)?;
        let Some(claim) = self.claim(id)? else { return Err(StoreError::Claimed(id.clone()).into()) };
        // Once more: until now somebody may have worked here.
        let mut spare = self.spare_files(id)?;
        spare.retain(|file| wanted.contains(&file.spare));
        for file in &spare {
            claim.remove(&file.name)?;
        }
        let swept = half_written.into_iter().filter(|file| file.spare == Spare::Leftover && !spare.contains(file));
        Ok(swept.filter(|file| !claim.path(&file.name).exists()).chain(spare.clone()).collect())
    }
}

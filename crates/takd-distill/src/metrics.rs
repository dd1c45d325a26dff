//! What is measured while a run is trained: the journal of its folder and the copy for TensorBoard, open at their ends.

use crate::records::Record;
use crate::{Result, curves};
use takd_store::{Claim, Extent, Journal};
use takd_tensorboard::EventWriter;

/// Steps from one record of a step to the next.
pub(crate) const STEPS_A_LINE: usize = 50;

/// Both files, open at their ends.
pub(crate) struct Metrics<'a> {
    journal: Journal<'a>,
    events: EventWriter,
}

impl<'a> Metrics<'a> {
    /// Empty files.
    pub(crate) fn begin(claim: &'a Claim) -> Result<Self> {
        let journal = Journal::begin(claim)?;
        Ok(Self { journal, events: curves::resume(claim, &[])? })
    }

    /// The files as they were at `extent`, without what came later; and what they hold.
    pub(crate) fn resume(claim: &'a Claim, extent: &Extent) -> Result<(Self, Vec<Record>)> {
        let (journal, records) = Journal::resume(claim, extent)?;
        Ok((Self { journal, events: curves::resume(claim, &records)? }, records))
    }

    pub(crate) fn add(&mut self, record: &Record) -> Result<()> {
        self.journal.add(record)?;
        curves::add(&mut self.events, record)
    }

    /// All of it so far, safe on the disk.
    pub(crate) fn extent(&mut self) -> Result<Extent> {
        self.events.flush()?;
        Ok(self.journal.extent()?)
    }
}

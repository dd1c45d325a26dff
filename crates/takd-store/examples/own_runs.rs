//! Keeps the runs of a program of your own, which is stopped and goes on: `cargo run -p takd-store --example own_runs -- FOLDER`.
//!
//! The program adds up 4 · (1 − 1/3 + 1/5 − …), a block of terms at a time.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use takd_store::{Canonical, Configuration, ConfigurationError, Ending, Extent, Journal, Result, RunId, Start, Store};

const CHECKPOINT: &str = "checkpoint.json";
const BLOCK: u64 = 100_000;

/// What a run is: everything that its outcome depends on.
struct Pi {
    blocks: u64,
}

impl Configuration for Pi {
    fn canonical(&self) -> String {
        Canonical::new().integer("schema", 1).integer("blocks", self.blocks).finish().expect("integers have a form")
    }

    fn parse(text: &str) -> Result<Self, ConfigurationError> {
        let blocks = text.strip_prefix("schema = 1\nblocks = ").and_then(|blocks| blocks.trim_end().parse().ok());
        Ok(Self { blocks: blocks.ok_or_else(|| ConfigurationError::Invalid("it is not of this program".into()))? })
    }

    fn needs(&self) -> Vec<RunId> {
        Vec::new() // no run is made from another's outcome
    }
}

/// A state to go on from, and how much of the journal was written then.
#[derive(Default, Serialize, Deserialize)]
struct Checkpoint {
    sum: f64,
    journal: Extent,
}

/// Goes on with a run for at most so many blocks. Says how many were known before.
fn advance(store: &Store<Pi, f64>, pi: &Pi, at_most: usize) -> Result<usize, Box<dyn std::error::Error>> {
    let claim = store.claim(&pi.id())?.ok_or("another process works on it")?;
    claim.write_config(pi)?;
    claim.add_start(&Start::now(std::env::args().collect(), "own_runs 1".into()))?;
    let kept = claim.read(CHECKPOINT, 1024)?;
    let mut checkpoint: Checkpoint = kept.as_deref().map_or(Ok(Checkpoint::default()), serde_json::from_slice)?;
    let (mut journal, records): (_, Vec<f64>) = match kept {
        Some(_) => Journal::resume(&claim, &checkpoint.journal)?,
        None => (Journal::begin(&claim)?, Vec::new()),
    };
    for block in (records.len() as u64..pi.blocks).take(at_most) {
        let term = |k: u64| (if k.is_multiple_of(2) { 4.0 } else { -4.0 }) / (2 * k + 1) as f64;
        checkpoint.sum += (block * BLOCK..(block + 1) * BLOCK).map(term).sum::<f64>();
        journal.add(&checkpoint.sum)?;
        checkpoint.journal = journal.extent()?;
        // Last, so that what it knows of is there. A kill at any point costs a block at most.
        claim.write(CHECKPOINT, &serde_json::to_vec(&checkpoint)?)?;
    }
    let is_whole = records.len() + at_most >= pi.blocks as usize;
    let ending = if is_whole { Ending::Finished(checkpoint.sum) } else { Ending::Stopped };
    claim.end(&ending, &journal.extent()?, &[CHECKPOINT])?;
    Ok(records.len())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).map_or_else(|| PathBuf::from("pi"), PathBuf::from);
    let store: Store<Pi, f64> = Store::open(&folder, |name| name == CHECKPOINT)?;
    let pi = Pi { blocks: 10 };
    for at_most in [4, 10] {
        if store.outcome(&pi.id())?.is_none() {
            let known = advance(&store, &pi, at_most)?;
            println!("run {}: {known} blocks were known, {:?}", pi.id(), store.ending(&pi.id())?);
        }
    }
    println!("{} records; pi is about {:?}", store.records::<f64>(&pi.id())?.len(), store.outcome(&pi.id())?);
    Ok(())
}

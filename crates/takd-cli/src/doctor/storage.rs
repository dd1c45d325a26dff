//! The disk that results are kept on.

use super::finding::Finding;
use serde_json::json;
use std::path::{Path, PathBuf};

/// A checkpoint of the largest networks takes hundreds of MB, and two are kept while they are trained.
const LITTLE_SPACE: u64 = 5 << 30;
const NO_SPACE: u64 = 100 << 20;

pub(super) fn findings(out: &Path) -> Vec<Finding> {
    vec![space(out), locks(out)]
}

fn space(out: &Path) -> Finding {
    let nearest = nearest(out);
    let free = free_bytes(&nearest);
    let values = json!({ "path": nearest, "free_bytes": free });
    let Some(free) = free else {
        return Finding::fine("disk", "how much is free is not known on this system", values);
    };
    let finding =
        Finding::fine("disk", format!("{} are free at {}", indicatif::BinaryBytes(free), nearest.display()), values);
    if free < NO_SPACE {
        finding.wrong("no run can be saved: `takd runs gc` says what can go; --out names another results folder")
    } else if free < LITTLE_SPACE {
        finding.worth_knowing("`takd runs gc` says what can go; --out names another results folder")
    } else {
        finding
    }
}

/// Whether runs can be kept in the results folder.
fn locks(out: &Path) -> Finding {
    let runs = out.join("runs");
    let values =
        |there: bool, file_system: Option<&str>| json!({ "path": out, "there": there, "file_system": file_system });
    let Some(folder) = [runs.as_path(), out].into_iter().find(|folder| folder.is_dir()) else {
        let found = format!("{} is not there; it is made by the first training", out.display());
        return Finding::fine("results", found, values(false, None));
    };
    match takd_store::probe(folder) {
        Ok(file_system) => {
            let found = format!("{}: {file_system} locks and renames files", folder.display());
            Finding::fine("results", found, values(true, Some(&file_system)))
        }
        Err(error) => {
            Finding::fine("results", error.to_string(), values(true, None)).wrong("--out names another results folder")
        }
    }
}

/// The folder, or the nearest above it that is there.
fn nearest(out: &Path) -> PathBuf {
    let absolute = std::path::absolute(out).unwrap_or_else(|_| out.to_owned());
    let there = absolute.ancestors().find(|folder| folder.is_dir());
    there.map_or_else(|| absolute.clone(), Path::to_owned)
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(folder).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
}

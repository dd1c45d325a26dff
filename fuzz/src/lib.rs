//! What the fuzz targets share: a structure is made first, then its bytes are damaged.

pub mod parquet;
pub mod thrift;
pub mod toml_text;

use arbitrary::Arbitrary;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

/// A folder of this process alone, in the system's folder for temporary files.
pub fn scratch() -> &'static Path {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("takd-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("the folder for temporary files can be written to");
        folder
    });
    &FOLDER
}

/// What is done to the bytes of a file that was well made.
#[derive(Debug, Arbitrary)]
pub enum Edit {
    Flip {
        at: u32,
        mask: u8,
    },
    Insert {
        at: u32,
        byte: u8,
    },
    Remove {
        at: u32,
        length: u8,
    },
    /// Some bytes once more, elsewhere.
    Copy {
        from: u32,
        length: u8,
        to: u32,
    },
    Cut {
        at: u32,
    },
}

/// `bytes` after some edits; each place is taken modulo the length.
pub fn edited(mut bytes: Vec<u8>, edits: &[Edit]) -> Vec<u8> {
    for edit in edits {
        if bytes.is_empty() {
            break;
        }
        let place = |at: &u32| *at as usize % bytes.len();
        let run = |from: &u32, length: &u8| place(from)..(place(from) + usize::from(*length)).min(bytes.len());
        match edit {
            Edit::Flip { at, mask } => {
                let at = place(at);
                bytes[at] ^= mask;
            }
            Edit::Insert { at, byte } => bytes.insert(place(at), *byte),
            Edit::Remove { at, length } => drop(bytes.drain(run(at, length))),
            Edit::Copy { from, length, to } => {
                let (copied, to) = (bytes[run(from, length)].to_vec(), place(to));
                bytes.splice(to..to, copied);
            }
            Edit::Cut { at } => bytes.truncate(place(at)),
        }
    }
    bytes
}

/// Lets a library panic if its caller turns that into an error: without this the fuzzer ends at any panic. One that
/// reaches the target still ends it.
pub fn allow_caught_panics() {
    std::panic::set_hook(Box::new(|_| {}));
}

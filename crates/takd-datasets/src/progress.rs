//! How far the loading of a data set has come.

/// How far a [`load`](crate::load) has come. Each file or split begins with `done` 0 and ends with `done == total`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress<'a> {
    /// What is being done.
    pub stage: Stage,
    /// To what: the file that is downloaded, or the split.
    pub what: &'a str,
    /// Bytes or images so far.
    pub done: u64,
    /// Bytes or images in all.
    pub total: u64,
}

impl<'a> From<takd_hub::Progress<'a>> for Progress<'a> {
    fn from(takd_hub::Progress { stage, what, done, total }: takd_hub::Progress<'a>) -> Self {
        let stage = match stage {
            takd_hub::Stage::Wait => Stage::Wait,
            // Nothing of a data set is uploaded.
            takd_hub::Stage::Download | takd_hub::Stage::Upload => Stage::Download,
        };
        Self { stage, what, done, total }
    }
}

/// What a [`load`](crate::load) is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Downloading a file; counted in bytes.
    Download,
    /// Waiting for another program that downloads a file.
    Wait,
    /// Decoding a split's images; counted in images.
    Decode,
    /// Drawing a split's images; counted in images.
    Draw,
    /// Looking at a split's images one by one; counted in images.
    Check,
}

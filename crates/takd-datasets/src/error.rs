//! What can be wrong with a data set, each with where it was and what to do about it.

use crate::{BadAugmentation, BadFit, BadName, DatasetName, Split, UnknownDataset, near};
use std::path::PathBuf;
use takd_hub::Looked;

/// A result whose error is this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a data set could not be loaded or a batch not be made. Each message names the file, row or value and the remedy.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was given is no data set.
    #[error(transparent)]
    UnknownDataset(#[from] UnknownDataset),

    /// What was given is no size of images.
    #[error(transparent)]
    BadFit(#[from] BadFit),

    /// What was given is no augmentation.
    #[error(transparent)]
    BadAugmentation(#[from] BadAugmentation),

    /// What was given cannot be the name of a data set.
    #[error(transparent)]
    BadName(#[from] BadName),

    /// A drawn data set has no files.
    #[error("the data set {0} is drawn by code: it has no files to look at")]
    Drawn(DatasetName),

    /// Two places would have one name.
    #[error(
        "{} and {} would both be the data set `{name}`: rename one of them",
        places[0].display(), places[1].display()
    )]
    TwoPlaces {
        /// The name.
        name: DatasetName,
        /// The files or folders.
        places: [PathBuf; 2],
    },

    /// The data set is in none of the places where it was looked for. If a folder was named, that is the only place.
    #[error("{}", not_found(.name, .folder.as_ref(), .looked))]
    NotFound {
        /// The data set.
        name: DatasetName,
        /// The folder that was named in [`crate::Sources::folder`], if one was.
        folder: Option<PathBuf>,
        /// Each place, with what was found there instead.
        looked: Vec<Looked>,
    },

    /// The file or folder that was named is not there.
    #[error("there is no file or folder {}{}", place.display(), near::question(.near.as_deref()))]
    NoSuchPlace {
        /// What was named.
        place: PathBuf,
        /// The known data set of that name, or what lies beside it and has nearly that name; none if nothing has.
        near: Option<String>,
    },

    /// The images are not those that the kept card describes, which was given out earlier.
    #[error(
        "the images of {name} changed after its card was made: their checksum is {found}, the card's {expected}; \
         start again to plan with the images as they are"
    )]
    Changed {
        /// The data set.
        name: DatasetName,
        /// The checksum that the card gave.
        expected: String,
        /// The images' checksum.
        found: String,
    },

    /// A file or folder could not be read.
    #[error("cannot read {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// A card could not be kept.
    #[error(transparent)]
    Store(#[from] takd_store::Error),

    /// Something other than a regular file stands where a file is expected. It was not opened.
    #[error("{} is {kind}, and only a regular file is read: put the file itself there", path.display())]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        kind: &'static str,
    },

    /// A file is larger than any such file may be. It was not read.
    #[error("{} has {found} bytes, and at most {limit} are read of such a file: it is not one", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },

    /// A file ends before its contents do.
    #[error(
        "{} is truncated: {found} bytes, {expected}; copy or download it again (delete this one first)",
        path.display()
    )]
    Truncated {
        /// The file.
        path: PathBuf,
        /// Its size in bytes.
        found: u64,
        /// What it should have been, in words.
        expected: String,
    },

    /// A file's contents are not what its format promises.
    #[error("{} is damaged or not such a file: {problem}; copy or download it again (delete this one first)", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What was wrong, and at which byte if that is known.
        problem: String,
    },

    /// A file lacks a column or holds it in another type.
    #[error(
        "{} has no column for {what}: {} would be; its columns are {}",
        path.display(), wanted.join(", "), found.join(", ")
    )]
    Column {
        /// The file.
        path: PathBuf,
        /// What the column should hold.
        what: &'static str,
        /// The columns that would do, with their types.
        wanted: Vec<String>,
        /// The columns there are, with their types.
        found: Vec<String>,
    },

    /// A parquet file is packed in a way that is not read here.
    #[error(
        "{} is packed by {codec}, which is not read here: write it again with snappy, zstd or gzip, as with `pyarrow.parquet.write_table(table, path, compression=\"zstd\")`", path.display()
    )]
    Codec {
        /// The file.
        path: PathBuf,
        /// The codec's name.
        codec: String,
    },

    /// A folder of classes is not as it must be.
    #[error("{}: {problem}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What is wrong with it, and what to do about it.
        problem: String,
    },

    /// One file or member of an archive is no usable image.
    #[error("{}: {problem}", path.display())]
    Picture {
        /// The file; of a member, its archive and then its name.
        path: PathBuf,
        /// What was wrong.
        problem: String,
    },

    /// A split has no image that can be used.
    #[error("the {split} split has no images that can be used: at least 1 is needed")]
    NoImages {
        /// The split.
        split: Split,
    },

    /// The images of a split would fill the memory.
    #[error(
        "the {split} split would take {bytes} bytes of memory, and at most {limit} are used: scale its images to a smaller size, or keep them in files of their own, or in tar files, where they can stay"
    )]
    Memory {
        /// The split.
        split: Split,
        /// What it would take.
        bytes: u64,
        /// The limit.
        limit: u64,
    },

    /// One row of a file holds no usable image or label.
    #[error("{}, row {row} (from 0): {problem}", path.display())]
    Row {
        /// The file.
        path: PathBuf,
        /// The row within that file, counted from 0.
        row: usize,
        /// What was wrong.
        problem: String,
    },

    /// Some of a split's numbered files are missing.
    #[error("{}: {missing} is missing, one of the {of} files of the {split} split: copy it there too", folder.display())]
    MissingShard {
        /// The folder that holds the others.
        folder: PathBuf,
        /// The split.
        split: Split,
        /// The missing file's name.
        missing: String,
        /// How many there should be.
        of: usize,
    },

    /// Two files of a split hold the same images, by their names: one was copied twice, or two uploads lie in one folder.
    #[error(
        "{}: `{first}` and `{second}` cannot both belong to the {split} split: their names say that they hold the same \
         images; delete the copy, or all files of the older upload", folder.display()
    )]
    DoubledShard {
        /// The folder that holds both.
        folder: PathBuf,
        /// The split.
        split: Split,
        /// The name of one file.
        first: String,
        /// The name of the other.
        second: String,
    },

    /// The hub answered, but not with the data set.
    #[error("the hub's `{repo}`: {problem}")]
    Hub {
        /// The hub's name for the data set.
        repo: String,
        /// What it answered or failed to send.
        problem: String,
    },

    /// A split has no images.
    #[error("the {split} split of {name} has no images: at least 1 is needed")]
    Empty {
        /// The data set.
        name: DatasetName,
        /// The split.
        split: Split,
    },

    /// The two splits given to [`crate::Dataset::new`] hold images of different sizes.
    #[error("training images of {}x{} and test images of {}x{} make no data set: one size is needed", train.0, train.1, test.0, test.1)]
    SplitSizes {
        /// Rows and columns of the training images.
        train: (usize, usize),
        /// Rows and columns of the test images.
        test: (usize, usize),
    },

    /// A label given to [`crate::Dataset::new`] is no class.
    #[error("the label of image {index} of the {split} split is {label}, but {name} has classes 0 to {}", classes.saturating_sub(1))]
    Label {
        /// The data set.
        name: DatasetName,
        /// The split.
        split: Split,
        /// The image's index within its split.
        index: usize,
        /// The label.
        label: u32,
        /// How many classes there are.
        classes: usize,
    },

    /// Pixels, labels and dimensions given to [`crate::Images::new`] do not fit together.
    #[error(
        "{pixels} bytes of pixels and {labels} labels do not make images of {height}x{width}x3: \
         each needs one label and {} bytes", height.saturating_mul(*width).saturating_mul(3)
    )]
    Shape {
        /// Bytes of pixels.
        pixels: usize,
        /// Number of labels.
        labels: usize,
        /// Rows of an image.
        height: usize,
        /// Columns of an image.
        width: usize,
    },

    /// An order names an image that is not there.
    #[error("the order asks for image {index}, but there are {len}: make it with `epoch_order({len}, …)`")]
    Index {
        /// The index.
        index: u32,
        /// Number of images.
        len: usize,
    },

    /// Batches of no images.
    #[error("a batch of 0 images was asked for: set `batch_size` to 1 or more")]
    BatchSize,

    /// A file is not what it was when the images in it were listed.
    #[error("{}: it was changed since its images were listed: start again, and leave it alone meanwhile", path.display())]
    FileChanged {
        /// The file.
        path: PathBuf,
    },

    /// The threads that decode images could not be started.
    #[error("cannot start the threads that decode images: {0}")]
    Threads(String),

    /// The hub was not asked, because no token is like the one that is set.
    #[error(transparent)]
    HubToken(takd_hub::Error),

    /// The tensor of a batch could not be made or moved to its device.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl From<takd_hub::Error> for Error {
    fn from(error: takd_hub::Error) -> Self {
        use takd_hub::Error as HubError;
        match error {
            HubError::Io { path, source } => Self::Io { path, source },
            HubError::NotAFile { path, kind } => Self::NotAFile { path, kind },
            HubError::TooLarge { path, found, limit } => Self::TooLarge { path, found, limit },
            HubError::Token { place } => Self::HubToken(HubError::Token { place }),
            HubError::Hub { repo, problem } => Self::Hub { repo, problem },
        }
    }
}

fn not_found(name: &DatasetName, folder: Option<&PathBuf>, looked: &[Looked]) -> String {
    let mut message = match folder {
        Some(folder) => format!(
            "the data set {name} was not found in {}, which was named and is the only place looked into:\n",
            folder.display()
        ),
        None if looked.is_empty() => format!("nobody said where the data set {name} is. "),
        None => format!("the data set {name} was not found. Looked for in:\n"),
    };
    for Looked { place, found } in looked {
        message += &format!("  - {place}: {found}\n");
    }
    message += "Name a folder that holds one of: a folder of images for each class, or train and val with such folders; \
                train-*.parquet and test-*.parquet with columns `image` (PNG, JPEG, …) and `label`; WebDataset shards, train*.tar; \
                CIFAR as its authors give it, cifar-10-python.tar.gz; MNIST's train-images-idx3-ubyte. shapes10 and shapes100 are \
                drawn by code and need no files";
    message
}

//! Parquet files of CIFAR-10's layout that are right in form and lie in numbers.

use crate::thrift::{Struct, varint};
use arbitrary::Arbitrary;
use std::io::{Cursor, Write};
use std::sync::LazyLock;

/// A number that a header tells.
#[derive(Debug, Default, Arbitrary)]
pub enum Told {
    #[default]
    True,
    Off(i8),
    /// A power of two and a little.
    Power(u8, i8),
    Is(i64),
}

impl Told {
    fn of(&self, truth: usize) -> i64 {
        match *self {
            Self::True => truth as i64,
            Self::Off(by) => truth as i64 + i64::from(by),
            Self::Power(exponent, by) => (1i64 << (exponent % 64)).wrapping_add(i64::from(by)),
            Self::Is(number) => number,
        }
    }

    fn of_32(&self, truth: usize) -> i32 {
        self.of(truth) as i32
    }
}

/// A file, before damage to its bytes.
#[derive(Debug, Default, Arbitrary)]
pub struct File {
    groups: Vec<Group>,
    rows: Told,
    /// Groups around everything, in the schema alone.
    nested: Option<u16>,
    footer_bytes: Told,
    odd_names: bool,
}

#[derive(Debug, Default, Arbitrary)]
struct Group {
    images: Chunk,
    labels: Chunk,
    rows: Told,
    without_labels: bool,
}

/// The pages of one column.
#[derive(Debug, Default, Arbitrary)]
struct Chunk {
    dictionary: Option<Dictionary>,
    pages: Vec<Page>,
    codec: Codec,
    values: Told,
    bytes: Told,
    unpacked_bytes: Told,
    offset: Told,
    dictionary_offset: Told,
}

#[derive(Debug, Arbitrary)]
struct Dictionary {
    entries: u8,
    told: Told,
    unpacked: Told,
}

#[derive(Debug, Default, Arbitrary)]
struct Page {
    content: Content,
    version: Version,
    told: Told,
    unpacked: Told,
    packed: Told,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Arbitrary)]
enum Version {
    #[default]
    One,
    Two,
}

#[derive(Debug, Arbitrary)]
enum Content {
    /// Rows one after another, the value's kind by the number.
    Plain(Vec<u8>),
    /// Rows that point into the dictionary: so many, in one run whose length may be another.
    Run { rows: u8, entry: u8, told: Told },
    /// Nulls: so many, in one run of definition levels whose length may be another.
    Nulls { rows: u8, told: Told },
    /// Bytes that are no page, of some encoding.
    Raw { encoding: u8, bytes: Vec<u8> },
    /// Kilobytes of zeros: a few bytes once they are packed.
    Zeros { encoding: u8, kilobytes: u16 },
}

impl Default for Content {
    fn default() -> Self {
        Self::Plain(Vec::new())
    }
}

#[derive(Debug, Default, Clone, Copy, Arbitrary)]
enum Codec {
    #[default]
    None,
    Snappy,
    Gzip,
    Zstd,
    /// Not packed at all, whatever the header says.
    Claimed(u8),
}

impl Codec {
    fn number(self) -> i32 {
        match self {
            Self::None => 0,
            Self::Snappy => 1,
            Self::Gzip => 2,
            Self::Zstd => 6,
            Self::Claimed(number) => i32::from(number % 10),
        }
    }

    fn pack(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::None | Self::Claimed(_) => bytes.to_vec(),
            Self::Snappy => snap::raw::Encoder::new().compress_vec(bytes).expect("a page is small"),
            Self::Gzip => {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                packer.write_all(bytes).expect("memory takes it");
                packer.finish().expect("memory takes it")
            }
            Self::Zstd => zstd::bulk::compress(bytes, 1).expect("a page is small"),
        }
    }
}

// Encodings of values and of levels.
const PLAIN: i32 = 0;
const RLE: i32 = 3;
const DICTIONARY: i32 = 8;

/// What a column is of.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Images,
    Labels,
}

impl Kind {
    /// The highest definition level: `img.bytes` is optional twice.
    fn levels(self) -> u64 {
        if self == Self::Images { 2 } else { 1 }
    }

    /// A value as it stands in a page.
    fn value(self, kind: u8) -> Vec<u8> {
        if self == Self::Labels {
            // Of CIFAR-10's ten classes, and a few that are not.
            return (i64::from(kind % 16) % 11 - i64::from(kind == 255)).to_le_bytes().to_vec();
        }
        let image: &[u8] = match kind % 8 {
            0..5 => &PNG,
            5..7 => &JPEG,
            _ => b"no image",
        };
        [&(image.len() as u32).to_le_bytes(), image].concat()
    }
}

static PNG: LazyLock<Vec<u8>> = LazyLock::new(|| image(image::ImageFormat::Png));
static JPEG: LazyLock<Vec<u8>> = LazyLock::new(|| image(image::ImageFormat::Jpeg));

fn image(format: image::ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image::RgbImage::new(32, 32).write_to(&mut bytes, format).expect("a black image can be written");
    bytes.into_inner()
}

impl File {
    /// A small file without a lie: so many rows.
    pub fn honest(rows: u8) -> Self {
        let chunk = || Chunk {
            pages: vec![Page { content: Content::Plain((0..rows).collect()), ..Page::default() }],
            ..Chunk::default()
        };
        Self { groups: vec![Group { images: chunk(), labels: chunk(), ..Group::default() }], ..Self::default() }
    }

    /// The file's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"PAR1".to_vec();
        let mut groups = Vec::new();
        let mut rows = 0;
        for group in &self.groups {
            let mut columns = vec![group.images.write(Kind::Images, &mut bytes, self.odd_names)];
            if !group.without_labels {
                columns.push(group.labels.write(Kind::Labels, &mut bytes, self.odd_names));
            }
            let group_rows = group.labels.rows();
            rows += group_rows;
            let row_group = Struct::new().structures(1, columns).i64(2, 100);
            groups.push(row_group.i64(3, group.rows.of(group_rows)));
        }
        let footer = Struct::new().i32(1, 1).structures(2, self.schema()).i64(3, self.rows.of(rows));
        let footer = footer.structures(4, groups).text(6, "takd-fuzz").end();
        bytes.extend(&footer);
        bytes.extend((self.footer_bytes.of(footer.len()) as u32).to_le_bytes());
        bytes.extend(b"PAR1");
        bytes
    }

    fn schema(&self) -> Vec<Struct> {
        const OPTIONAL: i32 = 1;
        let group = |name: &str, children: i32| Struct::new().i32(3, OPTIONAL).text(4, name).i32(5, children);
        let mut schema = vec![Struct::new().text(4, "schema").i32(5, 2)];
        if let Some(levels) = self.nested {
            schema = vec![Struct::new().text(4, "schema").i32(5, 3)];
            schema.extend((0..levels).map(|_| group("deep", 1)));
            schema.push(Struct::new().i32(1, 6).i32(3, OPTIONAL).text(4, "bottom"));
        }
        let name = |name| if self.odd_names { "\u{1b}[31modd\u{0}" } else { name };
        schema.push(group(name("img"), 1));
        schema.push(Struct::new().i32(1, 6).i32(3, OPTIONAL).text(4, "bytes"));
        schema.push(Struct::new().i32(1, 2).i32(3, OPTIONAL).text(4, name("label")));
        schema
    }

    /// The number of rows that the footer tells.
    pub fn told_rows(&self) -> i64 {
        self.rows.of(self.groups.iter().map(|group| group.labels.rows()).sum())
    }
}

impl Chunk {
    fn rows(&self) -> usize {
        self.pages.iter().map(Page::rows).sum()
    }

    /// Appends the chunk's pages; its place in a row group.
    fn write(&self, kind: Kind, bytes: &mut Vec<u8>, odd_names: bool) -> Struct {
        let start = bytes.len();
        let mut unpacked = 0;
        if let Some(dictionary) = &self.dictionary {
            let content: Vec<u8> = (0..dictionary.entries).flat_map(|entry| kind.value(entry)).collect();
            let packed = self.codec.pack(&content);
            unpacked += content.len();
            let header = Struct::new().i32(1, 2).i32(2, dictionary.unpacked.of_32(content.len()));
            let header = header.i32(3, packed.len() as i32);
            let entries = dictionary.told.of_32(dictionary.entries.into());
            let header = header.structure(7, Struct::new().i32(1, entries).i32(2, 0).flag(3, false));
            bytes.extend(header.end());
            bytes.extend(packed);
        }
        let data = bytes.len();
        for page in &self.pages {
            unpacked += page.write(kind, self.codec, bytes);
        }
        let path: &[&str] = match (kind, odd_names) {
            (Kind::Images, false) => &["img", "bytes"],
            (Kind::Images, true) => &["\u{1b}[31modd\u{0}", "bytes"],
            (Kind::Labels, false) => &["label"],
            (Kind::Labels, true) => &["\u{1b}[31modd\u{0}"],
        };
        let about = Struct::new().i32(1, if kind == Kind::Images { 6 } else { 2 }).i32s(2, &[0, 3, 8]).texts(3, path);
        let about = about.i32(4, self.codec.number()).i64(5, self.values.of(self.rows()));
        let about = about.i64(6, self.unpacked_bytes.of(unpacked)).i64(7, self.bytes.of(bytes.len() - start));
        let mut about = about.i64(9, self.offset.of(data));
        if self.dictionary.is_some() {
            about = about.i64(11, self.dictionary_offset.of(start));
        }
        Struct::new().i64(2, 0).structure(3, about)
    }
}

impl Page {
    fn rows(&self) -> usize {
        match &self.content {
            Content::Plain(values) => values.len(),
            Content::Run { rows, .. } | Content::Nulls { rows, .. } => usize::from(*rows),
            Content::Raw { .. } | Content::Zeros { .. } => 1,
        }
    }

    /// Appends the page; how long its content is when it is unpacked.
    fn write(&self, kind: Kind, codec: Codec, bytes: &mut Vec<u8>) -> usize {
        let rows = self.rows();
        let run = |length: i64, value: u64| {
            let mut run = Vec::new();
            varint(&mut run, (length as u64) << 1);
            run.push(value as u8);
            run
        };
        let all_present = || run(rows as i64, kind.levels());
        let (encoding, levels, values) = match &self.content {
            Content::Plain(values) => (PLAIN, all_present(), values.iter().flat_map(|v| kind.value(*v)).collect()),
            Content::Run { entry, told, .. } => {
                (DICTIONARY, all_present(), [vec![8], run(told.of(rows), u64::from(*entry))].concat())
            }
            Content::Nulls { told, .. } => (PLAIN, run(told.of(rows), 0), Vec::new()),
            Content::Raw { encoding, bytes } => (i32::from(*encoding), Vec::new(), bytes.clone()),
            Content::Zeros { encoding, kilobytes } => {
                (i32::from(*encoding), Vec::new(), vec![0; usize::from(*kilobytes) << 10])
            }
        };
        let nulls = if matches!(self.content, Content::Nulls { .. }) { rows } else { 0 };
        let told = self.told.of_32(rows);
        let unpacked = match self.version {
            Version::One if levels.is_empty() => values.len(),
            Version::One => 4 + levels.len() + values.len(),
            Version::Two => levels.len() + values.len(),
        };
        let (before, packed) = match self.version {
            Version::One if levels.is_empty() => (Vec::new(), codec.pack(&values)),
            Version::One => {
                let length = (levels.len() as u32).to_le_bytes();
                (Vec::new(), codec.pack(&[&length, &levels[..], &values].concat()))
            }
            Version::Two => (levels, codec.pack(&values)),
        };
        let packed_bytes = self.packed.of_32(before.len() + packed.len());
        let header = |number| Struct::new().i32(1, number).i32(2, self.unpacked.of_32(unpacked)).i32(3, packed_bytes);
        let header = match self.version {
            Version::One => header(0).structure(5, Struct::new().i32(1, told).i32(2, encoding).i32(3, RLE).i32(4, RLE)),
            Version::Two => {
                let about = Struct::new().i32(1, told).i32(2, nulls as i32).i32(3, told).i32(4, encoding);
                header(3).structure(8, about.i32(5, before.len() as i32).i32(6, 0).flag(7, true))
            }
        };
        bytes.extend(header.end());
        bytes.extend(before);
        bytes.extend(packed);
        unpacked
    }
}

//! What a parquet file claims of itself, looked at before the parquet library believes it.
//!
//! The library reserves memory by the numbers that stand in the file, and follows its schema by recursion. A few bytes can claim
//! gigabytes. So its footer and the headers of the pages that will be read are walked here first, without reserving anything:
//!
//! ```text
//! footer   lists no longer than the bytes that follow; structures at most 32 deep; a schema at most 16 deep
//! rows     at most one for every 8 bytes of the file; the footer's, the row groups' and the pages' numbers agree
//! pages    within their column; unpacked, all of a column at most 64 MiB and 16 times its size
//! ```
//!
//! Both are in Thrift's compact protocol (<https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>), the
//! fields those of parquet.thrift (<https://github.com/apache/parquet-format>).

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use std::io::{self, Read, Seek, SeekFrom};

/// How deep structures may be nested in a footer or a page's header.
const MAX_DEPTH: usize = 32;

/// How deep columns may be nested.
const MAX_SCHEMA_DEPTH: usize = 16;

/// The most bytes of a footer.
const MAX_FOOTER: u64 = 64 << 20;

/// The most bytes of a page's header: with its statistics, which may hold two values.
const MAX_HEADER: u64 = 1 << 20;

/// What a column may unpack to, whatever its size in the file.
const UNPACKED: u64 = 64 << 20;

/// What a column may unpack to, for each of its bytes in the file.
const UNPACKED_A_BYTE: u64 = 16;

/// Bytes of a file for each of its rows, at least.
const BYTES_A_ROW: u64 = 8;

/// A column's place in a file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunk {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) codec: Compression,
    /// How many rows its row group has.
    pub(crate) rows: u64,
}

/// Refuses a footer that nobody may believe. The file has its marks at both ends.
pub(crate) fn check_footer(file: &mut (impl Read + Seek), length: u64) -> Result<(), String> {
    let told = |error: io::Error| error.to_string();
    file.seek(SeekFrom::Start(length.saturating_sub(8))).map_err(told)?;
    let mut size = [0; 4];
    file.read_exact(&mut size).map_err(told)?;
    let size = u64::from(u32::from_le_bytes(size));
    if size > MAX_FOOTER || size + 12 > length {
        return Err(format!("its footer claims {size} of the file's {length} bytes"));
    }
    file.seek(SeekFrom::Start(length - 8 - size)).map_err(told)?;
    let mut footer = vec![0; size as usize];
    file.read_exact(&mut footer).map_err(told)?;
    let mut walk = Walk { bytes: &footer, at: 0 };
    let mut children = Vec::new();
    let mut rows = 0;
    walk.fields(0, &mut |walk, field, kind, depth| match (field, kind) {
        (2, LIST) => {
            let (count, element) = walk.list()?;
            for _ in 0..count {
                if element != STRUCT {
                    return Err("its schema is none".into());
                }
                let mut own = 0;
                walk.fields(depth + 1, &mut |walk, field, kind, depth| match (field, kind) {
                    (5, I32) => walk.int().map(|count| own = count),
                    _ => walk.skip(kind, depth),
                })?;
                children.push(u64::try_from(own).map_err(|_| "a column has fewer than no columns in it")?);
            }
            Ok(())
        }
        (3, I64) => walk.int().map(|count| rows = count),
        _ => walk.skip(kind, depth),
    })?;
    check_depth(&children)?;
    match u64::try_from(rows) {
        Ok(rows) if rows <= length / BYTES_A_ROW => Ok(()),
        _ => Err(format!("it tells of {rows} rows, and a file of {length} bytes cannot hold so many images")),
    }
}

/// The columns stand in the order of a tree, each with the number of those in it.
fn check_depth(children: &[u64]) -> Result<(), String> {
    let mut open: Vec<u64> = Vec::new();
    for &count in children {
        if let Some(left) = open.last_mut() {
            *left -= 1;
        }
        open.push(count);
        if open.len() > MAX_SCHEMA_DEPTH {
            return Err(format!("its columns are nested more than {MAX_SCHEMA_DEPTH} deep"));
        }
        while open.last() == Some(&0) {
            open.pop();
        }
    }
    Ok(())
}

/// Refuses a column whose pages nobody may believe.
pub(crate) fn check_pages(file: &mut (impl Read + Seek), chunk: Chunk) -> Result<(), String> {
    let limit = UNPACKED + UNPACKED_A_BYTE * (chunk.end - chunk.start);
    let (mut at, mut unpacked, mut rows) = (chunk.start, 0u64, 0u64);
    while at < chunk.end && rows < chunk.rows {
        let page = read_header(file, at, chunk.end)?;
        let body = at + page.header;
        let problem = |what: String| Err(format!("the page at byte {at} {what}"));
        if page.packed > chunk.end - body {
            return problem(format!("has {} bytes, and its column {}", page.packed, chunk.end - body));
        }
        unpacked = unpacked.saturating_add(page.unpacked);
        if unpacked > limit {
            return problem(format!(
                "claims to unpack to {} bytes: all of this column may have {limit}",
                page.unpacked
            ));
        }
        match page.kind {
            // Each value of a dictionary takes four bytes at least.
            Kind::Dictionary if page.values > page.unpacked / 4 => {
                return problem(format!("claims {} values in {} bytes", page.values, page.unpacked));
            }
            Kind::Data => rows = rows.saturating_add(page.values),
            Kind::Dictionary | Kind::Other => {}
        }
        if rows > chunk.rows {
            return problem(format!("has more values than the {} rows of its row group", chunk.rows));
        }
        check_unpacked(file, body, &page, chunk.codec).or_else(problem)?;
        at = body + page.packed;
    }
    if rows == chunk.rows {
        Ok(())
    } else {
        Err(format!("its pages hold {rows} values, and it tells of {} rows", chunk.rows))
    }
}

/// Refuses a page that unpacks to other than it says: the library reserves what the packed bytes ask for.
fn check_unpacked(file: &mut (impl Read + Seek), body: u64, page: &Page, codec: Compression) -> Result<(), String> {
    if page.levels > page.packed || page.levels > page.unpacked {
        return Err("has more levels than bytes".into());
    }
    let (packed, claimed) = (page.packed - page.levels, page.unpacked - page.levels);
    if !page.is_packed || codec == Compression::UNCOMPRESSED {
        return if packed == claimed {
            Ok(())
        } else {
            Err(format!("is not packed, has {packed} bytes and claims {claimed}"))
        };
    }
    file.seek(SeekFrom::Start(body + page.levels)).map_err(|error| error.to_string())?;
    let body = file.take(packed);
    let found = match codec {
        Compression::SNAPPY => length_of_snappy(body),
        Compression::GZIP(_) => io::copy(&mut MultiGzDecoder::new(body).take(claimed + 1), &mut io::sink()),
        Compression::ZSTD(_) => {
            zstd::Decoder::new(body).and_then(|unpacked| io::copy(&mut unpacked.take(claimed + 1), &mut io::sink()))
        }
        other => return Err(format!("is packed by {other}")),
    };
    match found {
        Ok(found) if found == claimed => Ok(()),
        Ok(found) => Err(format!(
            "claims to unpack to {claimed} bytes and has {}",
            if found > claimed { "more".into() } else { found.to_string() }
        )),
        Err(error) => Err(format!("cannot be unpacked: {error}")),
    }
}

/// The first number of bytes packed by Snappy is how many they were.
fn length_of_snappy(mut bytes: impl Read) -> io::Result<u64> {
    let mut length = 0;
    for shift in (0..35).step_by(7) {
        let mut byte = [0];
        bytes.read_exact(&mut byte)?;
        length |= u64::from(byte[0] & 0x7f) << shift;
        if byte[0] < 0x80 {
            return Ok(length);
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

enum Kind {
    Data,
    Dictionary,
    Other,
}

/// What the header of a page says.
struct Page {
    kind: Kind,
    /// Bytes of the header itself.
    header: u64,
    packed: u64,
    unpacked: u64,
    values: u64,
    /// Bytes before those that are packed.
    levels: u64,
    is_packed: bool,
}

fn read_header(file: &mut (impl Read + Seek), at: u64, end: u64) -> Result<Page, String> {
    let mut bytes = Vec::new();
    // Most headers are short.
    for size in [256, MAX_HEADER] {
        bytes.clear();
        file.seek(SeekFrom::Start(at)).map_err(|error| error.to_string())?;
        file.take(size.min(end - at)).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        match parse_header(&bytes) {
            Err(_) if bytes.len() as u64 == size && size < MAX_HEADER => {}
            parsed => return parsed.map_err(|problem| format!("the page at byte {at}: {problem}")),
        }
    }
    Err(format!("the page at byte {at} has a header without end"))
}

fn parse_header(bytes: &[u8]) -> Result<Page, String> {
    let mut walk = Walk { bytes, at: 0 };
    let [mut kind, mut unpacked, mut packed, mut values, mut levels] = [0i64; 5];
    let mut is_packed = true;
    walk.fields(0, &mut |walk, field, of, depth| match (field, of) {
        (1, I32) => walk.int().map(|of| kind = of),
        (2, I32) => walk.int().map(|bytes| unpacked = bytes),
        (3, I32) => walk.int().map(|bytes| packed = bytes),
        (5 | 7, STRUCT) => walk.fields(depth + 1, &mut |walk, field, of, depth| match (field, of) {
            (1, I32) => walk.int().map(|count| values = count),
            _ => walk.skip(of, depth),
        }),
        (8, STRUCT) => walk.fields(depth + 1, &mut |walk, field, of, depth| match (field, of) {
            (1, I32) => walk.int().map(|count| values = count),
            (5 | 6, I32) => walk.int().map(|bytes| levels = levels.saturating_add(bytes.max(0))),
            (7, TRUE | FALSE) => {
                is_packed = of == TRUE;
                Ok(())
            }
            _ => walk.skip(of, depth),
        }),
        _ => walk.skip(of, depth),
    })?;
    let count = |number: i64| u64::try_from(number).map_err(|_| "it has a number below 0".to_owned());
    let kind = match kind {
        0 | 3 => Kind::Data,
        2 => Kind::Dictionary,
        _ => Kind::Other,
    };
    let (packed, unpacked, values, levels) = (count(packed)?, count(unpacked)?, count(values)?, count(levels)?);
    Ok(Page { kind, header: walk.at as u64, packed, unpacked, values, levels, is_packed })
}

// The types of the compact protocol.
const TRUE: u8 = 1;
const FALSE: u8 = 2;
const BYTE: u8 = 3;
const I16: u8 = 4;
const I32: u8 = 5;
const I64: u8 = 6;
const DOUBLE: u8 = 7;
const BINARY: u8 = 8;
const LIST: u8 = 9;
const SET: u8 = 10;
const MAP: u8 = 11;
const STRUCT: u8 = 12;

/// A walk over bytes of the compact protocol.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
}

type OnField<'f, 'a> = dyn FnMut(&mut Walk<'a>, i64, u8, usize) -> Result<(), String> + 'f;

impl<'a> Walk<'a> {
    /// Calls `on_field` with the number and type of each field of a structure; it must go past the field.
    fn fields(&mut self, depth: usize, on_field: &mut OnField<'_, 'a>) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("structures are nested more than {MAX_DEPTH} deep"));
        }
        let mut field = 0i64;
        loop {
            let head = self.byte()?;
            let (step, kind) = (head >> 4, head & 0xf);
            if kind == 0 {
                return Ok(());
            }
            field = if step == 0 { self.int()? } else { field.saturating_add(step.into()) };
            on_field(self, field, kind, depth)?;
        }
    }

    /// Goes past a value of a type.
    fn skip(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        match kind {
            // Within a structure the value is the type.
            TRUE | FALSE => Ok(()),
            BYTE => self.take(1),
            I16 | I32 | I64 => self.int().map(|_| ()),
            DOUBLE => self.take(8),
            BINARY => {
                let length = self.length()?;
                self.take(length)
            }
            LIST | SET => {
                let (count, element) = self.list()?;
                (0..count).try_for_each(|_| self.skip_element(element, depth + 1))
            }
            MAP => {
                let count = self.length()?;
                let kinds = if count == 0 { 0 } else { self.byte()? };
                (0..count).try_for_each(|_| {
                    self.skip_element(kinds >> 4, depth + 1)?;
                    self.skip_element(kinds & 0xf, depth + 1)
                })
            }
            STRUCT => self.fields(depth + 1, &mut |walk, _, kind, depth| walk.skip(kind, depth)),
            kind => Err(format!("a field has the type {kind}, which there is not")),
        }
    }

    /// The same within a list, where a truth value is a byte.
    fn skip_element(&mut self, kind: u8, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err(format!("structures are nested more than {MAX_DEPTH} deep"));
        }
        if matches!(kind, TRUE | FALSE) { self.take(1) } else { self.skip(kind, depth) }
    }

    /// The number and type of a list's elements, each of which takes a byte at least.
    fn list(&mut self) -> Result<(usize, u8), String> {
        let head = self.byte()?;
        let count = if head >> 4 == 15 { self.length()? } else { usize::from(head >> 4) };
        if count > self.bytes.len() - self.at {
            return Err(format!("a list claims {count} elements in {} bytes", self.bytes.len() - self.at));
        }
        Ok((count, head & 0xf))
    }

    fn length(&mut self) -> Result<usize, String> {
        let length = self.varint()?;
        usize::try_from(length).ok().filter(|&length| length <= self.bytes.len() - self.at).ok_or_else(|| {
            format!("{length} bytes or elements are claimed, and {} bytes follow", self.bytes.len() - self.at)
        })
    }

    /// A number with a sign.
    fn int(&mut self) -> Result<i64, String> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64, String> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err("a number has no end".into())
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = *self.bytes.get(self.at).ok_or("it ends too early")?;
        self.at += 1;
        Ok(byte)
    }

    fn take(&mut self, n: usize) -> Result<(), String> {
        if n > self.bytes.len() - self.at {
            return Err("it ends too early".into());
        }
        self.at += n;
        Ok(())
    }
}

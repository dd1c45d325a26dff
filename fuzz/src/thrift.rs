//! Thrift's compact protocol, written: what the headers of Parquet are made of.

/// The fields of a struct so far; they must be written with rising numbers.
#[derive(Default)]
pub struct Struct {
    bytes: Vec<u8>,
    last: i16,
}

impl Struct {
    pub fn new() -> Self {
        Self::default()
    }

    fn field(&mut self, number: i16, kind: u8) -> &mut Vec<u8> {
        match number - self.last {
            step @ 1..=15 => self.bytes.push((step as u8) << 4 | kind),
            _ => {
                self.bytes.push(kind);
                varint(&mut self.bytes, zigzag(i64::from(number)));
            }
        }
        self.last = number;
        &mut self.bytes
    }

    pub fn flag(mut self, number: i16, value: bool) -> Self {
        self.field(number, if value { 1 } else { 2 });
        self
    }

    pub fn i32(mut self, number: i16, value: i32) -> Self {
        varint(self.field(number, 5), zigzag(i64::from(value)));
        self
    }

    pub fn i64(mut self, number: i16, value: i64) -> Self {
        varint(self.field(number, 6), zigzag(value));
        self
    }

    pub fn text(mut self, number: i16, value: &str) -> Self {
        binary(self.field(number, 8), value.as_bytes());
        self
    }

    pub fn structure(mut self, number: i16, value: Self) -> Self {
        let value = value.end();
        self.field(number, 12).extend(value);
        self
    }

    pub fn i32s(mut self, number: i16, values: &[i32]) -> Self {
        let bytes = self.field(number, 9);
        list(bytes, values.len(), 5);
        values.iter().for_each(|value| varint(bytes, zigzag(i64::from(*value))));
        self
    }

    pub fn texts(mut self, number: i16, values: &[&str]) -> Self {
        let bytes = self.field(number, 9);
        list(bytes, values.len(), 8);
        values.iter().for_each(|value| binary(bytes, value.as_bytes()));
        self
    }

    pub fn structures(mut self, number: i16, values: Vec<Self>) -> Self {
        let bytes = self.field(number, 9);
        list(bytes, values.len(), 12);
        values.into_iter().for_each(|value| bytes.extend(value.end()));
        self
    }

    /// The whole struct.
    pub fn end(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

fn list(bytes: &mut Vec<u8>, length: usize, kind: u8) {
    if length < 15 {
        bytes.push((length as u8) << 4 | kind);
    } else {
        bytes.push(0xf0 | kind);
        varint(bytes, length as u64);
    }
}

fn binary(bytes: &mut Vec<u8>, value: &[u8]) {
    varint(bytes, value.len() as u64);
    bytes.extend(value);
}

fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63) as u64
}

/// A number in groups of seven bits, the lowest first.
pub fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

//! Python's pickles, read without executing anything.
//!
//! What a pickle would call is not called: the name of the function and its arguments are given as they are. That is enough for
//! the arrays of NumPy, whose bytes stand in the pickle.

use std::collections::HashMap;

/// A value of a pickle.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value<'a> {
    /// `None`, a number that is not whole, or anything else that nobody here reads.
    Other,
    Int(i64),
    /// A string or bytes.
    Bytes(&'a [u8]),
    /// A list or a tuple.
    List(Vec<Value<'a>>),
    Dict(Vec<(Value<'a>, Value<'a>)>),
    /// The name of a class or function.
    Global,
    /// What a function would have made, with the state that it would have been given, if there is one.
    Object {
        state: Box<Value<'a>>,
    },
    Mark,
}

/// How many values a pickle may make, all together, those that it repeats included. CIFAR's have 20 thousand.
const MAX_VALUES: usize = 1 << 20;

/// How deep its values may be nested.
const MAX_DEPTH: usize = 16;

impl<'a> Value<'a> {
    /// What a dictionary holds under a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        let is_key = |name: &Self| matches!(name, Self::Bytes(name) if *name == key.as_bytes());
        entries.iter().find(|(name, _)| is_key(name)).map(|(_, value)| value)
    }

    /// The bytes of a NumPy array: what stands last in its state.
    pub(crate) fn array(&self) -> Option<&'a [u8]> {
        match self {
            Self::Bytes(bytes) => Some(bytes),
            Self::Object { state } => match &**state {
                Self::List(state) => match state.last()? {
                    Self::Bytes(bytes) => Some(bytes),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// The number of values in it, itself included, and how deep they are nested.
    fn size(&self) -> (usize, usize) {
        let children: Box<dyn Iterator<Item = &Self> + '_> = match self {
            Self::List(values) => Box::new(values.iter()),
            Self::Dict(entries) => Box::new(entries.iter().flat_map(|(key, value)| [key, value])),
            Self::Object { state } => Box::new(std::iter::once(&**state)),
            _ => return (1, 0),
        };
        children.map(Self::size).fold((1, 1), |(count, depth), (n, d)| (count + n, depth.max(d + 1)))
    }
}

/// The value that a pickle of protocol 1 to 5 holds.
///
/// # Errors
/// What is wrong with it, and at which byte.
pub(crate) fn read(bytes: &[u8]) -> Result<Value<'_>, String> {
    let mut machine = Machine { bytes, at: 0, stack: Vec::new(), memo: HashMap::new(), values: 0 };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(None) => {}
            Ok(Some(value)) => return Ok(value),
            Err(problem) => return Err(format!("{problem}, at byte {at}")),
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    stack: Vec<Value<'a>>,
    memo: HashMap<u32, Value<'a>>,
    /// How many values were made.
    values: usize,
}

type Step<T> = Result<T, String>;

impl<'a> Machine<'a> {
    /// One instruction; the value if it is the last one.
    fn step(&mut self) -> Step<Option<Value<'a>>> {
        let code = self.take(1)?[0];
        match code {
            0x80 => _ = self.take(1)?, // PROTO
            0x95 => _ = self.take(8)?, // FRAME
            b'.' => return self.pop().map(Some),
            b'(' => self.push(Value::Mark)?,
            b'N' | 0x88 | 0x89 => self.push(Value::Other)?,
            b'G' => {
                self.take(8)?;
                self.push(Value::Other)?;
            }
            b'K' => self.int(1)?,
            b'M' => self.int(2)?,
            b'J' => {
                let bytes = self.take(4)?.try_into().map_err(|_| "it ends too early")?;
                self.push(Value::Int(i32::from_le_bytes(bytes).into()))?;
            }
            0x8a => {
                let length = self.take(1)?[0];
                self.take(length.into())?;
                self.push(Value::Other)?;
            }
            b'U' | b'C' | 0x8c => self.text(1)?,
            b'T' | b'B' | b'X' => self.text(4)?,
            0x8e | 0x8d => self.text(8)?,
            b'c' => {
                self.line()?;
                self.line()?;
                self.push(Value::Global)?;
            }
            0x93 => {
                self.pop()?;
                self.pop()?;
                self.push(Value::Global)?;
            }
            // REDUCE, NEWOBJ: what would be called, and its arguments.
            b'R' | 0x81 => {
                self.pop()?;
                self.pop()?;
                self.push(Value::Object { state: Box::new(Value::Other) })?;
            }
            b'b' => {
                let state = Box::new(self.pop()?);
                match self.pop()? {
                    Value::Object { .. } => self.push(Value::Object { state })?,
                    _ => return Err("a state is given to what has none".into()),
                }
            }
            b']' | b')' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            b'a' => {
                let value = self.pop()?;
                self.list()?.push(value);
            }
            b'e' => {
                let values = self.pop_to_mark()?;
                self.list()?.extend(values);
            }
            b't' | b'l' => {
                let values = self.pop_to_mark()?;
                self.push(Value::List(values))?;
            }
            0x85..=0x87 => {
                let mut values = Vec::new();
                for _ in 0x85..=code {
                    values.insert(0, self.pop()?);
                }
                self.push(Value::List(values))?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.dict()?.push((key, value));
            }
            b'u' | b'd' => {
                let mut values = self.pop_to_mark()?.into_iter();
                if code == b'd' {
                    self.push(Value::Dict(Vec::new()))?;
                }
                let dict = self.dict()?;
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    dict.push((key, value));
                }
            }
            b'q' => {
                let place = self.take(1)?[0].into();
                self.remember(place)?;
            }
            b'r' => {
                let place = self.number(4)?;
                self.remember(place as u32)?;
            }
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let place = self.take(1)?[0].into();
                self.recall(place)?;
            }
            b'j' => {
                let place = self.number(4)?;
                self.recall(place as u32)?;
            }
            code => return Err(format!("it has an instruction {code:#04x} that is not read here")),
        }
        Ok(None)
    }

    fn take(&mut self, n: usize) -> Step<&'a [u8]> {
        let rest = &self.bytes[self.at..];
        let taken = rest.get(..n).ok_or("it ends too early")?;
        self.at += n;
        Ok(taken)
    }

    /// A number of so many bytes, the lowest first.
    fn number(&mut self, bytes: usize) -> Step<u64> {
        Ok(self.take(bytes)?.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    fn int(&mut self, bytes: usize) -> Step<()> {
        let number = self.number(bytes)?;
        self.push(Value::Int(number as i64))
    }

    /// Bytes behind their number.
    fn text(&mut self, bytes: usize) -> Step<()> {
        let length = self.number(bytes)?.try_into().map_err(|_| "it ends too early")?;
        let text = self.take(length)?;
        self.push(Value::Bytes(text))
    }

    fn line(&mut self) -> Step<()> {
        let length = self.bytes[self.at..].iter().position(|&byte| byte == b'\n').ok_or("it ends too early")?;
        self.take(length + 1).map(|_| ())
    }

    fn push(&mut self, value: Value<'a>) -> Step<()> {
        let (count, depth) = value.size();
        self.values += count;
        if self.values > MAX_VALUES || depth > MAX_DEPTH {
            return Err(format!("it has more than {MAX_VALUES} values, or deeper ones than {MAX_DEPTH}"));
        }
        self.stack.push(value);
        Ok(())
    }

    fn pop(&mut self) -> Step<Value<'a>> {
        self.stack.pop().ok_or_else(|| "it takes a value that is not there".into())
    }

    fn pop_to_mark(&mut self) -> Step<Vec<Value<'a>>> {
        let mark = self.stack.iter().rposition(|value| *value == Value::Mark).ok_or("a mark is missing")?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn list(&mut self) -> Step<&mut Vec<Value<'a>>> {
        match self.stack.last_mut() {
            Some(Value::List(values)) => Ok(values),
            _ => Err("a list is missing".into()),
        }
    }

    fn dict(&mut self) -> Step<&mut Vec<(Value<'a>, Value<'a>)>> {
        match self.stack.last_mut() {
            Some(Value::Dict(entries)) => Ok(entries),
            _ => Err("a dictionary is missing".into()),
        }
    }

    fn remember(&mut self, place: u32) -> Step<()> {
        let value = self.stack.last().ok_or("it keeps a value that is not there")?.clone();
        self.values += value.size().0;
        self.memo.insert(place, value);
        Ok(())
    }

    fn recall(&mut self, place: u32) -> Step<()> {
        let value = self.memo.get(&place).ok_or("it recalls a value that it has not kept")?.clone();
        self.push(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `pickle.dumps({b"labels": [6, 300, 70000], "data": b"abc"}, 2)` and `…, 4)`, by Python 3.11.
    const SECOND: &[u8] = b"\x80\x02}q\x00(c_codecs\nencode\nq\x01X\x06\x00\x00\x00labelsq\x02X\x06\x00\x00\x00latin1q\x03\x86q\x04Rq\x05]q\x06(K\x06M,\x01Jp\x11\x01\x00eX\x04\x00\x00\x00dataq\x07h\x01X\x03\x00\x00\x00abcq\x08h\x03\x86q\tRq\nu.";
    const FOURTH: &[u8] = b"\x80\x04\x95$\x00\x00\x00\x00\x00\x00\x00}\x94(C\x06labels\x94]\x94(K\x06M,\x01Jp\x11\x01\x00e\x8c\x04data\x94C\x03abc\x94u.";

    #[test]
    fn dictionaries_lists_numbers_and_bytes_come_back() {
        let value = read(FOURTH).unwrap();
        assert_eq!(value.get("labels"), Some(&Value::List(vec![Value::Int(6), Value::Int(300), Value::Int(70_000)])));
        assert_eq!(value.get("data").and_then(Value::array), Some(&b"abc"[..]));
    }

    #[test]
    fn what_would_be_called_is_not_called() {
        // Protocol 2 has its bytes made by `_codecs.encode`.
        let value = read(SECOND).unwrap();
        assert_eq!(value.get("data"), Some(&Value::Object { state: Box::new(Value::Other) }));
        // `os.system("echo")`
        let value = read(b"cos\nsystem\n(U\x04echotR.").unwrap();
        assert_eq!(value, Value::Object { state: Box::new(Value::Other) });
    }

    #[test]
    fn every_beginning_of_a_pickle_is_refused_and_no_byte_is_read_beyond_it() {
        for pickle in [SECOND, FOURTH] {
            for end in 0..pickle.len() {
                let error = read(&pickle[..end]).unwrap_err();
                assert!(error.contains("at byte"), "{error}");
            }
        }
    }

    #[test]
    fn pickle_that_doubles_itself_is_refused() {
        // A list that holds the list before it twice, forty times over.
        let mut pickle = b"]q\x00".to_vec();
        for _ in 0..40 {
            pickle.extend(b"h\x00h\x00\x86q\x00");
        }
        pickle.push(b'.');
        assert!(read(&pickle).unwrap_err().contains("more than"));
    }
}

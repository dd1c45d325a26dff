//! Reads the pickle of a PyTorch state dict: a small machine that knows how a tensor is written and executes nothing.
//!
//! candle's reader trusts its file: short tuples make it panic, nested ones end the process, a declared length is reserved, and
//! a tensor shared a few dozen times over fills the memory. Here a value is a small copy or a place in a list, so that a pickle of
//! n bytes takes memory and time in proportion to n whatever it says.

use std::collections::HashMap;

/// A tensor as the pickle describes it. Nothing in it has been checked against the file.
#[derive(Clone, Copy)]
pub(crate) struct Described<'a, L> {
    /// The class of its storage, such as `FloatStorage`.
    pub storage: &'a str,
    /// The name of its storage's entry.
    pub key: &'a str,
    /// Where it starts, as a number of elements.
    pub offset: i64,
    /// Its shape.
    pub dims: L,
    /// Elements from one to the next along each dimension.
    pub strides: L,
}

/// A tensor and its name.
type NamedTensor<'a> = (&'a str, Described<'a, Vec<i64>>);

/// The tensors of a pickled state dict by name, in their order.
///
/// # Errors
/// In words, if the pickle is cut short, is not one of `torch.save`, or holds something else than a dict of tensors.
pub(crate) fn state_dict(pickle: &[u8]) -> Result<Vec<NamedTensor<'_>>, String> {
    let mut machine = Machine::default();
    let result = machine.run(pickle)?;
    let Value::Dict(dict) = result else {
        return Err(format!("it holds {} and not a state dict", result.describe()));
    };
    let entries = machine.dicts[dict].iter().map(|&(key, value)| match (key, value) {
        (Value::Text(name), Value::Tensor(tensor)) => machine.described(name, tensor),
        (Value::Text(name), other) => {
            Err(format!("its entry `{}` is {} and not a tensor", name.escape_debug(), other.describe()))
        }
        (other, _) => Err(format!("it holds a dict with {} for a key and not a state dict", other.describe())),
    });
    entries.collect()
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Int(i64),
    Text(&'a str),
    Class(&'a str, &'a str),
    /// Places in the machine's lists.
    Tuple(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    /// An object of this class, which is not made.
    Object(&'a str, &'a str),
    /// A number or a list: nothing that a state dict is made of.
    Other(&'static str),
}

impl Value<'_> {
    fn describe(self) -> String {
        match self {
            Self::Int(_) => "an integer".to_owned(),
            Self::Text(_) => "a text".to_owned(),
            Self::Class(module, name) => format!("the class {}.{}", module.escape_debug(), name.escape_debug()),
            Self::Tuple(_) => "a tuple".to_owned(),
            Self::Dict(_) => "a dict".to_owned(),
            Self::Storage(_) => "a storage".to_owned(),
            Self::Tensor(_) => "a tensor".to_owned(),
            Self::Object(module, name) => format!("an object of {}.{}", module.escape_debug(), name.escape_debug()),
            Self::Other(what) => what.to_owned(),
        }
    }
}

#[derive(Default)]
struct Machine<'a> {
    stack: Vec<Value<'a>>,
    /// Lengths of the stack when a mark was put on it.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    tuples: Vec<Vec<Value<'a>>>,
    dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    /// Class and key.
    storages: Vec<(&'a str, &'a str)>,
    /// Sizes and strides are places of tuples.
    tensors: Vec<Described<'a, usize>>,
}

const CUT: &str = "its pickle is cut short";
const WRONG: &str = "its pickle is damaged";

impl<'a> Machine<'a> {
    /// Runs a pickle to its end and gives its result. The opcodes are those of protocol 2, which `torch.save` writes
    /// (Python's `pickletools` explains them).
    fn run(&mut self, mut pickle: &'a [u8]) -> Result<Value<'a>, String> {
        let input = &mut pickle;
        loop {
            match take(input, 1)?[0] {
                // PROTO
                0x80 => _ = take(input, 1)?,
                // STOP
                b'.' => return self.pop(),
                // MARK
                b'(' => self.marks.push(self.stack.len()),
                // NONE, NEWTRUE, NEWFALSE, BINFLOAT, EMPTY_LIST
                b'N' => self.stack.push(Value::Other("None")),
                0x88 | 0x89 => self.stack.push(Value::Other("a truth value")),
                b'G' => {
                    take(input, 8)?;
                    self.stack.push(Value::Other("a number"));
                }
                b']' => self.stack.push(Value::Other("a list")),
                // BININT1, BININT2, BININT, LONG1
                b'K' => self.stack.push(Value::Int(integer(take(input, 1)?, false))),
                b'M' => self.stack.push(Value::Int(integer(take(input, 2)?, false))),
                b'J' => self.stack.push(Value::Int(integer(take(input, 4)?, true))),
                0x8a => {
                    let length = take(input, 1)?[0];
                    let bytes = take(input, length.into())?;
                    let long =
                        if bytes.len() <= 8 { Value::Int(integer(bytes, true)) } else { Value::Other("a number") };
                    self.stack.push(long);
                }
                // BINUNICODE
                b'X' => {
                    let length = unsigned(take(input, 4)?);
                    let text = std::str::from_utf8(take(input, length as usize)?).map_err(|_| WRONG)?;
                    self.stack.push(Value::Text(text));
                }
                // GLOBAL
                b'c' => {
                    let class = Value::Class(line(input)?, line(input)?);
                    self.stack.push(class);
                }
                // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
                b')' => self.tuple(self.stack.len()),
                op @ 0x85..=0x87 => {
                    let length = usize::from(op - 0x84);
                    let start = self.stack.len().checked_sub(length).ok_or(WRONG)?;
                    self.tuple(start);
                }
                b't' => {
                    let start = self.mark()?;
                    self.tuple(start);
                }
                // EMPTY_DICT
                b'}' => self.dict(),
                // SETITEM, SETITEMS
                b's' => {
                    let start = self.stack.len().checked_sub(2).ok_or(WRONG)?;
                    self.set_items(start)?;
                }
                b'u' => {
                    let start = self.mark()?;
                    self.set_items(start)?;
                }
                // APPEND, APPENDS: to a list, which nothing asks for.
                b'a' => _ = self.pop()?,
                b'e' => {
                    let start = self.mark()?;
                    self.stack.truncate(start);
                }
                // BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
                op @ (b'q' | b'r') => {
                    let place = unsigned(take(input, if op == b'q' { 1 } else { 4 })?);
                    let &top = self.stack.last().ok_or(WRONG)?;
                    self.memo.insert(place, top);
                }
                op @ (b'h' | b'j') => {
                    let place = unsigned(take(input, if op == b'h' { 1 } else { 4 })?);
                    let &value = self.memo.get(&place).ok_or(WRONG)?;
                    self.stack.push(value);
                }
                // BINPERSID
                b'Q' => {
                    let id = self.pop()?;
                    let storage = self.storage(id).ok_or("its pickle refers to something else than a storage")?;
                    self.storages.push(storage);
                    self.stack.push(Value::Storage(self.storages.len() - 1));
                }
                // REDUCE, NEWOBJ: would call a function.
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(function, arguments)?;
                }
                // BUILD: would set attributes, such as the `_metadata` of a state dict.
                b'b' => _ = self.pop()?,
                other => {
                    return Err(format!("its pickle has an instruction that torch.save does not write ({other:#04x})"));
                }
            }
        }
    }

    fn pop(&mut self) -> Result<Value<'a>, String> {
        Ok(self.stack.pop().ok_or(WRONG)?)
    }

    /// Takes the last mark away; the values from there on belong to it.
    fn mark(&mut self) -> Result<usize, String> {
        Ok(self.marks.pop().filter(|&start| start <= self.stack.len()).ok_or(WRONG)?)
    }

    /// Makes a tuple of the values from `start` on.
    fn tuple(&mut self, start: usize) {
        let values = self.stack.split_off(start);
        self.tuples.push(values);
        self.stack.push(Value::Tuple(self.tuples.len() - 1));
    }

    fn dict(&mut self) {
        self.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.dicts.len() - 1));
    }

    /// Puts the keys and values from `start` on into the dict below them. Those of other objects are dropped.
    fn set_items(&mut self, start: usize) -> Result<(), String> {
        let items = self.stack.split_off(start);
        if let &Value::Dict(dict) = self.stack.last().ok_or(WRONG)? {
            let (pairs, []) = items.as_chunks::<2>() else { return Err(WRONG.into()) };
            self.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    /// What a call would give, of the few that a state dict is made with. All others give an object that nothing can be read from.
    fn call(&mut self, function: Value<'a>, arguments: Value<'a>) -> Result<(), String> {
        let Value::Class(module, name) = function else { return Err(WRONG.into()) };
        let arguments = self.tuple_of(arguments).ok_or(WRONG)?;
        let result = match (module, name, arguments) {
            ("collections", "OrderedDict", []) => {
                self.dict();
                return Ok(());
            }
            (
                "torch._utils",
                "_rebuild_tensor_v2",
                &[Value::Storage(storage), Value::Int(offset), Value::Tuple(dims), Value::Tuple(strides), ..],
            ) => {
                let (storage, key) = self.storages[storage];
                self.tensors.push(Described { storage, key, offset, dims, strides });
                Value::Tensor(self.tensors.len() - 1)
            }
            ("torch._utils", "_rebuild_parameter", &[tensor @ Value::Tensor(_), ..]) => tensor,
            _ => Value::Object(module, name),
        };
        self.stack.push(result);
        Ok(())
    }

    /// `("storage", class, key, device, elements)`.
    fn storage(&self, id: Value) -> Option<(&'a str, &'a str)> {
        match self.tuple_of(id)? {
            &[Value::Text("storage"), Value::Class("torch", class), Value::Text(key), ..] => Some((class, key)),
            _ => None,
        }
    }

    fn tuple_of(&self, value: Value) -> Option<&[Value<'a>]> {
        let Value::Tuple(tuple) = value else { return None };
        Some(&self.tuples[tuple])
    }

    fn described(&self, name: &'a str, tensor: usize) -> Result<(&'a str, Described<'a, Vec<i64>>), String> {
        let Described { storage, key, offset, dims, strides } = self.tensors[tensor];
        // No tensor of a network has more dimensions than a convolution's four.
        const MOST: usize = 4;
        let integers = |tuple: usize| {
            let values = Some(&self.tuples[tuple]).filter(|values| values.len() <= MOST)?;
            values
                .iter()
                .map(|value| if let &Value::Int(n) = value { Some(n) } else { None })
                .collect::<Option<Vec<_>>>()
        };
        match (integers(dims), integers(strides)) {
            (Some(dims), Some(strides)) if dims.len() == strides.len() => {
                Ok((name, Described { storage, key, offset, dims, strides }))
            }
            _ => Err(format!("its tensor `{}` has no shape of at most {MOST} dimensions", name.escape_debug())),
        }
    }
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    Ok(input.split_off(..length).ok_or(CUT)?)
}

fn line<'a>(input: &mut &'a [u8]) -> Result<&'a str, String> {
    let length = input.iter().position(|&byte| byte == b'\n').ok_or(CUT)?;
    let line = take(input, length + 1)?;
    Ok(std::str::from_utf8(&line[..length]).map_err(|_| WRONG)?)
}

/// Of at most 4 bytes, little-endian.
fn unsigned(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// Of at most 8 bytes, little-endian; in two's complement if `signed`.
fn integer(bytes: &[u8], signed: bool) -> i64 {
    let start = if signed && bytes.last().is_some_and(|&byte| byte >= 0x80) { -1 } else { 0 };
    bytes.iter().rev().fold(start, |number, &byte| number << 8 | i64::from(byte))
}

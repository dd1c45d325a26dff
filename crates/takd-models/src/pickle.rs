//! Reads a pickle of `torch.save`: a small machine that knows how a tensor is written and executes nothing.
//!
//! candle's reader trusts its file: short tuples make it panic, nested ones end the process, a declared length is reserved, and
//! a tensor shared a few dozen times over fills the memory. Here a value is a small copy or a place in a list, so that a pickle of
//! n bytes takes memory and time in proportion to n whatever it says.

use crate::pickled::{Described, Value, Values};
use std::collections::HashMap;

/// Runs a pickle to its end and gives its result, and the values that this refers to; what follows the pickle is left. The opcodes are
/// those of protocol 2, which `torch.save` writes unless it is told otherwise, the strings of Python 2, and most of protocol 5
/// (Python's `pickletools` explains them).
///
/// # Errors
/// In words, if the pickle is cut short or is not one of `torch.save`.
pub(crate) fn read<'a>(input: &mut &'a [u8]) -> Result<(Value<'a>, Values<'a>), String> {
    let mut machine = Machine::default();
    let whole = machine.run(input)?;
    Ok((whole, machine.values))
}

#[derive(Default)]
struct Machine<'a> {
    stack: Vec<Value<'a>>,
    /// Lengths of the stack when a mark was put on it.
    marks: Vec<usize>,
    memo: HashMap<u32, Value<'a>>,
    values: Values<'a>,
}

const CUT: &str = "its pickle is cut short";
const WRONG: &str = "its pickle is damaged";

impl<'a> Machine<'a> {
    fn run(&mut self, input: &mut &'a [u8]) -> Result<Value<'a>, String> {
        loop {
            match take(input, 1)?[0] {
                // PROTO, FRAME
                0x80 => _ = take(input, 1)?,
                0x95 => _ = take(input, 8)?,
                // STOP
                b'.' => return self.pop(),
                // MARK
                b'(' => self.marks.push(self.stack.len()),
                // POP, POP_MARK
                b'0' => _ = self.pop()?,
                b'1' => {
                    let start = self.mark()?;
                    self.stack.truncate(start);
                }
                // FROZENSET
                0x91 => {
                    let start = self.mark()?;
                    self.stack.truncate(start);
                    self.stack.push(Value::Other("a set"));
                }
                // NONE, NEWTRUE, NEWFALSE, BINFLOAT, EMPTY_LIST, EMPTY_SET
                b'N' => self.stack.push(Value::None),
                op @ (0x88 | 0x89) => self.stack.push(Value::Bool(op == 0x88)),
                b'G' => {
                    take(input, 8)?;
                    self.stack.push(Value::Other("a number"));
                }
                b']' => {
                    self.values.lists.push(Vec::new());
                    self.stack.push(Value::List(self.values.lists.len() - 1));
                }
                0x8f => self.stack.push(Value::Other("a set")),
                // BININT1, BININT2, BININT, LONG1, LONG4
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
                0x8b => {
                    let length = unsigned(take(input, 4)?);
                    take(input, length as usize)?;
                    self.stack.push(Value::Other("a number"));
                }
                // SHORT_BINUNICODE, BINUNICODE
                op @ (0x8c | b'X') => {
                    let length = unsigned(take(input, if op == 0x8c { 1 } else { 4 })?);
                    let text = std::str::from_utf8(take(input, length as usize)?).map_err(|_| WRONG)?;
                    self.stack.push(Value::Text(text));
                }
                // BINBYTES8, BYTEARRAY8
                0x8e | 0x96 => {
                    let length = take(input, 8)?.try_into().map(u64::from_le_bytes).map_err(|_| CUT)?;
                    take(input, usize::try_from(length).map_err(|_| CUT)?)?;
                    self.stack.push(Value::Other("bytes"));
                }
                // SHORT_BINSTRING, BINSTRING: strings of Python 2; SHORT_BINBYTES, BINBYTES
                op @ (b'U' | b'T' | b'C' | b'B') => {
                    let length = unsigned(take(input, if matches!(op, b'U' | b'C') { 1 } else { 4 })?);
                    let bytes = take(input, length as usize)?;
                    let text = std::str::from_utf8(bytes).ok().filter(|_| matches!(op, b'U' | b'T'));
                    self.stack.push(text.map_or(Value::Other("bytes"), Value::Text));
                }
                // GLOBAL, STACK_GLOBAL
                b'c' => {
                    let class = Value::Class(line(input)?, line(input)?);
                    self.stack.push(class);
                }
                0x93 => {
                    let (Value::Text(name), Value::Text(module)) = (self.pop()?, self.pop()?) else {
                        return Err(WRONG.into());
                    };
                    self.stack.push(Value::Class(module, name));
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
                // APPEND, APPENDS, ADDITEMS
                b'a' => {
                    let start = self.stack.len().checked_sub(1).ok_or(WRONG)?;
                    self.append(start)?;
                }
                b'e' | 0x90 => {
                    let start = self.mark()?;
                    self.append(start)?;
                }
                // MEMOIZE, BINPUT, LONG_BINPUT, BINGET, LONG_BINGET
                0x94 => {
                    let &top = self.stack.last().ok_or(WRONG)?;
                    self.memo.insert(self.memo.len() as u32, top);
                }
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
                    let value = self.persistent(id);
                    self.stack.push(value);
                }
                // REDUCE, NEWOBJ: would call a function.
                b'R' | 0x81 => {
                    let (arguments, function) = (self.pop()?, self.pop()?);
                    self.call(function, arguments)?;
                }
                // NEWOBJ_EX: with arguments by name, which are dropped.
                0x92 => {
                    let (_, arguments, function) = (self.pop()?, self.pop()?, self.pop()?);
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
        self.values.tuples.push(values);
        self.stack.push(Value::Tuple(self.values.tuples.len() - 1));
    }

    fn dict(&mut self) {
        self.values.dicts.push(Vec::new());
        self.stack.push(Value::Dict(self.values.dicts.len() - 1));
    }

    /// Puts the keys and values from `start` on into the dict below them. Those of other objects are dropped.
    fn set_items(&mut self, start: usize) -> Result<(), String> {
        let items = self.stack.split_off(start);
        if let &Value::Dict(dict) = self.stack.last().ok_or(WRONG)? {
            let (pairs, []) = items.as_chunks::<2>() else { return Err(WRONG.into()) };
            self.values.dicts[dict].extend(pairs.iter().map(|&[key, value]| (key, value)));
        }
        Ok(())
    }

    /// Appends the values from `start` on to the list below them. Those of other objects are dropped.
    fn append(&mut self, start: usize) -> Result<(), String> {
        let items = self.stack.split_off(start);
        if let &Value::List(list) = self.stack.last().ok_or(WRONG)? {
            self.values.lists[list].extend(items);
        }
        Ok(())
    }

    /// What a call would give, of the few that a state dict is made with. All others give an object that nothing can be read from.
    fn call(&mut self, function: Value<'a>, arguments: Value<'a>) -> Result<(), String> {
        // What a call gave may be called, such as a class inside of a class.
        let (Value::Class(module, name) | Value::Object(module, name)) = function else { return Err(WRONG.into()) };
        let arguments = self.values.tuple_of(arguments).ok_or(WRONG)?;
        let result = match (module, name, arguments) {
            ("collections", "OrderedDict", []) => {
                self.dict();
                return Ok(());
            }
            (
                "torch._utils",
                "_rebuild_tensor_v2" | "_rebuild_tensor",
                &[Value::Storage(storage), Value::Int(offset), Value::Tuple(dims), Value::Tuple(strides), ..],
            ) => {
                let (storage, key) = self.values.storages[storage];
                self.values.tensors.push(Described { storage, key, offset, dims, strides });
                Value::Tensor(self.values.tensors.len() - 1)
            }
            ("torch._utils", "_rebuild_parameter", &[tensor @ Value::Tensor(_), ..]) => tensor,
            _ => Value::Object(module, name),
        };
        self.stack.push(result);
        Ok(())
    }

    /// What stands outside of the pickle: `("storage", class, key, device, elements)`, and before PyTorch 1.6 `None` behind it, for a
    /// view of another storage would stand there; or `("module", class, its file, its code)`, before 1.6 too.
    fn persistent(&mut self, id: Value<'a>) -> Value<'a> {
        match self.values.tuple_of(id) {
            Some(
                &[Value::Text("storage"), Value::Class("torch", class), Value::Text(key), _, _]
                | &[Value::Text("storage"), Value::Class("torch", class), Value::Text(key), _, _, Value::None],
            ) => {
                self.values.storages.push((class, key));
                Value::Storage(self.values.storages.len() - 1)
            }
            Some(&[Value::Text("module"), class @ Value::Class(..), ..]) => class,
            _ => Value::Other("a storage of an unknown kind"),
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

//! Files of `torch.save`: a pickle, and the numbers that it refers to.

use crate::pickled::Value;
use crate::shown::Shown;
use crate::state_dict::{self, StateDict};
use crate::stored::{Contents, Stored};
use crate::unreadable::Unreadable;
use crate::{pickle, zip};
use candle_core::DType;
use std::collections::HashMap;

/// What a file of PyTorch up to 1.5 begins with: a pickled number.
pub(crate) const LEGACY: &[u8] = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// A kind of storage, the bytes of an element, and its type if a network may have it.
const STORAGES: [(&str, usize, Option<DType>); 12] = [
    ("FloatStorage", 4, Some(DType::F32)),
    ("HalfStorage", 2, Some(DType::F16)),
    ("BFloat16Storage", 2, Some(DType::BF16)),
    ("DoubleStorage", 8, Some(DType::F64)),
    ("LongStorage", 8, Some(DType::I64)),
    ("IntStorage", 4, None),
    ("ShortStorage", 2, None),
    ("CharStorage", 1, None),
    ("ByteStorage", 1, None),
    ("BoolStorage", 1, None),
    ("ComplexFloatStorage", 8, None),
    ("ComplexDoubleStorage", 16, None),
];

/// The tensors of a file of PyTorch 1.6 or later: a zip archive.
pub(crate) fn of_zip(bytes: &[u8]) -> Result<Contents<'_>, Unreadable> {
    let entries = zip::entries(bytes)?;
    // `torch.save` puts all entries into one folder, called after the file.
    let mut folders = entries.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
    let Some(folder) = folders.next() else {
        return Err("it is a zip archive without a data.pkl, so not one of torch.save".into());
    };
    if folders.next().is_some() {
        return Err("it is a zip archive with more than one data.pkl".into());
    }
    let entry = |name: &str| match entries.get(format!("{folder}/{name}").as_str()) {
        Some(Some(bytes)) => Ok(Some(*bytes)),
        Some(None) => Err(format!("{} in it is compressed or encrypted", Shown(name))),
        None => Ok(None),
    };
    if entry("byteorder")?.is_some_and(|order| order != b"little") {
        return Err("its numbers are not in little-endian order".into());
    }
    let (whole, values) = pickle::read(&mut entry("data.pkl")?.unwrap_or_default())?;
    contents(state_dict::find(whole, &values)?, |key| entry(&format!("data/{key}")))
}

/// The tensors of a file of before PyTorch 1.6: pickles of a magic number, a version, the system and what was saved; one of the keys of
/// the storages; then of each its number of elements and these themselves.
pub(crate) fn of_legacy(mut bytes: &[u8]) -> Result<Contents<'_>, Unreadable> {
    let input = &mut bytes;
    let (_magic_number, _version) = (pickle::read(input)?, pickle::read(input)?);
    if let (Value::Dict(dict), system) = pickle::read(input)? {
        let big = |entry: &(Value, Value)| matches!(entry, (Value::Text("little_endian"), Value::Bool(false)));
        if system.dicts[dict].iter().any(big) {
            return Err("its numbers are not in little-endian order".into());
        }
    }
    let (whole, values) = pickle::read(input)?;
    let found = state_dict::find(whole, &values)?;

    let (Value::List(list), keys) = pickle::read(input)? else { return Err("it has no list of its storages".into()) };
    let classes: HashMap<_, _> = values.storages.iter().map(|&(class, key)| (key, class)).collect();
    let mut storages = HashMap::new();
    for &key in &keys.lists[list] {
        let Value::Text(key) = key else { return Err("its list of storages is damaged".into()) };
        let &class = classes.get(key).ok_or("its list of storages is damaged")?;
        let Some((_, size, _)) = STORAGES.iter().find(|(known, ..)| *known == class) else {
            return Err(format!("its storage {} is of the unknown kind {}", Shown(key), Shown(class)).into());
        };
        let numbers = input.split_off(..8).and_then(|count| {
            let count = u64::from_le_bytes(count.try_into().ok()?);
            input.split_off(..usize::try_from(count).ok()?.checked_mul(*size)?)
        });
        storages.insert(key, numbers.ok_or("its numbers are cut short")?);
    }
    contents(found, |key| Ok(storages.get(key).copied()))
}

fn contents<'a>(
    found: StateDict,
    storage: impl Fn(&str) -> Result<Option<&'a [u8]>, String>,
) -> Result<Contents<'a>, Unreadable> {
    let stored = found.tensors.into_iter().map(|(name, tensor)| {
        let of_tensor = |reason: &str| format!("tensor {} {reason}", Shown(name));
        let known = STORAGES.iter().find(|(class, ..)| *class == tensor.storage);
        let dtype = known.and_then(|&(.., dtype)| dtype);
        let dtype =
            dtype.ok_or_else(|| of_tensor(&format!("is of type {}, which no network has", Shown(tensor.storage))))?;
        let numbers = storage(tensor.key)?.ok_or_else(|| of_tensor("has no numbers in the file"))?;
        let stored = Stored::inside(numbers, dtype, tensor.offset, &tensor.dims, &tensor.strides);
        Ok((name.to_owned(), stored.ok_or_else(|| of_tensor("reaches outside of its numbers in the file"))?))
    });
    let tensors = stored.collect::<Result<_, String>>()?;
    Ok(Contents { tensors, nested: found.nested })
}

//! Where the state dict is in what `torch.save` wrote: it is all of it, or stands under a key beside epochs, optimisers and options.

use crate::origin::Nested;
use crate::pickled::{Described, MOST_DIMS, Value, Values};
use crate::shown::Shown;
use crate::unreadable::Unreadable;
use std::collections::{BTreeMap, HashSet};

/// Keys that people keep a network's weights under. If a file has several state dicts, the one whose key comes first here is read.
const KEYS: [&str; 11] = [
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "model_state",
    "net_state_dict",
    "weights",
    "state_dict_ema",
    "model_ema",
    "ema",
];

/// How far below the whole a state dict is looked for.
const DEPTH: usize = 3;
/// Of the state dicts that are not read, so many are named.
const OTHERS: usize = 8;

/// The tensors of a state dict by name.
pub(crate) struct StateDict<'a> {
    pub tensors: BTreeMap<&'a str, Described<'a, Vec<i64>>>,
    /// `None` if it is the whole.
    pub nested: Option<Nested>,
}

/// A dict in another.
struct Place<'a> {
    dict: usize,
    key: &'a str,
    /// The place of the dict that it stands in.
    above: usize,
}

/// Finds the state dict in the result of a pickle. Every dict is looked at once, however often it is mentioned.
pub(crate) fn find<'a>(whole: Value<'a>, values: &Values<'a>) -> Result<StateDict<'a>, Unreadable> {
    let root = match whole {
        Value::Dict(root) => root,
        Value::Object(module, name) => return Err(Unreadable::object(None, module, name)),
        other => return Err(format!("it holds {} and not a state dict", other.describe()).into()),
    };
    if values.dicts[root].is_empty() || is_state_dict(values, root) {
        return Ok(StateDict { tensors: tensors(values, root)?, nested: None });
    }
    let mut places = vec![Place { dict: root, key: "", above: 0 }];
    let mut seen = HashSet::from([root]);
    let mut level = 0..1;
    for _ in 0..DEPTH {
        let start = places.len();
        for above in level {
            for (key, value) in entries(values, places[above].dict) {
                if let Value::Dict(dict) = value
                    && seen.insert(dict)
                {
                    places.push(Place { dict, key, above });
                }
            }
        }
        level = start..places.len();
        let found: Vec<_> = level.clone().filter(|&place| is_state_dict(values, places[place].dict)).collect();
        if !found.is_empty() {
            let (chosen, nested) = choose(&places, &found)?;
            return Ok(StateDict { tensors: tensors(values, places[chosen].dict)?, nested: Some(nested) });
        }
    }
    Err(none(values, root))
}

/// The values under texts. If a key was set twice the later value counts, as in Python.
fn entries<'a>(values: &Values<'a>, dict: usize) -> BTreeMap<&'a str, Value<'a>> {
    let entries = values.dicts[dict].iter();
    entries.filter_map(|&(key, value)| if let Value::Text(key) = key { Some((key, value)) } else { None }).collect()
}

/// Whether a dict holds tensors under names and nothing else. One of single numbers holds results.
fn is_state_dict(values: &Values, dict: usize) -> bool {
    let entries = &values.dicts[dict];
    entries.iter().all(|entry| matches!(entry, (Value::Text(_), Value::Tensor(_))))
        && entries.iter().any(|&(_, value)| matches!(value, Value::Tensor(tensor) if values.rank_of(tensor) > 0))
}

fn tensors<'a>(values: &Values<'a>, dict: usize) -> Result<BTreeMap<&'a str, Described<'a, Vec<i64>>>, Unreadable> {
    let mut tensors = BTreeMap::new();
    for (name, value) in entries(values, dict) {
        let Value::Tensor(tensor) = value else { continue };
        let described = values.described(tensor);
        let reason = || format!("its tensor {} has no shape of at most {MOST_DIMS} dimensions", Shown(name));
        tensors.insert(name, described.ok_or_else(reason)?);
    }
    Ok(tensors)
}

/// The only state dict, or the one under the key that comes first in [`KEYS`].
fn choose(places: &[Place], found: &[usize]) -> Result<(usize, Nested), Unreadable> {
    let rank = |place: usize| KEYS.iter().position(|&key| key == places[place].key).unwrap_or(KEYS.len());
    let least = found.iter().map(|&place| rank(place)).min();
    let mut first = found.iter().filter(|&&place| Some(rank(place)) == least);
    let (Some(&chosen), None) = (first.next(), first.next()) else {
        return Err(Unreadable::Several(found.iter().take(OTHERS).map(|&place| key(places, place)).collect()));
    };
    let others = found.iter().filter(|&&place| place != chosen).take(OTHERS);
    let others = others.map(|&place| key(places, place)).collect();
    Ok((chosen, Nested { key: key(places, chosen), others }))
}

/// The keys that lead to a place.
fn key(places: &[Place], place: usize) -> String {
    let Place { key: last, above, .. } = places[place];
    if above == 0 { last.to_owned() } else { format!("{}.{last}", key(places, above)) }
}

/// Why there is no state dict in a dict.
fn none(values: &Values, root: usize) -> Unreadable {
    let entries = entries(values, root);
    for name in KEYS {
        if let Some(&Value::Object(module, class)) = entries.get(name) {
            return Unreadable::object(Some(name), module, class);
        }
    }
    let odd = values.dicts[root].iter().find(|entry| !matches!(entry, (Value::Text(_), Value::Tensor(_))));
    let reason = match odd {
        Some((Value::Text(name), value)) => {
            format!("no state dict is in it; its entry {} is {} and not a tensor", Shown(name), value.describe())
        }
        Some((key, _)) => format!("it holds a dict with {} for a key and not a state dict", key.describe()),
        None => "all its tensors are single numbers".to_owned(),
    };
    reason.into()
}

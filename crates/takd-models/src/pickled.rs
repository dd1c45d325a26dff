//! What a pickle's instructions make: values that are copied at no cost, since those that hold others are places in lists.

use crate::shown::Shown;

/// A tensor as the pickle describes it. Nothing in it has been checked against the file.
#[derive(Clone, Copy)]
pub(crate) struct Described<'a, L> {
    /// The class of its storage, such as `FloatStorage`.
    pub storage: &'a str,
    /// The name of its storage.
    pub key: &'a str,
    /// Where it starts, as a number of elements.
    pub offset: i64,
    /// Its shape.
    pub dims: L,
    /// Elements from one to the next along each dimension.
    pub strides: L,
}

#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Text(&'a str),
    Class(&'a str, &'a str),
    /// Places in the lists of [`Values`].
    Tuple(usize),
    List(usize),
    Dict(usize),
    Storage(usize),
    Tensor(usize),
    /// An object of this class, which is not made.
    Object(&'a str, &'a str),
    /// Nothing that a state dict is made of.
    Other(&'static str),
}

/// What the values of a pickle hold.
#[derive(Default)]
pub(crate) struct Values<'a> {
    pub tuples: Vec<Vec<Value<'a>>>,
    pub lists: Vec<Vec<Value<'a>>>,
    /// Keys and values as they were put in: a key may be there twice.
    pub dicts: Vec<Vec<(Value<'a>, Value<'a>)>>,
    /// Class and key of every storage that was mentioned.
    pub storages: Vec<(&'a str, &'a str)>,
    /// Sizes and strides are places of tuples.
    pub tensors: Vec<Described<'a, usize>>,
}

/// Of a tensor: a convolution's weight has four.
pub(crate) const MOST_DIMS: usize = 4;

impl<'a> Values<'a> {
    pub(crate) fn tuple_of(&self, value: Value) -> Option<&[Value<'a>]> {
        let Value::Tuple(tuple) = value else { return None };
        Some(&self.tuples[tuple])
    }

    /// How many dimensions the tensor at this place has.
    pub(crate) fn rank_of(&self, tensor: usize) -> usize {
        self.tuples[self.tensors[tensor].dims].len()
    }

    /// The tensor at this place; `None` if it has more than [`MOST_DIMS`] dimensions, or sizes that are no integers.
    pub(crate) fn described(&self, tensor: usize) -> Option<Described<'a, Vec<i64>>> {
        let Described { storage, key, offset, dims, strides } = self.tensors[tensor];
        let integers = |tuple: usize| {
            let values = Some(&self.tuples[tuple]).filter(|values| values.len() <= MOST_DIMS)?;
            let integers = values.iter().map(|value| if let &Value::Int(n) = value { Some(n) } else { None });
            integers.collect::<Option<Vec<_>>>()
        };
        let (dims, strides) = (integers(dims)?, integers(strides)?);
        (dims.len() == strides.len()).then_some(Described { storage, key, offset, dims, strides })
    }
}

impl Value<'_> {
    pub(crate) fn describe(self) -> String {
        match self {
            Self::None => "None".to_owned(),
            Self::Bool(_) => "a truth value".to_owned(),
            Self::Int(_) => "an integer".to_owned(),
            Self::Text(_) => "a text".to_owned(),
            Self::Class(module, name) => format!("the class {}", class(module, name)),
            Self::Tuple(_) => "a tuple".to_owned(),
            Self::List(_) => "a list".to_owned(),
            Self::Dict(_) => "a dict".to_owned(),
            Self::Storage(_) => "a storage".to_owned(),
            Self::Tensor(_) => "a tensor".to_owned(),
            Self::Object(module, name) => format!("an object of {}", class(module, name)),
            Self::Other(what) => what.to_owned(),
        }
    }
}

fn class(module: &str, name: &str) -> String {
    Shown(&format!("{module}.{name}")).to_string()
}

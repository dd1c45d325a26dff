//! What a pickle's instructions make: small values that can be copied, and places in lists.

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
    /// Places in the machine's lists.
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

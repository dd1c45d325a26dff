//! The recipes that come with the program.

/// A recipe that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name, by which it is asked for.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The recipes that come with the program, by name.
pub fn shipped() -> &'static [Shipped] {
    &[Shipped { name: "table1", text: include_str!("../../recipes/table1.toml") }]
}

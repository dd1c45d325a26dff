//! The recipes that come with the program.

/// A recipe that comes with the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shipped {
    /// Its name, by which it is asked for.
    pub name: &'static str,
    /// Its text.
    pub text: &'static str,
}

/// The recipes that come with the program, in the order of the paper.
pub fn shipped() -> &'static [Shipped] {
    &[
        Shipped { name: "table1", text: include_str!("../../recipes/table1.toml") },
        Shipped { name: "sweep-ta", text: include_str!("../../recipes/sweep-ta.toml") },
        Shipped { name: "sweep-teacher", text: include_str!("../../recipes/sweep-teacher.toml") },
        Shipped { name: "sweep-student", text: include_str!("../../recipes/sweep-student.toml") },
        Shipped { name: "paths", text: include_str!("../../recipes/paths.toml") },
        Shipped { name: "versus", text: include_str!("../../recipes/versus.toml") },
        Shipped { name: "landscape", text: include_str!("../../recipes/landscape.toml") },
    ]
}

//! The paths of a cell by what they lead to.

use crate::report::{CellReport, PathReport};

/// The paths to a student.
pub(crate) struct Student<'a> {
    /// The student without a teacher.
    pub(crate) alone: Option<&'a PathReport>,
    /// From a teacher straight to it, the smallest teacher first.
    pub(crate) direct: Vec<&'a PathReport>,
    /// By way of assistants, in the recipe's order.
    pub(crate) assisted: Vec<&'a PathReport>,
}

impl<'a> Student<'a> {
    /// The students of a cell, the largest first.
    pub(crate) fn all(cell: &'a CellReport) -> Vec<Self> {
        let mut ordered: Vec<&PathReport> = cell.paths.iter().collect();
        ordered.sort_by_key(|path| std::cmp::Reverse(path.forward_multiply_adds(cell)));
        let mut names: Vec<&[String]> = Vec::new();
        for path in ordered {
            if !names.contains(&path.student()) {
                names.push(path.student());
            }
        }
        names.into_iter().map(|name| Self::of(cell, name)).collect()
    }

    fn of(cell: &'a CellReport, name: &[String]) -> Self {
        let paths = || cell.paths.iter().filter(|path| path.student() == name);
        let mut direct: Vec<&PathReport> = paths().filter(|path| path.stages.len() == 2).collect();
        direct.sort_by_key(|path| {
            path.teachers.iter().map(|teacher| teacher.multiply_adds(cell.classes, cell.side)).sum::<u64>()
        });
        Self {
            alone: paths().find(|path| path.stages.len() == 1),
            direct,
            assisted: paths().filter(|path| path.stages.len() > 2).collect(),
        }
    }

    /// The teachers from which paths by way of assistants begin.
    pub(crate) fn teachers(&self) -> Vec<&'a [String]> {
        let mut teachers: Vec<&[String]> = Vec::new();
        for path in &self.assisted {
            if !teachers.contains(&path.stages[0].as_slice()) {
                teachers.push(&path.stages[0]);
            }
        }
        teachers
    }

    /// The paths from a teacher by way of one assistant alone.
    pub(crate) fn by_assistant(&self, teacher: &[String]) -> Vec<&'a PathReport> {
        let one =
            |path: &&&PathReport| path.stages[0] == *teacher && path.stages.len() == 3 && path.stages[1].len() == 1;
        self.assisted.iter().filter(one).copied().collect()
    }

    /// The path from the same teacher straight to the student.
    pub(crate) fn direct_of(&self, path: &PathReport) -> Option<&'a PathReport> {
        self.direct.iter().find(|direct| direct.stages[0] == path.stages[0]).copied()
    }

    /// All paths to it: alone, direct, by way of assistants.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &'a PathReport> {
        self.alone.iter().chain(&self.direct).chain(&self.assisted).copied()
    }

    /// Those with a teacher.
    pub(crate) fn taught(&self) -> Vec<&'a PathReport> {
        self.direct.iter().chain(&self.assisted).copied().collect()
    }
}

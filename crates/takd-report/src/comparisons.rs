//! Which paths of a cell are compared, by its layout.

use crate::by_student::Student;
use crate::comparison::{Comparer, Comparison};
use crate::report::{CellReport, Method, PathComparison, PathReport};
use takd_grid::recipe::Layout;

/// The comparisons that a cell's layout asks for.
pub(crate) fn of(layout: Layout, cell: &CellReport, comparer: &mut Comparer<'_>) -> Vec<PathComparison> {
    let mut comparisons = Comparisons { comparer, made: Vec::new() };
    match layout {
        Layout::Paths => {}
        Layout::Methods => {
            for [method, minus] in METHODS {
                comparisons.pair(cell.method(method), cell.method(minus));
            }
        }
        Layout::Assistants => {
            for student in Student::all(cell).iter().filter(|student| !student.assisted.is_empty()) {
                comparisons.with_direct(student);
                for teacher in student.teachers() {
                    comparisons.best_of(&student.by_assistant(teacher));
                }
            }
        }
        Layout::Teachers => {
            for student in Student::all(cell) {
                student.direct.iter().for_each(|direct| comparisons.pair(Some(direct), student.alone));
                comparisons.best_of(&student.direct);
            }
        }
        Layout::Students => {
            for student in Student::all(cell) {
                student.direct.iter().for_each(|direct| comparisons.pair(Some(direct), student.alone));
            }
        }
        Layout::Graph => {
            for student in Student::all(cell) {
                comparisons.with_direct(&student);
                comparisons.best_of(&student.taught());
            }
        }
    }
    comparisons.made
}

/// The methods that are compared, the first with the second.
pub(crate) const METHODS: [[Method; 2]; 3] =
    [[Method::Blkd, Method::NoKd], [Method::Takd, Method::Blkd], [Method::Takd, Method::NoKd]];

struct Comparisons<'a, 'b> {
    comparer: &'a mut Comparer<'b>,
    made: Vec<PathComparison>,
}

impl Comparisons<'_, '_> {
    fn pair(&mut self, path: Option<&PathReport>, minus: Option<&PathReport>) {
        if let (Some(path), Some(minus)) = (path, minus)
            && let Some(comparison) = self.comparer.pair(&path.runs, &minus.runs)
        {
            self.add(path, minus, false, comparison);
        }
    }

    /// The direct paths less the student alone, and the others less the direct one from the same teacher.
    fn with_direct(&mut self, student: &Student<'_>) {
        student.direct.iter().for_each(|direct| self.pair(Some(direct), student.alone));
        student.assisted.iter().for_each(|path| self.pair(Some(path), student.direct_of(path)));
    }

    fn best_of(&mut self, paths: &[&PathReport]) {
        let runs: Vec<_> = paths.iter().map(|path| path.runs.as_slice()).collect();
        let Some((best, others)) = self.comparer.best_of(&runs) else { return };
        others.into_iter().for_each(|(other, comparison)| self.add(paths[best], paths[other], true, comparison));
    }

    fn add(&mut self, path: &PathReport, minus: &PathReport, best_of_several: bool, comparison: Comparison) {
        let (path, minus) = (path.path.clone(), minus.path.clone());
        self.made.push(PathComparison { path, minus, best_of_several, comparison });
    }
}

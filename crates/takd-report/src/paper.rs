//! What the paper reports.

use takd_grid::Cell;

/// A row of Table 1 of arXiv 1902.03393: the student's test accuracy in %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Published {
    /// The student alone.
    pub no_kd: f64,
    /// Taught by the teacher.
    pub blkd: f64,
    /// Taught by the assistant.
    pub takd: f64,
}

/// Table 1 of arXiv 1902.03393.
pub fn published(cell: Cell) -> Published {
    let [no_kd, blkd, takd] = match cell {
        Cell::PlainCifar10 => [70.16, 72.57, 73.51],
        Cell::PlainCifar100 => [41.09, 44.57, 44.92],
        Cell::ResnetCifar10 => [88.52, 88.65, 88.98],
        Cell::ResnetCifar100 => [61.37, 61.41, 61.82],
        Cell::ResnetImagenet => [65.20, 66.60, 67.36],
    };
    Published { no_kd, blkd, takd }
}

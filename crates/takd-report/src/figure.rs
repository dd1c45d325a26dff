//! A figure of a report: what it is of, what is said below it, and what `takd_figures` draws.

use crate::file_stem;
use crate::report::CellReport;
use takd_figures::{CurveFigure, HeatMap, LineFigure, Palette, PathGraph, ScatterFigure};

/// A figure of a report.
#[derive(Clone, Debug)]
pub struct Figure {
    /// The cell that it is of.
    pub cell: String,
    /// What it is, in a few words that are a file's name: `plain-cifar10-teachers-of-plane2`.
    pub name: String,
    /// What is said below it.
    pub caption: String,
    drawing: Drawing,
}

#[derive(Clone, Debug)]
pub(crate) enum Drawing {
    Line(LineFigure),
    Paths(PathGraph),
    Curves(CurveFigure),
    Scatter(ScatterFigure),
    Map(HeatMap),
}

impl Figure {
    pub(crate) fn new(cell: &CellReport, what: &str, drawing: Drawing, caption: String) -> Self {
        let name = format!("{}-{}", file_stem::slug(&cell.name), file_stem::slug(what));
        Self { cell: cell.name.clone(), name, caption, drawing }
    }

    /// The figure as SVG, in these colours.
    pub fn to_svg(&self, palette: &Palette) -> String {
        match &self.drawing {
            Drawing::Line(figure) => figure.to_svg(palette),
            Drawing::Paths(figure) => figure.to_svg(palette),
            Drawing::Curves(figure) => figure.to_svg(palette),
            Drawing::Scatter(figure) => figure.to_svg(palette),
            Drawing::Map(figure) => figure.to_svg(palette),
        }
    }
}

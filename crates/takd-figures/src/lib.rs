//! The figures of a paper on distillation, as SVG: from plain numbers to a text that a page takes in as it is.
//!
//! ```text
//! LineFigure     series over names, with error bars and lines at a value   Figures 2, 3 and 4 of arXiv 1902.03393
//! PathGraph      distillation paths, an oval each                          Figure 5
//! HeatMap        a grid of values with contour lines                       Figure 7
//! CurveFigure    learning curves
//! ScatterFigure  cost and gain, with the front that nothing cheaper surpasses
//!
//!   each ─▶ to_svg(&Palette) ─▶ SVG ─▶ png(svg, ground, scale), with the feature `png`
//! ```
//!
//! A figure loads nothing and runs nothing; it says in words what it shows, for those who hear it. Its series differ by shape
//! and dashes as well as by colour. With [`Palette::PAGE`] it follows a page that has [`PALETTE`] among its styles into light,
//! dark and print; with [`Palette::LIGHT`] it stands alone.
//!
//! ```
//! use takd_figures::{Bar, LineFigure, Palette, Point, Series};
//!
//! let figure = LineFigure {
//!     title: "Student accuracy by teacher".to_owned(),
//!     y_label: "test accuracy, %".to_owned(),
//!     names: vec!["plane4".to_owned(), "plane6".to_owned()],
//!     series: vec![Series {
//!         name: "ours".to_owned(),
//!         points: vec![Some(Point { value: 71.2, bar: Some(Bar { low: 70.9, high: 71.5 }) }), None],
//!         ..Series::default()
//!     }],
//!     ..LineFigure::default()
//! };
//! assert!(figure.to_svg(&Palette::LIGHT).starts_with("<svg xmlns"));
//! ```
//!
//! Invariant: knows nothing of runs, recipes or networks; draws what it is given. Texts from anywhere are escaped, and numbers
//! that are not finite are left out.

mod axis;
mod contour;
mod curve;
mod frame;
mod heat_map;
mod legend;
mod line;
mod marker;
mod palette;
mod path_graph;
#[cfg(feature = "png")]
mod png;
mod scatter;
mod svg;

pub use curve::{Curve, CurveFigure, CurvePoint};
pub use heat_map::HeatMap;
pub use line::{Bar, Guide, LineFigure, Point, Series};
pub use palette::{PALETTE, Palette};
pub use path_graph::{NodePlace, PathColumn, PathGraph, PathKind, PathNode};
#[cfg(feature = "png")]
pub use png::{PngError, png};
pub use scatter::{Costed, ScatterFigure};

//! Distillation paths as a graph: the paper's Figure 5.

use crate::frame::WIDTH;
use crate::legend::{self, Entry};
use crate::palette::Palette;
use crate::svg::{Anchor, Font, Place, Stroke, Svg, number, width};

/// A column for each size, an oval for each path with its accuracy in it, and an edge from each teacher's oval to what it
/// teaches, as in the paper's Figure 5.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathGraph {
    /// What the figure is, for those who hear it.
    pub title: String,
    /// What it shows, in words.
    pub description: String,
    /// The sizes, the largest first.
    pub columns: Vec<PathColumn>,
}

/// The paths to a size.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathColumn {
    /// Its name.
    pub name: String,
    /// The paths to it, from top to bottom.
    pub nodes: Vec<PathNode>,
}

/// A path.
#[derive(Clone, Debug, PartialEq)]
pub struct PathNode {
    /// The whole path, for those who point at it.
    pub path: String,
    /// Its accuracy.
    pub value: String,
    /// What kind of path it is.
    pub kind: PathKind,
    /// Whether it is the best of its column.
    pub best: bool,
    /// The oval of its teacher.
    pub taught_by: Option<NodePlace>,
    /// Where it leads on a page, if anywhere.
    pub link: Option<String>,
}

/// Which oval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodePlace {
    /// Its column.
    pub column: usize,
    /// Its place in the column.
    pub node: usize,
}

/// How a network is trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathKind {
    /// Without a teacher (NoKD).
    Alone,
    /// By the first teacher itself (BLKD).
    Direct,
    /// By way of assistants (TAKD).
    Assisted,
}

const OVAL: f64 = 15.0;
const ROW: f64 = 42.0;
const SIZE: f64 = 12.5;

impl PathGraph {
    /// The figure as SVG.
    pub fn to_svg(&self, palette: &Palette) -> String {
        let widest = self.columns.iter().flat_map(|column| &column.nodes).map(|node| width(&node.value, SIZE));
        let oval = widest.fold(30.0, f64::max) + 18.0;
        let names = self.columns.iter().map(|column| width(&column.name, SIZE + 0.5)).fold(0.0, f64::max);
        let column_width = (oval + 46.0).max(names + 16.0);
        let available = (column_width * self.columns.len() as f64).max(WIDTH - 24.0);
        let kinds = [PathKind::Assisted, PathKind::Direct, PathKind::Alone];
        let mut entries: Vec<Entry<'_>> = kinds
            .into_iter()
            .zip(["by way of assistants (TAKD)", "by the teacher itself (BLKD)", "alone (NoKD)"])
            .map(|(kind, text)| Entry {
                text,
                sample: Box::new(move |svg: &mut Svg, at: Place| draw_oval(svg, at, 22.0, 6.5, kind, false, palette)),
            })
            .collect();
        entries.push(Entry {
            text: "the best of its column",
            sample: Box::new(move |svg: &mut Svg, at: Place| {
                draw_oval(svg, at, 22.0, 6.5, PathKind::Assisted, true, palette);
            }),
        });
        let legend_height = legend::height(&entries, available);
        let rows = self.columns.iter().map(|column| column.nodes.len()).max().unwrap_or(0);
        let top = legend_height + 44.0;
        let height = top + ROW * rows as f64 + 4.0;
        let mut svg = Svg::new(available + 24.0, height);
        legend::draw(&mut svg, &entries, Place { x: 12.0, y: 4.0 }, available, palette);

        let place = |column: usize, node: usize| {
            // A column with fewer ovals stands in the middle.
            let lower = ROW * (rows - self.columns[column].nodes.len()) as f64 / 2.0;
            Place {
                x: place_x(column, self.columns.len(), available),
                y: top + lower + ROW * (node as f64 + 0.5) - 6.0,
            }
        };
        let node = |at: NodePlace| self.columns.get(at.column)?.nodes.get(at.node);
        for (column, nodes) in self.columns.iter().enumerate() {
            for (row, taught) in nodes.nodes.iter().enumerate() {
                let Some(teacher) = taught.taught_by.filter(|at| at.column < column && node(*at).is_some()) else {
                    continue;
                };
                let (from, to) = (place(teacher.column, teacher.node), place(column, row));
                let from = Place { x: from.x + oval / 2.0, ..from };
                let to = Place { x: to.x - oval / 2.0, ..to };
                let colour = if taught.best { palette.ink } else { palette.soft };
                let dashes = if taught.kind == PathKind::Direct { "4 3" } else { "" };
                let stroke = Stroke { colour, width: if taught.best { 1.8 } else { 0.9 }, dashes };
                svg.path(&curve(from, to), None, stroke);
            }
        }
        for (column, nodes) in self.columns.iter().enumerate() {
            let font = Font { size: SIZE + 0.5, bold: true, colour: palette.ink, anchor: Anchor::Middle };
            svg.text(
                Place { x: place_x(column, self.columns.len(), available), y: legend_height + 24.0 },
                &nodes.name,
                font,
            );
            for (row, node) in nodes.nodes.iter().enumerate() {
                let at = place(column, row);
                svg.linked(&format!("{}: {}", node.path, node.value), node.link.as_deref(), palette, |svg| {
                    draw_oval(svg, at, oval, OVAL, node.kind, node.best, palette);
                    let font = Font { size: SIZE, bold: node.best, colour: palette.ink, anchor: Anchor::Middle };
                    svg.text(Place { x: at.x, y: at.y + 4.4 }, &node.value, font);
                });
            }
        }
        svg.finish(&self.title, &self.description, palette)
    }
}

fn place_x(column: usize, columns: usize, available: f64) -> f64 {
    12.0 + (column as f64 + 0.5) * available / columns as f64
}

fn draw_oval(svg: &mut Svg, at: Place, wide: f64, half: f64, kind: PathKind, best: bool, palette: &Palette) {
    let (colour, dashes) = match kind {
        PathKind::Assisted => (palette.series[0], ""),
        PathKind::Direct => (palette.series[1], "4 3"),
        PathKind::Alone => (palette.soft, "1.5 2.5"),
    };
    let stroke = Stroke { colour, width: if best { 2.8 } else { 1.4 }, dashes };
    let corner = Place { x: at.x - wide / 2.0, y: at.y - half };
    svg.rectangle(corner, wide, 2.0 * half, half, palette.ground, stroke);
}

/// A curve that leaves and arrives level.
fn curve(from: Place, to: Place) -> String {
    let middle = f64::midpoint(from.x, to.x);
    format!(
        "M{} {} C{middle} {} {middle} {} {} {}",
        number(from.x),
        number(from.y),
        number(from.y),
        number(to.y),
        number(to.x),
        number(to.y),
        middle = number(middle)
    )
}

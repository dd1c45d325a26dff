//! A report as one page for a browser: self-contained, readable without a script, in light and dark, wide and narrow, printed.

mod runs;
mod tables;
mod trials;

use crate::figure::Figure;
use crate::report::Report;
use crate::sections;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use takd_distill::Runs;
use takd_figures::{PALETTE, Palette};
use takd_store::printable;

/// How the page looks. Figures use its colours.
const STYLE: &str = include_str!("style.css");

impl Report {
    /// Tables, figures and findings as one HTML page, with every run behind them: its configuration, how it was trained and what
    /// came of it. The page loads nothing and runs nothing. What comes from recipes and files is text and nothing else.
    ///
    /// `runs` is where configurations, starts and learning curves are read; a file that cannot be read leaves its place empty.
    pub fn to_html(&self, runs: &Runs) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content=(format!("takd {}", env!("CARGO_PKG_VERSION")));
                    title { (text(&self.title)) }
                    style { (PreEscaped(STYLE)) (PreEscaped(PALETTE)) }
                }
                body { main { (self.body(runs)) } }
            }
        };
        page.into_string()
    }

    fn body(&self, runs: &Runs) -> Markup {
        html! {
            header {
                h1 { (text(&self.title)) }
                @if let Some(source) = &self.source { p.source { (text(source)) } }
            }
            @if !self.findings.is_empty() {
                section {
                    h2 { "What the numbers say" }
                    ul.findings { @for line in &self.findings { li { (text(line)) } } }
                }
            }
            // The table that answers the recipe's question, its figures, and what else is known.
            @let sections = sections::of(self);
            @for section in sections.iter().take(1) { (tables::section(section)) }
            div.figures { @for figure in &self.figures() { (self.figure(figure)) } }
            @for section in sections.iter().skip(1) { (tables::section(section)) }
            @let curves = self.learning_curves(runs);
            @if !curves.is_empty() {
                section {
                    h2 { "Learning curves" }
                    div.figures { @for figure in &curves { (self.figure(figure)) } }
                }
            }
            section {
                h2 { "How to read this" }
                ul.legend { @for line in &self.legend { li { (text(line)) } } }
            }
            (runs::of(self, runs))
        }
    }
}

impl Report {
    fn figure(&self, figure: &Figure) -> Markup {
        html! {
            figure {
                div.drawn { (PreEscaped(figure.to_svg(&Palette::PAGE))) }
                figcaption {
                    @if self.cells.len() > 1 { b { (text(&figure.cell)) ". " } }
                    (text(&figure.caption))
                }
            }
        }
    }
}

/// A text from anywhere, without what would change how its surroundings read. Markup in it is escaped where it is put.
fn text(text: &str) -> String {
    printable(text).replace(crate::number::GLUE, "\u{a0}")
}

//! The text of an SVG, element by element.

use crate::palette::Palette;
use std::fmt::Write;

/// A figure that is being drawn, in units of a pixel at its usual size.
pub(crate) struct Svg {
    body: String,
    width: f64,
    height: f64,
}

/// A place in a figure, from its upper left corner.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Place {
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// Which point of a text its place is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Font<'a> {
    pub(crate) size: f64,
    pub(crate) bold: bool,
    pub(crate) colour: &'a str,
    pub(crate) anchor: Anchor,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stroke<'a> {
    pub(crate) colour: &'a str,
    pub(crate) width: f64,
    /// Lengths of dashes and gaps; nothing for a whole line.
    pub(crate) dashes: &'a str,
}

impl<'a> Stroke<'a> {
    pub(crate) fn thin(colour: &'a str) -> Self {
        Self { colour, width: 1.0, dashes: "" }
    }
}

impl Svg {
    pub(crate) fn new(width: f64, height: f64) -> Self {
        Self { body: String::new(), width, height }
    }

    pub(crate) fn text(&mut self, at: Place, text: &str, font: Font<'_>) {
        let anchor = match font.anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let weight = if font.bold { " font-weight=\"600\"" } else { "" };
        let Font { size, colour, .. } = font;
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{size}\" fill=\"{colour}\" text-anchor=\"{anchor}\"{weight}>{}</text>",
            number(at.x),
            number(at.y),
            escaped(text)
        );
    }

    /// A text that is read on whatever it covers.
    pub(crate) fn text_with_halo(&mut self, at: Place, text: &str, font: Font<'_>, ground: &str) {
        let _ = writeln!(
            self.body,
            "<g stroke=\"{ground}\" stroke-width=\"3.5\" stroke-linejoin=\"round\" paint-order=\"stroke\">"
        );
        self.text(at, text, font);
        self.body.push_str("</g>\n");
    }

    /// A text that reads upwards.
    pub(crate) fn upward_text(&mut self, at: Place, text: &str, font: Font<'_>) {
        let _ = write!(self.body, "<g transform=\"rotate(-90 {0} {1})\">", number(at.x), number(at.y));
        self.text(at, text, font);
        self.body.push_str("</g>\n");
    }

    pub(crate) fn line(&mut self, from: Place, to: Place, stroke: Stroke<'_>) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\"{}/>",
            number(from.x),
            number(from.y),
            number(to.x),
            number(to.y),
            attributes(stroke)
        );
    }

    pub(crate) fn polyline(&mut self, places: &[Place], stroke: Stroke<'_>) {
        let points: Vec<String> = places.iter().map(|at| format!("{},{}", number(at.x), number(at.y))).collect();
        let _ = writeln!(
            self.body,
            "<polyline points=\"{}\" fill=\"none\" stroke-linejoin=\"round\"{}/>",
            points.join(" "),
            attributes(stroke)
        );
    }

    /// Lines, curves and areas, as SVG's paths describe them; filled if there is a colour for it.
    pub(crate) fn path(&mut self, data: &str, fill: Option<&str>, stroke: Stroke<'_>) {
        let fill = fill.unwrap_or("none");
        let _ = writeln!(self.body, "<path d=\"{data}\" fill=\"{fill}\"{}/>", attributes(stroke));
    }

    /// A rectangle with round corners; `title` is what a reader is told who points at it.
    pub(crate) fn rectangle(&mut self, at: Place, width: f64, height: f64, round: f64, fill: &str, stroke: Stroke<'_>) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"{}\" fill=\"{fill}\"{}/>",
            number(at.x),
            number(at.y),
            number(width),
            number(height),
            number(round),
            attributes(stroke)
        );
    }

    /// What `draw` draws, with a title that a reader is told who points at it.
    pub(crate) fn titled(&mut self, title: &str, draw: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.body, "<g><title>{}</title>", escaped(title));
        draw(self);
        self.body.push_str("</g>\n");
    }

    /// The same, and a link where there is one. A figure that stands alone has none: it knows no page.
    pub(crate) fn linked(&mut self, title: &str, link: Option<&str>, palette: &Palette, draw: impl FnOnce(&mut Self)) {
        match link.filter(|_| *palette == Palette::PAGE) {
            Some(link) => {
                let _ = write!(self.body, "<a href=\"{}\">", escaped(link));
                self.titled(title, draw);
                self.body.push_str("</a>\n");
            }
            None => self.titled(title, draw),
        }
    }

    /// The whole figure, with what it shows in words. On a page it lies on the page's ground; alone it has one of its own.
    pub(crate) fn finish(self, title: &str, description: &str, palette: &Palette) -> String {
        let ground = if *palette == Palette::PAGE {
            String::new()
        } else {
            format!("<rect width=\"100%\" height=\"100%\" fill=\"{}\"/>\n", palette.ground)
        };
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" role=\"img\" \
             font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'DejaVu Sans', sans-serif\">\n\
             <title>{}</title>\n<desc>{}</desc>\n{ground}{}</svg>\n",
            number(self.width),
            number(self.height),
            escaped(title),
            escaped(description),
            self.body
        )
    }
}

fn attributes(stroke: Stroke<'_>) -> String {
    let Stroke { colour, width, dashes } = stroke;
    let dashes = if dashes.is_empty() { String::new() } else { format!(" stroke-dasharray=\"{dashes}\"") };
    format!(" stroke=\"{colour}\" stroke-width=\"{width}\"{dashes}")
}

/// A coordinate to a hundredth.
pub(crate) fn number(value: f64) -> String {
    let rounded = (value * 100.0).round() / 100.0 + 0.0;
    format!("{rounded}")
}

/// How wide a text is, about: no font is known here. Wide enough for those that browsers have.
pub(crate) fn width(text: &str, size: f64) -> f64 {
    use unicode_width::UnicodeWidthStr;
    text.width() as f64 * size * 0.58
}

/// The text with what has a meaning in XML escaped, and without the characters that XML does not have.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            char if char.is_control() => {}
            char => escaped.push(char),
        }
    }
    escaped
}

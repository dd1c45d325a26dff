//! The colours of a figure.

/// The colours of a figure. Those of the series can be told apart by colour-blind people (Okabe and Ito, 2008), and every figure
/// tells its series by shape or dashes too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Palette {
    /// Behind everything that covers something else.
    pub ground: &'static str,
    /// Of text and of what counts.
    pub ink: &'static str,
    /// Of what explains.
    pub soft: &'static str,
    /// Of grids and frames.
    pub line: &'static str,
    /// Of the series, in their order.
    pub series: [&'static str; 6],
}

impl Palette {
    /// The variables of a page that has [`PALETTE`] among its styles: the figure follows the page into the dark.
    pub const PAGE: Self = Self {
        ground: "var(--figure-ground)",
        ink: "var(--figure-ink)",
        soft: "var(--figure-soft)",
        line: "var(--figure-line)",
        series: [
            "var(--figure-1)",
            "var(--figure-2)",
            "var(--figure-3)",
            "var(--figure-4)",
            "var(--figure-5)",
            "var(--figure-6)",
        ],
    };

    /// For a light ground.
    pub const LIGHT: Self = Self {
        ground: "#ffffff",
        ink: "#1b1f24",
        soft: "#5b6470",
        line: "#d5dae1",
        series: ["#0072b2", "#d55e00", "#009e73", "#a8528c", "#b57600", "#3b8fc4"],
    };

    /// For a dark ground.
    pub const DARK: Self = Self {
        ground: "#14171c",
        ink: "#e7eaee",
        soft: "#a2abb8",
        line: "#343b45",
        series: ["#56a8e6", "#ff8a4c", "#3fc79c", "#e29ac6", "#f0b840", "#8fd0f5"],
    };
}

/// The variables of [`Palette::PAGE`]: light, dark where the reader's system is, and light in print.
pub const PALETTE: &str = "
:root { --figure-ground: #ffffff; --figure-ink: #1b1f24; --figure-soft: #5b6470; --figure-line: #d5dae1; --figure-1: #0072b2; \
--figure-2: #d55e00; --figure-3: #009e73; --figure-4: #a8528c; --figure-5: #b57600; --figure-6: #3b8fc4; }
@media screen and (prefers-color-scheme: dark) { :root { --figure-ground: #14171c; --figure-ink: #e7eaee; \
--figure-soft: #a2abb8; --figure-line: #343b45; --figure-1: #56a8e6; --figure-2: #ff8a4c; --figure-3: #3fc79c; --figure-4: #e29ac6; \
--figure-5: #f0b840; --figure-6: #8fd0f5; } }
";

#[cfg(test)]
mod tests {
    use super::*;

    /// The page's variables are those of the two palettes, each once.
    #[test]
    fn variables_have_the_colours_of_light_and_dark() {
        let (light, dark) = PALETTE.split_once("@media").unwrap();
        for (text, palette) in [(light, Palette::LIGHT), (dark, Palette::DARK)] {
            let named =
                [("ground", palette.ground), ("ink", palette.ink), ("soft", palette.soft), ("line", palette.line)];
            for (name, colour) in named {
                assert!(text.contains(&format!("--figure-{name}: {colour};")), "{name} {colour}");
            }
            for (colour, place) in palette.series.iter().zip(1..) {
                assert!(text.contains(&format!("--figure-{place}: {colour};")), "{place} {colour}");
            }
        }
    }
}

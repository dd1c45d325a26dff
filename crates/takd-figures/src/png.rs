//! Figures as pixels.

use resvg::{tiny_skia, usvg};

/// A result of this module's.
pub type Result<T, E = PngError> = std::result::Result<T, E>;

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PngError {
    /// The text is no SVG.
    #[error("the figure cannot be drawn: {0}")]
    Svg(#[from] usvg::Error),
    /// The picture would be too large, or have no size.
    #[error("a picture of {width} × {height} pixels cannot be made: choose another scale")]
    Size {
        /// Pixels from left to right.
        width: f32,
        /// Pixels from top to bottom.
        height: f32,
    },
    /// The pixels could not be written as PNG.
    #[error("the picture cannot be written as PNG: {0}")]
    Encode(String),
}

/// The most pixels to a side.
const MOST: f32 = 16_384.0;

/// An SVG as PNG on the ground of its palette; `scale` pixels for each of its units. The palette must have colours, as
/// [`Palette::LIGHT`](crate::Palette::LIGHT) has, and not a page's variables. Texts are in DejaVu Sans, which comes with this
/// crate, so that the picture is the same everywhere.
///
/// # Errors
/// [`PngError`] if the text is no SVG, or the picture would have more than 16 384 pixels to a side.
pub fn png(svg: &str, ground: &str, scale: f32) -> Result<Vec<u8>> {
    let mut options = usvg::Options { font_family: "DejaVu Sans".to_owned(), ..usvg::Options::default() };
    let fonts = options.fontdb_mut();
    fonts.load_font_data(dejavu::sans::regular().to_vec());
    fonts.load_font_data(dejavu::sans::bold().to_vec());
    fonts.set_sans_serif_family("DejaVu Sans");
    let tree = usvg::Tree::from_str(svg, &options)?;
    let (width, height) = ((tree.size().width() * scale).ceil(), (tree.size().height() * scale).ceil());
    let fits = |side: f32| (1.0..=MOST).contains(&side);
    let pixels = if fits(width) && fits(height) { tiny_skia::Pixmap::new(width as u32, height as u32) } else { None };
    let mut pixels = pixels.ok_or(PngError::Size { width, height })?;
    let ground = ground.strip_prefix('#').and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0xff_ff_ff);
    let [_, red, green, blue] = ground.to_be_bytes();
    pixels.fill(tiny_skia::Color::from_rgba8(red, green, blue, 255));
    resvg::render(&tree, tiny_skia::Transform::from_scale(scale, scale), &mut pixels.as_mut());
    pixels.encode_png().map_err(|error| PngError::Encode(error.to_string()))
}

//! What an exported network takes.

/// What an ONNX file takes as its input `images`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnnxInput {
    /// Bytes `[batch, height, width, 3]`, red, green, blue, as image libraries have them: mean and deviation are in the graph.
    Pixels,
    /// 32-bit floats `[batch, 3, height, width]`, normalised already.
    Normalized,
}

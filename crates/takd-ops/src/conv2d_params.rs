//! What a convolution is told besides its weight.

/// Stride and zero padding of a convolution, the same in height and width.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dParams {
    /// Distance in pixels between two applications of the kernel.
    pub stride: usize,
    /// Rows and columns of zeros added on each side.
    pub padding: usize,
}

impl Conv2dParams {
    /// How many outputs a kernel has along one side; `None` if it does not fit, or the padded side is above 65535.
    pub(crate) fn outputs(self, size: usize, kernel: usize) -> Option<usize> {
        let padded = self.padding.checked_mul(2)?.checked_add(size)?;
        // No image is that large, but a mistake in the arguments may be.
        u16::try_from(padded).ok()?;
        padded.checked_sub(kernel.max(1))?.checked_div(self.stride)?.checked_add(1)
    }
}

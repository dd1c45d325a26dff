//! What a forward pass costs.

use crate::{Family, ModelSpec, plain, resnet};

impl ModelSpec {
    /// Multiply-adds of the forward pass of one 32×32 image: convolutions and fully connected layers.
    pub fn multiply_adds(self, classes: usize) -> u64 {
        let count = match self.family() {
            Family::Plain => plain::multiply_adds(self.size(), classes),
            Family::Resnet => resnet::multiply_adds(self.size(), classes),
        };
        count as u64
    }
}

#[cfg(test)]
mod tests {
    use crate::ModelSpec;

    #[test]
    fn multiply_adds_are_those_counted_by_hand() {
        let count = |name: &str| name.parse::<ModelSpec>().unwrap().multiply_adds(10);
        // 3→16 at 32², 16→16 at 16², 1024 → 10.
        assert_eq!(count("plane2"), 9 * 3 * 16 * 1024 + 9 * 16 * 16 * 256 + 10_240);
        // The stem; two convolutions a stage, the first of stages 2 and 3 from half the channels; two shortcuts; 64 → 10.
        let stage = 9 * 16 * 16 * 1024;
        assert_eq!(count("resnet8"), 9 * 3 * 16 * 1024 + 2 * stage + 2 * (stage + stage / 2) + 2 * 16 * 32 * 256 + 640);
    }
}

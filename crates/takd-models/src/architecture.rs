//! The layers of each network, and what can be said of it without building it.

use crate::layers::Layers;
use crate::plain::SIDE;
use crate::{Family, ModelSpec, Width, imagenet_resnet, plain, resnet};

impl ModelSpec {
    /// Whether it takes images of `side` x `side`: a ResNet takes the mean over what its last convolution sees, so that it takes
    /// any from 8 on, one for ImageNet from 32 on; a plain CNN connects every place of it, so that it takes 32x32 alone.
    pub fn takes(self, side: usize) -> bool {
        match self.family() {
            Family::Plain => side == SIDE,
            Family::Resnet => side >= 8,
            Family::ImagenetResnet => side >= 32,
        }
    }

    /// The layers for images of 32×32, which have the same parameters as those for any other size that it takes.
    pub(crate) fn layers(self, classes: usize) -> Layers {
        self.layers_at(classes, SIDE)
    }

    fn layers_at(self, classes: usize, side: usize) -> Layers {
        match self.family() {
            Family::Plain => plain::layers(self.size(), self.width().unwrap_or(Width::Narrow), classes),
            Family::Resnet => resnet::layers(self.size(), classes, side),
            Family::ImagenetResnet => imagenet_resnet::layers(self.size(), classes, side),
        }
    }

    /// Multiply-adds of the forward pass of one image of `side` x `side`: convolutions and fully connected layers.
    pub fn multiply_adds(self, classes: usize, side: usize) -> u64 {
        self.layers_at(classes, side).multiply_adds()
    }

    /// Number of trainable values, as PyTorch counts them.
    pub fn parameter_count(self, classes: usize) -> usize {
        self.layers(classes).parameter_count()
    }

    /// How many numbers a training step keeps of one image of `side` x `side` from its forward pass for its backward pass: the output
    /// of each convolution and fully connected layer, and what max-pools and residual additions make of them.
    ///
    /// Times the batch and the bytes of a number (four in f32), this is most of the memory that a step needs; the backward
    /// pass adds the gradients of a few layers at a time.
    pub fn activation_count(self, classes: usize, side: usize) -> usize {
        self.layers_at(classes, side).activation_count()
    }
}

#[cfg(test)]
mod tests {
    use crate::{ModelSpec, checkpoint};

    fn spec(name: &str) -> ModelSpec {
        name.parse().unwrap()
    }

    #[test]
    fn multiply_adds_are_those_counted_by_hand() {
        let count = |name: &str| spec(name).multiply_adds(10, 32);
        // 3→16 at 32², 16→16 at 16², 1024 → 10.
        assert_eq!(count("plane2"), 9 * 3 * 16 * 1024 + 9 * 16 * 16 * 256 + 10_240);
        // The stem; two convolutions a stage, the first of stages 2 and 3 from half the channels; two shortcuts; 64 → 10.
        let stage = 9 * 16 * 16 * 1024;
        assert_eq!(count("resnet8"), 9 * 3 * 16 * 1024 + 2 * stage + 2 * (stage + stage / 2) + 2 * 16 * 32 * 256 + 640);
    }

    #[test]
    fn activations_are_those_counted_by_hand() {
        // 16 channels at 32², pooled to 16², and again at 16², pooled to 8²; logits.
        assert_eq!(spec("plane2").activation_count(10, 32), 16 * (1024 + 256) + 16 * (256 + 64) + 10);
        // Without the last pool.
        let wide = spec("plane6-wide").activation_count(100, 32);
        assert_eq!(wide, 32 * (2 * 1024 + 256) + 64 * (2 * 256 + 64) + 128 * 2 * 64 + 100);
        // The stem; two convolutions and a sum a stage, and a shortcut in stages 2 and 3; logits.
        assert_eq!(spec("resnet8").activation_count(10, 32), 16 * 1024 * 4 + 32 * 256 * 4 + 64 * 64 * 4 + 10);
    }

    #[test]
    fn tensors_are_called_as_in_the_published_code() {
        let names = |name: &str| spec(name).layers(10).tensors().into_keys().collect::<Vec<_>>();
        let plane8 = names("plane8");
        // Each convolution, normalisation, ReLU and max-pool takes a number: 3 · 8 + 4 of them.
        let convolutions = [0, 3, 7, 10, 14, 17, 21, 24];
        for number in convolutions {
            assert!(plane8.contains(&format!("conv_layers.{number}.weight")), "{number}");
            assert!(plane8.contains(&format!("conv_layers.{}.running_var", number + 1)), "{number}");
        }
        let fully_connected = ["fc_layers.0.bias", "fc_layers.0.weight", "fc_layers.2.bias", "fc_layers.2.weight"];
        assert_eq!(plane8.len(), 7 * convolutions.len() + fully_connected.len());
        assert!(plane8.ends_with(&fully_connected.map(str::to_owned)));

        let block: Vec<_> = names("resnet14").into_iter().filter(|name| name.starts_with("layer2.0.")).collect();
        let norm = ["bias", "num_batches_tracked", "running_mean", "running_var", "weight"];
        let of = |layer: &str| norm.map(|tensor| format!("layer2.0.{layer}.{tensor}"));
        let mut expected = [of("bn1"), of("bn2"), of("downsample.1")].concat();
        expected.extend(["conv1", "conv2", "downsample.0"].map(|layer| format!("layer2.0.{layer}.weight")));
        expected.sort();
        assert_eq!(block, expected);
    }

    #[test]
    fn every_network_is_recognised_by_its_tensors() {
        for spec in ModelSpec::all() {
            for classes in [1, 10, 100] {
                let recognised = checkpoint::recognise(&spec.layers(classes).tensors());
                assert_eq!(recognised, Some(checkpoint::Recognised { spec, classes }));
            }
        }
        assert_eq!(checkpoint::recognise(&spec("plane2").layers(0).tensors()), None);
    }
}

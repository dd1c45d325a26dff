//! The layers of each network, and what can be said of it without building it.

use crate::layers::{Flatten, Layers};
use crate::plain::SIDE;
use crate::{Family, ModelSpec, Width, imagenet_resnet, plain, resnet};

impl ModelSpec {
    /// Whether it takes images of `side` x `side`: a ResNet takes the mean over what its last convolution sees, so that it takes
    /// any from 8 on, one for ImageNet from 32 on; a plain CNN connects every place of it, so that it takes 32x32 alone. Logits are those
    /// of images of any size.
    pub fn takes(self, side: usize) -> bool {
        match self.family() {
            Family::Plain => side == SIDE,
            Family::Resnet => side >= 8,
            Family::ImagenetResnet => side >= 32,
            Family::Logits => true,
        }
    }

    /// The list of its layers, for images of 32×32; the parameters are the same as for any other size that it takes. It is empty for
    /// logits, which cost nothing.
    pub fn layers(self, classes: usize) -> Layers {
        self.layers_at(classes, SIDE)
    }

    fn layers_at(self, classes: usize, side: usize) -> Layers {
        match self.family() {
            Family::Plain => plain::layers(self.size(), self.width().unwrap_or(Width::Narrow), classes),
            Family::Resnet => resnet::layers(self.size(), classes, side),
            Family::ImagenetResnet => imagenet_resnet::layers(self.size(), classes, side),
            Family::Logits => {
                Layers { convolutional: Vec::new(), flatten: Flatten::Whole, fully_connected: Vec::new() }
            }
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
    use crate::{ModelSpec, Network};
    use candle_core::Device;

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
    fn logits_cost_nothing_and_are_no_network() {
        let logits = spec("logits");
        assert_eq!(
            (logits.multiply_adds(10, 32), logits.parameter_count(10), logits.activation_count(10, 32)),
            (0, 0, 0)
        );
        assert!(logits.takes(7));
        let error = Network::random(logits, 10, 1, &Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("no network"), "{error}");
    }

    #[test]
    fn multiply_adds_of_resnet50_are_those_of_the_paper_and_torchvision() {
        // Convolution of `k` x `k`, from channels to channels, at a side.
        let conv = |k: u64, inputs: u64, outputs: u64, side: u64| k * k * inputs * outputs * side * side;
        let mut expected = conv(7, 3, 64, 112);
        // Width of the bottleneck, channels and side before the stage, blocks.
        for (width, before, side, blocks) in [(64, 64, 56, 3), (128, 256, 56, 4), (256, 512, 28, 6), (512, 1024, 14, 3)]
        {
            let (outputs, after) = (4 * width, if width == 64 { side } else { side / 2 });
            // The first block reduces at the old side; its 3×3 halves it, and so does the shortcut.
            expected += conv(1, before, width, side) + conv(3, width, width, after) + conv(1, width, outputs, after);
            expected += conv(1, before, outputs, after);
            let block = conv(1, outputs, width, after) + conv(3, width, width, after) + conv(1, width, outputs, after);
            expected += (blocks - 1) * block;
        }
        expected += 2048 * 1000;
        assert_eq!(spec("imagenet-resnet50").multiply_adds(1000, 224), expected);
        // torchvision's documentation says 4.09 GFLOPs.
        assert_eq!(expected, 4_089_184_256);
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
        // The stem at 112² and its max-pool at 56²; logits.
        let mut expected = 64 * (112 * 112 + 56 * 56) + 1000;
        // The first 1×1 convolution of a stage is at the side before it. The third's output, the shortcut and their sum have four
        // times the channels.
        for (width, before, after) in [(64usize, 56usize, 56usize), (128, 56, 28), (256, 28, 14), (512, 14, 7)] {
            expected += width * (before.pow(2) + after.pow(2)) + 3 * 4 * width * after.pow(2);
        }
        assert_eq!(spec("imagenet-resnet14").activation_count(1000, 224), expected);
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
    fn tensors_of_a_bottleneck_are_torchvisions() {
        let tensors = spec("imagenet-resnet50").layers(1000).tensors();
        for (name, shape) in [
            ("conv1.weight", vec![64, 3, 7, 7]),
            ("bn1.running_var", vec![64]),
            ("layer1.0.conv1.weight", vec![64, 64, 1, 1]),
            ("layer1.0.downsample.0.weight", vec![256, 64, 1, 1]),
            ("layer1.1.conv1.weight", vec![64, 256, 1, 1]),
            ("layer3.0.conv1.weight", vec![256, 512, 1, 1]),
            ("layer3.0.conv2.weight", vec![256, 256, 3, 3]),
            ("layer3.0.conv3.weight", vec![1024, 256, 1, 1]),
            ("layer3.0.bn3.weight", vec![1024]),
            ("layer3.0.downsample.0.weight", vec![1024, 512, 1, 1]),
            ("layer3.0.downsample.1.num_batches_tracked", vec![]),
            ("layer4.2.bn3.bias", vec![2048]),
            ("fc.weight", vec![1000, 2048]),
            ("fc.bias", vec![1000]),
        ] {
            assert_eq!(tensors.get(name), Some(&shape), "{name}");
        }
        // torchvision's state dict: 53 convolutions, as many normalisations of five tensors, and the last layer's two.
        assert_eq!(tensors.len(), 53 + 5 * 53 + 2);
        // The first stage keeps the side, but a bottleneck has four times the stem's channels and a basic block as many.
        let basic = spec("imagenet-resnet18").layers(1000).tensors();
        assert_eq!(basic.keys().filter(|name| name.ends_with("downsample.0.weight")).count(), 3);
        assert!(!basic.contains_key("layer1.0.downsample.0.weight"));
        assert_eq!(basic["layer2.0.conv1.weight"], [128, 64, 3, 3]);
    }
}

//! What others call the tensors of the networks here, as data.

use crate::stored::Tensors;
use std::collections::HashSet;

/// How one library's names become those of the networks here.
pub(crate) struct NameMap {
    /// Whose names they are.
    pub whose: &'static str,
    /// Parts of a name, between dots, and what takes their place; one after the other.
    replacements: &'static [(&'static str, &'static str)],
}

/// The libraries whose names differ. Those of torchvision, timm, chenyaofo/pytorch-cifar-models, RepDistiller and the published code of
/// teacher assistants are the names here.
pub(crate) const MAPS: [NameMap; 3] = [
    NameMap {
        whose: "akamaster/pytorch_resnet_cifar10 or kuangliu/pytorch-cifar",
        replacements: &[(".linear.", ".fc."), (".shortcut.", ".downsample.")],
    },
    NameMap {
        whose: "weiaicunzai/pytorch-cifar100",
        replacements: &[
            (".conv1.0.", ".conv1."),
            (".conv1.1.", ".bn1."),
            (".conv2_x.", ".layer1."),
            (".conv3_x.", ".layer2."),
            (".conv4_x.", ".layer3."),
            (".conv5_x.", ".layer4."),
            (".residual_function.0.", ".conv1."),
            (".residual_function.1.", ".bn1."),
            (".residual_function.3.", ".conv2."),
            (".residual_function.4.", ".bn2."),
            (".residual_function.6.", ".conv3."),
            (".residual_function.7.", ".bn3."),
            (".shortcut.", ".downsample."),
        ],
    },
    NameMap {
        whose: "Hugging Face transformers",
        replacements: &[
            (".resnet.embedder.embedder.convolution.", ".conv1."),
            (".resnet.embedder.embedder.normalization.", ".bn1."),
            (".resnet.encoder.stages.0.layers.", ".layer1."),
            (".resnet.encoder.stages.1.layers.", ".layer2."),
            (".resnet.encoder.stages.2.layers.", ".layer3."),
            (".resnet.encoder.stages.3.layers.", ".layer4."),
            (".layer.0.convolution.", ".conv1."),
            (".layer.0.normalization.", ".bn1."),
            (".layer.1.convolution.", ".conv2."),
            (".layer.1.normalization.", ".bn2."),
            (".layer.2.convolution.", ".conv3."),
            (".layer.2.normalization.", ".bn3."),
            (".shortcut.convolution.", ".downsample.0."),
            (".shortcut.normalization.", ".downsample.1."),
            (".classifier.1.", ".fc."),
        ],
    },
];

impl NameMap {
    pub(crate) fn rename(&self, name: &str) -> String {
        let dotted = format!(".{name}");
        let renamed = self.replacements.iter().fold(dotted, |name, (from, to)| name.replace(from, to));
        renamed[1..].to_owned()
    }
}

/// What the names of all tensors begin with, up to a dot: `module.` of `DataParallel`, `_orig_mod.` of `torch.compile`, `model.` of
/// Lightning, or several of them. No network here has such a beginning itself. Single numbers may lack it, as the `n_averaged` of
/// `AveragedModel` does beside `module.`; they keep their names.
pub(crate) fn common_prefix(tensors: &Tensors) -> String {
    let mut names = tensors.iter().filter(|(_, tensor)| !tensor.dims.is_empty()).map(|(name, _)| name);
    // They are sorted: what the first and the last have in common, all have.
    let (Some(first), Some(last)) = (names.next(), names.next_back()) else { return String::new() };
    let common = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b).count();
    let end = first.as_bytes()[..common].iter().rposition(|&byte| byte == b'.').map_or(0, |dot| dot + 1);
    let prefix = &first[..end];
    // Unless two tensors would have one name.
    let without: HashSet<_> = tensors.keys().filter_map(|name| name.strip_prefix(prefix)).collect();
    let taken = |name: &String| !name.starts_with(prefix) && without.contains(name.as_str());
    if tensors.keys().any(taken) { String::new() } else { prefix.to_owned() }
}

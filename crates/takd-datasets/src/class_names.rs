//! The names of every data set's classes, in the order of the labels.

#[rustfmt::skip]
pub(crate) const CIFAR10: [&str; 10] = [
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
];

#[rustfmt::skip]
pub(crate) const CIFAR100: [&str; 100] = [
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle",
    "bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle",
    "chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur",
    "dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard",
    "lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain",
    "mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree",
    "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket",
    "rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider",
    "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor",
    "train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm",
];

/// With `-` for `/` and spaces, which names of folders cannot have.
#[rustfmt::skip]
pub(crate) const FASHION_MNIST: [&str; 10] = [
    "t-shirt-top", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot",
];

/// The drawn shapes; `drawn::forms` draws them by their places in this list.
pub(crate) const SHAPES: [&str; 10] =
    ["disc", "ring", "square", "frame", "triangle", "cross", "bar", "crescent", "ell", "tee"];

/// The drawn textures; `drawn::forms` draws them by their places in this list.
pub(crate) const TEXTURES: [&str; 10] =
    ["plain", "rows", "columns", "rising", "falling", "checked", "dotted", "gridded", "banded", "speckled"];

/// Each shape with each texture: class `10 * shape + texture`.
pub(crate) fn textured_shapes() -> Vec<String> {
    SHAPES.iter().flat_map(|shape| TEXTURES.map(|texture| format!("{texture}_{shape}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cifars_own_lists_are_alphabetical() {
        assert!(CIFAR10.is_sorted() && CIFAR100.is_sorted());
    }
}

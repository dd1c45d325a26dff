//! Lists that say the class of each image of a folder: what a folder has that holds images of all classes together.
//!
//! ```text
//! LOC_val_solution.csv     ILSVRC, from Kaggle: image, class and boxes   ILSVRC2012_val_00000001,n01751748 111 108 500 375
//! val_annotations.txt      Tiny ImageNet: image, class and box           val_0.JPEG    n03444034    0    32    44    62
//! val.txt                  Caffe: image and number of the class          ILSVRC2012_val_00000001.JPEG 65
//! …_synset_labels.txt      TensorFlow: the class of each, in their order n01751748
//! ```

use crate::{
    Error, Result, regular_file,
    stored::{Data, Stored},
};
use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

/// The most bytes of a list. That of ILSVRC's validation images has 4 million.
const MAX_LIST: u64 = 64 << 20;

/// How far above its images ILSVRC's list is, as Kaggle packs it: `ILSVRC/Data/CLS-LOC/val`.
const ABOVE: usize = 4;

/// The list of the images in a folder, if there is one. All of these are lists of validation images.
pub(crate) fn find(folder: &Path) -> Option<PathBuf> {
    folder.file_name()?.to_str()?.to_lowercase().strip_prefix("val")?;
    let near = [Some(folder), folder.parent()].into_iter().flatten();
    let names = ["val_annotations.txt", "val.txt", "imagenet_2012_validation_synset_labels.txt"];
    let near = near.flat_map(|place| names.map(|name| place.join(name)));
    let above = folder.ancestors().take(ABOVE + 1).map(|place| place.join("LOC_val_solution.csv"));
    above.chain(near).find(|path| path.is_file())
}

/// Gives each image its label by the list. `classes` are the names of the classes, sorted.
pub(crate) fn label(list: &Path, images: &mut [Stored], classes: &[String]) -> Result<()> {
    let corrupt = |problem: String| Error::Corrupt { path: list.into(), problem };
    let text = regular_file::read_unchanged(list, MAX_LIST, None)?;
    let text = String::from_utf8(text).map_err(|_| corrupt("it is no text in UTF-8".into()))?;
    let class = |line: usize, word: &str| {
        let by_name = classes.binary_search_by(|class| class.as_str().cmp(word)).ok();
        let by_number = || word.parse().ok().filter(|&number: &usize| number < classes.len());
        by_name.or_else(by_number).map(|label| label as u32).ok_or_else(|| {
            corrupt(format!(
                "line {}: `{}` is none of the {} classes of the training images",
                line + 1,
                word.escape_debug(),
                classes.len()
            ))
        })
    };
    let mut named = HashMap::new();
    let mut in_order = Vec::new();
    for (line, content) in text.lines().enumerate() {
        let mut words = content.split([',', ' ', '\t']).filter(|word| !word.is_empty());
        match (words.next(), words.next()) {
            // Kaggle's heading.
            (Some("ImageId"), _) | (None, _) => {}
            (Some(image), Some(word)) => {
                if named.insert(stem(image), class(line, word)?).is_some() {
                    return Err(corrupt(format!("line {}: `{}` has a line already", line + 1, image.escape_debug())));
                }
            }
            (Some(word), None) => in_order.push(class(line, word)?),
        }
    }
    if !in_order.is_empty() {
        if in_order.len() != images.len() || !named.is_empty() {
            return Err(corrupt(format!("it lists {} classes for {} images", in_order.len(), images.len())));
        }
        images.iter_mut().zip(in_order).for_each(|(image, label)| image.label = label);
        return Ok(());
    }
    for image in images {
        let Data::File { path, .. } = &image.data else { continue };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let label = named.get(stem(&name));
        image.label = *label.ok_or_else(|| image.data.error(format!("{} does not list it", list.display())))?;
    }
    Ok(())
}

/// Lists have the images with their endings or without.
fn stem(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, ending)) if ending.len() <= 4 => stem,
        _ => name,
    }
}

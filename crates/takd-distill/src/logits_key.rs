//! Which of a teacher's logits are kept, and the names of their files.

use crate::config::NUMERICS;
use crate::device::DeviceType;
use crate::view::{BATCH, Form, View};
use std::ops::Range;
use takd_datasets::{Augmentation, Split};

/// How much of kept logits memory holds, and how much of them a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// The most bytes of logits that are held in memory while a student is trained. More are read from their files, row by row.
    pub memory: usize,
    /// The most bytes of logits in a file, which is in memory as a whole when it is written and when it is checked.
    pub file: usize,
    /// The most images whose logits are in a file: a pass that is broken off goes on with the file at which it was.
    pub file_images: usize,
}

impl Default for Limits {
    /// 1 GiB in memory; 128 MiB or 65 536 images in a file.
    fn default() -> Self {
        Self { memory: 1 << 30, file: 1 << 27, file_images: 1 << 16 }
    }
}

/// What is kept of a row of logits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Keep {
    All,
    /// The largest, and for all others what [`takd_loss::TopK`] needs, which depends on τ.
    TopK {
        k: usize,
        temperature: f64,
    },
}

/// Which images a teacher looks at, how it sees them, and what is kept of what it says.
#[derive(Clone, Copy)]
pub(crate) struct LogitsKey<'a> {
    pub split: Split,
    pub view: View<'a>,
    pub form: Form,
    pub classes: usize,
    pub device: DeviceType,
    pub keep: Keep,
    pub limits: Limits,
}

impl LogitsKey<'_> {
    pub(crate) fn images(&self) -> usize {
        self.view.images.images().len()
    }

    /// The bytes of all of its logits.
    pub(crate) fn bytes(&self) -> usize {
        self.images().saturating_mul(self.row_bytes())
    }

    fn row_bytes(&self) -> usize {
        match self.keep {
            Keep::All => 4 * self.classes,
            // A class and its logit, each; and one number for the rest.
            Keep::TopK { k, .. } => 8 * k + 4,
        }
    }

    /// The images of a file, but for the last, which may have fewer. Batches of a pass are cut as if there were one file.
    pub(crate) fn file_images(&self) -> usize {
        let Limits { file, file_images, .. } = self.limits;
        let images = (file / self.row_bytes().max(1)).min(file_images).max(1);
        if images > BATCH { images - images % BATCH } else { images }
    }

    /// The images of each file.
    pub(crate) fn files(&self) -> impl Iterator<Item = Range<usize>> {
        let (all, images) = (self.images(), self.file_images());
        (0..all).step_by(images).map(move |first| first..(first + images).min(all))
    }

    /// The name of the file with the logits of some of its images. It says all that they depend on beside the teacher's run,
    /// which fixes the data and what pixels are scaled by.
    pub(crate) fn file(&self, images: &Range<usize>) -> String {
        let Self { split, form, device, keep, .. } = self;
        let form = match form.augmentation {
            Augmentation::NONE => String::new(),
            augmentation => {
                format!("-{}-replay{}", augmentation.to_string().replace(" + ", "+").replace(' ', "_"), form.replay)
            }
        };
        let keep = match keep {
            Keep::All => String::new(),
            Keep::TopK { k, temperature } => format!("-top{k}-tau{temperature:?}"),
        };
        let part = if images.len() == self.images() { String::new() } else { format!("-from{}", images.start) };
        format!("logits-{split}-{}{form}{keep}{part}-{device}-numerics{NUMERICS}.safetensors", self.images())
    }
}

/// Whether a file of this name holds kept logits.
pub(crate) fn is_logits(name: &str) -> bool {
    let split = |split: Split| name.starts_with(&format!("logits-{split}-"));
    let version = name.strip_suffix(".safetensors").and_then(|name| name.rsplit_once("-numerics"));
    [Split::Train, Split::Test].into_iter().any(split)
        && version.is_some_and(|(_, version)| version.parse::<u32>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use takd_datasets::{Drawn, Known, Normalization, Sources, load};

    #[test]
    fn only_names_that_are_given_here_are_a_runs_own() {
        for own in [
            "logits-test-100-cpu-numerics3.safetensors",
            "logits-train-200-crop-flip-replay1-cuda-numerics12.safetensors",
            "logits-train-200-crop-flip-replay1-top20-tau4.0-from65536-cuda-numerics12.safetensors",
        ] {
            assert!(is_logits(own), "{own}");
        }
        for other in
            ["logits-mine.safetensors", "logits-train-mine.safetensors", "logits-train-200-cpu-numerics.safetensors"]
        {
            assert!(!is_logits(other), "{other}");
        }
    }

    #[test]
    fn files_hold_all_images_once_in_whole_batches_within_the_limits() {
        let sources = Sources { drawn: Drawn { train: 2_000, test: 10, seed: 0 }, ..Sources::default() };
        let data = load(&Known::Shapes10.into(), &sources, &mut |_| {}).unwrap();
        let images = data.train.placed_on(&Device::Cpu).unwrap();
        let view = View { images: &images, normalization: Normalization::PUBLISHED_CODE };
        let (split, form, device) = (Split::Train, Form::AS_IT_IS, DeviceType::Cpu);
        let key = |keep, limits| LogitsKey { split, view, form, classes: 10, device, keep, limits };
        let files = |key: LogitsKey<'_>| key.files().map(|images| key.file(&images)).collect::<Vec<_>>();
        let all = key(Keep::All, Limits::default());
        assert_eq!(files(all), ["logits-train-2000-cpu-numerics3.safetensors"]);
        assert_eq!(all.bytes(), 2_000 * 40);
        let top = Keep::TopK { k: 3, temperature: 4.0 };
        assert_eq!(files(key(top, Limits::default())), ["logits-train-2000-top3-tau4.0-cpu-numerics3.safetensors"]);
        // 28 bytes an image.
        let top = key(top, Limits { file: 28 * 800, ..Limits::default() });
        assert_eq!(top.files().collect::<Vec<_>>(), [0..768, 768..1536, 1536..2000]);
        assert_eq!(files(top)[1], "logits-train-2000-top3-tau4.0-from768-cpu-numerics3.safetensors");
        let few = key(Keep::All, Limits { file_images: 90, ..Limits::default() });
        assert_eq!((few.files().count(), few.files().last()), (23, Some(1980..2000)));
        assert!(files(few).iter().all(|name| is_logits(name)));
        // A row that is larger than a file may be has a file of its own.
        assert_eq!(key(Keep::All, Limits { file: 1, ..Limits::default() }).files().count(), 2_000);
    }
}

//! Where a teacher's logits come from: its network, or the file that it is known by.

use crate::event::{Event, Pass, Watch};
use crate::given_logits::GivenLogits;
use crate::logits_key::LogitsKey;
use crate::{Error, Result};
use takd_models::Network;

/// A teacher that is asked for its logits.
pub(crate) enum LogitsSource {
    Network(Network),
    /// Those of images that are not augmented.
    Given(GivenLogits),
}

impl LogitsSource {
    /// The logits of the key's images that are named by their indices, row by row; `watch` may break it off.
    pub(crate) fn logits(&self, key: &LogitsKey<'_>, images: &[u32], watch: &mut Watch<'_>) -> Result<Vec<f32>> {
        let pass = Pass::TeacherLogits;
        let given = match self {
            Self::Network(network) => return key.view.logits(network, images, key.form, pass, watch),
            Self::Given(given) => given,
        };
        // Fewer images than there are may be trained on.
        let places = images.iter().map(|&image| key.view.images.images().place(image as usize));
        let rows = given.rows(key.split, places)?;
        let rows =
            rows.ok_or_else(|| Error::Config(format!("a teacher's logits are not those of {} images", key.split)))?;
        let total = images.len();
        if watch(Event::Pass { pass, done: total, total }).is_break() {
            return Err(Error::Stopped);
        }
        Ok(rows)
    }
}

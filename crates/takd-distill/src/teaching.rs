//! Who teaches a run, and what they say to a batch.

use crate::evaluate::{PlacedData, View};
use crate::logits::{KeptLogits, PlacedLogits, Seen};
use crate::store::{CONFIG, MODEL, gone, model_bytes};
use crate::{Error, Recipe, Result, RunConfig, RunId, Store, TeacherComparison, Watch};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use std::path::{Path, PathBuf};
use takd_datasets::{Augmentation, Batch, Split};
use takd_loss::{BadRows, DistillationLoss, KdLoss, MultiTeacherKd};
use takd_models::{ModelSpec, Network};

/// Bytes of kept logits that a run puts on its GPU at most.
const ROOM: usize = 1 << 30;

/// The teachers of one run.
pub(crate) struct Teaching {
    loss: MultiTeacherKd,
    teachers: Vec<Teacher>,
    /// Their logits for the training images.
    said: Said,
}

enum Said {
    /// Computed once: those of teacher `t` for form `f` of the images at `[t][f]`, a row an image by its index.
    Kept(Vec<Vec<PlacedLogits>>),
    /// Computed for every batch.
    Live(Vec<Network>),
    /// Not asked for: λ is 0.
    Unheard,
}

struct Teacher {
    id: RunId,
    model: ModelSpec,
    recipe: Recipe,
    /// The epoch whose network counts, and its file.
    epoch: usize,
    path: PathBuf,
}

impl Teacher {
    /// The teacher of run `id` for a student of `config`.
    fn of(id: &RunId, student: &RunConfig, store: &Store) -> Result<Self> {
        let result = store.finished(id)?.ok_or_else(|| Error::Unfinished { id: id.clone(), dir: store.dir(id) })?;
        let config = store.config(id)?.ok_or_else(|| gone(&store.dir(id).join(CONFIG)))?;
        if (config.data.dataset, &config.data.checksum) != (student.data.dataset, &student.data.checksum) {
            return Err(Error::Config(format!(
                "the teacher was trained on other images of {} than the student's of {}",
                config.data.dataset, student.data.dataset
            )));
        }
        let (epoch, path) = (result.epoch, store.dir(id).join(MODEL));
        Ok(Self { id: id.clone(), model: config.model, recipe: config.recipe, epoch, path })
    }

    fn network(&self, classes: usize, device: &Device) -> Result<Network> {
        load_frozen((self.model, classes), &self.path, (&self.id, self.epoch), device)
    }

    fn kept(
        &self,
        split: Split,
        (augmentation, replay): (Augmentation, usize),
        placed: &PlacedData<'_>,
        store: &Store,
        watch: &mut Watch<'_>,
    ) -> Result<KeptLogits> {
        let images = match split {
            Split::Train => &placed.train,
            Split::Test => &placed.test,
        };
        // As the teacher itself was trained to see them.
        let view = View { images, normalization: self.recipe.normalization(placed.data) };
        let seen = Seen { split, view, augmentation, replay };
        let mut network = || self.network(placed.data.class_names.len(), placed.device());
        KeptLogits::open_or_compute(store, &self.id, seen, &mut network, watch)
    }
}

impl Teaching {
    /// The teachers of `config`; nothing where it has none. What they have to say of the training images is computed here,
    /// where it can be kept.
    pub(crate) fn prepare(
        config: &RunConfig,
        placed: &PlacedData<'_>,
        store: &Store,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Self>> {
        let Some(kd) = &config.distillation else { return Ok(None) };
        let recipe = &config.recipe;
        let teachers = kd.teachers.iter().map(|id| Teacher::of(id, config, store)).collect::<Result<Vec<_>>>()?;
        let said = match recipe.forms() {
            _ if kd.lambda == 0.0 => Said::Unheard,
            Some(forms) => {
                let (mut kept, mut room) = (Vec::new(), ROOM);
                for teacher in &teachers {
                    let mut form = |replay| {
                        let augmented = (recipe.augmentation(), replay);
                        let logits = teacher.kept(Split::Train, augmented, placed, store, watch)?;
                        logits.placed_on(placed.device(), &mut room)
                    };
                    kept.push((0..forms).map(&mut form).collect::<Result<_>>()?);
                }
                Said::Kept(kept)
            }
            None => {
                if let Some(other) =
                    teachers.iter().find(|teacher| teacher.recipe.normalization != recipe.normalization)
                {
                    return Err(Error::Config(format!(
                        "the pixels are scaled otherwise for the teacher {}, run {}, than for the student; give both one \
                         protocol, or let the student's images have a fixed number of augmented forms",
                        other.model, other.id
                    )));
                }
                let network = |teacher: &Teacher| teacher.network(placed.data.class_names.len(), placed.device());
                Said::Live(teachers.iter().map(network).collect::<Result<_>>()?)
            }
        };
        let (temperature, lambda) = (kd.temperature, kd.lambda);
        let kd =
            KdLoss { temperature, lambda, reduction: recipe.reduction(), bad_rows: BadRows::Nan, ..KdLoss::default() };
        Ok(Some(Self { loss: MultiTeacherKd { kd }, teachers, said }))
    }

    /// The batch's loss; `form` is which of the forms of its images it has.
    pub(crate) fn loss(&self, student_logits: &Tensor, batch: &Batch, form: usize, step: usize) -> Result<Tensor> {
        let teacher_logits: Vec<Tensor> = match &self.said {
            Said::Unheard => Vec::new(),
            Said::Kept(kept) => kept.iter().map(|forms| forms[form].rows(batch)).collect::<Result<_>>()?,
            Said::Live(networks) => {
                let logits = |network: &Network| Ok(network.forward_t(&batch.images, false)?.detach());
                networks.iter().map(logits).collect::<Result<_>>()?
            }
        };
        let (labels, step) = (&batch.labels, step as u64);
        Ok(self.loss.loss(&takd_loss::Batch { student_logits, teacher_logits: &teacher_logits, labels, step })?)
    }

    /// How the student stands to them on the test images, by its logits for those.
    pub(crate) fn compare(
        &self,
        student_logits: &[f32],
        placed: &PlacedData<'_>,
        store: &Store,
        watch: &mut Watch<'_>,
    ) -> Result<TeacherComparison> {
        let mut logits = Vec::new();
        for teacher in &self.teachers {
            let kept = teacher.kept(Split::Test, (Augmentation::None, 0), placed, store, watch)?;
            logits.push(kept.all());
        }
        TeacherComparison::of(student_logits, &logits, placed.data.class_names.len(), self.loss.kd.temperature)
    }
}

/// The network of a run's epoch, for evaluation only, from its file.
pub(crate) fn load_frozen(
    (model, classes): (ModelSpec, usize),
    path: &Path,
    (run, epoch): (&RunId, usize),
    device: &Device,
) -> Result<Network> {
    let bytes = model_bytes(path, run, |found| found == epoch)?;
    let loaded = Network::from_safetensors(model, classes, (path, &bytes), device);
    let (_, parameters) = loaded.map_err(|error| Error::damaged(path, &error))?;
    Ok(Network::new(model, classes, parameters.frozen_var_builder(device))?)
}

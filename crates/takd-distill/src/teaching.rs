//! Who teaches a run, and their logits for each batch.

use crate::config::RunConfig;
use crate::device::DeviceType;
use crate::evaluation::TeacherComparison;
use crate::event::Watch;
use crate::kept_logits::{KEPT_AT_MOST, KeptLogits, LogitsKey, PlacedLogits};
use crate::logits;
use crate::network_file::{MODEL, NetworkFile};
use crate::runs::Runs;
use crate::steps::KlWeight;
use crate::training::Training;
use crate::view::{Form, PlacedData, View};
use crate::{Error, KlReduction, Result};
use candle_core::Tensor;
use candle_nn::ModuleT;
use std::path::PathBuf;
use takd_datasets::{Batch, Mixed, Split};
use takd_loss::{BadRows, DistillationLoss, KdLoss, MultiTeacherKd};
use takd_models::{ModelSpec, Network};
use takd_ops::Compute;
use takd_store::RunId;
use takd_store::names::CONFIG;

/// The most bytes of kept logits that a run puts on its GPU.
const GPU_AT_MOST: usize = 1 << 30;

/// The teachers of one run.
pub(crate) struct Teaching {
    loss: MultiTeacherKd,
    kl_weight: Option<KlWeight>,
    teachers: Vec<Teacher>,
    logits: TeacherLogits,
}

/// The loss of a batch whose images may be of two classes each: the sum of the losses for either, by their shares (arXiv 1710.09412,
/// section 1; arXiv 1905.04899, equation 1). What does not depend on the classes is in both, and so counts once.
pub(crate) fn mixed_loss(batch: &Batch, loss: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let most = loss(&batch.labels)?;
    let Some(Mixed { labels, share }) = &batch.mixed else { return Ok(most) };
    Ok(((most * (1.0 - share))? + (loss(labels)? * *share)?)?)
}

/// Where the teachers' logits for a batch come from.
enum TeacherLogits {
    /// Computed once: those of teacher `t` for form `f` of the images at `[t][f]`, a row an image by its index.
    Kept(Vec<Vec<PlacedLogits>>),
    /// Computed for every batch.
    Live(Vec<Network>),
    /// Not asked for: λ is 0.
    Unused,
}

struct Teacher {
    id: RunId,
    model: ModelSpec,
    training: Training,
    /// The epoch whose network counts, and its file.
    epoch: usize,
    path: PathBuf,
}

impl Teacher {
    /// The teacher of run `id` for a student of `config`.
    fn of(id: &RunId, student: &RunConfig, runs: &Runs) -> Result<Self> {
        let result = runs.finished(id)?.ok_or_else(|| Error::unfinished(id, runs.dir(id)))?;
        let config = runs.config(id)?.ok_or_else(|| Error::gone(&runs.dir(id).join(CONFIG)))?;
        let (own, others) = (&student.data, &config.data);
        if (&own.dataset, &own.checksum) != (&others.dataset, &others.checksum) {
            return Err(Error::Config(format!(
                "the teacher, run {id}, was trained on other images of {} than the student's of {}",
                others.dataset, own.dataset
            )));
        }
        let (epoch, path) = (result.epoch, runs.dir(id).join(MODEL));
        Ok(Self { id: id.clone(), model: config.model, training: config.training.clone(), epoch, path })
    }

    fn network(&self, classes: usize, compute: &Compute) -> Result<Network> {
        let Self { id, model, epoch, path, .. } = self;
        NetworkFile { path, run: id, epoch: *epoch, model: *model, classes }.load(compute)
    }

    fn kept(
        &self,
        split: Split,
        form: Form,
        placed: &PlacedData<'_>,
        runs: &Runs,
        watch: &mut Watch<'_>,
    ) -> Result<KeptLogits> {
        let images = match split {
            Split::Train => &placed.train,
            Split::Test => &placed.test,
        };
        // As the teacher itself was trained to see them.
        let view = View { images, normalization: self.training.normalization(placed.data) };
        let (classes, device) = (placed.classes(), DeviceType::of(placed.compute));
        let key = LogitsKey { split, view, form, classes, device };
        let mut network = || self.network(classes, placed.compute);
        logits::open_or_compute(runs, &self.id, key, &mut network, watch)
    }
}

impl Teaching {
    /// The teachers of `config`, if it has any. Their logits for the training images are computed here, if they can be kept.
    pub(crate) fn prepare(
        config: &RunConfig,
        placed: &PlacedData<'_>,
        runs: &Runs,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Self>> {
        let Some(kd) = &config.distillation else { return Ok(None) };
        let training = &config.training;
        let teachers = kd.teachers.iter().map(|id| Teacher::of(id, config, runs)).collect::<Result<Vec<_>>>()?;
        let bytes = 4 * placed.data.train.len() * placed.classes();
        let forms = training.forms().filter(|forms| forms.saturating_mul(bytes) <= KEPT_AT_MOST);
        let logits = match forms {
            _ if kd.lambda == 0.0 => TeacherLogits::Unused,
            Some(forms) => {
                let (mut kept, mut room) = (Vec::new(), GPU_AT_MOST);
                for teacher in &teachers {
                    let mut form = |replay| {
                        let form = Form { augmentation: training.augmentation, replay };
                        let logits = teacher.kept(Split::Train, form, placed, runs, watch)?;
                        logits.placed_on(&placed.compute.device, &mut room)
                    };
                    kept.push((0..forms).map(&mut form).collect::<Result<_>>()?);
                }
                TeacherLogits::Kept(kept)
            }
            None => {
                let other = teachers.iter().find(|teacher| teacher.training.normalization != training.normalization);
                if let Some(Teacher { model, id, .. }) = other {
                    return Err(Error::Config(format!(
                        "the pixels are scaled otherwise for the teacher {model}, run {id}, than for the student; give both one \
                         protocol, or let the student's images have a fixed number of augmented forms"
                    )));
                }
                let network = |teacher: &Teacher| teacher.network(placed.classes(), placed.compute);
                TeacherLogits::Live(teachers.iter().map(network).collect::<Result<_>>()?)
            }
        };
        let (temperature, lambda) = (kd.temperature, kd.lambda);
        // The published code's reduction divides the KL term by the number of classes.
        let per_image = match kd.kl_reduction {
            KlReduction::BatchMean => 1.0,
            KlReduction::Mean => placed.classes() as f64,
        };
        let factor = lambda * temperature * temperature / per_image;
        let kl_weight = (factor > 0.0 && factor.is_finite()).then_some(KlWeight { lambda, factor });
        let reduction = kd.kl_reduction.reduction();
        let kd = KdLoss { temperature, lambda, reduction, bad_rows: BadRows::Nan, ..KdLoss::default() };
        Ok(Some(Self { loss: MultiTeacherKd { kd }, kl_weight, teachers, logits }))
    }

    /// How the loss is made of its terms; nothing if it is the cross-entropy alone.
    pub(crate) fn kl_weight(&self) -> Option<KlWeight> {
        self.kl_weight
    }

    /// The batch's loss; `form` is the number of the form that its images have.
    pub(crate) fn loss(&self, student_logits: &Tensor, batch: &Batch, form: usize, step: usize) -> Result<Tensor> {
        let teacher_logits: Vec<Tensor> = match &self.logits {
            TeacherLogits::Unused => Vec::new(),
            TeacherLogits::Kept(kept) => kept.iter().map(|forms| forms[form].rows(batch)).collect::<Result<_>>()?,
            TeacherLogits::Live(networks) => {
                let logits = |network: &Network| Ok(network.forward_t(&batch.images, false)?.detach());
                networks.iter().map(logits).collect::<Result<_>>()?
            }
        };
        let (teacher_logits, step) = (&teacher_logits, step as u64);
        mixed_loss(batch, |labels| {
            Ok(self.loss.loss(&takd_loss::Batch { student_logits, teacher_logits, labels, step })?)
        })
    }

    /// How the student stands to them on the test images, by its logits for those.
    pub(crate) fn compare(
        &self,
        student_logits: &[f32],
        placed: &PlacedData<'_>,
        runs: &Runs,
        watch: &mut Watch<'_>,
    ) -> Result<TeacherComparison> {
        let mut logits = Vec::new();
        for teacher in &self.teachers {
            logits.push(teacher.kept(Split::Test, Form::AS_IT_IS, placed, runs, watch)?.values);
        }
        TeacherComparison::of(student_logits, &logits, placed.classes(), self.loss.kd.temperature)
    }
}

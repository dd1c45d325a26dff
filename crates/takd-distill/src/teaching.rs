//! Who teaches a run, and their logits for each batch.

use crate::config::RunConfig;
use crate::device::DeviceType;
use crate::evaluation::TeacherComparison;
use crate::event::Watch;
use crate::given_logits::GivenLogits;
use crate::kept_logits::{BatchLogits, KeptLogits, PlacedLogits};
use crate::logits;
use crate::logits_file::HeldIn;
use crate::logits_key::{Keep, Limits, LogitsKey};
use crate::logits_source::LogitsSource;
use crate::network_file::{MODEL, NetworkFile};
use crate::runs::Runs;
use crate::steps::KlWeight;
use crate::view::{Form, PlacedData, View};
use crate::{Error, KlReduction, Result};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use std::path::PathBuf;
use takd_datasets::{Augmentation, Batch, Mixed, Normalization, Split};
use takd_loss::{BadRows, DistillationLoss, KdLoss, MultiTeacherKd, TopK};
use takd_models::{Family, Network};
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
    limits: Limits,
}

/// The loss of a batch whose images may be of two classes each: the sum of the losses for either, by their shares (arXiv 1710.09412,
/// section 1; arXiv 1905.04899, equation 1). What does not depend on the classes is in both, and so counts once.
pub(crate) fn mixed_loss(batch: &Batch, loss: impl Fn(&Tensor) -> Result<Tensor>) -> Result<Tensor> {
    let most = loss(&batch.labels)?;
    let Some(Mixed { labels, share }) = &batch.mixed else { return Ok(most) };
    Ok(((most * (1.0 - share))? + (loss(labels)? * *share)?)?)
}

/// Each teacher's logits for each form of the training images, computed if they are not kept yet. They are in memory as far
/// as the limits allow; the others are read from their files.
fn keep_forms(
    forms: usize,
    teachers: &[Teacher],
    config: &RunConfig,
    placed: &PlacedData<'_>,
    runs: &Runs,
    limits: Limits,
    watch: &mut Watch<'_>,
) -> Result<Vec<Vec<PlacedLogits>>> {
    let keep = config.distillation.as_ref().map_or(Keep::All, |kd| match kd.top_k {
        Some(k) => Keep::TopK { k: k.get(), temperature: kd.temperature },
        None => Keep::All,
    });
    let (mut room, mut gpu_room, mut on_disk) = (limits.memory, GPU_AT_MOST, 0);
    let mut kept = Vec::new();
    for teacher in teachers {
        let mut placed_forms = Vec::new();
        for replay in 0..forms {
            let form = Form { augmentation: config.training.augmentation, replay };
            let key = teacher.logits_key(Split::Train, form, keep, placed, limits);
            let bytes = key.bytes();
            let held_in = if bytes <= room { HeldIn::Memory } else { HeldIn::Disk };
            let logits = teacher.kept(key, held_in, placed, runs, watch)?;
            let logits = logits.placed_on(&placed.compute.device, &mut gpu_room)?;
            match (&logits, held_in) {
                (PlacedLogits::Host(_), HeldIn::Memory) => room -= bytes,
                (PlacedLogits::Host(_), HeldIn::Disk) => on_disk += bytes,
                (PlacedLogits::Device(_), _) => {}
            }
            placed_forms.push(logits);
        }
        kept.push(placed_forms);
    }
    if on_disk > 0 && keep == Keep::All {
        let gigabytes = on_disk as f64 / 1e9;
        tracing::warn!(
            "run {}: {gigabytes:.1} GB of its teachers' logits do not fit into memory and are read from disk; with `top_k` \
             only the largest of each image are kept",
            config.id()
        );
    }
    Ok(kept)
}

/// Where the teachers' logits for a batch come from.
enum TeacherLogits {
    /// Computed once: those of teacher `t` for form `f` of the images at `[t][f]`, a row an image by its index.
    Kept(Vec<Vec<PlacedLogits>>),
    /// Computed for every batch.
    Live(Vec<LiveTeacher>),
    /// Not asked for: λ is 0.
    Unused,
}

/// A teacher that looks at the student's own batches.
struct LiveTeacher {
    network: Network,
    /// From the student's pixels to its own, `x · factor + summand`, if they are scaled otherwise.
    rescaling: Option<[Tensor; 2]>,
}

impl LiveTeacher {
    fn logits(&self, images: &Tensor) -> candle_core::Result<Tensor> {
        let images = match &self.rescaling {
            None => images.clone(),
            Some([factor, summand]) => {
                // Channels last, as they lie in memory.
                let rescaled = images.permute((0, 2, 3, 1))?.broadcast_mul(factor)?.broadcast_add(summand)?;
                rescaled.permute((0, 3, 1, 2))?
            }
        };
        Ok(self.network.forward_t(&images, false)?.detach())
    }
}

/// What takes pixels that are scaled by `from` to those that are scaled by `to`: `(x · s + m − m') / s'` channel by channel.
fn rescaling(from: Normalization, to: Normalization, device: &Device) -> candle_core::Result<Option<[Tensor; 2]>> {
    if from == to {
        return Ok(None);
    }
    let number = |of: &[f32; 3], channel: usize| f64::from(of[channel]);
    let factor = [0, 1, 2].map(|c| (number(&from.std, c) / number(&to.std, c)) as f32);
    let summand = [0, 1, 2].map(|c| ((number(&from.mean, c) - number(&to.mean, c)) / number(&to.std, c)) as f32);
    Ok(Some([Tensor::new(&factor, device)?, Tensor::new(&summand, device)?]))
}

struct Teacher {
    id: RunId,
    config: RunConfig,
    /// The epoch whose network counts, and its file.
    epoch: usize,
    path: PathBuf,
    /// Whether its logits for the test images can be had.
    knows_test: bool,
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
        Ok(Self { id: id.clone(), config, epoch, path, knows_test: result.test.is_some() })
    }

    /// Whether it is known by its logits alone.
    fn is_logits(&self) -> bool {
        self.config.model.family() == Family::Logits
    }

    fn source(&self, classes: usize, compute: &Compute) -> Result<LogitsSource> {
        if self.is_logits() {
            return Ok(LogitsSource::Given(GivenLogits::load(&self.path, &self.id)?));
        }
        Ok(LogitsSource::Network(self.network(classes, compute)?))
    }

    fn network(&self, classes: usize, compute: &Compute) -> Result<Network> {
        let Self { id, config, epoch, path, .. } = self;
        NetworkFile { path, run: id, epoch: *epoch, model: config.model, classes }.load(compute)
    }

    fn logits_key<'a>(
        &self,
        split: Split,
        form: Form,
        keep: Keep,
        placed: &'a PlacedData<'_>,
        limits: Limits,
    ) -> LogitsKey<'a> {
        let images = match split {
            Split::Train => &placed.train,
            Split::Test => &placed.test,
        };
        // As the teacher itself was trained to see them.
        let view = View { images, normalization: self.config.normalization(&placed.data.card) };
        let (classes, device) = (placed.classes(), DeviceType::of(placed.compute));
        LogitsKey { split, view, form, classes, device, keep, limits }
    }

    fn kept(
        &self,
        key: LogitsKey<'_>,
        held_in: HeldIn,
        placed: &PlacedData<'_>,
        runs: &Runs,
        watch: &mut Watch<'_>,
    ) -> Result<KeptLogits> {
        let mut source = || self.source(placed.classes(), placed.compute);
        logits::open_or_compute(runs, &self.id, key, held_in, &mut source, watch)
    }
}

impl Teaching {
    /// The teachers of `config`, if it has any. Their logits for the training images are computed here, if they can be kept.
    pub(crate) fn prepare(
        config: &RunConfig,
        placed: &PlacedData<'_>,
        runs: &Runs,
        limits: Limits,
        watch: &mut Watch<'_>,
    ) -> Result<Option<Self>> {
        let Some(kd) = &config.distillation else { return Ok(None) };
        let training = &config.training;
        let teachers = kd.teachers.iter().map(|id| Teacher::of(id, config, runs)).collect::<Result<Vec<_>>>()?;
        let augmentation = training.augmentation;
        if kd.lambda > 0.0 && augmentation != Augmentation::NONE && teachers.iter().any(Teacher::is_logits) {
            return Err(Error::Augmented { student: config.model, augmentation });
        }
        let logits = match training.forms() {
            _ if kd.lambda == 0.0 => TeacherLogits::Unused,
            Some(forms) => TeacherLogits::Kept(keep_forms(forms, &teachers, config, placed, runs, limits, watch)?),
            None => {
                let live = |teacher: &Teacher| -> Result<LiveTeacher> {
                    let card = &placed.data.card;
                    let (own, theirs) = (config.normalization(card), teacher.config.normalization(card));
                    Ok(LiveTeacher {
                        network: teacher.network(placed.classes(), placed.compute)?,
                        rescaling: rescaling(own, theirs, &placed.compute.device)?,
                    })
                };
                TeacherLogits::Live(teachers.iter().map(live).collect::<Result<_>>()?)
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
        Ok(Some(Self { loss: MultiTeacherKd { kd }, kl_weight, teachers, logits, limits }))
    }

    /// The kept logits of all teachers and forms.
    #[cfg(test)]
    pub(crate) fn kept_logits(&self) -> impl Iterator<Item = &PlacedLogits> {
        let kept = match &self.logits {
            TeacherLogits::Kept(kept) => kept.as_slice(),
            TeacherLogits::Live(_) | TeacherLogits::Unused => &[],
        };
        kept.iter().flatten()
    }

    /// How the loss is made of its terms; nothing if it is the cross-entropy alone.
    pub(crate) fn kl_weight(&self) -> Option<KlWeight> {
        self.kl_weight
    }

    /// The batch's loss; `form` is the number of the form that its images have.
    pub(crate) fn loss(&self, student_logits: &Tensor, batch: &Batch, form: usize, step: usize) -> Result<Tensor> {
        let teacher_logits: Vec<BatchLogits> = match &self.logits {
            TeacherLogits::Unused => Vec::new(),
            TeacherLogits::Kept(kept) => kept.iter().map(|forms| forms[form].rows(batch)).collect::<Result<_>>()?,
            TeacherLogits::Live(teachers) => teachers
                .iter()
                .map(|teacher| Ok(BatchLogits::All(teacher.logits(&batch.images)?)))
                .collect::<Result<_>>()?,
        };
        let (mut all, mut top_k) = (Vec::new(), Vec::new());
        for logits in teacher_logits {
            match logits {
                BatchLogits::All(logits) => all.push(logits),
                BatchLogits::TopK(logits) => top_k.push(logits),
            }
        }
        mixed_loss(batch, |labels| match top_k.split_first() {
            None => {
                let batch = takd_loss::Batch { student_logits, teacher_logits: &all, labels, step: step as u64 };
                Ok(self.loss.loss(&batch)?)
            }
            Some((first, others)) => {
                // The mean of the losses from each: the cross-entropy is in all of them, and their divergences are averaged as
                // those of teachers of which all logits are kept.
                let loss = |teacher: &TopK| self.loss.kd.forward_top_k(student_logits, teacher, labels, None);
                let sum =
                    others.iter().try_fold(loss(first)?, |sum, teacher| Ok::<_, Error>((sum + loss(teacher)?)?))?;
                Ok(if others.is_empty() { sum } else { (sum / top_k.len() as f64)? })
            }
        })
    }

    /// How the student stands to them on the test images, by its logits for those; nothing if one's are not known.
    pub(crate) fn compare(
        &self,
        student_logits: &[f32],
        placed: &PlacedData<'_>,
        runs: &Runs,
        watch: &mut Watch<'_>,
    ) -> Result<Option<TeacherComparison>> {
        if !self.teachers.iter().all(|teacher| teacher.knows_test) {
            return Ok(None);
        }
        let mut logits = Vec::new();
        for teacher in &self.teachers {
            let key = teacher.logits_key(Split::Test, Form::AS_IT_IS, Keep::All, placed, self.limits);
            logits.push(teacher.kept(key, HeldIn::Memory, placed, runs, watch)?.values()?);
        }
        TeacherComparison::of(student_logits, &logits, placed.classes(), self.loss.kd.temperature).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teacher_sees_the_students_pixels_scaled_as_its_own() -> candle_core::Result<()> {
        let device = &Device::Cpu;
        let (network, _) = Network::random("plane2".parse().unwrap(), 10, 7, device)?;
        let pixels = Tensor::rand(0f32, 1f32, (4, 32, 32, 3), device)?;
        let seen = |by: Normalization| {
            let (mean, std) = (Tensor::new(&by.mean, device)?, Tensor::new(&by.std, device)?);
            pixels.broadcast_sub(&mean)?.broadcast_div(&std)?.permute((0, 3, 1, 2))
        };
        let (students, own) = (Normalization::PUBLISHED_CODE, Normalization::IMAGENET);
        let expected = network.forward_t(&seen(own)?, false)?;
        assert!(rescaling(own, own, device)?.is_none());
        let teacher = LiveTeacher { network: network.frozen(), rescaling: rescaling(students, own, device)? };
        let found = teacher.logits(&seen(students)?)?;
        let difference = (found - expected)?.abs()?.max_all()?.to_scalar::<f32>()?;
        assert!(difference < 1e-4, "{difference}");
        Ok(())
    }
}

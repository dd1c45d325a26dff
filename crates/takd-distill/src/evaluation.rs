//! How a network does on images, and how it stands to its teachers, by its logits.

use crate::{Error, Result};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Intervals of confidence that calibration is measured over: the 15 of Guo et al. 2017.
const BINS: usize = 15;

/// How a network does on images that it was not trained on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// Mean cross-entropy, in nats.
    pub loss: f64,
    /// Share of the images whose largest logit is their label's, 0 to 1.
    pub accuracy: f64,
    /// Share of the images whose label's logit is among the five largest, 0 to 1.
    pub top5_accuracy: f64,
    /// Expected calibration error, 0 to 1: by how much confidence and accuracy differ, over 15 equal intervals of
    /// confidence (Guo et al. 2017, eq. 3, arXiv 1706.04599).
    pub calibration_error: f64,
    /// How many images there were.
    pub images: usize,
}

/// How a student stands to its teacher on images that neither was trained on. Several teachers count as one, whose
/// probabilities are the mean of theirs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct TeacherComparison {
    /// Share of the images to which both give the same class, 0 to 1.
    pub agreement: f64,
    /// Mean of KL(softmax(t/τ) ‖ softmax(s/τ)), in nats: what distillation lessens (eq. 2 of arXiv 1902.03393, without τ²).
    pub kl: f64,
    /// Mean entropy of softmax(t/τ), in nats, from 0 to ln(classes): how soft the targets are, the third of the forces by
    /// which the paper explains when a teacher is too large.
    pub soft_target_entropy: f64,
}

impl Evaluation {
    /// Of `logits`, `[images, classes]`, against their labels.
    pub(crate) fn of(logits: &[f32], classes: usize, labels: impl Iterator<Item = usize>) -> Result<Self> {
        let labels: Vec<usize> = labels.collect();
        let row = |(row, (logits, &label)): (usize, (&[f32], &usize))| {
            let probabilities = softmax(logits, 1.0, row)?;
            // Of equal logits the first counts as the largest.
            let ahead = |class: usize| match class < label {
                true => logits[class] >= logits[label],
                false => logits[class] > logits[label],
            };
            let rank = (0..classes).filter(|&class| ahead(class)).count();
            let confidence = probabilities.iter().copied().fold(0.0, f64::max);
            // Not the logarithm of the probability, which may be too small for a number.
            Ok((rank, confidence, log_sum_exp(logits) - f64::from(logits[label])))
        };
        // By all threads, for a GPU waits meanwhile.
        let rows: Vec<Result<(usize, f64, f64)>> =
            logits.par_chunks_exact(classes).zip(&labels).enumerate().map(row).collect();

        let (mut loss, mut hits, mut hits5) = (0.0, 0, 0);
        // Of each interval: sum of confidences, number of hits.
        let mut bins = [(0.0, 0); BINS];
        let images = rows.len();
        for row in rows {
            let (rank, confidence, row_loss) = row?;
            let (confidences, bin_hits) = &mut bins[((confidence * BINS as f64).ceil() as usize).clamp(1, BINS) - 1];
            *confidences += confidence;
            *bin_hits += usize::from(rank == 0);
            hits += usize::from(rank == 0);
            hits5 += usize::from(rank < 5);
            loss += row_loss;
        }
        let share = |count: usize| count as f64 / images as f64;
        let gaps = bins.map(|(confidences, hits)| (confidences - hits as f64).abs());
        Ok(Self {
            loss: loss / images as f64,
            accuracy: share(hits),
            top5_accuracy: share(hits5),
            calibration_error: gaps.iter().sum::<f64>() / images as f64,
            images,
        })
    }
}

impl TeacherComparison {
    /// Of a student's logits with its teachers' at temperature τ, all `[images, classes]`.
    pub(crate) fn of(student: &[f32], teachers: &[Vec<f32>], classes: usize, temperature: f64) -> Result<Self> {
        let (mut agreed, mut kl, mut entropy) = (0, 0.0, 0.0);
        let images = student.len() / classes;
        for (row, student) in student.chunks_exact(classes).enumerate() {
            let mut targets = vec![0.0; classes];
            for teacher in teachers {
                let softened = softmax(&teacher[row * classes..][..classes], temperature, row)?;
                targets.iter_mut().zip(softened).for_each(|(sum, p)| *sum += p / teachers.len() as f64);
            }
            let top = f64::from(student.iter().copied().fold(f32::NEG_INFINITY, f32::max));
            let scaled: Vec<f64> = student.iter().map(|&logit| (f64::from(logit) - top) / temperature).collect();
            let log_normalizer = scaled.iter().map(|logit| logit.exp()).sum::<f64>().ln();
            for (&p, &logit) in targets.iter().zip(&scaled).filter(|&(&p, _)| p > 0.0) {
                kl += p * (p.ln() - (logit - log_normalizer));
                entropy -= p * p.ln();
            }
            agreed +=
                usize::from(largest(student.iter().map(|&logit| f64::from(logit))) == largest(targets.into_iter()));
        }
        let images = images as f64;
        if !kl.is_finite() {
            return Err(Error::NotFinite(format!("the divergence from the teacher at τ = {temperature} is {kl}")));
        }
        Ok(Self { agreement: agreed as f64 / images, kl: kl / images, soft_target_entropy: entropy / images })
    }
}

/// The first of the largest.
pub(crate) fn largest(values: impl Iterator<Item = f64>) -> Option<usize> {
    let pairs = values.enumerate();
    pairs.reduce(|best, next| if next.1 > best.1 { next } else { best }).map(|(class, _)| class)
}

fn log_sum_exp(logits: &[f32]) -> f64 {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    f64::from(max) + logits.iter().map(|&logit| f64::from(logit - max).exp()).sum::<f64>().ln()
}

/// softmax(logits/τ), unless a logit is no number.
fn softmax(logits: &[f32], temperature: f64, row: usize) -> Result<Vec<f64>> {
    if let Some(value) = logits.iter().find(|logit| !logit.is_finite()) {
        return Err(Error::NotFinite(format!("the logits of image {row} hold {value}")));
    }
    let max = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exps: Vec<f64> = logits.iter().map(|&logit| ((f64::from(logit) - max) / temperature).exp()).collect();
    let sum: f64 = exps.iter().sum();
    Ok(exps.into_iter().map(|exp| exp / sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Logits whose softmax is `probabilities`.
    fn logits(probabilities: &[f64]) -> Vec<f32> {
        probabilities.iter().map(|p| p.ln() as f32).collect()
    }

    fn close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-6, "{found}, expected {expected}");
    }

    #[test]
    fn evaluation_is_what_its_definitions_say() -> Result<()> {
        // Confidences 0.8 and 0.82 fall into one interval of 15, 0.5 into another.
        let rows = [[0.8, 0.1, 0.1], [0.09, 0.82, 0.09], [0.2, 0.3, 0.5]];
        let logits: Vec<f32> = rows.iter().flat_map(|row| logits(row)).collect();
        let found = Evaluation::of(&logits, 3, [0, 0, 2].into_iter())?;
        close(found.accuracy, 2.0 / 3.0);
        close(found.top5_accuracy, 1.0);
        close(found.loss, -(0.8f64.ln() + 0.09f64.ln() + 0.5f64.ln()) / 3.0);
        close(found.calibration_error, ((0.8 + 0.82 - 1.0) + (1.0 - 0.5)) / 3.0);
        Ok(())
    }

    #[test]
    fn label_counts_among_the_five_largest_until_five_are_ahead_of_it() -> Result<()> {
        let logits = [0f32, 1., 2., 3., 4., 5.];
        let top5 = |label| Evaluation::of(&logits, 6, [label].into_iter()).map(|found| found.top5_accuracy);
        assert_eq!([top5(0)?, top5(1)?, top5(5)?], [0.0, 1.0, 1.0]);
        // Equal logits stand in the order of their classes.
        let equal = |label| Evaluation::of(&[1f32; 6], 6, [label].into_iter());
        assert_eq!([equal(0)?.accuracy, equal(1)?.accuracy, equal(5)?.top5_accuracy], [1.0, 0.0, 0.0]);
        Ok(())
    }

    #[test]
    fn comparison_is_what_its_definitions_say() -> Result<()> {
        let (t, s) = ([0.5, 0.25, 0.25], [0.2, 0.6, 0.2]);
        let found = TeacherComparison::of(&logits(&s), &[logits(&t)], 3, 1.0)?;
        close(found.kl, t.iter().zip(s).map(|(t, s): (&f64, f64)| t * (t / s).ln()).sum());
        close(found.soft_target_entropy, 0.5 * 2f64.ln() + 0.5 * 4f64.ln());
        close(found.agreement, 0.0);
        // The mean of two teachers is one of them mixed with the other.
        let mixed = TeacherComparison::of(&logits(&s), &[logits(&[0.4, 0.4, 0.2]), logits(&[0.6, 0.1, 0.3])], 3, 1.0)?;
        close(mixed.kl, found.kl);
        // Everything is alike in the heat.
        let hot = TeacherComparison::of(&logits(&s), &[logits(&t)], 3, 1e6)?;
        close(hot.soft_target_entropy, 3f64.ln());
        close(TeacherComparison::of(&logits(&t), &[logits(&t)], 3, 4.0)?.kl, 0.0);
        Ok(())
    }

    #[test]
    fn logits_that_are_no_numbers_are_an_error_and_extreme_ones_are_not() -> Result<()> {
        assert!(matches!(Evaluation::of(&[f32::NAN, 0.], 2, [0].into_iter()), Err(Error::NotFinite(_))));
        let extreme = Evaluation::of(&[1e4, -1e4], 2, [1].into_iter())?;
        close(extreme.loss, 2e4);
        // What no number can hold is an error, not a result that cannot be read again.
        let tiny = TeacherComparison::of(&[1., 0.], &[vec![0., 1.]], 2, 1e-320);
        assert!(matches!(tiny, Err(Error::NotFinite(_))));
        assert!(TeacherComparison::of(&[1e4, -1e4], &[vec![-1e4, 1e4]], 2, 0.1)?.kl.is_finite());
        Ok(())
    }
}

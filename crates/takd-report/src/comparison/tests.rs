use super::*;
use crate::run::Measurements;
use proptest::prelude::{Strategy, any, prop, prop_assert, prop_assert_eq, proptest};
use rand::RngExt;
use rand_distr::{Beta, Distribution, Normal};
use tempfile::TempDir;

/// A run that is finished with this accuracy.
fn run(name: &str, seed: u64, test_accuracy: f64) -> RunReport {
    let measurements = Measurements {
        test_accuracy,
        top5: 1.0,
        loss: 1.0,
        calibration_error: 0.0,
        test_images: 10_000,
        agreement: None,
        kl: None,
        soft_target_entropy: None,
        held_out_accuracy: None,
        epoch: 1,
        parameters: 1,
        seconds: 1.0,
    };
    RunReport { state: RunState::Finished(measurements), ..unfinished(name, seed, RunState::Missing) }
}

fn unfinished(name: &str, seed: u64, state: RunState) -> RunReport {
    let hash = blake3::hash(format!("{name} {seed}").as_bytes()).to_hex();
    RunReport { seed, run: hash[..16].parse().unwrap(), state }
}

/// A run for each seed, from 1.
fn runs_of(name: &str, accuracies: &[f64]) -> Vec<RunReport> {
    accuracies.iter().zip(1..).map(|(&accuracy, seed)| run(name, seed, accuracy)).collect()
}

/// A folder without runs.
fn folder() -> (TempDir, Runs) {
    let folder = tempfile::tempdir().unwrap();
    let runs = Runs::open(folder.path()).unwrap();
    (folder, runs)
}

fn compare(better: &[f64], worse: &[f64]) -> Comparison {
    let (_folder, runs) = folder();
    Comparison::of(&runs_of("better", better), &runs_of("worse", worse), &runs).unwrap()
}

#[test]
fn verdict_follows_the_interval() {
    assert_eq!(compare(&[0.71, 0.72, 0.73], &[0.70, 0.711, 0.719]).verdict, Verdict::Holds);
    assert_eq!(compare(&[0.70, 0.711, 0.719], &[0.71, 0.72, 0.73]).verdict, Verdict::DoesNotHold);
    let undecided = compare(&[0.71, 0.72], &[0.70, 0.719]);
    assert!(undecided.test_accuracy.interval_95.unwrap().low < 0.0);
    assert!(matches!(undecided.verdict, Verdict::Undecided { more_seeds: Some(1..) }), "{undecided:?}");
}

#[test]
fn single_seeds_ties_and_equal_differences_decide_nothing() {
    assert_eq!(compare(&[0.8], &[0.7]).verdict, Verdict::Unknown);
    assert_eq!(compare(&[0.7, 0.8, 0.6], &[0.7, 0.8, 0.6]).verdict, Verdict::Equal);
    // A deviation of 0 is no knowledge of the spread, though the interval is a point.
    assert_eq!(compare(&[0.75, 0.5], &[0.625, 0.375]).verdict, Verdict::Unknown);
}

#[test]
fn only_common_seeds_are_compared_and_diverged_ones_are_named() {
    let (_folder, runs) = folder();
    let diverged = unfinished("worse", 2, RunState::Diverged { reason: "the loss is NaN".to_owned() });
    let better = [run("better", 1, 0.71), run("better", 2, 0.72), run("better", 3, 0.74), run("better", 4, 0.7)];
    let worse = [diverged, run("worse", 1, 0.7), run("worse", 3, 0.7), unfinished("worse", 4, RunState::Missing)];
    let comparison = Comparison::of(&better, &worse, &runs).unwrap();
    assert_eq!((comparison.seeds.as_slice(), comparison.diverged.as_slice()), ([1, 3].as_slice(), [2].as_slice()));
    assert!((comparison.test_accuracy.mean - 0.025).abs() < 1e-12);
    assert_eq!(Comparison::of(&better[..1], &worse[..1], &runs), None);
}

#[test]
fn networks_that_are_the_same_for_all_seeds_are_compared_once_and_the_difference_has_no_interval() {
    let (_folder, runs) = folder();
    let elsewhere = |name: &str, accuracy: f64| -> Vec<RunReport> {
        (1..=3).map(|seed| RunReport { seed, ..run(name, 0, accuracy) }).collect()
    };
    let (better, worse) = (elsewhere("better", 0.75), elsewhere("worse", 0.5));
    let comparison = Comparison::of(&better, &worse, &runs).unwrap();
    assert_eq!(comparison.seeds, [1, 2, 3]);
    assert_eq!((comparison.test_accuracy.n, comparison.test_accuracy.interval_95), (1, None));
    // Students that it is compared with are of each seed another.
    let students = [run("student", 1, 0.5), run("student", 2, 0.5625), run("student", 3, 0.625)];
    let comparison = Comparison::of(&better, &students, &runs).unwrap();
    assert_eq!(comparison.test_accuracy, Summary::of(&[0.25, 0.1875, 0.125]).unwrap());
}

proptest! {
    /// As many more seeds as are said do decide, if mean and deviation stay, and one fewer does not.
    #[test]
    fn number_of_seeds_that_would_decide_is_the_smallest(
        n in 2usize..12, mean in 0.0005f64..0.05, deviation in 0.0005f64..0.05,
    ) {
        let of = |n: usize| {
            let summary = Summary { n, mean, standard_deviation: Some(deviation), interval_95: None };
            verdict(&summary, LEVEL)
        };
        if let Verdict::Undecided { more_seeds: Some(more) } = of(n) {
            prop_assert_eq!(of(n + more), Verdict::Holds);
            let one_fewer = of(n + more - 1);
            let is_undecided = matches!(one_fewer, Verdict::Undecided { .. });
            prop_assert!(is_undecided, "{one_fewer:?}");
        }
    }

    #[test]
    fn comparison_the_other_way_round_is_its_mirror_image(
        pairs in prop::collection::vec((0.0f64..1.0, 0.0f64..1.0), 2..8),
    ) {
        let (better, worse): (Vec<f64>, Vec<f64>) = pairs.into_iter().unzip();
        let (one, other) = (compare(&better, &worse), compare(&worse, &better));
        prop_assert!((one.test_accuracy.mean + other.test_accuracy.mean).abs() < 1e-12);
        let mirrored = match one.verdict {
            Verdict::Holds => Verdict::DoesNotHold,
            Verdict::DoesNotHold => Verdict::Holds,
            verdict => verdict,
        };
        prop_assert_eq!(other.verdict, mirrored);
    }

    /// Holm's levels, one by one as his paper steps down.
    #[test]
    fn holm_decides_from_the_smallest_value_on(
        values in prop::collection::vec(any::<u8>().prop_map(|value| f64::from(value) / 2000.0), 1..12),
    ) {
        let mut sorted = values.clone();
        sorted.sort_by(f64::total_cmp);
        let count = sorted.len();
        let decided = sorted.iter().enumerate().take_while(|&(place, &p)| p <= LEVEL / (count - place) as f64).count();
        let level = holm_level(&values);
        prop_assert_eq!(values.iter().filter(|&&p| p <= level(p)).count(), decided);
    }
}

const TRIALS: usize = 4000;

fn is_about(hits: usize, share: f64, within: f64) -> bool {
    ((hits as f64 / TRIALS as f64) - share).abs() <= within
}

/// Students of one seed have much in common, which the difference takes away.
#[test]
fn interval_over_seeds_covers_the_truth_in_95_of_100_cases_and_verdicts_err_in_5() {
    let mut rng = takd_rng::stream(1, "coverage over seeds");
    let (common, own) = (Normal::new(0.7, 0.02).unwrap(), Normal::new(0.0, 0.004).unwrap());
    for seeds in [2, 3, 5, 10] {
        let (mut covered, mut wrong) = (0, 0);
        for trial in 0..TRIALS {
            let truth = if trial % 2 == 0 { 0.0 } else { 0.003 };
            let (mut better, mut worse) = (Vec::new(), Vec::new());
            for _ in 0..seeds {
                let seed = common.sample(&mut rng);
                better.push(seed + truth + own.sample(&mut rng));
                worse.push(seed + own.sample(&mut rng));
            }
            let differences: Vec<f64> = better.iter().zip(&worse).map(|(better, worse)| better - worse).collect();
            let summary = Summary::of(&differences).unwrap();
            let interval = summary.interval_95.unwrap();
            covered += usize::from(interval.low <= truth && truth <= interval.high);
            let verdict = verdict(&summary, LEVEL);
            // The truth lies in the interval if and only if it is not denied.
            wrong += usize::from(match verdict {
                Verdict::Holds => truth == 0.0,
                Verdict::DoesNotHold => true,
                _ => false,
            });
        }
        assert!(is_about(covered, 0.95, 0.02), "{seeds} seeds: {covered} of {TRIALS}");
        assert!(wrong <= TRIALS * 7 / 200, "{seeds} seeds: {wrong} of {TRIALS} verdicts are wrong");
    }
}

/// Other test images of the same kind, classified by the same networks: each image is as hard as it is for both.
#[test]
fn interval_over_images_covers_the_truth_in_95_of_100_cases() {
    const IMAGES: usize = 500;
    let mut rng = takd_rng::stream(1, "coverage over images");
    let hardness = Beta::new(2.0, 1.0).unwrap();
    // The first networks are right where the second would be, and at a share of the other images besides.
    let more = 0.1;
    let truth = more * (1.0 - 2.0 / 3.0);
    let (_folder, runs) = folder();
    for seeds in [1, 3] {
        let mut covered = 0;
        for _ in 0..TRIALS {
            let hard: Vec<f64> = (0..IMAGES).map(|_| hardness.sample(&mut rng)).collect();
            let mut comparer = Comparer::new(&runs);
            let (mut better, mut worse) = (Vec::new(), Vec::new());
            for seed in 1..=seeds {
                for (sets, name, more) in [(&mut better, "better", more), (&mut worse, "worse", 0.0)] {
                    let correct: Vec<bool> =
                        hard.iter().map(|easy| rng.random_bool(easy + more * (1.0 - easy))).collect();
                    let right = correct.iter().filter(|&&right| right).count();
                    let run = run(name, seed, right as f64 / IMAGES as f64);
                    comparer.correct.insert(run.run.clone(), Some(correct));
                    sets.push(run);
                }
            }
            let comparison = comparer.pair(&better, &worse).unwrap();
            let Interval { low, high } = comparison.over_images.unwrap().interval_95;
            covered += usize::from(low <= truth && truth <= high);
        }
        assert!(is_about(covered, 0.95, 0.02), "{seeds} seeds: {covered} of {TRIALS}");
    }
}

/// McNemar: with b images that only the first gets right and c that only the second does, the variance of the difference of
/// the numbers is b + c − (b − c)²/n.
#[test]
fn one_seed_has_the_variance_of_mcnemar() {
    let (_folder, runs) = folder();
    let mut comparer = Comparer::new(&runs);
    let (first, second) = (run("better", 1, 0.9), run("worse", 1, 0.7));
    let right = |images: &[usize]| Some((0..10).map(|image| images.contains(&image)).collect());
    comparer.correct.insert(first.run.clone(), right(&[0, 1, 2, 3, 4, 5, 6, 7, 8]));
    comparer.correct.insert(second.run.clone(), right(&[0, 1, 2, 3, 4, 5, 9]));
    let images = comparer.pair(&[first], &[second]).unwrap().over_images.unwrap();
    let (b, c, n) = (3.0_f64, 1.0_f64, 10.0_f64);
    assert_eq!(images.images, 10);
    assert!((images.standard_error - ((b + c - (b - c).powi(2) / n).sqrt() / n)).abs() < 1e-12);
}

#[test]
fn images_are_unknown_unless_every_run_knows_the_same_ones() {
    let (_folder, runs) = folder();
    let (first, second) = (run("better", 1, 0.9), run("worse", 1, 0.7));
    for (one, other) in [(Some(10), None), (Some(10), Some(11)), (Some(0), Some(0))] {
        let mut comparer = Comparer::new(&runs);
        comparer.correct.insert(first.run.clone(), one.map(|images| vec![true; images]));
        comparer.correct.insert(second.run.clone(), other.map(|images| vec![true; images]));
        let comparison = comparer.pair(std::slice::from_ref(&first), std::slice::from_ref(&second)).unwrap();
        assert_eq!(comparison.over_images, None);
    }
}

/// Among eight ways that are equally good, the best of the seeds at hand is rarely called better than another.
#[test]
fn best_of_several_equal_ones_is_rarely_called_the_best() {
    let mut rng = takd_rng::stream(1, "best of several");
    let accuracy = Normal::new(0.7, 0.01).unwrap();
    let (_folder, runs) = folder();
    let (trials, mut wrong) = (400, 0);
    for _ in 0..trials {
        let sets: Vec<Vec<RunReport>> = (0..8)
            .map(|set| {
                let accuracies: Vec<f64> = (0..5).map(|_| accuracy.sample(&mut rng)).collect();
                runs_of(&set.to_string(), &accuracies)
            })
            .collect();
        let (_, others) = Comparer::new(&runs).best_of(&sets.iter().map(Vec::as_slice).collect::<Vec<_>>()).unwrap();
        assert_eq!(others.len(), 7);
        wrong += usize::from(others.iter().any(|(_, comparison)| comparison.verdict == Verdict::Holds));
    }
    assert!(wrong <= trials * 6 / 100, "{wrong} of {trials}");
}

#[test]
fn best_of_several_is_found_where_there_is_one() {
    let (_folder, runs) = folder();
    let sets = [
        runs_of("low", &[0.6, 0.61, 0.6]),
        Vec::new(),
        runs_of("high", &[0.8, 0.812, 0.801]),
        runs_of("near", &[0.79, 0.815, 0.795]),
    ];
    let sets: Vec<&[RunReport]> = sets.iter().map(Vec::as_slice).collect();
    let (best, others) = Comparer::new(&runs).best_of(&sets).unwrap();
    let verdicts: Vec<(usize, Verdict)> = others.iter().map(|(place, found)| (*place, found.verdict)).collect();
    assert_eq!(best, 2);
    assert_eq!(verdicts[0], (0, Verdict::Holds));
    assert!(matches!(verdicts[1], (3, Verdict::Undecided { .. })), "{verdicts:?}");
    assert_eq!(Comparer::new(&runs).best_of(&[]), None);
}

/// One with a single easy seed is not the best for that.
#[test]
fn best_is_chosen_by_the_seeds_that_all_have() {
    let (_folder, runs) = folder();
    let early = vec![run("early", 1, 0.80)];
    let mut whole = runs_of("whole", &[0.82, 0.70, 0.71]);
    let lost = vec![unfinished("lost", 1, RunState::Diverged { reason: "the loss is NaN".to_owned() })];
    let sets = [early.as_slice(), &whole, &lost];
    let (best, others) = Comparer::new(&runs).best_of(&sets).unwrap();
    assert_eq!((best, others.len(), others[0].0), (1, 1, 0));
    assert!(others[0].1.test_accuracy.mean > 0.0);
    // Equal ones: the first. None in common: no best.
    assert_eq!(super::best(&[&whole, &whole]), Some(0));
    whole.remove(0);
    assert_eq!(Comparer::new(&runs).best_of(&[early.as_slice(), &whole]), None);
}

/// Differences that are the same but for rounding count as no knowledge in Holm's order either.
#[test]
fn differences_that_are_equal_but_for_rounding_are_no_small_p_value() {
    let (better, worse) = (runs_of("better", &[0.3, 0.7]), runs_of("worse", &[0.1, 0.5]));
    let (_, differences) = paired(&better, &worse);
    assert_ne!(differences[0], differences[1]);
    assert_eq!(p_value(&Summary::of(&differences).unwrap()), None);
}

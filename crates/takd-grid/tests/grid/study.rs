//! Studies on made-up objectives whose best is known.

use proptest::prelude::*;
use takd_grid::study::{
    Dimension, Point, Progress, Pruning, Sampler, Search, SearchError, Setting, Space, Study, Value,
};

/// The paper's λ and τ, and two settings more, so that random search has a hard time.
fn space() -> Space {
    let numbers = |numbers: &[f64]| numbers.iter().map(|number| Value::Number(*number)).collect::<Vec<_>>();
    Space::new(vec![
        Dimension::stepped(Setting::Lambda, 0.05, 1.0, 0.05).unwrap(),
        Dimension::listed(Setting::Temperature, numbers(&[1.0, 2.0, 5.0, 10.0, 15.0, 20.0])).unwrap(),
        Dimension::range(Setting::LearningRate, 1e-4, 1.0, true).unwrap(),
        Dimension::range(Setting::Momentum, 0.0, 0.99, false).unwrap(),
    ])
    .unwrap()
}

/// An accuracy that is 1 at λ 0.35, τ 5, rate 0.02 and momentum 0.8, and falls on all sides.
fn accuracy(point: &Point) -> f64 {
    let number = |setting| point.number(setting).unwrap();
    let lambda = (number(Setting::Lambda) - 0.35) / 0.5;
    let temperature = (number(Setting::Temperature) / 5.0).ln() / 2.0;
    let rate = (number(Setting::LearningRate) / 0.02).ln() / 3.0;
    let momentum = (number(Setting::Momentum) - 0.8) / 0.5;
    1.0 - 0.05 * (lambda.powi(2) + temperature.powi(2) + rate.powi(2) + momentum.powi(2))
}

/// A learning curve that rises to that accuracy, the faster the better the settings are.
fn after(point: &Point, epochs: usize) -> f64 {
    let full = accuracy(point);
    full * (1.0 - (-(epochs as f64) / (6.0 - 4.0 * full)).exp())
}

fn look(search: &Search, epochs: usize, score: impl Fn(&Point, usize) -> Option<f64>) -> Progress {
    Study::new(search, epochs).unwrap().look(score)
}

/// The number of trials until one is within 1 % of the best.
fn trials_to_best(sampler: Sampler, seed: u64) -> usize {
    let search = Search { trials: 400, window: 4, sampler, pruning: Pruning::None, seed, ..Search::of(space()) };
    let progress = look(&search, 1, |point, _| Some(accuracy(point)));
    progress.trials.iter().position(|trial| accuracy(&trial.point) >= 0.99).unwrap_or(400)
}

fn median(mut values: Vec<usize>) -> usize {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn tpe_needs_fewer_trials_than_random_search() {
    let trials = |sampler| median((0..50).map(|seed| trials_to_best(sampler, seed)).collect());
    let (tpe, random) = (trials(Sampler::Tpe), trials(Sampler::Random));
    assert!(tpe < random, "{tpe} trials, and at random {random}");
}

/// The epochs that a search trains, each trial's up to the rung that it came to.
fn epochs_of(progress: &Progress, rungs: &[usize]) -> usize {
    progress.trials.iter().map(|trial| rungs[trial.scores.len() - 1]).sum()
}

#[test]
fn halving_finds_the_best_at_under_two_fifths_of_the_epochs() {
    let found = |pruning, seed| {
        let search = Search { trials: 40, window: 8, pruning, seed, ..Search::of(space()) };
        let study = Study::new(&search, 27).unwrap();
        let progress = study.look(|point, epochs| Some(after(point, epochs)));
        (accuracy(&progress.trials[progress.winner.unwrap()].point), epochs_of(&progress, study.rungs()))
    };
    let (mut lost, mut share) = (0.0, 0.0);
    for seed in 0..20 {
        let ((all, all_epochs), (halved, halved_epochs)) = (found(Pruning::None, seed), found(Pruning::Halving, seed));
        lost += (all - halved) / 20.0;
        share += halved_epochs as f64 / all_epochs as f64 / 20.0;
    }
    assert!(share < 0.4, "{share} of the epochs");
    assert!(lost < 0.01, "{lost} of the accuracy is lost");
}

#[test]
fn median_ends_about_half_of_the_trials_early() {
    let search = Search { trials: 40, pruning: Pruning::Median, sampler: Sampler::Random, ..Search::of(space()) };
    let study = Study::new(&search, 9).unwrap();
    let progress = study.look(|point, epochs| Some(after(point, epochs)));
    let early = progress.trials.iter().filter(|trial| trial.scores.len() < study.rungs().len()).count();
    assert!((12..=28).contains(&early), "{early} of 40 end early");
    // Those of the first window have nobody to be compared with.
    assert!(progress.trials[..8].iter().all(|trial| trial.scores.len() == study.rungs().len()));
}

#[test]
fn rungs_are_thirds_and_leave_one_trial() {
    assert_eq!(Pruning::Halving.rungs(10, 8), [1, 3, 10]);
    assert_eq!(Pruning::Halving.rungs(150, 9), [17, 50, 150]);
    assert_eq!(Pruning::Halving.rungs(150, 1), [150]);
    assert_eq!(Pruning::Median.rungs(2, 8), [2]);
    assert_eq!(Pruning::None.rungs(10, 8), [10]);
}

#[test]
fn epochs_left_are_those_that_are_trained_in_the_end() {
    for pruning in [Pruning::None, Pruning::Halving] {
        let search = Search { trials: 20, pruning, ..Search::of(space()) };
        let study = Study::new(&search, 9).unwrap();
        let whole = study.look(|point, epochs| Some(after(point, epochs)));
        let all = epochs_of(&whole, study.rungs()) as f64;
        assert_eq!((study.epochs_left(&Progress::default()), study.epochs_left(&whole)), (all, 0.0));
        // Eight are wanted for so many epochs.
        let begun = study.look(|_, _| None);
        assert_eq!(study.epochs_left(&begun), all - 8.0 * study.rungs()[0] as f64);
    }
}

#[test]
fn grid_tries_every_point_once() {
    let lambda = Dimension::stepped(Setting::Lambda, 0.25, 1.0, 0.25).unwrap();
    let reduction = ["batch-mean", "mean"].map(|name| Value::Name(name.into()));
    let reduction = Dimension::listed(Setting::KlReduction, reduction.to_vec()).unwrap();
    let space = Space::new(vec![lambda, reduction]).unwrap();
    let search = Search { sampler: Sampler::Grid, pruning: Pruning::None, ..Search::of(space) };
    let progress = look(&search, 1, |point, _| point.number(Setting::Lambda));
    let names: Vec<String> = progress.trials.iter().map(|trial| trial.point.to_string()).collect();
    assert_eq!(names.len(), 8);
    assert_eq!(
        names[..3],
        ["λ 0.25, kl_reduction batch-mean", "λ 0.25, kl_reduction mean", "λ 0.5, kl_reduction batch-mean"]
    );
    // The first of the best.
    assert_eq!(progress.winner, Some(6));
}

#[test]
fn small_space_is_tried_once_whatever_the_sampler() {
    for sampler in [Sampler::Tpe, Sampler::Random] {
        let space = Space::new(vec![Dimension::stepped(Setting::Lambda, 0.1, 1.0, 0.1).unwrap()]).unwrap();
        let search = Search { sampler, window: 3, pruning: Pruning::None, ..Search::of(space) };
        let progress = look(&search, 1, |point, _| point.number(Setting::Lambda));
        let mut tried: Vec<f64> =
            progress.trials.iter().filter_map(|trial| trial.point.number(Setting::Lambda)).collect();
        tried.sort_by(f64::total_cmp);
        assert_eq!(tried, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]);
    }
}

#[test]
fn diverged_trial_is_the_worst_and_no_end() {
    let diverges = |point: &Point| point.number(Setting::LearningRate).unwrap() > 0.01;
    let score = |point: &Point, epochs| Some(if diverges(point) { f64::NAN } else { after(point, epochs) });
    for pruning in Pruning::ALL {
        let progress = look(&Search { pruning: *pruning, ..Search::of(space()) }, 9, score);
        assert!(progress.trials.iter().any(|trial| diverges(&trial.point)));
        assert!(!diverges(&progress.trials[progress.winner.unwrap()].point));
        let all = look(&Search { pruning: *pruning, ..Search::of(space()) }, 9, |_, _| Some(f64::NAN));
        assert_eq!((all.trials.len(), all.winner), (40, None));
    }
}

#[test]
fn ranges_that_make_no_sense_are_refused() {
    use SearchError::{EmptyRange, EndlessGrid, LargeGrid, NoTrials, NoValues, TooManyValues, Value as Refused};
    assert!(matches!(Dimension::stepped(Setting::Lambda, 1.0, 0.05, 0.05), Err(EmptyRange { .. })));
    assert!(matches!(Dimension::stepped(Setting::Lambda, 0.0, 1.0, 0.0), Err(EmptyRange { .. })));
    assert!(matches!(Dimension::stepped(Setting::Lambda, 0.0, 1.0, f64::NAN), Err(EmptyRange { .. })));
    assert!(matches!(Dimension::stepped(Setting::Lambda, 0.0, 1.5, 0.5), Err(Refused { .. })));
    assert!(matches!(Dimension::stepped(Setting::Lambda, 0.0, 1.0, 1e-6), Err(TooManyValues { .. })));
    assert!(matches!(Dimension::range(Setting::Temperature, 0.0, 1.0, false), Err(Refused { .. })));
    assert!(matches!(Dimension::listed(Setting::Temperature, Vec::new()), Err(NoValues(_))));
    let name = vec![Value::Name("sum".into())];
    assert!(matches!(Dimension::listed(Setting::KlReduction, name), Err(Refused { .. })));
    let grid = |space, trials| Search { sampler: Sampler::Grid, trials, ..Search::of(space) };
    assert_eq!(Study::new(&grid(space(), 40), 1), Err(EndlessGrid));
    let fine = [Setting::Lambda, Setting::WeightDecay].map(|setting| Dimension::stepped(setting, 0.001, 1.0, 0.001));
    let fine = Space::new(fine.map(Result::unwrap).to_vec()).unwrap();
    assert_eq!(Study::new(&grid(fine, 40), 1), Err(LargeGrid { points: 1_000_000, trials: 40 }));
    let many = Search { trials: 1_000_000, window: 1_000_000, ..Search::of(space()) };
    assert_eq!(Study::new(&many, 1), Err(SearchError::TooManyTrials(1_000_000)));
    assert_eq!(Study::new(&Search { trials: 0, ..Search::of(space()) }, 1), Err(NoTrials));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is finished first, and however many are trained at once: the same trials and the same winner.
    #[test]
    fn order_of_the_results_changes_nothing(
        seed in 0..1000_u64,
        window in 1..10_usize,
        pruning in proptest::sample::select(Pruning::ALL),
        picks in proptest::collection::vec(any::<proptest::sample::Index>(), 1..20),
    ) {
        let search = Search { trials: 20, window, pruning, seed, ..Search::of(space()) };
        let study = Study::new(&search, 9).unwrap();
        let at_once = study.look(|point, epochs| Some(after(point, epochs)));
        let mut known: Vec<(Point, usize)> = Vec::new();
        let mut picks = picks.iter().cycle();
        let one_by_one = loop {
            let score = |point: &Point, epochs| {
                known.iter().any(|(own, at)| own == point && *at == epochs).then(|| after(point, epochs))
            };
            let progress = study.look(score);
            if progress.wanted.is_empty() {
                break progress;
            }
            // What is known of a study that is under way is what will be known of it in the end.
            for (now, then) in progress.trials.iter().zip(&at_once.trials) {
                prop_assert_eq!(&now.point, &then.point);
            }
            let (number, epochs) = progress.wanted[picks.next().unwrap().index(progress.wanted.len())];
            known.push((progress.trials[number].point.clone(), epochs));
        };
        prop_assert_eq!(one_by_one, at_once);
    }
}

//! Means over seeds, and how sure they are.

use serde::Serialize;
use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

/// How often a confidence interval of 95 % misses the truth.
const LEVEL: f64 = 0.05;

/// What some values come to. They are one for each seed: test accuracies, or differences of two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// How many values there are, 1 or more.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation, as that of a sample (divided by n − 1); nothing for a single value.
    pub standard_deviation: Option<f64>,
    /// The confidence interval of the mean by Student's t; nothing for a single value.
    pub interval_95: Option<Interval>,
}

/// Confidence interval, 95 %.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Summary {
    /// Of these values; nothing if there are none.
    ///
    /// ```
    /// use takd_report::Summary;
    ///
    /// let summary = Summary::of(&[0.70, 0.72, 0.74]).expect("there are values");
    /// let interval = summary.interval_95.expect("there is more than one");
    /// assert!((summary.mean - 0.72).abs() < 1e-12);
    /// // 4.3027 standard errors of 0.02/√3.
    /// assert!((interval.high - 0.7697).abs() < 1e-4);
    /// ```
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let standard_deviation = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        let interval_95 = standard_deviation.and_then(|deviation| {
            let half = t_quantile(n - 1.0, LEVEL)? * deviation / n.sqrt();
            Some(Interval { low: mean - half, high: mean + half })
        });
        Some(Self { n: values.len(), mean, standard_deviation, interval_95 })
    }
}

impl Interval {
    /// Of a share of so many independent looks, such as a test accuracy and its images: Wilson's score interval (Journal of the
    /// American Statistical Association 22, 1927), which stays within 0 and 1. Without a look it is all of that.
    ///
    /// ```
    /// use takd_report::Interval;
    ///
    /// let Interval { low, high } = Interval::of_share(0.9, 100);
    /// assert!((low - 0.8256).abs() < 1e-4 && (high - 0.9448).abs() < 1e-4);
    /// ```
    pub fn of_share(share: f64, looks: usize) -> Self {
        if looks == 0 {
            return Self { low: 0.0, high: 1.0 };
        }
        let (n, z) = (looks as f64, normal_quantile(LEVEL));
        let middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
        Self { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }
}

/// How many standard errors an interval that misses the truth as often as `level` says reaches to either side, by Student's t.
pub(crate) fn t_quantile(degrees_of_freedom: f64, level: f64) -> Option<f64> {
    Some(StudentsT::new(0.0, 1.0, degrees_of_freedom).ok()?.inverse_cdf(1.0 - level / 2.0))
}

/// How likely Student's t is at least as far from 0 as this.
pub(crate) fn t_two_sided(t: f64, degrees_of_freedom: f64) -> Option<f64> {
    Some(2.0 * StudentsT::new(0.0, 1.0, degrees_of_freedom).ok()?.cdf(-t.abs()))
}

/// The same as [`t_quantile`] of very many degrees of freedom.
pub(crate) fn normal_quantile(level: f64) -> f64 {
    Normal::standard().inverse_cdf(1.0 - level / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From tables of the t-distribution (two-sided, 5 %).
    #[test]
    fn quantile_of_students_t_is_that_of_the_tables() {
        for (degrees, expected) in [
            (1.0, 12.706_204_736),
            (2.0, 4.302_652_730),
            (3.0, 3.182_446_305),
            (4.0, 2.776_445_105),
            (9.0, 2.262_157_163),
            (29.0, 2.045_229_642),
            (99.0, 1.984_216_952),
            (999.0, 1.962_341_461),
        ] {
            let found = t_quantile(degrees, LEVEL).unwrap();
            let missed = t_two_sided(found, degrees).unwrap();
            assert!((missed / LEVEL - 1.0).abs() < 1e-6, "{degrees} degrees of freedom: {missed}");
            assert!((found / expected - 1.0).abs() < 1e-8, "{degrees} degrees of freedom: {found}");
        }
    }

    /// Student's own data of 1908: additional hours of sleep of ten patients, the second drug less the first.
    #[test]
    fn paired_interval_of_students_sleep_data_is_the_published_one() {
        let differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let summary = Summary::of(&differences).unwrap();
        let Interval { low, high } = summary.interval_95.unwrap();
        assert_eq!(summary.n, 10);
        assert!((summary.mean - 1.58).abs() < 1e-12);
        assert!((low - 0.700_114_2).abs() < 1e-6 && (high - 2.459_885_8).abs() < 1e-6, "{low} to {high}");
    }

    /// Newcombe, Statistics in Medicine 17, 1998, table I, method 3.
    #[test]
    fn interval_of_a_share_is_the_published_one() {
        for (right, looks, low, high) in [
            (81.0, 263, 0.2553, 0.3662),
            (15.0, 148, 0.0624, 0.1605),
            (0.0, 20, 0.0, 0.1611),
            (1.0, 29, 0.0061, 0.1718),
        ] {
            let found = Interval::of_share(right / looks as f64, looks);
            assert!(
                (found.low - low).abs() < 6e-5 && (found.high - high).abs() < 6e-5,
                "{right} of {looks}: {found:?}"
            );
        }
        assert_eq!(Interval::of_share(0.5, 0), Interval { low: 0.0, high: 1.0 });
    }

    #[test]
    fn single_value_has_no_spread_and_no_value_no_mean() {
        let alone = Summary { n: 1, mean: 0.5, standard_deviation: None, interval_95: None };
        assert_eq!(Summary::of(&[0.5]), Some(alone));
        assert_eq!(Summary::of(&[]), None);
        let equal = Summary::of(&[0.5, 0.5]).unwrap();
        assert_eq!((equal.standard_deviation, equal.interval_95), (Some(0.0), Some(Interval { low: 0.5, high: 0.5 })));
    }
}

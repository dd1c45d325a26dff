//! Numbers as people read them.

use crate::statistics::{Interval, Summary};

/// A space at which no line ends: what it joins stays together in a narrow table. It is printed as a space.
pub(crate) const GLUE: char = '\u{a0}';

/// What stands in place of a number that there is not.
pub(crate) fn dash() -> String {
    "–".to_owned()
}

/// `70.16`, in percent, of a share.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.2}", 100.0 * share)
}

/// `70.16 ± 0.25 (n = 2)`, in percent: mean and standard deviation, and of how many, if it is not `all` of them.
pub(crate) fn mean(summary: &Summary, all: usize) -> String {
    let mut text = percent(summary.mean);
    if let Some(deviation) = summary.standard_deviation {
        text += &format!("{GLUE}±{GLUE}{}", percent(deviation));
    }
    if summary.n != all {
        text += &format!(" (n{GLUE}={GLUE}{})", summary.n);
    }
    text
}

/// `69.54 to 70.78`, in percent.
pub(crate) fn interval(interval: Option<Interval>) -> String {
    interval.map_or_else(dash, |Interval { low, high }| format!("{}{GLUE}to{GLUE}{}", percent(low), percent(high)))
}

/// `+0.41 (-0.32 to +1.14) (n = 2)`, in percentage points.
pub(crate) fn difference(summary: &Summary, all: usize) -> String {
    let mut text = signed(summary.mean);
    if let Some(Interval { low, high }) = summary.interval_95 {
        text += &format!(" ({}{GLUE}to{GLUE}{})", signed(low), signed(high));
    }
    if summary.n != all {
        text += &format!(" (n{GLUE}={GLUE}{})", summary.n);
    }
    text
}

/// `2.31e15`.
pub(crate) fn count(number: f64) -> String {
    format!("{number:.2e}")
}

/// `+0.41`; what rounds to nothing is `+0.00`, never `-0.00`.
pub(crate) fn signed(share: f64) -> String {
    let hundredths = (100.0 * 100.0 * share).round() + 0.0;
    format!("{:+.2}", hundredths / 100.0)
}

/// `61 s`, `75 min`, `3.2 h`.
pub(crate) fn duration(seconds: f64) -> String {
    const MINUTE: f64 = 60.0;
    const HOUR: f64 = 60.0 * MINUTE;
    if seconds < 2.0 * MINUTE {
        format!("{seconds:.0}{GLUE}s")
    } else if seconds < 2.0 * HOUR {
        format!("{:.0}{GLUE}min", seconds / MINUTE)
    } else {
        format!("{:.1}{GLUE}h", seconds / HOUR)
    }
}

/// `seed 31`, `seeds 20, 31, 55`, `seeds 1..50, 60`.
pub(crate) fn seeds(seeds: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &seed in seeds {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(seed) => *last = seed,
            _ => ranges.push((seed, seed)),
        }
    }
    let range = |&(first, last): &(u64, u64)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first}..{last}"),
    };
    let word = if seeds.len() == 1 { "seed" } else { "seeds" };
    format!("{word} {}", ranges.iter().map(range).collect::<Vec<_>>().join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_rounded_to_hundredths_of_a_percent() {
        assert_eq!(percent(0.701_649), "70.16");
        assert_eq!([0.0123, -0.000_001, 0.000_001, -0.0123].map(signed), ["+1.23", "+0.00", "+0.00", "-1.23"]);
    }

    #[test]
    fn mean_says_of_how_many_if_it_is_not_of_all() {
        let summary = Summary::of(&[0.5, 0.75]).unwrap();
        let shown = |all| mean(&summary, all).replace(GLUE, " ");
        assert_eq!([shown(2), shown(3)], ["62.50 ± 17.68", "62.50 ± 17.68 (n = 2)"]);
        assert_eq!(mean(&Summary::of(&[0.5]).unwrap(), 1), "50.00");
    }

    #[test]
    fn seeds_in_a_row_are_shown_as_a_range() {
        assert_eq!(seeds(&[31]), "seed 31");
        assert_eq!(seeds(&[20, 31, 55]), "seeds 20, 31, 55");
        assert_eq!(seeds(&[1, 2, 3, 4, 9, 10, u64::MAX]), "seeds 1..4, 9, 10, 18446744073709551615");
    }

    #[test]
    fn durations_are_in_the_unit_that_people_would_use() {
        let shown = [0.2, 61.4, 119.6, 4500.0, 11_500.0].map(|seconds| duration(seconds).replace(GLUE, " "));
        assert_eq!(shown, ["0 s", "61 s", "120 s", "75 min", "3.2 h"]);
    }
}

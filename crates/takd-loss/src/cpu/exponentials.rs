//! Which exponentials a loss needs.

use super::vectors::LARGEST_POWER;
use crate::terms::Terms;
use std::f64::consts::LOG2_E;

/// Which exponentials of the student's logits a loss needs. A rate is what a logit's distance to the maximum is multiplied
/// with to give an exponent of 2.
#[derive(Clone, Copy)]
pub(crate) enum Exponentials {
    /// Those of one rate, and their `power`-th powers: if there is only one term, or τ is a small whole number.
    One { rate: f32, power: usize },
    /// Those of the cross-entropy and of the KL term.
    Two { ce: f32, kl: f32 },
}

impl Exponentials {
    pub(super) fn new(terms: &Terms) -> Exponentials {
        let (ce, kl) = (LOG2_E as f32, (LOG2_E / terms.temperature) as f32);
        let whole = (1..=LARGEST_POWER).find(|&power| power as f64 == terms.temperature);
        match (terms.needs_ce(), terms.needs_kl(), whole) {
            (true, true, Some(power)) => Exponentials::One { rate: kl, power },
            (true, true, None) => Exponentials::Two { ce, kl },
            (true, false, _) => Exponentials::One { rate: ce, power: 1 },
            (false, _, _) => Exponentials::One { rate: kl, power: 1 },
        }
    }
}

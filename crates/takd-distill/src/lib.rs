//! takd-distill

//! takd-ops

//! takd-loss

//! takd-models

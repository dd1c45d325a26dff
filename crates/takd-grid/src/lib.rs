//! takd-grid

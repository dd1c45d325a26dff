//! takd-datasets

//! takd-cli

//! takd-report

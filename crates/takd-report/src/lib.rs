//! Finished distillation runs as tables beside the published ones.
//!
//! ```text
//! Plan + finished runs in a Store ──▶ Table1 ──▶ to_text (terminal) · to_markdown · serde (JSON)
//! ```
//!
//! Invariant: reads finished runs only, trains nothing, and every number can be traced to its runs.

mod paper;
mod table1;

pub use paper::{Published, published};
pub use table1::{CellRow, Method, Summary, Table1};

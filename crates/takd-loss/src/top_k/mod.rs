//! KD for a teacher of which only the largest logits of each row are known, and one number for all the others.
//!
//! On a GPU it is a chain of candle operations, [`crate::reference::top_k_kd_loss`].

pub(crate) mod cpu;
mod rows;
mod teacher;

pub(crate) use rows::Rows;
pub use teacher::TopK;

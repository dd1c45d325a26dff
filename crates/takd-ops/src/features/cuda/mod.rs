//! Features on CUDA, and the backward pass through them.

mod leave;
mod node;
mod numbers;

pub(super) use leave::{ChannelsLast, enter};
pub(crate) use leave::{Form, leave};
pub(super) use node::collect_grads;
pub(crate) use node::{Backward, Grads, Node, Values, leave_grad};
pub(crate) use numbers::{Order, channels_last, numbers};

//! Memory that is kept from step to step, given back.

use crate::conv_bn::release_plans;
use crate::cpu::release_pool;

/// Frees the memory on the CPU that is kept for the next step, except for each thread's working memory, which is smaller.
///
/// Worth a call if a program goes on to something else after its training.
pub fn release_buffers() {
    release_plans();
    release_pool();
}

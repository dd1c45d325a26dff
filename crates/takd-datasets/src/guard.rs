//! Libraries that answer some damage with a panic.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs a library on bytes that may be anything; a panic becomes an error, what it said.
pub(crate) fn guarded<T, E>(read: impl FnOnce() -> Result<T, E>, error: impl FnOnce(String) -> E) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|panic| {
        let message = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("the reader gave up");
        Err(error(message.to_owned()))
    })
}

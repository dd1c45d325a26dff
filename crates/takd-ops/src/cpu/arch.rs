//! The kinds of vectors a processor may have, and how a kernel is run with one of them.

use pulp::{Arch, WithSimd};

/// The widest vectors the processor has; in tests the kind that [`force_arch`] asks for.
pub(crate) fn arch() -> Arch {
    #[cfg(test)]
    if let Some(forced) = FORCED.get() {
        return forced;
    }
    Arch::new()
}

/// Runs a kernel with this kind of vector.
///
/// Never inlined: each kernel is compiled here, once for each kind of vector, and not again for each caller.
#[inline(never)]
pub(crate) fn run<K: WithSimd>(arch: Arch, kernel: K) -> K::Output {
    arch.dispatch(kernel)
}

#[cfg(test)]
thread_local! {
    static FORCED: std::cell::Cell<Option<Arch>> = const { std::cell::Cell::new(None) };
}

/// Runs `work` with another kind of vector. It is chosen on the thread that calls a layer, for all threads it uses.
#[cfg(test)]
pub(crate) fn force_arch<T>(kind: Arch, work: impl FnOnce() -> T) -> T {
    let before = FORCED.replace(Some(kind));
    let result = work();
    FORCED.set(before);
    result
}

/// Every kind of vector this processor has, the portable kind first.
#[cfg(test)]
pub(crate) fn kinds() -> Vec<Arch> {
    #[allow(unused_mut, reason = "some processors have the portable kind alone")]
    let mut kinds = vec![Arch::Scalar];
    #[cfg(target_arch = "x86_64")]
    {
        kinds.extend(pulp::x86::V3::try_new().map(Arch::V3));
        kinds.extend(pulp::x86::V4::try_new().map(Arch::V4));
    }
    #[cfg(target_arch = "aarch64")]
    kinds.extend(pulp::aarch64::Neon::try_new().map(Arch::Neon));
    kinds
}

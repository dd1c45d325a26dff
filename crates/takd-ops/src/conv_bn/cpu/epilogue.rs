//! What happens to the outputs of a convolution on their way to memory.

use crate::cpu::{Map, Repeated, load};
use pulp::Simd;

/// What happens to outputs on their way to memory.
pub(super) trait Epilogue: Copy {
    /// The coefficients of the vector of channels from `c` on.
    fn channels<S: Simd>(self, simd: S, c: usize) -> [S::f32s; 2];

    /// The vector to be stored `offset` numbers into `target`.
    ///
    /// # Safety
    /// A vector can be read there.
    unsafe fn apply<S: Simd>(
        self,
        simd: S,
        channels: [S::f32s; 2],
        value: S::f32s,
        target: *const f32,
        offset: usize,
    ) -> S::f32s;
}

/// They are stored as they are.
#[derive(Clone, Copy)]
pub(super) struct Store;

impl Epilogue for Store {
    #[inline(always)]
    fn channels<S: Simd>(self, simd: S, _: usize) -> [S::f32s; 2] {
        [simd.splat_f32s(0.0); 2]
    }

    #[inline(always)]
    unsafe fn apply<S: Simd>(self, _: S, _: [S::f32s; 2], value: S::f32s, _: *const f32, _: usize) -> S::f32s {
        value
    }
}

/// They are added to what is there.
#[derive(Clone, Copy)]
pub(super) struct AddTo;

impl Epilogue for AddTo {
    #[inline(always)]
    fn channels<S: Simd>(self, simd: S, c: usize) -> [S::f32s; 2] {
        Store.channels(simd, c)
    }

    #[inline(always)]
    unsafe fn apply<S: Simd>(
        self,
        simd: S,
        _: [S::f32s; 2],
        value: S::f32s,
        target: *const f32,
        offset: usize,
    ) -> S::f32s {
        // SAFETY: the caller's.
        simd.add_f32s(unsafe { load::<S>(target.add(offset)) }, value)
    }
}

/// They are mapped per channel; the old number is one of `old`, or else the target's.
#[derive(Clone, Copy)]
pub(super) struct Mapped<'a, M> {
    pub map: M,
    pub coefficients: [&'a Repeated; 2],
    /// As long as the target.
    pub old: Option<&'a [f32]>,
}

impl<M: Map<2, 1>> Epilogue for Mapped<'_, M> {
    #[inline(always)]
    fn channels<S: Simd>(self, _: S, c: usize) -> [S::f32s; 2] {
        // SAFETY: whole vectors.
        self.coefficients.map(|k| unsafe { load::<S>(k[c..c + S::F32_LANES].as_ptr()) })
    }

    #[inline(always)]
    unsafe fn apply<S: Simd>(
        self,
        simd: S,
        channels: [S::f32s; 2],
        value: S::f32s,
        target: *const f32,
        offset: usize,
    ) -> S::f32s {
        let old = self.old.map_or(target, <[f32]>::as_ptr);
        // SAFETY: the caller's, and `old` is as long.
        self.map.apply(simd, channels, [value], unsafe { load::<S>(old.add(offset)) })
    }
}

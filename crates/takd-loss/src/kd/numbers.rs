//! The types logits may have, and blocks of them worked on as f32.

use super::simd::BLOCK;
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use pulp::Arch;
use std::mem::MaybeUninit;

/// A type of logits.
pub(super) trait Number: Copy + Default + Send + Sync + 'static {
    /// One number, widened.
    fn to_f64(self) -> f64;

    /// One number, rounded to nearest.
    fn from_f64(value: f64) -> Self;
}

impl Number for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(value: f64) -> f64 {
        value
    }
}

impl Number for f32 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> f32 {
        value as f32
    }
}

impl Number for f16 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> f16 {
        f16::from_f64(value)
    }
}

impl Number for bf16 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> bf16 {
        bf16::from_f64(value)
    }
}

/// A type of logits that the kernel works on in f32.
pub(super) trait Logit: Number {
    /// Room for one widened block; nothing for f32, which is worked on in place.
    type Room: Send;

    /// The room, once for many rows.
    fn room() -> Self::Room;

    /// A block as f32.
    fn widen<'a>(block: &'a [Self], room: &'a mut Self::Room) -> &'a [f32];

    /// Has `fill` write a block of f32, all of it, and rounds what it gives back into `block`.
    fn narrow(
        block: &mut [MaybeUninit<Self>],
        room: &mut Self::Room,
        fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32],
    );
}

impl Logit for f32 {
    type Room = ();

    fn room() {}

    fn widen<'a>(block: &'a [f32], (): &'a mut ()) -> &'a [f32] {
        block
    }

    fn narrow(block: &mut [MaybeUninit<f32>], (): &mut (), fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32]) {
        fill(block);
    }
}

impl Logit for f16 {
    type Room = Room;

    fn room() -> Room {
        Room::new()
    }

    fn widen<'a>(block: &'a [f16], room: &'a mut Room) -> &'a [f32] {
        let wide = &mut room.logits[..block.len()];
        block.convert_to_f32_slice(wide);
        wide
    }

    fn narrow(
        block: &mut [MaybeUninit<f16>],
        room: &mut Room,
        fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32],
    ) {
        let wide = fill(&mut room.grad[..block.len()]);
        zeroed(block).convert_from_f32_slice(wide);
    }
}

impl Logit for bf16 {
    type Room = Room;

    fn room() -> Room {
        Room::new()
    }

    fn widen<'a>(block: &'a [bf16], room: &'a mut Room) -> &'a [f32] {
        let wide = &mut room.logits[..block.len()];
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (wide, narrow) in wide.iter_mut().zip(block) {
                    *wide = f32::from_bits(u32::from(narrow.to_bits()) << 16);
                }
            },
        );
        wide
    }

    fn narrow(
        block: &mut [MaybeUninit<bf16>],
        room: &mut Room,
        fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32],
    ) {
        let wide = fill(&mut room.grad[..block.len()]);
        // Round to nearest, ties to even. The general conversion also minds NaN, which no gradient is, and is slow.
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (narrow, wide) in block.iter_mut().zip(wide.iter()) {
                    let bits = wide.to_bits();
                    narrow.write(bf16::from_bits(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16));
                }
            },
        );
    }
}

/// A block of logits and one of their gradient, as f32.
pub(super) struct Room {
    logits: Box<[f32; BLOCK]>,
    grad: Box<[MaybeUninit<f32>; BLOCK]>,
}

impl Room {
    fn new() -> Room {
        Room { logits: Box::new([0.0; BLOCK]), grad: Box::new([MaybeUninit::uninit(); BLOCK]) }
    }
}

/// The memory, set to 0.
pub(super) fn zeroed<N: Number>(memory: &mut [MaybeUninit<N>]) -> &mut [N] {
    memory.fill(MaybeUninit::new(N::default()));
    // SAFETY: the line above wrote all of it.
    unsafe { &mut *(std::ptr::from_mut(memory) as *mut [N]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bf16_rounds_to_nearest_even() {
        let values: Vec<f32> = (0..4096).map(|i| f32::from_bits(0x3f7f_0000 + 0x137 * i)).collect();
        for block in values.chunks(BLOCK) {
            let mut narrow = Vec::with_capacity(BLOCK);
            bf16::narrow(&mut narrow.spare_capacity_mut()[..BLOCK], &mut bf16::room(), |wide| {
                let wide = zeroed(wide);
                wide.copy_from_slice(block);
                wide
            });
            // SAFETY: `narrow` wrote the whole block.
            unsafe { narrow.set_len(BLOCK) };
            let expected: Vec<bf16> = block.iter().map(|&value| bf16::from_f32(value)).collect();
            assert_eq!(narrow, expected);
        }
    }
}

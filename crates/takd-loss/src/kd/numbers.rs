//! The types logits may have, and blocks of them worked on as f32.

use super::simd::BLOCK;
use candle_core::CpuStorage;
use half::{bf16, f16};
use pulp::Arch;
use std::mem::MaybeUninit;

/// A type of logits.
pub(super) trait Number: Copy + Default + Send + Sync + 'static {
    /// One number, widened.
    fn to_f64(self) -> f64;

    /// One number, rounded to nearest.
    fn from_f64(value: f64) -> Self;

    /// The numbers of a storage that holds this type.
    fn in_storage(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

impl Number for f64 {
    fn to_f64(self) -> f64 {
        self
    }

    fn from_f64(value: f64) -> f64 {
        value
    }

    fn in_storage(storage: &mut CpuStorage) -> Option<&mut [f64]> {
        if let CpuStorage::F64(numbers) = storage { Some(numbers) } else { None }
    }
}

impl Number for f32 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> f32 {
        value as f32
    }

    fn in_storage(storage: &mut CpuStorage) -> Option<&mut [f32]> {
        if let CpuStorage::F32(numbers) = storage { Some(numbers) } else { None }
    }
}

impl Number for f16 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> f16 {
        f16::from_f64(value)
    }

    fn in_storage(storage: &mut CpuStorage) -> Option<&mut [f16]> {
        if let CpuStorage::F16(numbers) = storage { Some(numbers) } else { None }
    }
}

impl Number for bf16 {
    fn to_f64(self) -> f64 {
        self.into()
    }

    fn from_f64(value: f64) -> bf16 {
        bf16::from_f64(value)
    }

    fn in_storage(storage: &mut CpuStorage) -> Option<&mut [bf16]> {
        if let CpuStorage::BF16(numbers) = storage { Some(numbers) } else { None }
    }
}

/// A type of logits that the kernel works on in f32.
pub(super) trait Logit: Number {
    /// Whether blocks are worked on where they are.
    const IN_PLACE: bool;

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
    const IN_PLACE: bool = true;

    type Room = ();

    fn room() {}

    fn widen<'a>(block: &'a [f32], (): &'a mut ()) -> &'a [f32] {
        block
    }

    fn narrow(block: &mut [MaybeUninit<f32>], (): &mut (), fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32]) {
        fill(block);
    }
}

/// A number of 16 bits, whose conversions the compiler can vectorise: it calls no function and has no branch.
trait Half: Number {
    fn widened(self) -> f32;

    /// To nearest, ties to even. Of NaN, which no gradient is, any number.
    fn narrowed(value: f32) -> Self;
}

impl Half for f16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        // The exponent counts from 15 instead of 127: a product mends that, exactly, below the normal numbers too.
        const TO_127: f32 = f32::from_bits((127 + 112) << 23);
        let (sign, magnitude) = (self.to_bits() & 0x8000, self.to_bits() & 0x7fff);
        let value = f32::from_bits(u32::from(magnitude) << 13) * TO_127;
        let not_finite = if magnitude >= 0x7c00 { 0x7f80_0000 } else { 0 };
        f32::from_bits(value.to_bits() | not_finite | (u32::from(sign) << 16))
    }

    #[inline(always)]
    fn narrowed(value: f32) -> f16 {
        const SMALLEST_NORMAL: u32 = 113 << 23; // 2^-14
        let magnitude = value.to_bits() & 0x7fff_ffff;
        let rounded = (magnitude + 0xfff + ((magnitude >> 13) & 1)).wrapping_sub(112 << 23) >> 13;
        // The last bit of a half is worth 2^-24, as that of these is: the addition rounds.
        let subnormal = (f32::from_bits(magnitude) + 0.5).to_bits().wrapping_sub(0.5f32.to_bits());
        let bits = if magnitude < SMALLEST_NORMAL { subnormal } else { rounded.min(0x7c00) };
        f16::from_bits((bits | ((value.to_bits() >> 16) & 0x8000)) as u16)
    }
}

impl Half for bf16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        f32::from_bits(u32::from(self.to_bits()) << 16)
    }

    #[inline(always)]
    fn narrowed(value: f32) -> bf16 {
        let bits = value.to_bits();
        bf16::from_bits(((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16)
    }
}

impl<H: Half> Logit for H {
    const IN_PLACE: bool = false;

    type Room = Room;

    fn room() -> Room {
        Room::new()
    }

    fn widen<'a>(block: &'a [H], room: &'a mut Room) -> &'a [f32] {
        let wide = &mut room.logits[..block.len()];
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (wide, narrow) in wide.iter_mut().zip(block) {
                    *wide = narrow.widened();
                }
            },
        );
        wide
    }

    fn narrow(block: &mut [MaybeUninit<H>], room: &mut Room, fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32]) {
        let wide = fill(&mut room.grad[..block.len()]);
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (narrow, wide) in block.iter_mut().zip(wide.iter()) {
                    narrow.write(H::narrowed(*wide));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_f16_is_widened_as_it_is() {
        for bits in 0..=u16::MAX {
            let (half, wide) = (f16::from_bits(bits), f16::from_bits(bits).widened());
            assert!(wide.to_bits() == half.to_f32_const().to_bits() || half.is_nan() && wide.is_nan(), "{half}");
        }
    }

    #[test]
    fn halves_are_rounded_to_nearest_even() {
        // Every exponent and both signs; of the fractions those next to a tie and at it.
        for high in 0..=u16::MAX {
            for low in [0, 1, 0x0fff, 0x1000, 0x1001, 0x7fff, 0x8000, 0x8001, 0xffff] {
                let value = f32::from_bits(u32::from(high) << 16 | low);
                if !value.is_nan() {
                    assert_eq!(f16::narrowed(value).to_bits(), f16::from_f32_const(value).to_bits(), "{value:e}");
                    assert_eq!(bf16::narrowed(value).to_bits(), bf16::from_f32_const(value).to_bits(), "{value:e}");
                }
            }
        }
    }
}

//! Logits and gradients in memory, of any of the types they may have, and blocks of them worked on as f32.
//!
//! The types are told apart here, once a block, so that the kernels and what calls them are compiled once.

use super::vectors::{BLOCK, run};
use half::{bf16, f16};
use pulp::Arch;
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Logits in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Logits<'a> {
    F32(&'a [f32]),
    F16(&'a [f16]),
    Bf16(&'a [bf16]),
    F64(&'a [f64]),
}

/// The same expression for each type.
macro_rules! each {
    ($enum:ident, $of:expr, $numbers:ident => $result:expr) => {
        match $of {
            $enum::F32($numbers) => $result,
            $enum::F16($numbers) => $result,
            $enum::Bf16($numbers) => $result,
            $enum::F64($numbers) => $result,
        }
    };
}

/// The same value of the same variant for each type.
macro_rules! map {
    ($enum:ident, $of:expr, $numbers:ident => $result:expr) => {
        match $of {
            $enum::F32($numbers) => $enum::F32($result),
            $enum::F16($numbers) => $enum::F16($result),
            $enum::Bf16($numbers) => $enum::Bf16($result),
            $enum::F64($numbers) => $enum::F64($result),
        }
    };
}

impl<'a> Logits<'a> {
    /// Bytes of all of them.
    pub(crate) fn bytes(self) -> usize {
        each!(Logits, self, numbers => size_of_val(numbers))
    }

    /// Those in a range.
    pub(crate) fn range(self, range: Range<usize>) -> Logits<'a> {
        map!(Logits, self, numbers => &numbers[range])
    }

    /// One, widened.
    pub(crate) fn get(self, index: usize) -> f64 {
        match self {
            Logits::F32(numbers) => numbers[index].into(),
            Logits::F16(numbers) => numbers[index].into(),
            Logits::Bf16(numbers) => numbers[index].into(),
            Logits::F64(numbers) => numbers[index],
        }
    }

    /// All of them as f64.
    pub(crate) fn to_f64(self) -> Cow<'a, [f64]> {
        match self {
            Logits::F32(numbers) => numbers.iter().map(|&number| number.into()).collect(),
            Logits::F16(numbers) => numbers.iter().map(|&number| number.into()).collect(),
            Logits::Bf16(numbers) => numbers.iter().map(|&number| number.into()).collect(),
            Logits::F64(numbers) => Cow::Borrowed(numbers),
        }
    }

    /// A block as f32, where it is or in `room`. The kernels are not for f64.
    pub(crate) fn to_f32<'b>(self, arch: Arch, room: &'b mut WideBlock) -> &'b [f32]
    where
        'a: 'b,
    {
        match self {
            Logits::F32(block) => block,
            Logits::F16(block) => widen(arch, block, &mut room.0),
            Logits::Bf16(block) => widen(arch, block, &mut room.0),
            Logits::F64(_) => unreachable!("f64 logits are worked on as they are"),
        }
    }
}

/// Room for a block of logits as f32; none for f32 itself.
pub(crate) struct WideBlock(Vec<f32>);

impl WideBlock {
    pub(crate) fn new(of: Logits) -> WideBlock {
        WideBlock(vec![0.0; if matches!(of, Logits::F32(_)) { 0 } else { BLOCK }])
    }
}

/// A gradient in memory, not yet written.
#[derive(Debug)]
pub(crate) enum Grad<'a> {
    F32(&'a mut [MaybeUninit<f32>]),
    F16(&'a mut [MaybeUninit<f16>]),
    Bf16(&'a mut [MaybeUninit<bf16>]),
    F64(&'a mut [MaybeUninit<f64>]),
}

impl<'a> Grad<'a> {
    fn len(&self) -> usize {
        each!(Grad, self, numbers => numbers.len())
    }

    /// The first `count` numbers, and the rest.
    pub(crate) fn split_at(self, count: usize) -> (Grad<'a>, Grad<'a>) {
        match self {
            Grad::F32(numbers) => {
                let (first, rest) = numbers.split_at_mut(count);
                (Grad::F32(first), Grad::F32(rest))
            }
            Grad::F16(numbers) => {
                let (first, rest) = numbers.split_at_mut(count);
                (Grad::F16(first), Grad::F16(rest))
            }
            Grad::Bf16(numbers) => {
                let (first, rest) = numbers.split_at_mut(count);
                (Grad::Bf16(first), Grad::Bf16(rest))
            }
            Grad::F64(numbers) => {
                let (first, rest) = numbers.split_at_mut(count);
                (Grad::F64(first), Grad::F64(rest))
            }
        }
    }

    /// Those in a range.
    pub(crate) fn range(&mut self, range: Range<usize>) -> Grad<'_> {
        map!(Grad, self, numbers => &mut numbers[range])
    }

    pub(crate) fn fill_with_zeros(&mut self) {
        match self {
            Grad::F32(numbers) => numbers.fill(MaybeUninit::new(0.0)),
            Grad::F16(numbers) => numbers.fill(MaybeUninit::new(f16::ZERO)),
            Grad::Bf16(numbers) => numbers.fill(MaybeUninit::new(bf16::ZERO)),
            Grad::F64(numbers) => numbers.fill(MaybeUninit::new(0.0)),
        }
    }

    /// Writes one number, rounded to nearest.
    pub(crate) fn write(&mut self, index: usize, value: f64) {
        match self {
            Grad::F32(numbers) => _ = numbers[index].write(value as f32),
            Grad::F16(numbers) => _ = numbers[index].write(f16::from_f64(value)),
            Grad::Bf16(numbers) => _ = numbers[index].write(bf16::from_f64(value)),
            Grad::F64(numbers) => _ = numbers[index].write(value),
        }
    }

    /// Has `fill` write a block of f32, all of it, where it is or in `room`, and rounds what it returns. The kernels are not
    /// for f64.
    pub(crate) fn write_f32(
        self,
        arch: Arch,
        room: &mut WideGrad,
        fill: impl FnOnce(&mut [MaybeUninit<f32>]) -> &mut [f32],
    ) {
        if let Grad::F32(block) = self {
            fill(block);
            return;
        }
        let wide = fill(&mut room.0[..self.len()]);
        match self {
            Grad::F16(block) => narrow(arch, wide, block),
            Grad::Bf16(block) => narrow(arch, wide, block),
            Grad::F32(_) | Grad::F64(_) => unreachable!("f32 and f64 gradients are written as they are"),
        }
    }
}

/// Room for a block of the gradient as f32; none for f32 itself.
pub(crate) struct WideGrad(Vec<MaybeUninit<f32>>);

impl WideGrad {
    pub(crate) fn new(of: Logits) -> WideGrad {
        WideGrad(vec![MaybeUninit::uninit(); if matches!(of, Logits::F32(_)) { 0 } else { BLOCK }])
    }
}

/// A number of 16 bits, whose conversions the compiler can vectorise: it calls no function and has no branch.
trait Half: Copy {
    fn widened(self) -> f32;

    /// To nearest, ties to even. NaN, which no gradient is, gives any number.
    fn narrowed(value: f32) -> Self;
}

impl Half for f16 {
    #[inline(always)]
    fn widened(self) -> f32 {
        // The exponent counts from 15 instead of 127: a product corrects that, exactly, below the normal numbers too.
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

fn widen<'a, H: Half>(arch: Arch, block: &[H], wide: &'a mut [f32]) -> &'a [f32] {
    let wide = &mut wide[..block.len()];
    run(
        arch,
        #[inline(always)]
        || {
            for (wide, narrow) in wide.iter_mut().zip(block) {
                *wide = narrow.widened();
            }
        },
    );
    wide
}

fn narrow<H: Half>(arch: Arch, wide: &[f32], block: &mut [MaybeUninit<H>]) {
    run(
        arch,
        #[inline(always)]
        || {
            for (narrow, wide) in block.iter_mut().zip(wide) {
                narrow.write(H::narrowed(*wide));
            }
        },
    );
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

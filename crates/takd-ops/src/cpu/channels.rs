//! Loops over channels-last numbers with coefficients per channel, which stay in registers.

use super::arch::run;
use super::vectors::{load, store};
use pulp::{Arch, Simd, WithSimd};

/// Numbers after which the coefficients start again at a whole vector, whatever its kind: vectors of 16 numbers, four at
/// once.
const PERIOD: usize = 64;

/// Periods of numbers that are added up in f32 before their sum goes into one of f64.
const SPAN: usize = 64;

/// Each channel's coefficient, again and again up to a multiple of [`PERIOD`].
#[derive(Clone, Debug)]
pub(crate) struct Repeated(Vec<f32>);

impl Repeated {
    pub(crate) fn new(coefficients: impl ExactSizeIterator<Item = f32>) -> Self {
        let once: Vec<f32> = coefficients.collect();
        let times = (1..=PERIOD).find(|times| (once.len() * times).is_multiple_of(PERIOD)).unwrap_or(PERIOD);
        Self(once.repeat(times))
    }

    fn period(&self) -> usize {
        self.0.len()
    }
}

impl std::ops::Deref for Repeated {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.0
    }
}

/// A new number from one of each input, `old`, which the target held, and the channel's coefficients.
pub(crate) trait Map<const K: usize, const I: usize>: Copy {
    fn apply<S: Simd>(self, simd: S, coefficients: [S::f32s; K], inputs: [S::f32s; I], old: S::f32s) -> S::f32s;
}

/// Two sums per channel, to each of which something is added for one of each input.
pub(crate) trait Add<const K: usize, const I: usize>: Copy {
    fn apply<S: Simd>(
        self,
        simd: S,
        coefficients: [S::f32s; K],
        inputs: [S::f32s; I],
        sums: [S::f32s; 2],
    ) -> [S::f32s; 2];
}

/// `to = map(inputs, to)`, all from the first channel of a pixel on.
pub(crate) fn map<M: Map<K, I>, const K: usize, const I: usize>(
    arch: Arch,
    map: M,
    coefficients: [&Repeated; K],
    inputs: [&[f32]; I],
    to: &mut [f32],
) {
    run(arch, MapChannels { map, coefficients, inputs, to });
}

struct MapChannels<'a, M, const K: usize, const I: usize> {
    map: M,
    coefficients: [&'a Repeated; K],
    inputs: [&'a [f32]; I],
    to: &'a mut [f32],
}

impl<M: Map<K, I>, const K: usize, const I: usize> WithSimd for MapChannels<'_, M, K, I> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { map, coefficients, inputs, to } = self;
        // As many vectors at once as have their coefficients in registers.
        match S::F32_LANES {
            16 => map_vectors::<S, M, K, I, 4>(simd, map, coefficients, inputs, to),
            _ => map_vectors::<S, M, K, I, 2>(simd, map, coefficients, inputs, to),
        }
    }
}

#[inline(always)]
fn map_vectors<S: Simd, M: Map<K, I>, const K: usize, const I: usize, const NV: usize>(
    simd: S,
    map: M,
    coefficients: [&Repeated; K],
    inputs: [&[f32]; I],
    to: &mut [f32],
) {
    let (lanes, period) = (S::F32_LANES, coefficients[0].period());
    assert!(inputs.iter().all(|input| input.len() == to.len()) && coefficients.iter().all(|c| c.period() == period));
    let whole = to.len() - to.len() % period;
    for at in (0..period.min(whole)).step_by(NV * lanes) {
        let k = load_coefficients::<S, K, NV>(simd, coefficients, at);
        for start in (at..whole).step_by(period) {
            for (v, &k) in k.iter().enumerate() {
                let i = start + v * lanes;
                let mut x = [simd.splat_f32s(0.0); I];
                for (x, input) in x.iter_mut().zip(&inputs) {
                    // SAFETY: `i` is within the whole periods of slices that are equally long.
                    *x = unsafe { load::<S>(input.as_ptr().add(i)) };
                }
                // SAFETY: as above.
                unsafe {
                    let to = to.as_mut_ptr().add(i);
                    store::<S>(to, map.apply(simd, k, x, load::<S>(to)));
                }
            }
        }
    }
    for start in (whole..to.len()).step_by(lanes) {
        let rest = start..to.len().min(start + lanes);
        let [k] = load_coefficients::<S, K, 1>(simd, coefficients, start - whole);
        let x = inputs.map(|input| simd.partial_load_f32s(&input[rest.clone()]));
        let old = simd.partial_load_f32s(&to[rest.clone()]);
        simd.partial_store_f32s(&mut to[rest], map.apply(simd, k, x, old));
    }
}

#[inline(always)]
fn load_coefficients<S: Simd, const K: usize, const NV: usize>(
    simd: S,
    coefficients: [&Repeated; K],
    at: usize,
) -> [[S::f32s; K]; NV] {
    let mut k = [[simd.splat_f32s(0.0); K]; NV];
    for (v, k) in k.iter_mut().enumerate() {
        for (k, coefficients) in k.iter_mut().zip(coefficients) {
            let some = &coefficients[at + v * S::F32_LANES..][..S::F32_LANES];
            // SAFETY: a slice of a whole vector.
            *k = unsafe { load::<S>(some.as_ptr()) };
        }
    }
    k
}

/// Copies of pixels as `[panel][pixel][channels of the panel]`: their channels are cut into panels of [`Panels::CHANNELS`], so that
/// pixels of any number of channels are the same few numbers apart.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    /// How many pixels there is room for.
    pub pixels: usize,
    /// Whole vectors of any kind.
    pub channels: usize,
}

impl Panels {
    /// Of whole panels.
    pub(crate) const CHANNELS: usize = 256;

    /// Numbers from one pixel of a panel to the next: a line more than there are, so that pixels that are read together do not fall
    /// on the same lines of the cache.
    pub(crate) fn pitch(self) -> usize {
        self.channels.min(Self::CHANNELS) + 16
    }

    /// Where a pixel's channel is.
    pub(crate) fn at(self, pixel: usize, channel: usize) -> usize {
        (channel / Self::CHANNELS * self.pixels + pixel) * self.pitch() + channel % Self::CHANNELS
    }

    /// Numbers of all of them.
    pub(crate) fn len(self) -> usize {
        self.channels.div_ceil(Self::CHANNELS) * self.pixels * self.pitch()
    }
}

/// Some pixels of an input that need not be neighbours, and where their copies begin.
#[derive(Clone, Copy)]
pub(crate) struct Pixels {
    pub count: usize,
    /// Numbers from one to the next.
    pub step: usize,
    pub to: Panels,
    /// The first copy's number.
    pub first: usize,
}

/// [`map`] of some pixels.
pub(crate) fn map_pixels<M: Map<K, I>, const K: usize, const I: usize>(
    arch: Arch,
    map: M,
    coefficients: [&Repeated; K],
    inputs: [&[f32]; I],
    pixels: Pixels,
    to: &mut [f32],
) {
    run(arch, MapPixels { map, coefficients, inputs, pixels, to });
}

struct MapPixels<'a, M, const K: usize, const I: usize> {
    map: M,
    coefficients: [&'a Repeated; K],
    inputs: [&'a [f32]; I],
    pixels: Pixels,
    to: &'a mut [f32],
}

impl<M: Map<K, I>, const K: usize, const I: usize> WithSimd for MapPixels<'_, M, K, I> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { map, coefficients, inputs, pixels: Pixels { count, step, to: panels, first }, to } = self;
        assert!(
            panels.channels.is_multiple_of(S::F32_LANES) && coefficients.iter().all(|k| k.len() >= panels.channels)
        );
        for start in (0..panels.channels).step_by(Panels::CHANNELS) {
            let channels = Panels::CHANNELS.min(panels.channels - start);
            for pixel in 0..count {
                let mut from = [[].as_slice(); I];
                for (from, input) in from.iter_mut().zip(inputs) {
                    *from = &input[pixel * step + start..][..channels];
                }
                let to = &mut to[panels.at(first + pixel, start)..][..channels];
                for c in (0..channels).step_by(S::F32_LANES) {
                    let (mut k, mut x) = ([simd.splat_f32s(0.0); K], [simd.splat_f32s(0.0); I]);
                    // SAFETY: whole vectors of slices of `channels` numbers, and of coefficients for all channels.
                    unsafe {
                        for (k, coefficients) in k.iter_mut().zip(&coefficients) {
                            *k = load::<S>(coefficients.as_ptr().add(start + c));
                        }
                        for (x, from) in x.iter_mut().zip(&from) {
                            *x = load::<S>(from.as_ptr().add(c));
                        }
                        let to = to.as_mut_ptr().add(c);
                        store::<S>(to, map.apply(simd, k, x, load::<S>(to)));
                    }
                }
            }
        }
    }
}

/// Two sums per channel.
pub(crate) struct Sums {
    channels: usize,
    /// Of each number of a period.
    totals: [Vec<f64>; 2],
}

impl Sums {
    pub(crate) fn new(channels: usize) -> Self {
        Self { channels, totals: [Vec::new(), Vec::new()] }
    }

    /// Adds what `add` makes of numbers from the first channel of a pixel on.
    pub(crate) fn add<A: Add<K, I>, const K: usize, const I: usize>(
        &mut self,
        arch: Arch,
        add: A,
        coefficients: [&Repeated; K],
        inputs: [&[f32]; I],
    ) {
        let period = coefficients[0].period();
        self.totals.iter_mut().for_each(|totals| totals.resize(period, 0.0));
        assert!(inputs.iter().all(|input| input.len() == inputs[0].len()));
        run(arch, AddChannels { add, coefficients, inputs, totals: &mut self.totals });
    }

    /// Both sums of each channel.
    pub(crate) fn finish(self) -> [Vec<f64>; 2] {
        self.totals.map(|totals| {
            let mut sums = vec![0.0; self.channels];
            for repetition in totals.chunks_exact(self.channels) {
                sums.iter_mut().zip(repetition).for_each(|(sum, total)| *sum += total);
            }
            sums
        })
    }
}

struct AddChannels<'a, A, const K: usize, const I: usize> {
    add: A,
    coefficients: [&'a Repeated; K],
    inputs: [&'a [f32]; I],
    totals: &'a mut [Vec<f64>; 2],
}

impl<A: Add<K, I>, const K: usize, const I: usize> WithSimd for AddChannels<'_, A, K, I> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { add, coefficients, inputs, totals } = self;
        let (len, span) = (inputs[0].len(), SPAN * coefficients[0].period());
        for start in (0..len).step_by(span) {
            let end = len.min(start + span);
            let inputs = inputs.map(|input| &input[start..end]);
            match S::F32_LANES {
                16 => add_vectors::<S, A, K, I, 4>(simd, add, coefficients, inputs, totals),
                _ => add_vectors::<S, A, K, I, 2>(simd, add, coefficients, inputs, totals),
            }
        }
    }
}

#[inline(always)]
fn add_vectors<S: Simd, A: Add<K, I>, const K: usize, const I: usize, const NV: usize>(
    simd: S,
    add: A,
    coefficients: [&Repeated; K],
    inputs: [&[f32]; I],
    totals: &mut [Vec<f64>; 2],
) {
    let (lanes, period, len) = (S::F32_LANES, coefficients[0].period(), inputs[0].len());
    let whole = len - len % period;
    for at in (0..period.min(whole)).step_by(NV * lanes) {
        let k = load_coefficients::<S, K, NV>(simd, coefficients, at);
        let mut sums = [[simd.splat_f32s(0.0); 2]; NV];
        for start in (at..whole).step_by(period) {
            for (v, (&k, sums)) in k.iter().zip(&mut sums).enumerate() {
                let mut x = [simd.splat_f32s(0.0); I];
                for (x, input) in x.iter_mut().zip(&inputs) {
                    // SAFETY: within the whole periods of slices that are equally long.
                    *x = unsafe { load::<S>(input.as_ptr().add(start + v * lanes)) };
                }
                *sums = add.apply(simd, k, x, *sums);
            }
        }
        for (v, sums) in sums.into_iter().enumerate() {
            into_totals(simd, sums, totals, at + v * lanes, lanes);
        }
    }
    for start in (whole..len).step_by(lanes) {
        let rest = start..len.min(start + lanes);
        let [k] = load_coefficients::<S, K, 1>(simd, coefficients, start - whole);
        let x = inputs.map(|input| simd.partial_load_f32s(&input[rest.clone()]));
        let sums = add.apply(simd, k, x, [simd.splat_f32s(0.0); 2]);
        into_totals(simd, sums, totals, start - whole, rest.len());
    }
}

/// Adds the first `count` numbers of a vector's sums to the totals from `at` on.
#[inline(always)]
fn into_totals<S: Simd>(simd: S, sums: [S::f32s; 2], totals: &mut [Vec<f64>; 2], at: usize, count: usize) {
    for (sums, totals) in sums.into_iter().zip(totals) {
        let mut values = [0.0f32; 16];
        simd.partial_store_f32s(&mut values[..S::F32_LANES], sums);
        totals[at..at + count].iter_mut().zip(values).for_each(|(total, value)| *total += f64::from(value));
    }
}

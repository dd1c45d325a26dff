//! Named, seeded streams of random numbers.
//!
//! Every random choice in takd, an initial weight, the order of an epoch, a crop, comes from a stream that is a pure
//! function of a seed and a name. Two streams with different names are independent, so adding one never shifts the
//! numbers another hands out, and the same seed gives the same bits on every machine and device.
//!
//! ```text
//! seed 31 ── "init/conv1.weight"  ─▶ 0.11, -0.42, …
//!        ├── "shuffle/epoch 0"    ─▶ 17, 3, 42, …
//!        └── "shuffle/epoch 1"    ─▶ 8, 25, 1, …
//! ```
//!
//! ```
//! use rand_chacha::rand_core::Rng;
//!
//! let mut order = takd_rng::stream(31, "shuffle/epoch 0");
//! let mut again = takd_rng::stream(31, "shuffle/epoch 0");
//! let mut other = takd_rng::stream(31, "shuffle/epoch 1");
//! let first = order.next_u64();
//! assert_eq!(first, again.next_u64());
//! assert_ne!(first, other.next_u64());
//! ```
//!
//! Invariant: knows nothing of what the numbers are for, and holds no state of its own.

pub use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

/// The stream called `name` under `seed`: ChaCha8 keyed with BLAKE3 of both.
pub fn stream(seed: u64, name: &str) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new_derive_key("takd-rng 1 seed and stream name");
    hasher.update(&seed.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::Rng;

    #[test]
    fn streams_are_pinned_to_known_values() {
        // A change here changes every run ever made; the numerics version must then rise too.
        let mut rng = stream(0, "pin");
        let drawn: Vec<u32> = (0..4).map(|_| rng.next_u32()).collect();
        assert_eq!(drawn, [1_750_408_777, 668_992_771, 2_727_647_680, 1_966_852_830]);
    }

    #[test]
    fn seed_and_name_are_told_apart() {
        assert_ne!(stream(1, "a").next_u64(), stream(2, "a").next_u64());
        assert_ne!(stream(1, "a").next_u64(), stream(1, "b").next_u64());
    }
}

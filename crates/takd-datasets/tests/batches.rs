//! From images to a network's input.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::RngExt;
use std::thread;
use takd_datasets::{
    Augmentation, Batch, BatchConfig, Crop, Error, Images, Normalization, PlacedImages, Result, batches, batches_ahead,
    epoch_order,
};
use takd_rng::Streams;

const CROP: Augmentation = Augmentation::crop_flip(2);
/// Leaves a byte as a fraction of 255.
const PLAIN: Normalization = Normalization { mean: [0.0; 3], std: [1.0; 3] };

/// `n` images of 4x5, each pixel with a value of its own; the labels count.
fn images(n: usize) -> Images {
    let pixels = (0..n * 60).map(|i| (i * 7 % 255 + 1) as u8).collect();
    Images::new(pixels, (0..n as u32).collect(), 4, 5).unwrap()
}

fn config(batch_size: usize, augmentation: Augmentation) -> BatchConfig {
    BatchConfig { batch_size, augmentation, normalization: PLAIN }
}

fn streams(seed: u64) -> Streams {
    Streams::new(seed, "plane2")
}

fn placed(images: &Images) -> PlacedImages<'_> {
    images.placed_on(&Device::Cpu).unwrap()
}

fn collect(images: &Images, order: &[u32], config: &BatchConfig, seed: u64, epoch: usize) -> Vec<Batch> {
    batches(&placed(images), order, config, &streams(seed), epoch).map(Result::unwrap).collect()
}

fn collect_ahead(images: &Images, order: &[u32], config: &BatchConfig, seed: u64, epoch: usize) -> Vec<Result<Batch>> {
    let (images, streams) = (placed(images), streams(seed));
    thread::scope(|scope| batches_ahead(scope, &images, order, config, &streams, epoch).collect())
}

/// An image as its batch should hold it, `[3, height, width]`: padded with black, cut out, mirrored and normalised one after
/// the other.
fn plainly(images: &Images, index: u32, config: &BatchConfig, seed: u64, epoch: usize) -> Vec<f32> {
    let (height, width) = (images.height(), images.width());
    let padding = match config.augmentation.crop {
        Crop::PadFlip { padding } => padding,
        _ => 0,
    };
    let mut padded = vec![vec![[0; 3]; width + 2 * padding]; height + 2 * padding];
    for (i, pixel) in images.image(index as usize).unwrap().as_chunks::<3>().0.iter().enumerate() {
        padded[padding + i / width][padding + i % width] = *pixel;
    }
    let (mut top, mut left, mut mirrored) = (0, 0, false);
    if config.augmentation != Augmentation::NONE {
        let mut rng = takd_rng::stream(seed, &format!("plane2/augment/epoch {epoch}/image {index}"));
        top = rng.random_range(0..=2 * padding);
        left = rng.random_range(0..=2 * padding);
        mirrored = rng.random();
    }
    let mut rows: Vec<Vec<_>> = padded[top..][..height].iter().map(|row| row[left..][..width].to_vec()).collect();
    if mirrored {
        rows.iter_mut().for_each(|row| row.reverse());
    }
    let Normalization { mean, std } = config.normalization;
    let normalised =
        |channel: usize, pixel: &[u8; 3]| (f32::from(pixel[channel]) / 255.0 - mean[channel]) / std[channel];
    (0..3).flat_map(|channel| rows.iter().flatten().map(move |pixel| normalised(channel, pixel))).collect()
}

/// Each image as its batch holds it, by its index.
fn by_index(batches: &[Batch]) -> Vec<(u32, Vec<f32>)> {
    let mut all = Vec::new();
    for batch in batches {
        for (row, &index) in batch.indices.iter().enumerate() {
            all.push((index, batch.images.get(row).unwrap().flatten_all().unwrap().to_vec1().unwrap()));
        }
    }
    all.sort_by_key(|(index, _)| *index);
    all
}

#[test]
fn every_epoch_is_a_permutation_of_its_own_fixed_by_seed_owner_and_epoch() {
    let mut order = epoch_order(100, &streams(7), 3);
    assert_eq!(order, epoch_order(100, &streams(7), 3));
    assert_ne!(order, epoch_order(100, &streams(7), 4));
    assert_ne!(order, epoch_order(100, &streams(8), 3));
    assert_ne!(order, epoch_order(100, &Streams::new(7, "plane4"), 3));
    order.sort_unstable();
    assert_eq!(order, (0..100).collect::<Vec<u32>>());
}

#[test]
fn last_batch_is_short_and_nothing_is_left_out() {
    let order = epoch_order(11, &streams(0), 0);
    let batches = collect(&images(11), &order, &config(4, Augmentation::NONE), 0, 0);
    let dims: Vec<_> = batches.iter().map(|batch| batch.images.dims().to_vec()).collect();
    assert_eq!(dims, [[4, 3, 4, 5], [4, 3, 4, 5], [3, 3, 4, 5]]);
    assert_eq!(batches.iter().flat_map(|batch| batch.indices.clone()).collect::<Vec<_>>(), order);
}

#[test]
fn labels_and_pixels_belong_to_the_indices() {
    let images = images(5);
    for batch in collect(&images, &[3, 0, 4], &config(2, Augmentation::NONE), 0, 0) {
        // The labels of `images` count, so they are the indices.
        assert_eq!(batch.labels.to_vec1::<u32>().unwrap(), batch.indices);
        assert_eq!(batch.index.to_vec1::<u32>().unwrap(), batch.indices);
        let rows = batch.images.permute((0, 2, 3, 1)).unwrap();
        for (row, &index) in batch.indices.iter().enumerate() {
            let found: Vec<f32> = rows.get(row).unwrap().flatten_all().unwrap().to_vec1().unwrap();
            let wanted: Vec<f32> =
                images.image(index as usize).unwrap().iter().map(|&byte| f32::from(byte) / 255.0).collect();
            assert_eq!(found, wanted);
        }
    }
}

#[test]
fn pixels_are_normalised_channel_by_channel() {
    let images = Images::new(vec![0, 51, 255, 255, 0, 51], vec![0], 1, 2).unwrap();
    let normalization = Normalization { mean: [0.5, 0.2, 0.0], std: [0.5, 0.1, 2.0] };
    let config = BatchConfig { normalization, ..config(1, Augmentation::NONE) };
    let batch = &collect(&images, &[0], &config, 0, 0)[0];
    let found: Vec<f32> = batch.images.flatten_all().unwrap().to_vec1().unwrap();
    for (found, wanted) in found.iter().zip([-1.0, 1.0, 0.0, -2.0, 0.5, 0.1]) {
        assert!((found - wanted).abs() < 1e-6, "{found} for {wanted}");
    }
}

#[test]
fn measured_normalization_gives_mean_0_and_spread_1() {
    let images = images(40);
    let config =
        BatchConfig { normalization: Normalization::measure(&images).unwrap(), ..config(40, Augmentation::NONE) };
    let order: Vec<u32> = (0..40).collect();
    let batch = &collect(&images, &order, &config, 0, 0)[0];
    for channel in 0..3 {
        let values: Vec<f32> = batch.images.narrow(1, channel, 1).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f32>() / values.len() as f32;
        assert!(mean.abs() < 1e-5 && (variance - 1.0).abs() < 1e-4, "mean {mean}, variance {variance}");
    }
}

#[test]
fn channel_of_one_value_does_not_divide_by_zero() {
    let grey = Images::new(vec![128; 12], vec![0], 2, 2).unwrap();
    let config = BatchConfig { normalization: Normalization::measure(&grey).unwrap(), ..config(1, Augmentation::NONE) };
    let values: Vec<f32> = collect(&grey, &[0], &config, 0, 0)[0].images.flatten_all().unwrap().to_vec1().unwrap();
    assert!(values.iter().all(|value| value.abs() < 1e-4), "{values:?}");
}

#[test]
fn augmentation_depends_on_seed_owner_epoch_and_index_alone() {
    let images = images(30);
    let augmented =
        |order: &[u32], size, seed, epoch| by_index(&collect(&images, order, &config(size, CROP), seed, epoch));
    let rising: Vec<u32> = (0..30).collect();
    let wanted = augmented(&rising, 30, 5, 2);
    assert_eq!(augmented(&epoch_order(30, &streams(1), 1), 7, 5, 2), wanted);
    assert_eq!(augmented(&[9], 1, 5, 2), wanted[9..10]);
    assert_ne!(augmented(&rising, 30, 6, 2), wanted);
    assert_ne!(augmented(&rising, 30, 5, 3), wanted);
    let (placed, config, other) = (placed(&images), config(30, CROP), Streams::new(5, "plane4"));
    let others: Vec<Batch> = batches(&placed, &rising, &config, &other, 2).map(Result::unwrap).collect();
    assert_ne!(by_index(&others), wanted);
}

#[test]
fn any_number_of_threads_makes_the_same_batches() {
    let images = images(64);
    let order = epoch_order(64, &streams(0), 0);
    let with = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        by_index(&pool.install(|| collect(&images, &order, &config(16, CROP), 1, 0)))
    };
    assert_eq!(with(1), with(3));
}

proptest! {
    #[test]
    fn every_bit_is_that_of_the_plain_way_on_demand_and_ahead(
        (height, width) in (1..9usize, 1..9usize),
        padding in prop::option::of(0..12usize),
        batch_size in 1..6usize,
        seed: u64,
        epoch: usize,
    ) {
        let pixels = (0..5 * height * width * 3).map(|i| (i * 7 % 255 + 1) as u8).collect();
        let images = Images::new(pixels, vec![0; 5], height, width).unwrap();
        let augmentation = padding.map_or(Augmentation::NONE, Augmentation::crop_flip);
        let config = BatchConfig { normalization: Normalization::PUBLISHED_CODE, ..config(batch_size, augmentation) };
        let order = epoch_order(5, &streams(seed), epoch);
        let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        let ahead: Vec<_> = collect_ahead(&images, &order, &config, seed, epoch).into_iter().map(Result::unwrap).collect();
        for batches in [collect(&images, &order, &config, seed, epoch), ahead] {
            let indices: Vec<u32> = batches.iter().flat_map(|batch| batch.indices.clone()).collect();
            prop_assert_eq!(&indices, &order);
            for (index, values) in by_index(&batches) {
                prop_assert_eq!(bits(&values), bits(&plainly(&images, index, &config, seed, epoch)));
            }
        }
    }
}

#[test]
fn errors_come_in_their_place_in_batches_made_ahead_too() {
    let found = collect_ahead(&images(3), &[0, 3, 1], &config(1, CROP), 0, 0);
    assert!(matches!(&found[..], [Ok(_), Err(Error::Index { index: 3, len: 3 }), Ok(_)]), "{found:?}");
    let found = collect_ahead(&images(3), &[0, 1], &config(0, CROP), 0, 0);
    assert!(matches!(&found[..], [Err(Error::BatchSize)]), "{found:?}");
}

#[test]
fn workers_of_a_pool_may_all_wait_for_batches_made_ahead() {
    let images = images(64);
    let order = epoch_order(64, &streams(0), 0);
    let config = config(16, CROP);
    let wanted = by_index(&collect(&images, &order, &config, 1, 0));
    for found in rayon::broadcast(|_| collect_ahead(&images, &order, &config, 1, 0)) {
        assert_eq!(by_index(&found.into_iter().map(Result::unwrap).collect::<Vec<_>>()), wanted);
    }
}

#[test]
fn crops_reach_every_offset_and_flip_half_the_time() {
    // One bright pixel in the middle of black; where it goes tells the window.
    let mut pixels = vec![0; 5 * 5 * 3];
    pixels[(2 * 5 + 2) * 3..][..3].fill(255);
    let images = Images::new(pixels, vec![0], 5, 5).unwrap();
    let mut seen = std::collections::BTreeSet::new();
    for epoch in 0..400 {
        let batch = &collect(&images, &[0], &config(1, CROP), 0, epoch)[0];
        let values: Vec<f32> = batch.images.get(0).unwrap().get(0).unwrap().flatten_all().unwrap().to_vec1().unwrap();
        assert_eq!(values.iter().sum::<f32>(), 1.0);
        seen.insert(values.iter().position(|&value| value == 1.0).unwrap());
    }
    assert_eq!(seen.len(), 25);

    let two = Images::new([vec![255; 3], vec![0; 3]].concat(), vec![0], 1, 2).unwrap();
    let flip_only = config(1, Augmentation::crop_flip(0));
    let flips = (0..1000)
        .filter(|&epoch| {
            let values: Vec<f32> =
                collect(&two, &[0], &flip_only, 0, epoch)[0].images.flatten_all().unwrap().to_vec1().unwrap();
            values[0] == 0.0
        })
        .count();
    assert!((430..570).contains(&flips), "{flips} of 1000 flipped");
}

#[test]
fn images_lie_channels_last_without_a_copy() {
    let batch = &collect(&images(3), &[0, 1], &config(2, CROP), 0, 0)[0];
    assert_eq!(batch.images.stride(), [60, 1, 15, 3]);
}

#[test]
fn index_that_is_not_there_and_batches_of_nothing_are_errors() {
    let images = images(3);
    let (images, streams) = (placed(&images), streams(0));
    let first = |order: &[u32], size| {
        batches(&images, order, &config(size, Augmentation::NONE), &streams, 0).next().unwrap().unwrap_err()
    };
    assert!(matches!(first(&[0, 3], 2), Error::Index { index: 3, len: 3 }));
    assert!(matches!(first(&[0], 0), Error::BatchSize));
    assert_eq!(batches(&images, &[], &config(2, CROP), &streams, 0).count(), 0);
}

/// Those of a CUDA device, on demand and ahead; nothing if the crate is not built for one or none is there.
fn on_cuda(
    images: &Images,
    order: &[u32],
    config: &BatchConfig,
    seed: u64,
    epoch: usize,
) -> Option<[Vec<Result<Batch>>; 2]> {
    let device = cfg!(feature = "cuda").then(|| Device::new_cuda(0))?;
    let device = device.inspect_err(|error| println!("skipped on CUDA: {error}")).ok()?;
    let (images, streams) = (&images.placed_on(&device).unwrap(), &streams(seed));
    let ahead = thread::scope(|scope| batches_ahead(scope, images, order, config, streams, epoch).collect());
    Some([batches(images, order, config, streams, epoch).collect(), ahead])
}

#[test]
fn gpu_makes_the_same_batches_bit_for_bit() {
    let normalization = Normalization::PUBLISHED_CODE;
    // More images than windows are drawn at a time; windows wholly outside; batches larger than what is drawn at a time.
    for (n, height, width, padding, batch_size) in
        [(3000, 3, 2, Some(1), 100), (40, 4, 5, Some(9), 7), (2100, 1, 1, Some(0), 2000), (9, 32, 32, None, 4)]
    {
        let pixels = (0..n * height * width * 3).map(|i| (i * 7 % 255 + 1) as u8).collect();
        let images = Images::new(pixels, (7..7 + n as u32).collect(), height, width).unwrap();
        let augmentation = padding.map_or(Augmentation::NONE, Augmentation::crop_flip);
        let config = BatchConfig { batch_size, augmentation, normalization };
        let order = epoch_order(n, &streams(3), 1);
        let expected = collect(&images, &order, &config, 3, 1);
        for found in on_cuda(&images, &order, &config, 3, 1).into_iter().flatten() {
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                let found = found.as_ref().unwrap();
                assert!(found.images.device().is_cuda() && found.labels.device().is_cuda());
                assert_eq!(
                    (found.images.dims(), found.images.stride()),
                    (expected.images.dims(), expected.images.stride())
                );
                let bits = |batch: &Batch| -> Vec<u32> {
                    let values = batch.images.flatten_all().unwrap().to_vec1::<f32>().unwrap();
                    values.into_iter().map(f32::to_bits).collect()
                };
                assert!(bits(found) == bits(expected), "{height}x{width}, {augmentation:?}");
                let of = |tensor: &Tensor| tensor.to_vec1::<u32>().unwrap();
                assert_eq!(of(&found.labels), of(&expected.labels));
                assert_eq!((&found.indices, of(&found.index)), (&expected.indices, of(&expected.index)));
            }
        }
    }
}

#[test]
fn errors_come_in_their_place_in_a_gpus_batches_too() {
    let images = images(3);
    let found = on_cuda(&images, &[0, 3, 1], &config(1, CROP), 0, 0);
    for found in found.into_iter().flatten() {
        assert!(matches!(&found[..], [Ok(_), Err(Error::Index { index: 3, len: 3 }), Ok(_)]), "{found:?}");
    }
    for found in on_cuda(&images, &[0, 1], &config(0, CROP), 0, 0).into_iter().flatten() {
        assert!(matches!(&found[..], [Err(Error::BatchSize)]), "{found:?}");
    }
}

#[test]
fn augmentation_that_means_nothing_is_an_error_in_place_of_a_batch() {
    let wrong = Augmentation { jitter: Some(-1.0), ..Augmentation::NONE };
    let (images, streams) = (images(3), streams(0));
    let placed = placed(&images);
    let error = batches(&placed, &[0, 1], &config(2, wrong), &streams, 0).next().unwrap().unwrap_err();
    assert!(matches!(&error, Error::BadAugmentation(_)) && error.to_string().contains("jitter -1"), "{error}");
}

/// What is done to images beyond windows, in all its parts.
fn augmentations() -> impl Strategy<Value = Augmentation> {
    let parts =
        ["crop-flip 2", "resized-crop-flip", "randaugment 2 9", "jitter 0.4", "cutout 3", "mixup 0.2", "cutmix 1"];
    prop::sample::subsequence(parts.to_vec(), 1..=3)
        .prop_filter_map("parts that exclude each other", |parts| parts.join(" + ").parse().ok())
}

proptest! {
    #[test]
    fn augmented_batches_are_the_same_on_demand_and_ahead_and_from_the_midst_of_an_epoch(
        augmentation in augmentations(), (height, width) in (1..9usize, 1..9usize), batch_size in 1..6usize, seed: u64,
    ) {
        let pixels = (0..11 * height * width * 3).map(|i| (i * 7 % 255 + 1) as u8).collect();
        let images = Images::new(pixels, (0..11).collect(), height, width).unwrap();
        let config = config(batch_size, augmentation);
        let order = epoch_order(11, &streams(seed), 1);
        let all = collect(&images, &order, &config, seed, 1);
        let ahead: Vec<_> = collect_ahead(&images, &order, &config, seed, 1).into_iter().map(Result::unwrap).collect();
        let rest = collect(&images, &order[batch_size..], &config, seed, 1);
        let seen = |batch: &Batch| {
            let bits: Vec<u32> =
                batch.images.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f32::to_bits).collect();
            let mixed = batch.mixed.as_ref().map(|mixed| (mixed.labels.to_vec1::<u32>().unwrap(), mixed.share.to_bits()));
            (bits, batch.labels.to_vec1::<u32>().unwrap(), mixed)
        };
        let seen = |batches: &[Batch]| batches.iter().map(seen).collect::<Vec<_>>();
        prop_assert_eq!(seen(&all), seen(&ahead));
        prop_assert_eq!(&seen(&all)[1..], &seen(&rest)[..]);
        prop_assert!(all.iter().all(|batch| batch.mixed.is_some() == augmentation.mix.is_some()));
        // An image depends on its batch only if it is mixed with it.
        if augmentation.mix.is_none() {
            let alone = BatchConfig { batch_size: 1, ..config };
            prop_assert_eq!(by_index(&all), by_index(&collect(&images, &order, &alone, seed, 1)));
        }
    }
}

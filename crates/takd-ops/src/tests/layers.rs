//! Layers of many shapes.

use super::common::{Case, HALF, POINT, SAME, compare, compare_both};
use crate::Conv2dParams;
use candle_core::Result;
use proptest::prelude::*;

fn cases() -> impl Strategy<Value = Case> {
    let kernel =
        prop_oneof![Just((3, 1)), Just((1, 0)), Just((3, 0)), Just((2, 1)), Just((5, 2)), Just((1, 1)), Just((3, 2))];
    let shape = (1usize..7, 5usize..14, 5usize..14, 1usize..40, 1usize..40);
    (shape, kernel, 1usize..4, any::<bool>(), 0usize..5, any::<u64>()).prop_map(
        |((batch, height, width, c_in, c_out), (kernel, padding), stride, bias, follow, seed)| Case {
            // Several pixels in the output, so that a variance is no matter of rounding.
            batch: batch + 2,
            size: (height, width),
            channels: (c_in, c_out),
            kernel,
            params: Conv2dParams { stride: if [2, 4].contains(&follow) { 1 } else { stride }, padding },
            bias,
            follow,
            seed,
        },
    )
}

fn checked(result: Result<()>) -> std::result::Result<(), TestCaseError> {
    result.map_err(|error| TestCaseError::fail(error.to_string()))
}

/// Those that are convolved tile by tile.
fn tiled_cases() -> impl Strategy<Value = Case> {
    let channels = || prop_oneof![Just(16), Just(32), Just(64)];
    let shape = (1usize..5, 2usize..8, 2usize..8, channels(), channels());
    (shape, 0usize..3, 0usize..5, any::<u64>()).prop_map(
        |((batch, height, width, c_in, c_out), padding, follow, seed)| Case {
            batch: batch + 2,
            size: (2 * height, 2 * width),
            channels: (c_in, c_out),
            kernel: 3,
            params: Conv2dParams { stride: 1, padding },
            bias: false,
            follow,
            seed,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(60) })]

    #[test]
    fn fused_layer_equals_the_reference_in_training(case in cases()) {
        checked(compare(&case, true))?;
    }

    #[test]
    fn fused_layer_equals_the_reference_in_evaluation(case in cases()) {
        checked(compare(&case, false))?;
    }

    #[test]
    fn tiles_equal_the_reference(case in tiled_cases(), train in any::<bool>()) {
        checked(compare(&case, train))?;
    }
}

#[test]
fn the_networks_own_shapes_equal_the_reference() -> Result<()> {
    let skip = Conv2dParams { stride: 2, padding: 0 };
    for (size, c_in, c_out, kernel, params, follow) in [
        (32, 3, 16, 3, SAME, 1),
        (32, 3, 64, 7, Conv2dParams { stride: 2, padding: 3 }, 4),
        (32, 3, 32, 3, SAME, 2),
        (32, 16, 16, 3, SAME, 3),
        (32, 16, 32, 3, HALF, 1),
        (32, 16, 32, 1, skip, 0),
        (16, 32, 64, 3, HALF, 1),
        (8, 64, 64, 3, HALF, 3),
        (8, 64, 64, 3, SAME, 3),
        (8, 128, 128, 3, SAME, 2),
        (4, 256, 256, 3, SAME, 2),
    ] {
        compare_both(&Case::new([5, size, size, c_in], c_out, kernel, params, follow))?;
    }
    Ok(())
}

#[test]
fn extreme_strides_and_paddings_equal_the_reference() -> Result<()> {
    for (stride, padding, kernel) in [(7, 9, 3), (5, 4, 5), (4, 0, 1), (3, 7, 2)] {
        let params = Conv2dParams { stride, padding };
        compare_both(&Case { bias: true, ..Case::new([3, 9, 11, 2], 3, kernel, params, 1) })?;
    }
    Ok(())
}

#[test]
fn last_runs_of_pixels_in_a_row_equal_the_reference() -> Result<()> {
    for (input, c_out, params) in [
        ([1, 5, 8, 3], 5, SAME),
        ([3, 5, 8, 3], 16, SAME),
        ([2, 3, 8, 3], 1, SAME),
        ([1, 3, 8, 16], 7, SAME),
        ([2, 6, 16, 16], 16, HALF),
        ([1, 2, 16, 16], 9, HALF),
    ] {
        for follow in 0..5 {
            // A single row has no 2×2 block.
            if follow != 2 || input[1] > 2 {
                compare_both(&Case::new(input, c_out, 3, params, follow))?;
            }
        }
    }
    Ok(())
}

#[test]
fn one_image_and_two_equal_the_reference() -> Result<()> {
    for batch in [1, 2] {
        for (size, c_in, c_out, kernel, params) in
            [(8, 16, 16, 3, SAME), (6, 32, 32, 3, SAME), (7, 5, 9, 3, SAME), (9, 20, 33, 3, HALF), (6, 4, 40, 1, POINT)]
        {
            for follow in [1, 3] {
                compare_both(&Case::new([batch, size, size, c_in], c_out, kernel, params, follow))?;
            }
        }
    }
    Ok(())
}

#[test]
fn patches_wholly_outside_of_the_image_equal_the_reference() -> Result<()> {
    // Tiles of 2×2 with the odd ones; the even ones make rows and columns a multiple of 4.
    for padding in [3, 5, 7, 4, 6] {
        for height in [2, 6] {
            // Not the pool: out there all numbers of a block are the same, and any may be called the largest.
            for follow in [0, 1, 3] {
                let params = Conv2dParams { stride: 1, padding };
                compare_both(&Case::new([2, height, 6, 16], 16, 3, params, follow))?;
            }
        }
    }
    compare_both(&Case::new([2, 2, 6, 32], 32, 3, Conv2dParams { stride: 1, padding: 5 }, 1))
}

#[test]
fn sums_over_pixels_of_any_number_of_rows_equal_the_reference() -> Result<()> {
    for (c_in, c_out, kernel, params) in [
        (3, 5, 3, SAME),
        (3, 17, 3, SAME),
        (3, 48, 3, SAME),
        (9, 5, 1, POINT),
        (9, 20, 1, POINT),
        (7, 16, 3, SAME),
        (11, 16, 3, SAME),
    ] {
        compare(&Case::new([3, 6, 7, c_in], c_out, kernel, params, 1), true)?;
    }
    Ok(())
}

#[test]
fn tiles_of_channels_between_the_powers_of_two_equal_the_reference() -> Result<()> {
    for (channels, size, follow) in [(20, 8, 1), (24, 6, 3), (48, 8, 2), (80, 4, 1)] {
        compare_both(&Case::new([2, size, size, channels], channels, 3, SAME, follow))?;
    }
    // From these on the kernels are so wide that only the small tiles pay.
    compare_both(&Case::new([2, 4, 4, 192], 192, 3, SAME, 1))
}

#[test]
fn convolutions_that_are_matrix_products_equal_the_reference() -> Result<()> {
    let skip = Conv2dParams { stride: 2, padding: 0 };
    for (batch, size, c_in, c_out, params) in [
        // One panel of channels, two, and one and a part; more pixels than are worked on at once, and fewer.
        (3, 14, 64, 64, POINT),
        (2, 7, 512, 64, POINT),
        (2, 5, 320, 96, POINT),
        (2, 5, 64, 288, POINT),
        (3, 27, 64, 128, skip),
        (4, 6, 256, 512, skip),
    ] {
        for follow in 0..5 {
            let input = [batch, size, size, c_in];
            compare_both(&Case { seed: 4 + follow as u64, ..Case::new(input, c_out, 1, params, follow) })?;
        }
    }
    Ok(())
}

//! The same input gives the same bits.

use super::common::{Case, HALF, Outcome, POINT, SAME, bits, loss_weights, parts, run, then};
use super::heads::heads;
use crate::cpu::{force_arch, kinds};
use crate::{Conv2dParams, ConvBn, Then};
use candle_core::{DType, Device, Result, Tensor};
use rayon::ThreadPool;

/// One thread, then other numbers of them.
fn pools() -> Result<Vec<ThreadPool>> {
    let pool = |threads| rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(candle_core::Error::wrap);
    [1, 2, 3, 7].into_iter().map(pool).collect()
}

fn all_bits(tensors: impl IntoIterator<Item = Tensor>) -> Result<Vec<u32>> {
    let each: Result<Vec<_>> = tensors.into_iter().map(|tensor| bits(&tensor)).collect();
    Ok(each?.concat())
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let pools = pools()?;
    for case in [
        Case::new([37, 9, 8, 5], 20, 3, SAME, 3),
        Case::new([33, 16, 16, 16], 32, 3, HALF, 1),
        Case::new([40, 8, 8, 64], 64, 3, SAME, 2),
        Case::new([37, 8, 8, 16], 16, 3, SAME, 1),
        Case::new([19, 6, 10, 7], 3, 3, SAME, 1),
        Case::new([21, 9, 8, 320], 64, 1, POINT, 1),
    ] {
        let case = Case { bias: true, ..case };
        for train in [true, false] {
            let weights = loss_weights(&case, train)?;
            for kind in kinds() {
                let pass = || -> Result<Vec<u32>> {
                    let Outcome { output, grads, running } =
                        force_arch(kind, || run(&case, DType::F32, &Device::Cpu, train, &weights))?;
                    let running = running.into_iter().filter(|(name, _)| *name != "batches");
                    all_bits([output].into_iter().chain(grads.into_iter().chain(running).map(|(_, tensor)| tensor)))
                };
                let each = pools.iter().map(|pool| pool.install(pass)).collect::<Result<Vec<_>>>()?;
                assert!(each[0].len() > 1000);
                for (pool, bits) in pools.iter().zip(&each) {
                    let threads = pool.current_num_threads();
                    assert!(*bits == each[0], "{threads} threads gave other bits than one in {case:?} with {kind:?}");
                }
            }
        }
    }
    Ok(())
}

#[test]
fn heads_do_not_depend_on_the_number_of_threads() -> Result<()> {
    let pools = pools()?;
    for kind in kinds() {
        let pass = || all_bits(force_arch(kind, || heads(&[37, 8, 8, 16], 10, 1, (DType::F32, &Device::Cpu)))?);
        let each = pools.iter().map(|pool| pool.install(pass)).collect::<Result<Vec<_>>>()?;
        for (pool, bits) in pools.iter().zip(&each) {
            assert!(*bits == each[0], "{} threads gave other bits than one with {kind:?}", pool.current_num_threads());
        }
    }
    Ok(())
}

#[test]
fn an_image_gives_the_same_bits_alone_and_in_a_batch() -> Result<()> {
    // The first and the second by tiles.
    for case in [
        Case::new([7, 8, 8, 16], 16, 3, SAME, 1),
        Case::new([7, 6, 6, 32], 32, 3, SAME, 0),
        Case::new([7, 6, 8, 3], 16, 3, SAME, 1),
        Case::new([7, 9, 7, 5], 20, 3, HALF, 2),
    ] {
        let parts = parts(&case, DType::F32, &Device::Cpu)?;
        let (layer, images, residual) = (parts.layer, parts.input.detach(), parts.residual.detach());
        for kind in kinds() {
            let evaluate =
                |images: &Tensor| force_arch(kind, || layer.forward_t(images, then(case.follow, &residual), false));
            let together = evaluate(&images)?;
            for image in 0..case.batch {
                let alone = evaluate(&images.narrow(0, image, 1)?)?;
                assert!(
                    bits(&together.narrow(0, image, 1)?)? == bits(&alone)?,
                    "image {image} of {case:?} with {kind:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn a_layer_gives_the_same_bits_after_more_kinds_of_layers_than_plans_are_kept() -> Result<()> {
    for kind in kinds() {
        let evaluate = |width: usize| -> Result<Vec<u32>> {
            let parts = parts(&Case::new([2, 3, width, 3], 4, 3, SAME, 0), DType::F32, &Device::Cpu)?;
            bits(&force_arch(kind, || parts.layer.forward_t(&parts.input.detach(), Then::Nothing, false))?)
        };
        let first = (3..73).map(evaluate).collect::<Result<Vec<_>>>()?;
        let again = (3..73).map(evaluate).collect::<Result<Vec<_>>>()?;
        assert!(first == again, "{kind:?}");
    }
    Ok(())
}

#[test]
fn threads_that_meet_a_new_shape_at_once_get_the_same_bits() -> Result<()> {
    // A shape of no other test.
    let params = Conv2dParams { stride: 1, padding: 2 };
    let parts = parts(&Case::new([2, 11, 13, 17], 18, 3, params, 1), DType::F32, &Device::Cpu)?;
    let (layer, images): (ConvBn, Tensor) = (parts.layer, parts.input.detach());
    for kind in kinds() {
        crate::release_buffers();
        let start = std::sync::Barrier::new(8);
        let evaluate = || -> Result<Vec<u32>> {
            start.wait();
            bits(&force_arch(kind, || layer.forward_t(&images, Then::Relu, false))?)
        };
        let each: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(evaluate)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let each = each.into_iter().collect::<Result<Vec<_>>>()?;
        assert!(each.iter().all(|bits| *bits == each[0]), "{kind:?}");
    }
    Ok(())
}

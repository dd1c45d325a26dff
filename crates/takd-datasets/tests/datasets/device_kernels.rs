//! The CUDA kernel without its device: compiled as C++ with a shim and compared with the CPU's batches, and compiled by nvcc.
//! Each test says so and passes if its compiler is missing.

use candle_core::Device;
use rand::RngExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use takd_datasets::{Augmentation, BatchConfig, Images, Normalization, batches, epoch_order};
use takd_rng::Streams;

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn nvcc_compiles_the_kernel_of_batches() {
    let roots = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let found = roots.chain([PathBuf::from("/usr/local/cuda")]).map(|root| root.join("bin/nvcc"));
    let Some(nvcc) = [PathBuf::from("nvcc")].into_iter().chain(found).find(|nvcc| runs(nvcc)) else {
        println!("skipped: no nvcc on PATH or under CUDA_HOME");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    for arch in ["sm_80", "sm_90"] {
        let mut command = Command::new(&nvcc);
        command.args(["-cubin", "-Werror", "all-warnings", "-arch", arch]);
        command.arg("-o").arg(out.path().join("kernel.cubin")).arg(here("src/batch/batch.cu"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arch}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn kernel_gives_the_bits_of_the_cpus_batches() {
    let directory = tempfile::tempdir().unwrap();
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !runs(Path::new(&compiler)) {
        println!("skipped: no compiler for C++; CXX names one");
        return;
    }
    let program = directory.path().join("batch");
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-O1", "-Wall", "-Werror", "-I"]).arg(here("src/batch"));
    command.arg(here("tests/kernel_shim/batch.cpp")).arg("-o").arg(&program);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    // Fewer threads than an image has numbers, and more; windows wholly outside of the image too.
    for (height, width, padding, threads) in [(4, 5, 2, 32), (3, 1, 0, 64), (6, 2, 9, 7), (32, 32, 4, 512)] {
        let n = 11;
        let pixels: Vec<u8> = (0..n * height * width * 3).map(|i| (i * 7 % 255 + 1) as u8).collect();
        let labels: Vec<u32> = (100..100 + n as u32).collect();
        let images = Images::new(pixels.clone(), labels.clone(), height, width).unwrap();
        let (streams, epoch, batch_size) = (Streams::new(5, "plane2"), 3, 4);
        let order = epoch_order(n, &streams, epoch);
        let normalization = Normalization::PUBLISHED_CODE;
        let config = BatchConfig { batch_size, augmentation: Augmentation::crop_flip(padding), normalization };

        let Normalization { mean, std } = normalization;
        let table = |c: usize| (0..256).map(move |byte| (byte as f32 / 255.0 - mean[c]) / std[c]);
        let mut windows = [Vec::new(), Vec::new(), Vec::new()];
        for index in &order {
            let mut rng = streams.stream(&format!("augment/epoch {epoch}/image {index}"));
            let mut offset = || rng.random_range(0..=2 * padding) as i32 - padding as i32;
            windows[0].push(offset() as u32);
            windows[1].push(offset() as u32);
            windows[2].push(u32::from(rng.random::<bool>()));
        }
        let placed = images.placed_on(&Device::Cpu).unwrap();
        for (place, batch) in batches(&placed, &order, &config, &streams, epoch).enumerate() {
            let batch = batch.unwrap();
            let count = batch.indices.len();
            let mut input = Vec::new();
            for size in [threads, n, height, width, n, place * batch_size, count] {
                input.extend((size as u32).to_le_bytes());
            }
            input.extend(&pixels);
            input.extend(labels.iter().flat_map(|label| label.to_le_bytes()));
            input.extend((0..3).flat_map(table).flat_map(f32::to_le_bytes));
            input.extend(order.iter().chain(windows.iter().flatten()).flat_map(|word| word.to_le_bytes()));
            let [from, to] = ["input", "output"].map(|name| directory.path().join(name));
            std::fs::write(&from, input).unwrap();
            assert!(Command::new(&program).args([&from, &to]).status().unwrap().success());
            let found = std::fs::read(to).unwrap();

            let values = batch.images.permute((0, 2, 3, 1)).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap();
            let mut expected: Vec<u8> = values.into_iter().flat_map(f32::to_le_bytes).collect();
            expected.extend(batch.labels.to_vec1::<u32>().unwrap().into_iter().flat_map(u32::to_le_bytes));
            assert!(found == expected, "batch {place} of {height}x{width} images, padding {padding}");
        }
    }
}

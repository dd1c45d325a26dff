//! The CUDA kernels without their device: compiled as C++ with a shim and held to the CPU's results, and compiled by nvcc.
//! Each test says so and passes where its compiler is missing.

use candle_core::{Device, Result, Tensor, Var};
use rand::RngExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use takd_ops::{SgdParams, sgd_step};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

#[test]
fn nvcc_compiles_the_sgd_step() {
    let roots = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let found = roots.chain([PathBuf::from("/usr/local/cuda")]).map(|root| root.join("bin/nvcc"));
    let Some(nvcc) = [PathBuf::from("nvcc")].into_iter().chain(found).find(|nvcc| runs(nvcc)) else {
        println!("skipped: no nvcc on PATH or under CUDA_HOME");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    for arch in ["sm_80", "sm_90"] {
        let mut command = Command::new(&nvcc);
        command.args(["-cubin", "-Werror", "all-warnings", "-fmad=false", "-arch", arch]);
        command.arg("-o").arg(out.path().join("kernel.cubin")).arg(here("src/sgd/sgd_step.cu"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arch}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn sgd_kernel_gives_the_bits_of_the_cpu() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !runs(Path::new(&compiler)) {
        println!("skipped: no compiler for C++; CXX names one");
        return Ok(());
    }
    let program = directory.path().join("sgd_step");
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-O1", "-Wall", "-Werror", "-ffp-contract=off", "-I"]).arg(here("src/sgd"));
    command.arg(here("tests/kernel_shim/sgd_step.cpp")).arg("-o").arg(&program);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut rng = takd_rng::stream(3, "sgd kernel");
    // One number; fewer than threads, more, and more than all threads of all blocks.
    for (count, blocks, threads) in [(1, 1, 32), (100, 1, 256), (1000, 4, 256), (1000, 2, 64)] {
        for nesterov in [false, true] {
            let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov, weight_decay: 1e-2 };
            let [param, buffer, grad] =
                [(); 3].map(|()| (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect::<Vec<_>>());
            let mut input = Vec::new();
            for word in [blocks, threads, count, u32::from(nesterov)] {
                input.extend(word.to_le_bytes());
            }
            for number in [0.1f32, 0.9, 1e-2].iter().chain(&param).chain(&buffer).chain(&grad) {
                input.extend(number.to_le_bytes());
            }
            let [from, to] = ["input", "output"].map(|name| directory.path().join(name));
            std::fs::write(&from, input).unwrap();
            assert!(Command::new(&program).args([&from, &to]).status().unwrap().success());
            let bytes = std::fs::read(to).unwrap();
            let found: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();

            let [expected_param, expected_buffer] =
                [&param, &buffer].map(|values| Var::from_slice(values, values.len(), &Device::Cpu));
            let (expected_param, expected_buffer) = (expected_param?, expected_buffer?);
            sgd_step(&expected_param, &Tensor::new(grad.as_slice(), &Device::Cpu)?, &expected_buffer, params)?;
            let expected = [expected_param.to_vec1()?, expected_buffer.to_vec1()?, grad].concat();
            assert_eq!(found, expected, "{count} numbers, {blocks} blocks of {threads}, nesterov = {nesterov}");
        }
    }
    Ok(())
}

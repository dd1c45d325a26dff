//! The CUDA kernels without their device: compiled as C++ with a shim and compared with the CPU's results, and compiled by nvcc.
//! Each test passes and says so if its compiler is missing.

use candle_core::{Device, Result, Tensor, Var};
use rand::RngExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use takd_ops::{SgdParams, SgdUpdate, sgd_step};

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// Compiles each text for two generations.
fn nvcc(text: &str, options: &[&str]) {
    let roots = ["CUDA_HOME", "CUDA_PATH", "CUDA_ROOT"].into_iter().filter_map(std::env::var_os).map(PathBuf::from);
    let found = roots.chain([PathBuf::from("/usr/local/cuda")]).map(|root| root.join("bin/nvcc"));
    let Some(nvcc) = [PathBuf::from("nvcc")].into_iter().chain(found).find(|nvcc| runs(nvcc)) else {
        println!("skipped: no nvcc on PATH or under CUDA_HOME");
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let source = out.path().join("kernel.cu");
    std::fs::write(&source, text).unwrap();
    for arch in ["sm_80", "sm_90"] {
        let mut command = Command::new(&nvcc);
        // Not every kernel uses everything that they share.
        command.args(["-cubin", "-Werror", "all-warnings", "-diag-suppress", "177", "-arch", arch]).args(options);
        command.arg("-o").arg(out.path().join("kernel.cubin")).arg(&source);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arch}, {options:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn kernels(files: &[&str]) -> String {
    let read = |file: &&str| std::fs::read_to_string(here("src").join(file)).unwrap();
    ["cuda/common.cu"].iter().chain(files).map(read).collect()
}

#[test]
fn nvcc_compiles_the_kernels() {
    nvcc(&std::fs::read_to_string(here("src/sgd_step/sgd_step.cu")).unwrap(), &["-fmad=false"]);
    for file in ["conv_bn/cuda/norm.cu", "features/cuda/numbers.cu", "global_avg_pool/global_avg_pool.cu"] {
        nvcc(&kernels(&[file]), &[]);
    }
    // The rows of a kernel, those that a block of the gradient of the weights has, and its channels of outputs and inputs; in TF32
    // only 16 of each and chunks of 8.
    for (rows, [group, side_out, side_in], chunk, stride, tile, precisions) in [
        (3, [3, 16, 16], 8, 1, [1, 8, 32], 0..2),
        (3, [3, 16, 16], 8, 2, [1, 8, 8], 0..2),
        (1, [1, 16, 16], 8, 2, [4, 4, 4], 0..2),
        (7, [3, 16, 16], 8, 1, [1, 2, 32], 0..2),
        (7, [3, 64, 4], 4, 2, [1, 4, 32], 0..1),
    ] {
        for precision in precisions {
            let macros = |more: &[(&str, usize)]| -> Vec<String> {
                let [n, h, w] = tile;
                let shape = [
                    ("PRECISION", precision),
                    ("K_W", rows),
                    ("STRIDE", stride),
                    ("TILE_N", n),
                    ("TILE_H", h),
                    ("TILE_W", w),
                ];
                let all = shape.iter().chain(more).map(|(name, size)| format!("-D{name}={size}"));
                // A thread that spills to memory is slow, and nothing else would show it.
                all.chain(["-Xptxas", "-warn-spills,-warn-lmem-usage"].map(str::to_owned)).collect()
            };
            let compile = |file: &str, options: &[String]| {
                let options: Vec<&str> = options.iter().map(String::as_str).collect();
                nvcc(&kernels(&["conv_bn/cuda/tile.cu", file]), &options);
            };
            let block = [("K_H", group), ("KERNEL_H", rows), ("SIDE_OUT", side_out), ("SIDE_IN", side_in)];
            compile("conv_bn/cuda/filter.cu", &macros(&block));
            for (block_c, thread_c) in [(16, 4), (32, 8)] {
                // The weights of a large kernel fit beside 16 channels only, unless the chunk is small.
                if rows < 7 || chunk == 4 || block_c == 16 {
                    let block = [("K_H", rows), ("BLOCK_C", block_c), ("THREAD_C", thread_c), ("CHUNK", chunk)];
                    compile("conv_bn/cuda/conv.cu", &macros(&block));
                }
            }
        }
    }
}

#[test]
fn sgd_kernels_give_the_bits_of_the_cpu() -> Result<()> {
    let directory = tempfile::tempdir().unwrap();
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if !runs(Path::new(&compiler)) {
        println!("skipped: no compiler for C++; CXX names one");
        return Ok(());
    }
    let program = directory.path().join("sgd_step");
    let mut command = Command::new(compiler);
    command.args(["-std=c++17", "-O1", "-Wall", "-Werror", "-ffp-contract=off", "-I"]).arg(here("src/sgd_step"));
    command.arg(here("tests/kernel_shim/sgd_step.cpp")).arg("-o").arg(&program);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));

    let mut rng = takd_rng::stream(3, "sgd kernel");
    // Fewer numbers than threads, more, and more than all threads of all blocks.
    for (blocks, threads, bad) in [(1u32, 32u32, None), (4, 256, None), (2, 64, Some(1u32))] {
        for nesterov in [false, true] {
            let params = SgdParams { lr: 0.1, momentum: 0.9, nesterov };
            let parameters: Vec<(f32, [Vec<f32>; 3])> = [(1, 0.0), (1000, 1e-2), (100, 1e-2)]
                .map(|(count, decay)| {
                    (decay, [(); 3].map(|()| (0..count).map(|_| rng.random_range(-1.0f32..1.0)).collect()))
                })
                .into();
            let mut parameters = parameters;
            if let Some(place) = bad {
                parameters[place as usize].1[2][999] = f32::INFINITY;
            }
            let mut input = Vec::new();
            for word in [blocks, threads, parameters.len() as u32, u32::from(nesterov)] {
                input.extend(word.to_le_bytes());
            }
            input.extend([0.1f32, 0.9].into_iter().flat_map(f32::to_le_bytes));
            for (decay, values) in &parameters {
                input.extend((values[0].len() as u32).to_le_bytes());
                input.extend(decay.to_le_bytes());
                input.extend(values.iter().flatten().flat_map(|number| number.to_le_bytes()));
            }
            let [from, to] = ["input", "output"].map(|name| directory.path().join(name));
            std::fs::write(&from, input).unwrap();
            assert!(Command::new(&program).args([&from, &to]).status().unwrap().success());
            let output = std::fs::read(to).unwrap();
            let (verdict, bytes) = output.split_first_chunk().unwrap();
            let found: Vec<u32> = bytes.as_chunks().0.iter().map(|&bytes| u32::from_le_bytes(bytes)).collect();

            let variable = |values: &Vec<f32>| Var::from_slice(values, values.len(), &Device::Cpu);
            let mut variables = Vec::new();
            for (_, [param, buffer, grad]) in &parameters {
                variables.push((variable(param)?, variable(buffer)?, Tensor::new(grad.as_slice(), &Device::Cpu)?));
            }
            let updates: Vec<SgdUpdate> = variables
                .iter()
                .zip(&parameters)
                .map(|((param, momentum_buffer, grad), (decay, _))| SgdUpdate {
                    param,
                    grad,
                    momentum_buffer,
                    weight_decay: f64::from(*decay),
                })
                .collect();
            let place = sgd_step(&updates, params)?.to_scalar::<u32>()?;
            assert_eq!(place, bad.unwrap_or(u32::MAX));
            // The launch was told that its first parameter is the seventh.
            assert_eq!(u32::from_le_bytes(*verdict), bad.map_or(u32::MAX, |place| place + 7));
            let mut expected = Vec::new();
            for (param, buffer, grad) in &variables {
                for tensor in [param.as_tensor(), buffer.as_tensor(), grad] {
                    expected.extend(tensor.to_vec1::<f32>()?.into_iter().map(f32::to_bits));
                }
            }
            assert_eq!(found, expected, "{blocks} blocks of {threads}, nesterov = {nesterov}");
        }
    }
    Ok(())
}

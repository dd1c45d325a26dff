//! If `TAKD_ZOO_PYTHON` names a Python with torch, safetensors, pillow, onnx and onnxruntime, folders are read by these too.

use crate::common::{Outcome, images, model, write_bmp};
use candle_core::Device;
use std::path::{Path, PathBuf};
use std::process::Command;
use takd_datasets::{Fit, read_image};
use takd_zoo::{Classifier, Existing, Extras, OnnxInput, WeightPrecision};

#[test]
fn pytorch_and_onnx_runtime_give_our_own_logits() -> Outcome {
    let Some(python) = std::env::var_os("TAKD_ZOO_PYTHON") else {
        println!("skipped: set TAKD_ZOO_PYTHON to a Python with torch, safetensors, pillow, onnx and onnxruntime");
        return Ok(());
    };
    let root = tempfile::tempdir()?;
    let mut folders: Vec<PathBuf> = Vec::new();
    for (name, classes, side) in [
        ("plane2", 10, 32),
        ("plane8-wide", 100, 32),
        ("resnet8", 10, 32),
        ("imagenet-resnet14", 10, 64),
        ("imagenet-resnet18", 5, 37),
    ] {
        for precision in WeightPrecision::ALL {
            for (form, input) in [("normalized", OnnxInput::Normalized), ("pixels", OnnxInput::Pixels)] {
                let model = model(name, classes, side)?.0.stored_as(precision)?;
                let folder = root.path().join(format!("{name}-{precision}-{form}"));
                model.write(&folder, Extras { onnx: Some(input), python: true }, Existing::Keep)?;
                let images = images(3, side);
                let logits = Classifier::new(&model, &Device::Cpu)?.logits(&images)?.flatten_all()?.to_vec1::<f32>()?;
                std::fs::write(folder.with_extension("images"), images.concat())?;
                let bytes: Vec<u8> = logits.iter().flat_map(|logit| logit.to_le_bytes()).collect();
                std::fs::write(folder.with_extension("logits"), bytes)?;
                write_bmp(&folder.with_extension("bmp"), side, side, &images[0])?;
                folders.push(folder);
            }
        }
    }
    write_pictures(&folders[0])?;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/check_folders.py");
    let run = Command::new(python).arg(script).args(folders).output()?;
    print!("{}", String::from_utf8_lossy(&run.stdout));
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    Ok(())
}

/// Pictures of several forms, turned by their EXIF data too, as they are scaled here.
fn write_pictures(folder: &Path) -> Outcome {
    let pictures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../takd-datasets/tests/written/pictures");
    let mut list = Vec::new();
    // JPEG is decoded by other arithmetic.
    for (picture, tolerance) in [
        ("rgb.png", 0),
        ("grey.png", 0),
        ("alpha.png", 0),
        ("turned3.jpg", 3),
        ("turned5.jpg", 3),
        ("turned6.jpg", 3),
        ("turned8.jpg", 3),
    ] {
        for scaling in ["17", "32", "14of16", "16of21"] {
            let path = pictures.join(picture);
            let pixels = folder.with_extension(format!("{picture}.{scaling}"));
            std::fs::write(&pixels, read_image(&path, scaling.parse::<Fit>()?)?)?;
            list.push((path, scaling, pixels, tolerance));
        }
    }
    Ok(std::fs::write(folder.with_extension("pictures.json"), serde_json::to_vec(&list)?)?)
}

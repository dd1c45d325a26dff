//! Images classified with a model are the pixels that the network was trained on.

use crate::common::{Outcome, images, model, write_bmp};
use candle_core::{Device, Tensor};
use candle_nn::ModuleT;
use takd_datasets::{Augmentation, BatchConfig, Images, batches};
use takd_zoo::{Classifier, Error};

const SIDE: usize = 32;

#[test]
fn logits_are_those_of_a_batch_of_the_evaluation() -> Outcome {
    let (model, network) = model("plane2", 10, SIDE)?;
    let pixels = images(5, SIDE);
    let data = Images::new(pixels.concat(), vec![0; 5], SIDE, SIDE)?;
    let data = data.placed_on(&Device::Cpu)?;
    let normalization = model.config().input.normalization();
    let config = BatchConfig { batch_size: 5, augmentation: Augmentation::NONE, normalization };
    let streams = takd_rng::Streams::new(0, "test");
    let batch = batches(&data, &[0, 1, 2, 3, 4], &config, &streams, 0).next().ok_or("a batch")??;
    let expected = network.forward_t(&batch.images, false)?.to_vec2::<f32>()?;
    assert_eq!(Classifier::new(&model, &Device::Cpu)?.logits(&pixels)?.to_vec2::<f32>()?, expected);
    Ok(())
}

#[test]
fn likeliest_classes_come_first_with_their_probabilities() -> Outcome {
    let (model, _) = model("resnet8", 10, SIDE)?;
    let classifier = Classifier::new(&model, &Device::Cpu)?;
    // More than one batch.
    let images = images(70, SIDE);
    let all = classifier.classify(&images, 99)?;
    assert_eq!(all.len(), 70);
    let probabilities = candle_nn::ops::softmax(&classifier.logits(&images)?, 1)?.to_vec2::<f32>()?;
    for (guesses, probabilities) in all.iter().zip(&probabilities) {
        assert_eq!(guesses.len(), 10);
        assert!(guesses.is_sorted_by(|a, b| a.probability >= b.probability));
        assert!((guesses.iter().map(|guess| guess.probability).sum::<f64>() - 1.0).abs() < 1e-9);
        for guess in guesses {
            assert_eq!(guess.name, format!("class {}", guess.class));
            assert!((guess.probability - f64::from(probabilities[guess.class])).abs() < 1e-5);
        }
    }
    // A batch of another size may round otherwise.
    let few = classifier.classify(&images[..1], 2)?.remove(0);
    assert_eq!(few.len(), 2);
    for (few, all) in few.iter().zip(&all[0]) {
        assert!(few.class == all.class && (few.probability - all.probability).abs() < 1e-6);
    }
    assert!(classifier.classify(&[] as &[Vec<u8>], 2)?.is_empty());
    Ok(())
}

#[test]
fn files_are_scaled_as_data_sets_are_and_bad_ones_named() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (model, _) = model("plane2", 10, SIDE)?;
    let classifier = Classifier::new(&model, &Device::Cpu)?;
    let [own, wide, bad] = ["own.bmp", "wide.bmp", "bad.jpg"].map(|name| folder.path().join(name));
    let pixels = images(1, SIDE).remove(0);
    write_bmp(&own, SIDE, SIDE, &pixels)?;
    assert_eq!(classifier.read(&own)?, pixels);
    // Twice as wide: the square in the middle is kept as it is.
    let row = |y: usize| &pixels[3 * SIDE * y..][..3 * SIDE];
    let border = [7; 3 * SIDE / 2];
    let framed: Vec<u8> = (0..SIDE).flat_map(|y| [&border, row(y), &border].concat()).collect();
    write_bmp(&wide, 2 * SIDE, SIDE, &framed)?;
    assert_eq!(classifier.read(&wide)?, pixels);
    assert_eq!(classifier.decode(&std::fs::read(&wide)?, &wide)?, pixels);

    let guesses = classifier.classify_files(&[&own, &wide], 3)?;
    assert_eq!(guesses[0], guesses[1]);
    std::fs::write(&bad, b"no image")?;
    let missing = folder.path().join("missing.png");
    for path in [&bad, &missing] {
        let error = classifier.classify_files(&[&own, path], 3).unwrap_err().to_string();
        assert!(error.contains(&path.display().to_string()), "{error}");
    }
    Ok(())
}

#[test]
fn pixels_of_another_size_are_refused() -> Outcome {
    let (model, _) = model("plane2", 10, SIDE)?;
    let mut images = images(66, SIDE);
    images[65].pop();
    let error = Classifier::new(&model, &Device::Cpu)?.classify(&images, 1).unwrap_err();
    assert!(matches!(error, Error::ImageSize { index: 65, found: 3071, expected: 3072, side: 32 }), "{error}");
    Ok(())
}

#[test]
fn overflowing_answer_is_an_error() -> Outcome {
    let spec = "plane2".parse()?;
    let (_, parameters) = crate::common::network(spec, 10, 31)?;
    for (name, var) in parameters.all() {
        if name == "fc_layers.0.weight" {
            var.set(&Tensor::full(3e38f32, var.dims(), &Device::Cpu)?)?;
        }
    }
    let model = takd_zoo::Model::new(crate::common::config(spec, 10, SIDE)?, &parameters)?;
    let error = Classifier::new(&model, &Device::Cpu)?.classify(&images(1, SIDE), 1).unwrap_err();
    assert!(matches!(error, Error::NotANumber { index: 0 }), "{error}");
    Ok(())
}

//! What people read of a model: `config.json` and the card.

use crate::common::{Outcome, config, network};
use takd_datasets::{Fit, Normalization};
use takd_models::ModelSpec;
use takd_zoo::{Accuracy, Config, Data, Extras, Fact, Input, Model, PrecisionCost, Seeds, Training, WeightPrecision};

fn file(model: &Model, extras: Extras, name: &str) -> Outcome<String> {
    let files = model.files(extras)?;
    let (_, bytes) = files.into_iter().find(|(found, _)| *found == name).ok_or("no such file")?;
    Ok(String::from_utf8(bytes)?)
}

/// A model of which all is known.
fn told() -> Outcome<Model> {
    let spec: ModelSpec = "plane2".parse()?;
    let class_names = ["airplane", "automobile", "bird", "cat"].map(String::from).to_vec();
    let input =
        Input::new(Fit::square(32)?, Normalization { mean: [0.4914, 0.4822, 0.4465], std: [0.247, 0.2435, 0.2616] });
    let cost = |precision, bytes, top1| PrecisionCost { precision, bytes, top1 };
    let fact = |name: &str, value: &str| Fact { name: name.into(), value: value.into() };
    let config = Config {
        takd_version: "0.1.0".into(),
        weights: WeightPrecision::Int8,
        data: Some(Data {
            name: "cifar10".into(),
            hub_id: Some("uoft-cs/cifar10".into()),
            origin: "https://www.cs.toronto.edu/~kriz/cifar.html".into(),
            licence: "not stated".into(),
            checksum: Some("00ff".repeat(16)),
            train: 50_000,
            test: 10_000,
            notes: vec!["Some of the test images are in the training set too.".into()],
        }),
        accuracy: Some(Accuracy {
            top1: 0.6755,
            top5: Some(0.97),
            images: 10_000,
            seed: Some(31),
            seeds: Some(Seeds { n: 5, mean: 0.6738, deviation: 0.0041 }),
        }),
        training: Some(Training {
            path: "plane10 -> plane4 -> plane2".into(),
            run: Some("0123456789abcdef".into()),
            facts: vec![fact("epochs", "150"), fact("λ, τ", "0.5, 5")],
            command: Some("takd distill plane10 plane4 plane2 --seeds 31".into()),
        }),
        precisions: vec![cost(WeightPrecision::F32, 12_345, Some(0.6755)), cost(WeightPrecision::Int8, 3456, None)],
        ..Config::new(spec, class_names, input, "mit")
    };
    Ok(Model::new(config, &network(spec, 4, 31)?.1)?)
}

#[test]
fn configuration_of_a_model_of_which_all_is_known() -> Outcome {
    insta::assert_snapshot!(file(&told()?, Extras::ALL, "config.json")?);
    Ok(())
}

#[test]
fn card_of_a_model_of_which_all_is_known() -> Outcome {
    insta::assert_snapshot!(file(&told()?, Extras::ALL, "README.md")?);
    Ok(())
}

#[test]
fn card_of_a_model_of_which_nothing_more_is_known() -> Outcome {
    let spec: ModelSpec = "imagenet-resnet18".parse()?;
    let mut config = config(spec, 3, 224)?;
    config.takd_version = "0.1.0".into();
    config.input.scaling = "224of256".parse()?;
    let model = Model::new(config, &network(spec, 3, 31)?.1)?;
    insta::assert_snapshot!(file(&model, Extras::default(), "README.md")?);
    Ok(())
}

#[test]
fn pytorch_code_of_each_family() -> Outcome {
    for name in ["plane8-wide", "resnet20", "imagenet-resnet50"] {
        let spec: ModelSpec = name.parse()?;
        let model = Model::new(config(spec, 3, 32)?, &network(spec, 3, 31)?.1)?;
        let text = file(&model, Extras::ALL, "model.py")?;
        assert!(!text.contains('@'), "{text}");
        // What differs between networks of a family.
        let constants: Vec<_> =
            text.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_uppercase())).collect();
        insta::assert_snapshot!(format!("model_py_{name}"), constants.join("\n"));
    }
    Ok(())
}

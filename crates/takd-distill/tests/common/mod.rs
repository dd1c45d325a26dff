//! Small runs for the tests.

use candle_core::Device;
use std::ops::ControlFlow;
use takd_datasets::{Dataset, DatasetName, Drawn, Sources, load};
use takd_distill::{
    DataConfig, DeviceType, Distillation, Event, NUMERICS, Protocol, Recipe, Result, RunConfig, RunResult, Store, train,
};
use takd_models::ModelSpec;

/// 200 training images of 10 classes, and 100 to test on.
pub fn shapes() -> Dataset {
    let sources = Sources { drawn: Drawn { train: 200, test: 100, seed: 0 }, ..Sources::default() };
    load(DatasetName::Shapes10, &sources, &mut |_| {}).expect("drawn images need nothing")
}

/// `epochs` of a network alone, in batches of 32.
pub fn alone(model: &str, protocol: Protocol, epochs: usize, data: &Dataset) -> RunConfig {
    let model: ModelSpec = model.parse().expect("a test names models that exist");
    let recipe = Recipe { batch_size: 32, ..protocol.recipe(model.family(), epochs) };
    RunConfig {
        numerics: NUMERICS,
        device: DeviceType::Cpu,
        model,
        seed: 31,
        data: DataConfig::of(data),
        recipe,
        distillation: None,
    }
}

/// The same, taught by the network of a run.
pub fn taught(student: RunConfig, teacher: &RunConfig) -> RunConfig {
    let teacher = teacher.id().expect("a finite configuration");
    RunConfig { distillation: Some(Distillation { teachers: vec![teacher], lambda: 0.5, temperature: 4.0 }), ..student }
}

pub fn run(config: &RunConfig, data: &Dataset, store: &Store) -> Result<RunResult> {
    train(config, data, store, &Device::Cpu, &mut |_| ControlFlow::Continue(()))
}

/// The same, broken off after `steps` steps of this start.
pub fn run_for(steps: usize, config: &RunConfig, data: &Dataset, store: &Store) -> Result<RunResult> {
    let mut taken = 0;
    train(config, data, store, &Device::Cpu, &mut |event| {
        taken += usize::from(matches!(event, Event::Step { .. }));
        if taken >= steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })
}

//! Distils a network of your own, on data of your own, with the loss alone: `cargo run --release -p takd-loss --example own_model`.
//!
//! The data are points on two spirals. A wide network learns them; a narrow one learns them alone, and taught by the wide one.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{AdamW, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap, linear};
use takd_loss::KdLoss;

const POINTS: usize = 400;
const STEPS: usize = 600;

/// Two layers: any candle module that gives logits will do.
struct Classifier {
    hidden: Linear,
    logits: Linear,
}

impl Classifier {
    fn new(width: usize, vb: &VarBuilder) -> Result<Self> {
        Ok(Self { hidden: linear(2, width, vb.pp("hidden"))?, logits: linear(width, 2, vb.pp("logits"))? })
    }
}

impl Module for Classifier {
    fn forward(&self, points: &Tensor) -> Result<Tensor> {
        self.logits.forward(&self.hidden.forward(points)?.tanh()?)
    }
}

/// Points `[POINTS, 2]` and which of the spirals each is on.
fn spirals() -> Result<(Tensor, Tensor)> {
    let (mut points, mut labels) = (Vec::new(), Vec::new());
    for i in 0..POINTS {
        let (turn, label) = (4.0 * (i / 2) as f32 / (POINTS / 2) as f32, (i % 2) as u32);
        let angle = turn + std::f32::consts::PI * label as f32;
        points.extend([turn * angle.cos(), turn * angle.sin()]);
        labels.push(label);
    }
    Ok((Tensor::from_vec(points, (POINTS, 2), &Device::Cpu)?, Tensor::new(labels, &Device::Cpu)?))
}

/// A network after its training, alone or taught by these logits.
fn trained(width: usize, points: &Tensor, labels: &Tensor, teacher: Option<&Tensor>) -> anyhow::Result<Classifier> {
    let vars = VarMap::new();
    let network = Classifier::new(width, &VarBuilder::from_varmap(&vars, DType::F32, &Device::Cpu))?;
    let mut optimizer = AdamW::new(vars.all_vars(), ParamsAdamW { lr: 0.02, ..ParamsAdamW::default() })?;
    let kd = KdLoss { temperature: 2.0, lambda: 0.9, ..KdLoss::default() };
    for _ in 0..STEPS {
        let logits = network.forward(points)?;
        let loss = match teacher {
            Some(teacher) => kd.forward(&logits, teacher, labels)?,
            None => kd.cross_entropy(&logits, labels)?,
        };
        optimizer.backward_step(&loss)?;
    }
    Ok(network)
}

fn accuracy(network: &Classifier, points: &Tensor, labels: &Tensor) -> Result<f32> {
    let right = network.forward(points)?.argmax(1)?.eq(labels)?;
    right.to_dtype(DType::F32)?.mean_all()?.to_scalar()
}

fn main() -> anyhow::Result<()> {
    let (points, labels) = spirals()?;
    let teacher = trained(64, &points, &labels, None)?;
    let logits = teacher.forward(&points)?.detach();
    for (name, network) in [
        ("teacher, 64 wide", teacher),
        ("student, 6 wide, alone", trained(6, &points, &labels, None)?),
        ("student, 6 wide, taught", trained(6, &points, &labels, Some(&logits))?),
    ] {
        println!("{name:<24} {:5.1} % of the training points", 100.0 * accuracy(&network, &points, &labels)?);
    }
    Ok(())
}

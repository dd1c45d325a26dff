//! Each op alone, at the shapes of small networks and batch 128.
//!
//! ```text
//! cargo bench -p takd-ops --bench ops                     # all, about two minutes
//! cargo bench -p takd-ops --bench ops -- 'backward/64'    # those that match
//! ```
//!
//! A layer is placed between a *stem*, a 1×1 convolution of one channel, and a *head*, which reads one pixel an image, so that
//! its input and its gradients come from layers as in a network. `backward` includes the time of the two ends, which
//! `backward of the ends alone` measures.

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{Linear, VarBuilder, VarMap};
use criterion::{BatchSize, Bencher, Criterion};
use std::hint::black_box;
use std::time::Duration;
use takd_ops::{BatchNorm, Conv2d, Conv2dParams, ConvBn, Features, MaxPool, SgdParams, SgdUpdate, Then, sgd_step};

const BATCH: usize = 128;

/// A convolution of a square image, padded by half its kernel.
#[derive(Clone, Copy)]
struct Shape {
    c_in: usize,
    c_out: usize,
    side: usize,
    kernel: usize,
    stride: usize,
}

const fn shape(c_in: usize, c_out: usize, side: usize, kernel: usize, stride: usize) -> Shape {
    Shape { c_in, c_out, side, kernel, stride }
}

const SHAPES: [Shape; 11] = [
    shape(3, 16, 32, 3, 1),
    shape(16, 16, 32, 3, 1),
    shape(16, 32, 16, 3, 1),
    shape(32, 32, 16, 3, 1),
    shape(64, 64, 16, 3, 1),
    shape(64, 64, 8, 3, 1),
    shape(128, 128, 8, 3, 1),
    shape(256, 256, 4, 3, 1),
    shape(16, 32, 32, 3, 2),
    shape(16, 32, 32, 1, 2),
    shape(32, 64, 16, 1, 2),
];

impl Shape {
    fn name(self) -> String {
        let Self { c_in, c_out, side, kernel, stride } = self;
        format!("{c_in}->{c_out} at {side}x{side}, {kernel}x{kernel} by {stride}")
    }

    fn layer(self, vb: &VarBuilder) -> Result<ConvBn> {
        let params = Conv2dParams { stride: self.stride, padding: self.kernel / 2 };
        let conv = Conv2d::no_bias(self.c_in, self.c_out, self.kernel, params, &vb.pp("conv"))?;
        Ok(ConvBn { conv, bn: BatchNorm::new(self.c_out, &vb.pp("bn"))? })
    }
}

#[derive(Clone, Copy)]
enum Follow {
    Nothing,
    Relu,
    ReluMaxPool,
    AddRelu,
}

/// A layer between its ends, or the ends alone.
struct Bench {
    images: Tensor,
    stem: Option<ConvBn>,
    layer: Option<ConvBn>,
    follow: Follow,
    head: ConvBn,
}

impl Bench {
    fn new(layer: Shape, follow: Follow) -> Result<Self> {
        let out_side = layer.side.div_ceil(layer.stride) / if matches!(follow, Follow::ReluMaxPool) { 2 } else { 1 };
        let mut bench = Self::ends(layer.c_in, layer.side, shape(layer.c_out, 1, out_side, 1, out_side))?;
        bench.layer = Some(layer.layer(&variables())?);
        bench.follow = follow;
        Ok(bench)
    }

    fn ends(channels: usize, side: usize, head: Shape) -> Result<Self> {
        // A network's first layer reads images, which need no gradient.
        let stem = (channels != 3).then(|| shape(1, channels, side, 1, 1));
        let images = Tensor::randn(0f32, 1., (BATCH, side, side, stem.map_or(3, |stem| stem.c_in)), &Device::Cpu)?;
        let stem = stem.map(|stem| stem.layer(&variables())).transpose()?;
        Ok(Self { images, stem, layer: None, follow: Follow::Nothing, head: head.layer(&variables())? })
    }

    fn input(&self) -> Result<Features> {
        let images = Features::new(&self.images)?;
        match &self.stem {
            Some(stem) => stem.forward_features(&images, Then::Relu, true),
            None => Ok(images),
        }
    }

    fn forward(&self, input: &Features, train: bool) -> Result<Features> {
        let then = match self.follow {
            Follow::Nothing => Then::Nothing,
            Follow::Relu => Then::Relu,
            Follow::ReluMaxPool => Then::ReluMaxPool(MaxPool::Two),
            Follow::AddRelu => Then::AddRelu(input),
        };
        match &self.layer {
            Some(layer) => layer.forward_features(input, then, train),
            None => Ok(input.clone()),
        }
    }

    fn loss(&self) -> Result<Tensor> {
        let output = self.forward(&self.input()?, true)?;
        self.head.forward_features(&output, Then::Nothing, true)?.to_tensor()?.sum_all()
    }

    fn time_forward(&self, bencher: &mut Bencher, train: bool) {
        let input = self.input().expect("the shapes fit");
        bencher.iter(|| self.forward(&input, train).expect("the shapes fit"));
    }

    fn time_backward(&self, bencher: &mut Bencher) {
        let loss = || self.loss().expect("the shapes fit");
        bencher.iter_batched(loss, |loss| loss.backward().expect("a loss has gradients"), BatchSize::PerIteration);
    }
}

fn variables() -> VarBuilder<'static> {
    VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu)
}

fn layers(criterion: &mut Criterion) -> Result<()> {
    let follows = [("nothing", Follow::Nothing), ("relu", Follow::Relu), ("pool", Follow::ReluMaxPool)];
    let follows = follows.into_iter().chain([("add", Follow::AddRelu)]);
    let same = shape(32, 32, 16, 3, 1);
    let mut benches = Vec::new();
    for shape in SHAPES {
        benches.push((shape.name(), Bench::new(shape, Follow::Relu)?));
    }
    for (name, follow) in follows {
        benches.push((format!("{}, then {name}", same.name()), Bench::new(same, follow)?));
    }
    for (name, bench) in &benches {
        criterion.bench_function(&format!("forward/{name}"), |bencher| bench.time_forward(bencher, true));
        criterion.bench_function(&format!("evaluation/{name}"), |bencher| bench.time_forward(bencher, false));
        criterion.bench_function(&format!("backward/{name}"), |bencher| bench.time_backward(bencher));
    }
    for (channels, side) in [(16, 32), (32, 16), (64, 16), (64, 8), (128, 8), (256, 4)] {
        let ends = Bench::ends(channels, side, shape(channels, 1, side, 1, side))?;
        let name = format!("backward of the ends alone/{channels} at {side}x{side}");
        criterion.bench_function(&name, |bencher| ends.time_backward(bencher));
    }
    Ok(())
}

fn others(criterion: &mut Criterion) -> Result<()> {
    let features = Features::new(&Tensor::randn(0f32, 1., (BATCH, 8, 8, 64), &Device::Cpu)?)?;
    criterion.bench_function("global_avg_pool/64 at 8x8", |bencher| {
        bencher.iter(|| features.global_avg_pool().expect("no shape does not fit"));
    });
    let weight = Tensor::randn(0f32, 1., (10, 8 * 8 * 64), &Device::Cpu)?;
    let layer = Linear::new(weight, Some(Tensor::zeros(10, DType::F32, &Device::Cpu)?));
    criterion.bench_function("linear/64 at 8x8 -> 10", |bencher| {
        bencher.iter(|| features.linear(&layer).expect("the shapes fit"));
    });
    let sgd = SgdParams { lr: 0.01, momentum: 0.9, nesterov: false };
    for count in [16, 256 * 256 * 9] {
        let grad = Tensor::randn(0f32, 1., count, &Device::Cpu)?;
        let (param, momentum) = (Var::from_tensor(&grad)?, Var::zeros(count, DType::F32, &Device::Cpu)?);
        criterion.bench_function(&format!("sgd_step/{count}"), |bencher| {
            let update = |grad| SgdUpdate { param: &param, grad, momentum_buffer: &momentum, weight_decay: 1e-4 };
            bencher.iter(|| sgd_step(&[update(black_box(&grad))], sgd).expect("the shapes fit"));
        });
    }
    Ok(())
}

fn main() -> Result<()> {
    // candle's own threads spin while they wait; with one there are none besides ours.
    // SAFETY: no other thread runs yet.
    unsafe { std::env::set_var("CANDLE_NUM_THREADS", "1") };
    // In the pool, as a training program should be.
    rayon::scope(|_| {
        let mut criterion = Criterion::default()
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .sample_size(20)
            .configure_from_args();
        layers(&mut criterion)?;
        others(&mut criterion)?;
        criterion.final_summary();
        Ok(())
    })
}

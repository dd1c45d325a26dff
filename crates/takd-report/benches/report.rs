//! How long a report of two thousand runs takes, from their endings to each of its forms: `cargo bench -p takd-report`.

#[path = "../tests/common/mod.rs"]
mod common;

use common::World;
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;
use takd_report::Style;

/// Every path from the largest plain CNN to the smallest, with so many seeds that there are 2 010 runs.
const RECIPE: &str = r#"
title = "Every path"
layout = "graph"

[[cell]]
name = "plain"
data = "cifar10"
paths = ["plane10 -> plane8? -> plane6? -> plane4? -> plane2"]
"#;

fn world() -> World {
    let seeds: Vec<u64> = (1..=134).collect();
    let world = World::with_seeds(RECIPE, &seeds);
    for path in &world.plan.cells[0].paths {
        let name = path.path.to_string().replace('→', "->");
        for run in &path.runs {
            world.finish("plain", &name, run.seed, 0.7 + (run.seed * 7919 % 101) as f64 / 10_000.0);
        }
    }
    world
}

fn report(criterion: &mut Criterion) {
    let world = world();
    let mut group = criterion.benchmark_group(format!("{} runs", world.plan.runs.len()));
    group.sample_size(10);
    group.bench_function("read and compare", |bencher| bencher.iter(|| black_box(world.report())));
    let report = world.report();
    group.bench_function("text", |bencher| bencher.iter(|| black_box(report.to_text(Some(120), Style::Boxes))));
    group.bench_function("markdown and csv", |bencher| {
        bencher.iter(|| black_box((report.to_markdown(), report.to_csv())));
    });
    group.bench_function("page", |bencher| bencher.iter(|| black_box(report.to_html(&world.runs))));
}

criterion_group!(benches, report);
criterion_main!(benches);

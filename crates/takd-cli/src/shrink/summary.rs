//! What came of it, in words.

use super::deploy::{Deployed, Network};
use crate::output::{List, percent};
use crate::zoo::File;
use takd_report::{Comparison, Interval};
use takd_zoo::{PrecisionCost, WeightPrecision};

pub(super) fn text(deployed: &Deployed) -> String {
    let Deployed { folder, path, test_accuracy, interval_95, test_images, students, teacher, files, weights, .. } =
        deployed;
    let mut rows: Vec<Vec<String>> = students.iter().map(|network| row(network, "")).collect();
    rows.push(row(teacher, " (the teacher)"));
    let list = List {
        header: vec!["trained as", "held out %", "test %", "95 %", "parameters", "size", "MFLOP", "latency"],
        rows,
        dispensable: &["parameters", "size"],
    };
    let mut text = format!(
        "{}\n(95 %: by the test images, or by the seeds if there are several. latency: one image at a time, by takd on {} threads.)\n\n\
         Best of {} on {} held-out images: {path}{}.",
        list.to_text(),
        deployed.threads,
        students.len(),
        deployed.held_out_images,
        lead(deployed)
    );
    if let Some(comparison) = &deployed.less_alone {
        text += &format!("\nLess the student alone: {}.", difference(comparison));
    }
    if let Some(comparison) = &deployed.less_teacher {
        text += &format!("\nLess the teacher: {}.", difference(comparison));
    }
    let Interval { low, high } = interval_95;
    text += &format!(
        "\n\n{folder}: run {}, test accuracy {} % ({} to {}, 95 %, {test_images} images)",
        deployed.run,
        percent(*test_accuracy),
        percent(*low),
        percent(*high)
    );
    if let PrecisionCost { precision, bytes, top1: Some(top1) } = weights
        && *precision != WeightPrecision::F32
    {
        let size = indicatif::BinaryBytes(*bytes as u64);
        text += &format!(";\nwith its weights in {precision}, {size}, {} %", percent(*top1));
    }
    text + &use_of(folder, files)
}

/// How the folder is used.
fn use_of(folder: &str, files: &[File]) -> String {
    let quoted = takd_store::shell_quoted;
    let has = |name: &str| files.iter().any(|file| file.name == name);
    let mut text = format!("\n\nTo use it:\n  takd predict --model {} photo.jpg", quoted(folder));
    if has("example.py") {
        text += &format!("\n  python {} photo.jpg   # plain PyTorch", quoted(&format!("{folder}/example.py")));
    }
    if has("model.onnx") {
        text += "\n  # README.md in it has a program for model.onnx in ONNX Runtime";
    }
    text
}

/// By how many held-out images the best is ahead of the next, for each seed.
fn lead(deployed: &Deployed) -> String {
    let held_out: Vec<f64> = deployed.students.iter().filter_map(|student| student.held_out_accuracy).collect();
    let [best, next, ..] = held_out.as_slice() else { return String::new() };
    match ((best - next) * deployed.held_out_images as f64).round() {
        images if images < 1.0 => ", as good as the next".to_owned(),
        images if images < 2.0 => ", by 1 image".to_owned(),
        images => format!(", by {images:.0} images"),
    }
}

fn row(network: &Network, what: &str) -> Vec<String> {
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), percent);
    let interval =
        network.interval_95.map_or("–".to_owned(), |of| format!("{:.1} to {:.1}", 100.0 * of.low, 100.0 * of.high));
    vec![
        format!("{}{what}", network.path),
        percent(network.held_out_accuracy),
        percent(network.test_accuracy),
        interval,
        network.parameters.to_string(),
        indicatif::BinaryBytes(network.weight_bytes as u64).to_string(),
        format!("{:.1}", network.flop as f64 / 1e6),
        format!("{:.2} ms", 1e3 * network.latency_s),
    ]
}

/// `+2.31 points (+0.40 to +4.22, 95 %, over the test images)`; with a word if 0 lies in the interval.
fn difference(comparison: &Comparison) -> String {
    let points = |share: f64| format!("{:+.2}", 100.0 * share + 0.0);
    let over_seeds = comparison.test_accuracy.interval_95.map(|interval| (interval, "seeds"));
    let over_images = comparison.over_images.map(|images| (images.interval_95, "test images"));
    let interval = over_seeds.or(over_images).map_or(String::new(), |(Interval { low, high }, over)| {
        let undecided = if low <= 0.0 && 0.0 <= high { ": undecided" } else { "" };
        format!(" ({} to {}, 95 %, over the {over}){undecided}", points(low), points(high))
    });
    format!("{} points{interval}", points(comparison.test_accuracy.mean))
}

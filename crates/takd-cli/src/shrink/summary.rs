//! What came of it, in words.

use super::deploy::{Deployed, Network};
use crate::output::List;
use takd_report::{Comparison, Interval};

pub(super) fn text(deployed: &Deployed) -> String {
    let Deployed { folder, path, test_accuracy, interval_95, test_images, students, teacher, .. } = deployed;
    let mut rows: Vec<Vec<String>> = students.iter().map(|network| row(network, "")).collect();
    rows.push(row(teacher, " (the teacher)"));
    let list = List {
        header: vec!["trained as", "held out %", "test %", "95 %", "parameters", "size", "MFLOP", "latency"],
        rows,
        dispensable: &["parameters", "size"],
    };
    let mut text = format!(
        "{}\n\nBest of {} on {} held-out images: {path}.",
        list.to_text(),
        students.len(),
        deployed.held_out_images
    );
    if let Some(comparison) = &deployed.less_alone {
        text += &format!("\nThan the student alone: {}.", better(comparison));
    }
    if let Some(comparison) = &deployed.less_teacher {
        text += &format!("\nThan the teacher: {}.", better(comparison));
    }
    let Interval { low, high } = interval_95;
    text += &format!(
        "\n\n{folder}: test accuracy {:.2} % ({:.2} to {:.2}, 95 %, {test_images} images)\n\n\
         To use it:\n  \
         takd predict --model {folder} photo.jpg\n  \
         python {folder}/example.py photo.jpg   # plain PyTorch, model.py; model.onnx is for any ONNX runtime",
        100.0 * test_accuracy,
        100.0 * low,
        100.0 * high
    );
    text
}

fn row(network: &Network, what: &str) -> Vec<String> {
    let percent = |share: Option<f64>| share.map_or("–".to_owned(), |share| format!("{:.2}", 100.0 * share));
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

/// `2.31 points better (0.40 to 4.22, 95 %, over the test images)`.
fn better(comparison: &Comparison) -> String {
    let mean = 100.0 * comparison.test_accuracy.mean;
    if mean == 0.0 {
        return "equally good".to_owned();
    }
    let sign = if mean < 0.0 { -1.0 } else { 1.0 };
    let word = if mean < 0.0 { "worse" } else { "better" };
    let (interval, over) = match (comparison.test_accuracy.interval_95, comparison.over_images) {
        (Some(interval), _) => (Some(interval), "seeds"),
        (None, Some(images)) => (Some(images.interval_95), "test images"),
        (None, None) => (None, ""),
    };
    let interval = interval.map_or(String::new(), |Interval { low, high }| {
        let mut ends = [sign * 100.0 * low, sign * 100.0 * high];
        ends.sort_by(f64::total_cmp);
        format!(" ({:.2} to {:.2}, 95 %, over the {over})", ends[0] + 0.0, ends[1] + 0.0)
    });
    format!("{:.2} points {word}{interval}", mean.abs())
}

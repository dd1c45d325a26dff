//! The model card, `README.md`: what a person needs to know before using the model, and what the hub reads of it.

mod front_matter;
mod markdown;
mod yaml;

use crate::config::{Accuracy, Data, PrecisionCost, Seeds, Training};
use crate::{Config, Extras, OnnxInput};
use markdown::{code_block, inline, table};
use std::fmt::Write;

/// How many classes are listed.
const LISTED_CLASSES: usize = 100;

/// The card of a folder with these files.
pub(crate) fn text(config: &Config, extras: Extras) -> String {
    let mut card = front_matter::text(config, extras);
    let title = config.data.as_ref().map_or(String::new(), |data| format!(" on {}", inline(&data.name)));
    // Writing into a string does not fail.
    let _ = writeln!(card, "# {}{title}\n\n{}", config.architecture, summary(config));
    let sections = [
        Some(("Use", usage(config, extras))),
        config.accuracy.as_ref().map(|accuracy| ("Accuracy", accuracy_text(accuracy))),
        (!config.precisions.is_empty()).then(|| ("Precision", precision_table(config))),
        config.training.as_ref().map(|training| ("Training", training_text(training))),
        config.data.as_ref().map(|data| ("Data", data_text(data))),
        Some(("Classes", classes(config))),
    ];
    for (title, text) in sections.into_iter().flatten() {
        let _ = write!(card, "\n## {title}\n\n{text}");
    }
    card
}

fn summary(config: &Config) -> String {
    let Config { architecture, classes, input, .. } = config;
    let distilled = config.distillation_path().map_or(String::new(), |path| {
        format!(
            ", distilled along `{}` (knowledge distillation with teacher assistants, arXiv 1902.03393)",
            plain(path)
        )
    });
    format!(
        "An image classifier{distilled}: {classes} classes, images of {}x{}, {} parameters, {} multiply-adds an image. Its weights are \
         stored as {}.",
        input.height,
        input.width,
        grouped(architecture.parameter_count(*classes) as u64),
        grouped(architecture.multiply_adds(*classes, input.height)),
        config.weights,
    )
}

fn usage(config: &Config, extras: Extras) -> String {
    let channels = |name: &str, [red, green, blue]: [f32; 3]| {
        vec![name.to_owned(), red.to_string(), green.to_string(), blue.to_string()]
    };
    let mut text = format!(
        "Of an image, {}, bilinearly with antialiasing as Pillow does it. A byte `p` of it enters the network as \
         `(p / 255 - mean) / std`:\n\n{}",
        scaling(&config.input.scaling.to_string()),
        table(&["", "red", "green", "blue"], &[channels("mean", config.input.mean), channels("std", config.input.std)],),
    );
    if extras.python {
        text += "\nIn PyTorch, `model.py` is the network and `example.py` does all of this:\n\n";
        text += &code_block("bash", "pip install torch safetensors pillow\npython example.py image.jpg");
    }
    if let Some(input) = extras.onnx {
        text += "\nIn ONNX Runtime (`pip install onnxruntime pillow`), or any other program that reads ONNX:\n\n";
        text += &code_block("python", &onnx_usage(config, input));
    }
    text += "\nIn Rust, with `takd-zoo`:\n\n";
    text += &code_block(
        "rust",
        "let classifier = Classifier::new(&Model::open(folder)?, &Device::Cpu)?;\nlet guesses = classifier.classify_files(&[\"image.jpg\"], 5)?;",
    );
    text
}

/// What is made of an image, by the text of its `Fit`.
fn scaling(text: &str) -> String {
    match text.split_once("of") {
        None => format!("the square in its middle is scaled to {text}x{text}"),
        Some((side, shorter)) => {
            format!("the shorter side is scaled to {shorter} pixels, and the {side}x{side} in the middle are taken")
        }
    }
}

/// A whole program: whoever deploys the ONNX file has nothing else to go by.
fn onnx_usage(config: &Config, input: OnnxInput) -> String {
    let (height, width) = (config.input.height, config.input.width);
    let scaled = match config.input.scaling.to_string().split_once("of") {
        None => format!(
            "edge = min(image.size)\n\
             left, top = (image.width - edge) // 2, (image.height - edge) // 2\n\
             image = image.crop((left, top, left + edge, top + edge)).resize(({width}, {height}), Image.Resampling.BILINEAR)"
        ),
        Some((side, shorter)) => format!(
            "least = min(image.size)\n\
             size = tuple({shorter} if edge == least else {shorter} * edge // least for edge in image.size)\n\
             left, top = round((size[0] - {side}) / 2), round((size[1] - {side}) / 2)\n\
             image = image.resize(size, Image.Resampling.BILINEAR).crop((left, top, left + {side}, top + {side}))"
        ),
    };
    let images = match input {
        OnnxInput::Pixels => format!(
            "images = np.asarray(image)[None]  # uint8 [batch, {height}, {width}, 3]; mean and deviation are in the graph"
        ),
        OnnxInput::Normalized => format!(
            "mean, std = (np.array(config[\"input\"][key], np.float32) for key in (\"mean\", \"std\"))\n\
             pixels = (np.asarray(image, np.float32) / 255 - mean) / std\n\
             images = pixels.transpose(2, 0, 1)[None]  # float32 [batch, 3, {height}, {width}], normalised"
        ),
    };
    format!(
        "import json\n\
         import numpy as np\n\
         import onnxruntime\n\
         from PIL import Image, ImageOps\n\n\
         config = json.load(open(\"config.json\"))\n\
         image = ImageOps.exif_transpose(Image.open(\"image.jpg\")).convert(\"RGB\")\n\
         {scaled}\n\
         {images}\n\n\
         session = onnxruntime.InferenceSession(\"model.onnx\")\n\
         (logits,) = session.run([\"logits\"], {{\"images\": images}})\n\
         odds = np.exp(logits[0] - logits[0].max())\n\
         for index in logits[0].argsort()[::-1][:5]:\n    \
             print(f\"{{odds[index] / odds.sum():.3f}} {{config['class_names'][index]}}\")"
    )
}

fn accuracy_text(Accuracy { top1, top5, images, seed, seeds }: &Accuracy) -> String {
    let mut text = format!("{} of {} test images are classified correctly", percent(*top1), grouped(*images as u64));
    if let Some(top5) = top5 {
        text += &format!("; of {} the class is among the five likeliest", percent(*top5));
    }
    text += &seed.map_or(".\n".to_owned(), |seed| format!(" (seed {seed}).\n"));
    if let Some(Seeds { n, mean, deviation }) = seeds {
        text +=
            &format!("\nOver {n} seeds: {} ± {} (mean, standard deviation).\n", percent(*mean), percent(*deviation));
    }
    text
}

fn precision_table(config: &Config) -> String {
    let row = |PrecisionCost { precision, bytes, top1 }: &PrecisionCost| {
        let top1 = top1.map_or("not measured".to_owned(), percent);
        let here = if *precision == config.weights { "yes" } else { "" };
        vec![precision.to_string(), grouped(*bytes as u64), top1, here.to_owned()]
    };
    let rows: Vec<_> = config.precisions.iter().map(row).collect();
    table(&["weights", "bytes", "top-1 accuracy", "in this folder"], &rows)
}

fn training_text(Training { path, run, facts, command }: &Training) -> String {
    let mut rows = vec![vec!["path".to_owned(), format!("`{}`", plain(path))]];
    rows.extend(run.iter().map(|run| vec!["run".to_owned(), format!("`{}`", plain(run))]));
    rows.extend(facts.iter().map(|fact| vec![inline(&fact.name), inline(&fact.value)]));
    let mut text = table(&["", ""], &rows);
    if let Some(command) = command {
        text += "\nIt was trained by this command:\n\n";
        text += &code_block("bash", command);
    }
    text
}

fn data_text(data: &Data) -> String {
    let mut rows = vec![
        vec!["name".to_owned(), inline(&data.name)],
        vec!["origin".to_owned(), inline(&data.origin)],
        vec!["licence".to_owned(), inline(&data.licence)],
        vec!["training images".to_owned(), grouped(data.train as u64)],
        vec!["test images".to_owned(), grouped(data.test as u64)],
    ];
    rows.extend(data.checksum.iter().map(|checksum| vec!["checksum".to_owned(), format!("`{}`", plain(checksum))]));
    let mut text = table(&["", ""], &rows);
    for note in &data.notes {
        let _ = write!(text, "\n- {}", inline(note));
    }
    if !data.notes.is_empty() {
        text += "\n";
    }
    text
}

fn classes(config: &Config) -> String {
    let names: Vec<_> = config.class_names.iter().take(LISTED_CLASSES).map(|name| inline(name)).collect();
    let others = config.classes - names.len();
    let rest = if others == 0 { String::new() } else { format!(", and {others} others, which config.json lists") };
    format!("{}{rest}.\n", names.join(", "))
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

/// Thousands set apart, as a person reads them.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let place = |(index, digit): (usize, char)| {
        let is_first_of_three = index > 0 && (digits.len() - index).is_multiple_of(3);
        [is_first_of_three.then_some(' '), Some(digit)]
    };
    digits.chars().enumerate().flat_map(place).flatten().collect()
}

/// Text between backquotes: on one line and without any.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c == '`' || c.is_control() { ' ' } else { c }).collect()
}

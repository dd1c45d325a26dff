//! Table 1: the student alone, taught by the teacher, taught by the assistant.

use crate::{Published, published};
use comfy_table::{Table, presets};
use serde::Serialize;
use std::fmt::Write;
use takd_distill::{Result, RunId, Store};
use takd_grid::{Cell, Plan, Row, SeedRuns, Table1 as Request};

/// Table 1 as it came out, with what it was made with.
#[derive(Clone, Debug, Serialize)]
pub struct Table1 {
    /// `code`, `paper` or `sound`.
    pub protocol: &'static str,
    /// `full` or `quick`.
    pub preset: &'static str,
    /// `cpu`, `cuda` or `metal`.
    pub device: &'static str,
    /// λ of every distillation.
    pub lambda: f64,
    /// τ of every distillation.
    pub temperature: f64,
    /// One experiment a seed.
    pub seeds: Vec<u64>,
    /// A row a cell.
    pub rows: Vec<CellRow>,
}

/// A row of the table.
#[derive(Clone, Debug, Serialize)]
pub struct CellRow {
    /// Which of the paper's rows.
    pub cell: &'static str,
    /// What it was trained on.
    pub dataset: String,
    /// Whether the images were drawn by code and stand in for the cell's own.
    pub stand_in: bool,
    /// Training images, held-out ones included.
    pub train_images: usize,
    /// Epochs of every run.
    pub epochs: usize,
    /// Names of student, assistant and teacher.
    pub networks: [String; 3],
    /// The teacher alone.
    pub teacher: Method,
    /// The assistant, taught by the teacher.
    pub assistant: Method,
    /// The student alone.
    pub no_kd: Method,
    /// The student, taught by the teacher.
    pub blkd: Method,
    /// The student, taught by the assistant.
    pub takd: Method,
    /// What the training of the row's runs took.
    pub seconds: f64,
}

/// What one way of training came to.
#[derive(Clone, Debug, Serialize)]
pub struct Method {
    /// Test accuracy in % and run, an entry for each seed whose run has a result.
    pub runs: Vec<(u64, f64, RunId)>,
    /// Over the seeds; nothing where no run has a result.
    pub accuracy: Option<Summary>,
    /// The paper's figure in %, where it gives one.
    pub paper: Option<f64>,
}

/// Test accuracy in % over some seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Summary {
    /// Mean.
    pub mean: f64,
    /// Standard deviation (of the sample); nothing for a single seed.
    pub deviation: Option<f64>,
    /// How many.
    pub seeds: usize,
}

impl Summary {
    fn of(values: &[f64]) -> Option<Self> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = (values.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        (!values.is_empty()).then_some(Self { mean, deviation, seeds: values.len() })
    }
}

impl Table1 {
    /// The table of a plan, from its finished runs in `store`.
    ///
    /// # Errors
    /// Where a result cannot be read.
    pub fn new(request: &Request, plan: &Plan, store: &Store) -> Result<Self> {
        let rows = plan.rows.iter().map(|row| cell_row(row, store)).collect::<Result<_>>()?;
        Ok(Self {
            protocol: request.protocol.as_str(),
            preset: request.preset.as_str(),
            device: request.device.as_str(),
            lambda: request.lambda,
            temperature: request.temperature,
            seeds: request.seeds.clone(),
            rows,
        })
    }

    /// For a terminal.
    pub fn to_text(&self) -> String {
        self.write(presets::UTF8_FULL_CONDENSED, "")
    }

    /// For a file or a page.
    pub fn to_markdown(&self) -> String {
        self.write(presets::ASCII_MARKDOWN, "## ")
    }

    fn write(&self, preset: &str, heading: &str) -> String {
        let mut text = format!("{heading}Table 1: test accuracy of the student, %\n\n");
        let mut students = Table::new();
        students.load_preset(preset).set_header([
            "cell",
            "trained on",
            "epochs",
            "S / TA / T",
            "NoKD",
            "paper",
            "BLKD",
            "paper",
            "TAKD",
            "paper",
        ]);
        let mut teachers = Table::new();
        teachers.load_preset(preset).set_header([
            "cell",
            "teacher alone",
            "assistant, taught",
            "student alone",
            "training",
        ]);
        for row in &self.rows {
            let CellRow { no_kd, blkd, takd, networks: [student, assistant, teacher], .. } = row;
            let mut cells = vec![
                row.cell.to_owned(),
                format!("{}, {} images", row.dataset, row.train_images),
                row.epochs.to_string(),
                format!("{student} / {assistant} / {teacher}"),
            ];
            cells.extend([no_kd, blkd, takd].into_iter().flat_map(|method| [method.show(), number(method.paper)]));
            students.add_row(cells);
            teachers.add_row([
                row.cell.to_owned(),
                format!("{teacher} {}", row.teacher.show()),
                format!("{assistant} {}", row.assistant.show()),
                format!("{student} {}", no_kd.show()),
                format!("{:.0} s", row.seconds),
            ]);
        }
        for cell in Cell::ALL {
            if !Cell::RUNNABLE.contains(&cell) {
                let Published { no_kd, blkd, takd } = published(cell);
                let mut cells = vec![cell.to_string(), "not yet runnable".into(), String::new(), String::new()];
                cells.extend([no_kd, blkd, takd].into_iter().flat_map(|paper| [dash(), number(Some(paper))]));
                students.add_row(cells);
            }
        }
        let _ = writeln!(text, "{students}\n\n{}\n", self.legend());
        let _ = writeln!(text, "{heading}The networks above the student, test accuracy, %\n\n{teachers}");
        text
    }

    /// What the numbers are.
    fn legend(&self) -> String {
        let seeds: Vec<String> = self.seeds.iter().map(u64::to_string).collect();
        let chosen = match self.protocol {
            "sound" => "last epoch's network; a tenth of the training images is held out, the test set looked at once",
            "code" => {
                "best epoch by the test set, which flatters every figure; λ, τ and seed as given, not searched as the published code does"
            }
            _ => "best epoch by the test set, as the published code does, which flatters every figure",
        };
        let several = if self.seeds.len() > 1 { "; mean ± standard deviation" } else { "" };
        let mut text = format!(
            "Protocol `{}` ({chosen}). Seeds {}{several}. λ = {}, τ = {}. Preset `{}`, trained on {}.\n\
             NoKD: the student alone. BLKD: taught by the teacher. TAKD: taught by the assistant, which the teacher taught.\n\
             \"paper\": arXiv 1902.03393, Table 1.",
            self.protocol,
            seeds.join(", "),
            self.lambda,
            self.temperature,
            self.preset,
            self.device,
        );
        if self.preset == "quick" {
            text += "\nThe preset's own recipe for a few hundred steps stands in for the protocol's batches of 128, learning rates and \
                     augmentation (plain CNNs: batches of 128, 0.01; ResNets: batches of 32, 0.02; a tenth of that in the last epoch).";
        }
        if self.rows.iter().any(|row| row.stand_in) {
            text += "\nshapes10 and shapes100 are images drawn by code that stand in for CIFAR-10 and CIFAR-100: these figures show \
                     that the machinery works and cannot be compared with the paper's.";
        }
        if self.rows.iter().any(|row| row.cell == Cell::ResnetCifar10.as_str()) {
            text += "\nresnet/cifar10: the paper's 88.98 for TAKD is what its Table 3 gives for the assistant ResNet-14; for \
                     ResNet-20, named in Table 1, it gives 88.90.";
        }
        text
    }
}

impl Method {
    fn show(&self) -> String {
        match self.accuracy {
            None => dash(),
            Some(Summary { mean, deviation: None, .. }) => format!("{mean:.2}"),
            Some(Summary { mean, deviation: Some(deviation), .. }) => format!("{mean:.2} ± {deviation:.2}"),
        }
    }
}

fn number(value: Option<f64>) -> String {
    value.map_or_else(dash, |value| format!("{value:.2}"))
}

fn dash() -> String {
    "–".into()
}

fn cell_row(row: &Row, store: &Store) -> Result<CellRow> {
    let paper = published(row.cell);
    let mut seconds = 0.0;
    let mut method = |run: fn(&SeedRuns) -> &RunId, paper: Option<f64>| -> Result<Method> {
        let mut runs = Vec::new();
        for seed in &row.seeds {
            let id = run(seed);
            if let Some(result) = store.finished(id)? {
                seconds += result.seconds;
                runs.push((seed.seed, 100.0 * result.test.accuracy, id.clone()));
            }
        }
        let values: Vec<f64> = runs.iter().map(|(_, accuracy, _)| *accuracy).collect();
        Ok(Method { accuracy: Summary::of(&values), runs, paper })
    };
    let teacher = method(|seed| &seed.teacher, None)?;
    let assistant = method(|seed| &seed.assistant, None)?;
    let no_kd = method(|seed| &seed.no_kd, Some(paper.no_kd))?;
    let blkd = method(|seed| &seed.blkd, Some(paper.blkd))?;
    let takd = method(|seed| &seed.takd, Some(paper.takd))?;
    let trio = row.trio;
    Ok(CellRow {
        cell: row.cell.as_str(),
        dataset: row.data.dataset.to_string(),
        stand_in: row.data.dataset.is_builtin(),
        train_images: row.data.train_images,
        epochs: row.recipe.epochs,
        networks: [trio.student, trio.assistant, trio.teacher].map(|model| model.to_string()),
        teacher,
        assistant,
        no_kd,
        blkd,
        takd,
        seconds,
    })
}

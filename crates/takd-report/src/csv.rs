//! A report as comma-separated values, for spreadsheets and programs.

use crate::report::Report;
use crate::run::Measurements;
use serde::Serialize;
use takd_store::RunId;

/// A row: a run. Nothing is in percent.
#[derive(Serialize)]
struct Row<'a> {
    cell: &'a str,
    dataset: &'a str,
    train_images: usize,
    path: &'a str,
    network: String,
    teachers: String,
    seed: u64,
    protocol: &'a str,
    lambda: Option<f64>,
    temperature: Option<f64>,
    epochs: usize,
    state: &'a str,
    test_accuracy: Option<f64>,
    top5: Option<f64>,
    loss: Option<f64>,
    calibration_error: Option<f64>,
    agreement: Option<f64>,
    kl: Option<f64>,
    soft_target_entropy: Option<f64>,
    held_out_accuracy: Option<f64>,
    parameters: Option<usize>,
    seconds: Option<f64>,
    run: &'a RunId,
    reason: Option<&'a str>,
}

impl Report {
    /// A header and a row for each run of each path, also if it has no result. Accuracies and other shares are from 0 to 1;
    /// what there is not is empty. `reason` says why a run has no result, if that is known.
    ///
    /// A run that belongs to paths of several cells has a row in each.
    pub fn to_csv(&self) -> String {
        let mut rows = Vec::new();
        for cell in &self.cells {
            for path in &cell.paths {
                for run in &path.runs {
                    let result: Option<&Measurements> = run.state.measurements();
                    rows.push(Row {
                        cell: &cell.name,
                        dataset: cell.dataset.as_str(),
                        train_images: cell.train_images,
                        path: &path.path,
                        network: path.network.to_string(),
                        teachers: path.teachers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" + "),
                        seed: run.seed,
                        protocol: cell.protocol.as_str(),
                        lambda: path.lambda,
                        temperature: path.temperature,
                        epochs: path.epochs,
                        state: run.state.as_str(),
                        test_accuracy: result.map(|result| result.test_accuracy),
                        top5: result.map(|result| result.top5),
                        loss: result.map(|result| result.loss),
                        calibration_error: result.map(|result| result.calibration_error),
                        agreement: result.and_then(|result| result.agreement),
                        kl: result.and_then(|result| result.kl),
                        soft_target_entropy: result.and_then(|result| result.soft_target_entropy),
                        held_out_accuracy: result.and_then(|result| result.held_out_accuracy),
                        parameters: result.map(|result| result.parameters),
                        seconds: result.map(|result| result.seconds),
                        run: &run.run,
                        reason: run.state.reason(),
                    });
                }
            }
        }
        written(&rows)
    }
}

fn written(rows: &[Row<'_>]) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    // A row of numbers and texts is a record, and memory takes every write.
    let rows = rows.iter().try_for_each(|row| writer.serialize(row));
    rows.expect("a row is a record");
    let bytes = writer.into_inner().expect("memory takes every write");
    String::from_utf8(bytes).expect("texts are UTF-8")
}

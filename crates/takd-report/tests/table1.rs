//! The table as a person reads it.

use takd_report::{CellRow, Method, Summary, Table1};

fn method(mean: f64, deviation: f64, paper: Option<f64>) -> Method {
    let accuracy = Some(Summary { mean, deviation: Some(deviation), seeds: 2 });
    Method { runs: Vec::new(), accuracy, paper }
}

#[test]
fn table_in_markdown_states_what_it_was_made_with() {
    let missing = Method { runs: Vec::new(), accuracy: None, paper: Some(88.98) };
    let row = CellRow {
        cell: "resnet/cifar10",
        dataset: "shapes10".into(),
        stand_in: true,
        train_images: 5_000,
        epochs: 7,
        networks: ["resnet8", "resnet20", "resnet110"].map(String::from),
        teacher: method(93.0, 0.25, None),
        assistant: method(91.5, 0.5, None),
        no_kd: method(88.125, 1.0, Some(88.52)),
        blkd: method(88.5, 0.75, Some(88.65)),
        takd: missing,
        seconds: 61.4,
    };
    let table = Table1 {
        protocol: "sound",
        preset: "quick",
        device: "cpu",
        lambda: 0.5,
        temperature: 5.0,
        seeds: vec![20, 31],
        rows: vec![row],
    };
    insta::assert_snapshot!(table.to_markdown());
}

//! The files of a run's folder: sealed files, the journal, the list of starts, and what the store makes of them.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use safetensors::{Dtype, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use takd_fuzz::{Edit, edited, scratch};
use takd_store::{Canonical, Configuration, ConfigurationError, Ending, Journal, RunId, Start, Store, seal};

#[derive(Debug, Arbitrary)]
struct Input {
    config: Vec<Edit>,
    journal: Vec<Edit>,
    starts: Vec<Edit>,
    ending: Damage,
    weights: Damage,
    json: String,
}

/// What is done to a sealed file.
#[derive(Debug, Arbitrary)]
struct Damage {
    edits: Vec<Edit>,
    /// Whether it is sealed again, so that its hash is right.
    sealed_again: bool,
}

struct Config(u64);

impl Configuration for Config {
    fn canonical(&self) -> String {
        Canonical::new().integer("number", self.0).finish().expect("it is small")
    }

    fn parse(text: &str) -> Result<Self, ConfigurationError> {
        let number = text.strip_prefix("number = ").and_then(|text| text.trim_end().parse().ok());
        number.map(Self).ok_or_else(|| ConfigurationError::Invalid("no number".into()))
    }

    fn needs(&self) -> Vec<RunId> {
        Vec::new()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Outcome {
    accuracy: f64,
    name: String,
}

type Runs = Store<Config, Outcome>;

const WEIGHTS: &str = "model.safetensors";
const FILES: [&str; 4] = ["config.toml", "metrics.jsonl", "starts.jsonl", "ending.json"];

/// A store with one run, and the bytes of its files as they should be.
static RUNS: LazyLock<(Runs, [Vec<u8>; 4], Vec<u8>)> = LazyLock::new(|| {
    let runs = Runs::open(&scratch().join("runs"), |name| name == WEIGHTS).expect("a folder can be made");
    let claim = runs.claim(&Config(7).id()).expect("it can be claimed").expect("nobody has it");
    claim.write_config(&Config(7)).expect("it can be written");
    let start = Start { command: vec!["fuzz".into()], program: "fuzz 0".into(), host: "here".into(), time: 1 };
    claim.add_start(&start).expect("it can be written");
    let mut journal = Journal::begin(&claim).expect("it can be written");
    (0..3u64).for_each(|record| journal.add(&record).expect("it can be written"));
    let outcome = Outcome { accuracy: 0.5, name: "plane2".into() };
    claim.end(&Ending::Finished(outcome), &journal.extent().expect("it is open"), &[]).expect("it can be written");
    drop(journal);
    drop(claim);
    let folder = runs.dir(&Config(7).id());
    let files = FILES.map(|name| fs::read(folder.join(name)).expect("it was written"));
    let values = [1f32, 2.0].map(f32::to_le_bytes).concat();
    let tensors = [("a".to_owned(), TensorView::new(Dtype::F32, vec![2], &values).expect("it fits"))];
    let weights =
        seal::to_safetensors(tensors, &Outcome { accuracy: 0.25, name: "a".into() }).expect("it can be written");
    (runs, files, weights)
});

/// Puts the right hash into a sealed file, if there is a place for one.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    const MARK: &[u8] = b"blake3:";
    const DIGITS: usize = 64;
    let place = bytes.windows(MARK.len()).position(|window| window == MARK).map(|place| place + MARK.len());
    if let Some(place) = place.filter(|place| place + DIGITS <= bytes.len()) {
        bytes[place..place + DIGITS].fill(b'0');
        let hash = blake3::hash(&bytes).to_hex();
        bytes[place..place + DIGITS].copy_from_slice(hash.as_bytes());
    }
    bytes
}

fn damaged(bytes: &[u8], damage: &Damage) -> Vec<u8> {
    let bytes = edited(bytes.to_vec(), &damage.edits);
    if damage.sealed_again { sealed(bytes) } else { bytes }
}

fn check(message: &impl ToString) {
    let message = message.to_string();
    assert!(!message.chars().any(|char| char.is_control() && char != '\n'), "{message:?}");
}

fuzz_target!(|input: Input| {
    let (runs, originals, weights) = &*RUNS;
    let id = Config(7).id();
    let folder = runs.dir(&id);
    let files = [
        edited(originals[0].clone(), &input.config),
        edited(originals[1].clone(), &input.journal),
        edited(originals[2].clone(), &input.starts),
        damaged(&originals[3], &input.ending),
    ];
    for (name, bytes) in FILES.iter().zip(&files) {
        fs::write(folder.join(name), bytes).expect("it can be written");
    }

    let listed = runs.list().expect("the folder is there");
    assert_eq!(listed.len(), 1);
    match &listed[0].config {
        Ok(Some(config)) => assert_eq!((config.0, &files[0]), (7, &originals[0])),
        Ok(None) => panic!("its configuration is there"),
        Err(error) => check(error),
    }
    match runs.ending(&id) {
        Ok(_) if input.ending.sealed_again => {}
        Ok(_) => assert_eq!(files[3], originals[3]),
        Err(error) => check(&error),
    }
    let _ = runs.starts(&id).map_err(|error| check(&error));
    let _ = runs.records::<u64>(&id).map_err(|error| check(&error));
    match runs.verify(&id) {
        Ok(findings) if findings.is_empty() => assert_eq!(files[0], originals[0]),
        Ok(_) => {}
        Err(error) => check(&error),
    }

    let bytes = damaged(weights, &input.weights);
    match seal::from_safetensors::<Outcome>(Path::new(WEIGHTS), &bytes) {
        Ok((_, tensors)) => {
            assert!(input.weights.sealed_again || bytes == *weights);
            for (_, tensor) in tensors.tensors() {
                let _ = (tensor.shape().len(), tensor.data().len());
            }
        }
        Err(error) => check(&error),
    }
    let json = sealed(format!("{{\"checksum\":\"blake3:{:064}\",{}", 0, input.json).into_bytes());
    let _ = seal::from_json::<Outcome>(Path::new("a.json"), &json).map_err(|error| check(&error));
});

//! Networks from elsewhere: files of `torch.save`, old and new, and safetensors.
#![no_main]

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::collections::HashMap;
use std::path::Path;
use takd_fuzz::{Edit, edited};
use takd_models::Checkpoint;

#[derive(Debug, Arbitrary)]
enum Form {
    /// A zip archive.
    Pytorch,
    /// Pickles and numbers one after the other, so that a longer pickle moves nothing that is found by its place.
    Legacy,
    Safetensors,
}

#[derive(Debug, Arbitrary)]
struct Input {
    form: Form,
    /// Of the first bytes, where names and shapes stand.
    head: Vec<Edit>,
    /// Of the others.
    rest: Vec<Edit>,
}

const HEAD: usize = 5000;
const PYTORCH: &[u8] = include_bytes!("../../crates/takd-models/tests/data/plane2_takd.pth.tar");
const LEGACY: &[u8] = include_bytes!("../../crates/takd-models/tests/data/plane2_legacy.th");

fuzz_target!(|input: Input| {
    let honest = match input.form {
        Form::Pytorch => PYTORCH.to_vec(),
        Form::Legacy => LEGACY.to_vec(),
        Form::Safetensors => {
            let import = Checkpoint { path: Path::new("honest"), bytes: LEGACY }.recognise().expect("it is honest");
            let (_, parameters) = import.network(&candle_core::Device::Cpu).expect("plane2");
            parameters.to_safetensors(HashMap::new()).expect("it can be written")
        }
    };
    let (head, rest) = honest.split_at(HEAD);
    let bytes = [edited(head.to_vec(), &input.head), edited(rest.to_vec(), &input.rest)].concat();
    match (Checkpoint { path: Path::new("damaged"), bytes: &bytes }).recognise() {
        Ok(import) => _ = import.network(&candle_core::Device::Cpu).expect("its tensors were checked"),
        Err(error) => {
            assert!(!(input.head.is_empty() && input.rest.is_empty()), "{error}");
            assert!(!error.to_string().contains(char::is_control), "{error:?}");
        }
    }
});

//! PyTorch's own files load, and hostile ones are refused: with an error that names the file, whatever they declare.

use crate::common::Outcome;
use crate::common::torch_file::{Told, around, expected, file_of, numbers, pickle, zip};
use candle_core::{DType, Device};
use std::collections::BTreeMap;
use std::path::Path;
use takd_models::{Checkpoint, CheckpointError, Network, Parameters};

fn load(bytes: &[u8]) -> Result<Parameters, CheckpointError> {
    let checkpoint = Checkpoint { path: Path::new("weights.pth"), bytes };
    let spec = "plane2".parse().expect("a known name");
    Network::from_checkpoint(spec, 10, checkpoint, &Device::Cpu).map(|(_, parameters)| parameters)
}

/// The error's text: it names the file and is short.
fn refusal(bytes: &[u8]) -> String {
    let message = load(bytes).expect_err("this file should be refused").to_string();
    assert!(message.starts_with("checkpoint weights.pth ") && !message.contains('\n'), "{message}");
    assert!(message.len() < 1000, "{} letters", message.len());
    message
}

fn holds_the_expected(bytes: &[u8]) -> Outcome {
    let (loaded, expected) = (load(bytes)?.all(), expected()?);
    assert_eq!(loaded.len(), expected.len());
    for (name, var) in loaded {
        assert_eq!((var.dims(), numbers(&var)?), (expected[&name].dims(), numbers(&expected[&name])?), "{name}");
        let dtype = if name.ends_with("num_batches_tracked") { DType::I64 } else { DType::F32 };
        assert_eq!(var.dtype(), dtype, "{name}");
    }
    Ok(())
}

#[test]
fn files_of_pytorch_load_in_any_order_and_precision_and_without_counters() -> Outcome {
    // float32, with counters, its convolutions in channels-last order.
    holds_the_expected(include_bytes!("../data/plane2_f32.pth"))?;
    // float16, without counters.
    holds_the_expected(include_bytes!("../data/plane2_f16.pth"))
}

#[test]
fn a_safetensors_file_may_lack_the_counters_too() -> Outcome {
    let mut tensors = expected()?;
    tensors.retain(|name, _| !name.ends_with("num_batches_tracked"));
    holds_the_expected(&safetensors::serialize(tensors, None)?)
}

#[test]
fn load_tells_the_kind_by_what_a_file_holds_and_not_by_its_name() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("weights.safetensors");
    std::fs::write(&path, include_bytes!("../data/plane2_f32.pth"))?;
    Network::load("plane2".parse()?, 10, &path, &Device::Cpu)?;
    std::fs::write(&path, safetensors::serialize(expected()?, None)?)?;
    Network::load("plane2".parse()?, 10, &path, &Device::Cpu)?;
    Ok(())
}

#[test]
fn the_tar_archives_of_the_first_pytorch_are_refused_with_the_remedy() {
    let mut tar = vec![0; 1024];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(matches!(load(&tar), Err(CheckpointError::Tar { .. })));
    assert!(refusal(&tar).contains("first versions of PyTorch") && refusal(&tar).contains("torch.save(torch.load("));
}

/// The file that torch.save might have written of the expected tensors, after a change to what it says of them.
fn written(change: impl FnOnce(&mut BTreeMap<String, Told>)) -> Outcome<Vec<u8>> {
    file_of(|told| pickle(&told.into_iter().collect::<Vec<_>>()), change)
}

const WEIGHT: &str = "fc_layers.0.weight";

fn weight(told: &mut BTreeMap<String, Told>) -> &mut Told {
    told.get_mut(WEIGHT).expect("plane2's last weight")
}

#[test]
fn files_written_here_are_as_pytorchs() -> Outcome {
    holds_the_expected(&written(|_| ())?)
}

#[test]
fn tensors_that_reach_outside_of_their_numbers_are_refused() -> Outcome {
    type Change = (&'static str, fn(&mut Told));
    let changes: [Change; 9] = [
        ("a larger shape", |told| told.dims[0] += 1),
        ("a huge shape", |told| told.dims = vec![1 << 40, 1 << 40]),
        ("the largest shape", |told| (told.dims, told.strides) = (vec![i64::MAX; 4], vec![0; 4])),
        ("numbers that are shared", |told| told.strides = vec![0, 0]),
        ("a negative size", |told| told.dims[0] = -10),
        ("a negative stride", |told| told.strides[0] = -1),
        ("a large stride", |told| told.strides[0] = i64::MAX),
        ("a negative offset", |told| told.offset = -1),
        ("a large offset", |told| told.offset = i64::MAX),
    ];
    for (what, change) in changes {
        // A shared number takes less of the file than the network does; here the storage is one of few numbers.
        let message = refusal(&written(|told| {
            if what == "numbers that are shared" {
                weight(told).key = told["fc_layers.0.bias"].key.clone();
            }
            change(weight(told));
        })?);
        assert!(message.contains(&format!("tensor `{WEIGHT}` reaches outside")), "{what}: {message}");
    }
    Ok(())
}

#[test]
fn tensors_of_no_known_kind_are_refused() -> Outcome {
    let message = refusal(&written(|told| weight(told).class = "ComplexFloatStorage")?);
    assert!(message.contains("`ComplexFloatStorage`, which no network has"), "{message}");
    let message = refusal(&written(|told| weight(told).key = "../version".to_owned())?);
    assert!(message.contains("has no numbers in the file"), "{message}");
    let message = refusal(&written(|told| weight(told).dims.push(1))?);
    assert!(message.contains("has no shape of at most 4 dimensions"), "{message}");
    let message = refusal(&written(|told| (weight(told).dims, weight(told).strides) = (vec![1; 500], vec![1; 500]))?);
    assert!(message.contains("has no shape of at most 4 dimensions"), "{message}");
    // A network's shape must fit too.
    let message = refusal(&written(|told| weight(told).dims[0] = 9)?);
    assert!(message.contains("has shape [9, 1024] in the file, [10, 1024] in the network"), "{message}");
    Ok(())
}

#[test]
fn hostile_pickles_are_refused() {
    // Each memo place holds a tuple of the one before it twice: 2⁶⁴ values, were they copied.
    let doubled: Vec<u8> = (0..64u8).flat_map(|place| [b'h', place, b'h', place, 0x86, b'q', place + 1]).collect();
    for (what, pickle) in [
        ("nothing", vec![]),
        ("no end", b"\x80\x02}".to_vec()),
        ("a text longer than the file", b"X\xff\xff\xff\xff.".to_vec()),
        ("a long integer longer than the file", b"\x8a\xff\x01.".to_vec()),
        ("a class without an end", b"cos".to_vec()),
        ("texts not in UTF-8", b"X\x01\x00\x00\x00\xff.".to_vec()),
        ("an empty stack", b".".to_vec()),
        ("a tuple of more than there is", b"N\x87.".to_vec()),
        ("no mark", b"t.".to_vec()),
        ("a mark above the stack", b"N(0t.".to_vec()),
        ("a mark that was popped below", b"NN(RRt.".to_vec()),
        ("memory that was never written", b"h\x05.".to_vec()),
        ("a key without a value", b"}(Nu.".to_vec()),
        ("a call of a number", b"K\x01)R.".to_vec()),
        ("a short storage", b")Q.".to_vec()),
        ("an unknown instruction", b"\xff.".to_vec()),
        ("a million tuples in each other", [vec![b')'], vec![0x85; 1_000_000], vec![b'.']].concat()),
        (
            "a million dicts in each other",
            [vec![b'}'; 1_000_000], vec![b'N'], vec![b's'; 500_000], vec![b'.']].concat(),
        ),
        ("a million marks", vec![b'('; 1_000_000]),
        ("shared tuples", [b"Nq\0".as_slice(), &doubled, b"."].concat()),
    ] {
        let message = refusal(&around(&pickle));
        assert!(message.contains("is damaged or neither"), "{what}: {message}");
    }
}

#[test]
fn hostile_archives_are_refused() -> Outcome {
    let entries: [(&str, &[u8]); 2] = [("a/data.pkl", b"}."), ("b/data.pkl", b"}.")];
    assert!(refusal(&zip(&entries)).contains("more than one data.pkl"));
    assert!(refusal(&zip(&[("a/weights", b"")])).contains("without a data.pkl"));
    assert!(refusal(&zip(&[("a/data.pkl", b"}."), ("a/byteorder", b"big")])).contains("little-endian"));

    let whole = zip(&entries[..1]);
    let directory = whole.windows(4).position(|at| at == b"PK\x01\x02").ok_or("a directory")?;
    let end = whole.len() - 22;
    // Where a field is, what it becomes, and what is said.
    for (at, bytes, expected) in [
        (directory + 8, [1, 0].as_slice(), "compressed or encrypted"),
        (directory + 10, &[8, 0], "compressed or encrypted"),
        (directory + 20, &[0xff, 0xff, 0xff, 0x7f], "cut short or damaged"),
        // A size of 64 bits that is nowhere.
        (directory + 20, &[0xff; 4], "cut short or damaged"),
        (directory + 28, &[0xff; 2], "cut short or damaged"),
        (directory + 42, &[0xff, 0xff, 0, 0], "cut short or damaged"),
        (directory + 46, &[0xff], "not in UTF-8"),
        (end + 10, &[0xfe, 0xff], "cut short or damaged"),
        (end + 10, &[0xff; 2], "cut short or damaged"),
        (end + 16, &[0xfe, 0xff, 0xff, 0xff], "cut short or damaged"),
        (end + 16, &[0xff; 4], "cut short or damaged"),
    ] {
        let mut file = whole.clone();
        file[at..at + bytes.len()].copy_from_slice(bytes);
        let message = refusal(&file);
        assert!(message.contains(expected), "{at}: {message}");
    }
    // PyTorch's own have a directory of 64 bits, here with a declared count and start that are not there.
    let whole = include_bytes!("../data/plane2_f16.pth");
    let wide = whole.windows(4).position(|at| at == b"PK\x06\x06");
    if let Some(wide) = wide {
        for at in [wide + 32, wide + 48] {
            let mut file = whole.to_vec();
            file[at..at + 8].copy_from_slice(&[0xff; 8]);
            // The fields of 32 bits count unless they say that they do not.
            let end = file.len() - 22;
            file[end + 10..end + 12].copy_from_slice(&[0xff; 2]);
            assert!(refusal(&file).contains("cut short or damaged"), "{at}");
        }
    }
    Ok(())
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let whole = include_bytes!("../data/plane2_f16.pth");
    for length in (0..whole.len()).step_by(97).chain(whole.len() - 200..whole.len()) {
        refusal(&whole[..length]);
    }
}

#[test]
fn a_pickle_with_any_byte_changed_loads_or_is_refused() -> Outcome {
    for value in [0, 1, b'.', b'(', b'R', b'Q', b'h', 0x7f, 0x87, 0xff] {
        let length = file_of(|told| pickle(&told.into_iter().collect::<Vec<_>>()), |_| ())?.len();
        let whole = written(|_| ())?;
        let start = whole.windows(2).position(|at| at == b"\x80\x02").ok_or("a pickle")?;
        for at in (start..length.min(start + 3000)).step_by(7) {
            let mut file = whole.clone();
            file[at] = value;
            if let Err(error) = load(&file) {
                assert!(error.to_string().starts_with("checkpoint weights.pth "), "{error}");
            }
        }
    }
    Ok(())
}

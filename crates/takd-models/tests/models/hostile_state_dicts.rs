//! Whatever a file claims of its dicts, keys and storages, it is read or refused at once, and in memory in proportion to it.

use crate::common::Outcome;
use crate::common::torch_file::{around, dict, file_of, state_dict, text};
use candle_core::Device;
use std::path::Path;
use takd_models::{Checkpoint, CheckpointError, Import};

fn recognise(bytes: &[u8]) -> Result<Import<'_>, CheckpointError> {
    Checkpoint { path: Path::new("weights.pth"), bytes }.recognise()
}

/// The error's text: it names the file and is short.
fn refusal(bytes: &[u8]) -> String {
    let message = recognise(bytes).expect_err("this file should be refused").to_string();
    assert!(message.starts_with("checkpoint weights.pth ") && !message.contains(char::is_control), "{message}");
    assert!(message.len() < 2000, "{} letters", message.len());
    message
}

/// A file of plane2's tensors and others, from the instructions that make its state dict.
fn around_plane2(pickled: impl FnOnce(&[u8]) -> Vec<u8>) -> Outcome<Vec<u8>> {
    let pickled = |state: Vec<u8>| [b"\x80\x02".as_slice(), &pickled(&state), b"."].concat();
    file_of(|told| pickled(state_dict(&told.into_iter().collect::<Vec<_>>())), |_| ())
}

#[test]
fn a_dict_that_is_mentioned_ten_thousand_times_is_looked_at_once() -> Outcome {
    let file = around_plane2(|state| {
        let shared = [state, b"q\x01"].concat();
        let mut pickle = dict(&[("state_dict", &shared)]);
        for index in 0..10_000 {
            pickle.extend([&text(&format!("copy {index}")), b"h\x01s".as_slice()].concat());
        }
        pickle
    })?;
    // All are one, so that none is left unread.
    assert_eq!(recognise(&file)?.origin.nested.map(|at| at.others.len()), Some(0));
    Ok(())
}

#[test]
fn dicts_in_each_other_and_in_themselves_come_to_an_end() -> Outcome {
    let deep = [b"X\x01\0\0\0k}".repeat(100_000), b"s".repeat(100_000), b".".to_vec()].concat();
    refusal(&around(&[b"}".as_slice(), &deep].concat()));
    // A state dict further down than any is looked for.
    let file = around_plane2(|state| {
        let mut nested = state.to_vec();
        for _ in 0..4 {
            nested = dict(&[("k", &nested)]);
        }
        nested
    })?;
    assert!(refusal(&file).contains("no state dict is in it; its entry `k` is a dict"));
    // A dict that holds itself, and one that holds the dict which it is in.
    assert!(refusal(&around(b"}q\0X\x01\0\0\0kh\0s.")).contains("its entry `k` is a dict and not a tensor"));
    refusal(&around(b"}q\0X\x01\0\0\0k}q\x01X\x01\0\0\0kh\0ss."));
    Ok(())
}

#[test]
fn a_long_key_is_neither_copied_for_each_mention_nor_printed() {
    let key = [&text(&"k".repeat(1 << 20)), b"q\0".as_slice()].concat();
    // 2²⁰ letters, as the key of an integer; then as that of dicts in ten thousand dicts.
    let message = refusal(&around(&[b"}".as_slice(), &key, b"K\x01s."].concat()));
    assert!(message.contains(&format!("`{}…` is an integer", "k".repeat(100))), "{message}");
    let tensor = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000NK\x01tQ\
                   K\0K\x01\x85K\x01\x85tRq\x01";
    let mut pickle = [b"}".as_slice(), &text("first"), tensor, b"s", &text("long"), &key, b"s"].concat();
    for index in 0..10_000 {
        pickle.extend([&text(&index.to_string()), b"}h\0}h\x01h\x01ss".as_slice(), b"s"].concat());
    }
    pickle.push(b'.');
    refusal(&around(&pickle));
    let mut pickle = [b"}".as_slice(), &key, tensor, b"s"].concat();
    pickle.extend(b"h\0h\x01s".repeat(100_000));
    pickle.push(b'.');
    assert!(refusal(&around(&pickle)).contains("has no numbers in the file"));
}

#[test]
fn control_characters_of_keys_and_classes_are_escaped() -> Outcome {
    let escape = "\x1b[2J\u{202e}\u{7}";
    let file = around_plane2(|state| dict(&[(escape, state)]))?;
    let origin = recognise(&file)?.origin.to_string();
    assert!(origin.contains(r"`\u{1b}[2J\u{202e}\u{7}`"), "{origin}");
    let class = format!("}}{}c{escape}\n{escape}\n)Rs.", String::from_utf8(text("model"))?);
    assert!(refusal(&around(class.as_bytes())).contains(r"\u{1b}[2J"));
    let entry = [b"}".as_slice(), &text(escape), b"K\x01s."].concat();
    assert!(refusal(&around(&entry)).contains(r"`\u{1b}[2J\u{202e}\u{7}` is an integer"));
    // The name of a tensor that lies outside of a safetensors file.
    let header = r#"{"\u001b[2J":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#;
    let file = [(header.len() as u64).to_le_bytes().as_slice(), header.as_bytes(), &[0; 8]].concat();
    refusal(&file);
    Ok(())
}

#[test]
fn lengths_that_are_not_there_are_refused() {
    let opcodes: [&[u8]; 7] = [b"X", b"T", b"B", b"\x8b", b"U", b"C", b"\x8c"];
    for opcode in opcodes {
        assert!(refusal(&around(&[opcode, &[0xff; 8], b"."].concat())).contains("pickle is cut short"));
    }
    for opcode in [0x8e, 0x96] {
        assert!(refusal(&around(&[&[opcode][..], &[0xff; 8], b"."].concat())).contains("pickle is cut short"));
    }
    for pickle in
        [b"\x93.".as_slice(), b"K\x01K\x01\x93.", b"\x94.", b"0.", b"1.", b"a.", b"Ka.", b"(e.", b"\x90.", b"\x92."]
    {
        refusal(&around(pickle));
    }
}

#[test]
fn a_legacy_file_cut_anywhere_is_refused() -> Outcome {
    let whole = include_bytes!("../data/plane2_legacy.th");
    for length in (0..whole.len()).step_by(61).chain(whole.len() - 300..whole.len()) {
        refusal(&whole[..length]);
    }
    Ok(())
}

#[test]
fn a_legacy_file_with_any_byte_of_its_pickles_changed_loads_or_is_refused() -> Outcome {
    let whole = include_bytes!("../data/plane2_legacy.th");
    for value in [0, 1, b'.', b'(', b'R', b'Q', b'h', 0x7f, 0x87, 0xff] {
        for at in (0..4500).step_by(7) {
            let mut file = whole.to_vec();
            file[at] = value;
            match recognise(&file) {
                Ok(import) => _ = import.network(&Device::Cpu)?,
                Err(error) => assert!(error.to_string().starts_with("checkpoint weights.pth "), "{error}"),
            }
        }
    }
    Ok(())
}

#[test]
fn a_legacy_file_that_lies_about_its_storages_is_refused() {
    let start = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.".as_slice();
    let system = |little| [b"\x80\x02}".as_slice(), &text("little_endian"), little, b"s."].concat();
    let tensor = |class: &str, view: &str| {
        let storage = [b"(".as_slice(), &text("storage"), format!("ctorch\n{class}\n").as_bytes(), &text("0")].concat();
        let storage = [&storage, text("cpu").as_slice(), b"K\x02", view.as_bytes(), b"tQ"].concat();
        let tensor = [b"ctorch._utils\n_rebuild_tensor_v2\n(", storage.as_slice(), b"K\0K\x02\x85K\x01\x85\x89}tR"];
        [dict(&[("fc.weight", &tensor.concat())]), b".".to_vec()].concat()
    };
    let float = tensor("FloatStorage", "N");
    let file = |parts: &[&[u8]]| [start, &parts.concat()].concat();
    let (little, keys) = (system(b"\x88"), [b"]".as_slice(), &text("0"), b"a."].concat());
    // As it should be, it is of no known network.
    let honest = file(&[&little, &float, &keys, &2u64.to_le_bytes(), &[0; 8]]);
    assert!(refusal(&honest).contains("no network of this crate"));
    for (what, file, said) in [
        ("big-endian", file(&[&system(b"\x89"), &float, &keys]), "not in little-endian order"),
        ("no list", file(&[&little, &float, b"K\x01."]), "no list of its storages"),
        ("a list of integers", file(&[&little, &float, b"]K\x01a."]), "list of storages is damaged"),
        ("an unknown key", file(&[&little, &float, b"]X\x01\0\0\0za."]), "list of storages is damaged"),
        ("an unknown kind", file(&[&little, &tensor("QStorage", "N"), &keys]), "of the unknown kind `QStorage`"),
        ("no count", file(&[&little, &float, &keys, &[0; 7]]), "its numbers are cut short"),
        ("a huge count", file(&[&little, &float, &keys, &[0xff; 16]]), "its numbers are cut short"),
        ("a count too large", file(&[&little, &float, &keys, &3u64.to_le_bytes(), &[0; 8]]), "numbers are cut short"),
        ("a count too small", file(&[&little, &float, &keys, &1u64.to_le_bytes(), &[0; 4]]), "reaches outside"),
        ("no storage", file(&[&little, &float, b"]."]), "has no numbers in the file"),
        ("a view", file(&[&little, &tensor("FloatStorage", "K\u{1}"), &keys]), "is an object of `torch._utils"),
    ] {
        let message = refusal(&file);
        assert!(message.contains(said), "{what}: {message}");
    }
}

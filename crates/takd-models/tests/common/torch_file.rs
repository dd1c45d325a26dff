//! Files as `torch.save` writes them, honest and not.

use super::Outcome;
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;

/// A zip archive of uncompressed entries.
pub fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let (mut file, mut directory) = (Vec::new(), Vec::new());
    for (name, data) in entries {
        let sizes = [data.len() as u32; 2].map(u32::to_le_bytes).concat();
        let start = file.len() as u32;
        let lengths = [name.len() as u16, 0].map(u16::to_le_bytes).concat();
        file.extend([b"PK\x03\x04", [0; 14].as_slice(), &sizes, &lengths, name.as_bytes(), data].concat());
        // Versions, flags, method, time and checksum; no comment, disk or attributes; where the entry starts.
        let rest = [[0; 10].as_slice(), &start.to_le_bytes(), name.as_bytes()].concat();
        directory.extend([b"PK\x01\x02", [0; 16].as_slice(), &sizes, &lengths, &rest].concat());
    }
    let (count, start) = ((entries.len() as u16).to_le_bytes(), (file.len() as u32).to_le_bytes());
    let size = (directory.len() as u32).to_le_bytes();
    file.extend([&directory, b"PK\x05\x06".as_slice(), &[0; 4], &count, &count, &size, &start, &[0; 2]].concat());
    file
}

/// What a file says of one of its tensors.
#[derive(Clone)]
pub struct Told {
    pub class: &'static str,
    pub key: String,
    pub offset: i64,
    pub dims: Vec<i64>,
    pub strides: Vec<i64>,
}

pub fn text(text: &str) -> Vec<u8> {
    [b"X", (text.len() as u32).to_le_bytes().as_slice(), text.as_bytes()].concat()
}

pub fn integers(numbers: &[i64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| [b"\x8a\x08", number.to_le_bytes().as_slice()].concat()).collect()
}

/// The pickle of a state dict.
pub fn pickle(tensors: &[(String, Told)]) -> Vec<u8> {
    [b"\x80\x02".as_slice(), &state_dict(tensors), b"."].concat()
}

/// The instructions that make a state dict.
pub fn state_dict(tensors: &[(String, Told)]) -> Vec<u8> {
    let mut pickle = b"ccollections\nOrderedDict\n)R(".to_vec();
    for (name, told) in tensors {
        let class = format!("ctorch\n{}\n", told.class);
        let storage =
            [b"(".as_slice(), &text("storage"), class.as_bytes(), &text(&told.key), &text("cpu"), b"K\x01tQ"].concat();
        let shape = [b"(".as_slice(), &integers(&told.dims), b"t(", &integers(&told.strides), b"t"].concat();
        let rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n(".as_slice();
        let rest = b"\x89ccollections\nOrderedDict\n)RtR".as_slice();
        pickle.extend([&text(name), rebuild, &storage, &integers(&[told.offset]), &shape, rest].concat());
    }
    pickle.push(b'u');
    pickle
}

/// The instructions that make a dict of such values.
pub fn dict(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let entries = entries.iter().flat_map(|(key, value)| [&text(key), *value].concat());
    b"}(".iter().copied().chain(entries).chain([b'u']).collect()
}

/// A file of `torch.save` around any pickle.
pub fn around(pickle: &[u8]) -> Vec<u8> {
    zip(&[("archive/data.pkl", pickle), ("archive/byteorder", b"little"), ("archive/version", b"3\n")])
}

/// The state dict of plane2 that the files in `tests/data` hold.
pub fn expected() -> Outcome<BTreeMap<String, Tensor>> {
    let golden =
        candle_core::safetensors::load_buffer(include_bytes!("../data/plane2_cifar10.safetensors"), &Device::Cpu)?;
    Ok(golden.into_iter().filter_map(|(name, tensor)| Some((name.strip_prefix("w.")?.to_owned(), tensor))).collect())
}

pub fn numbers(tensor: &Tensor) -> candle_core::Result<Vec<f64>> {
    tensor.flatten_all()?.to_dtype(DType::F64)?.to_vec1()
}

fn contiguous(dims: &[usize]) -> Vec<i64> {
    (0..dims.len()).map(|dim| dims[dim + 1..].iter().product::<usize>() as i64).collect()
}

/// A file of `torch.save` around the pickle that is made of the expected tensors, after a change to what it says of them.
pub fn file_of(
    pickled: impl FnOnce(BTreeMap<String, Told>) -> Vec<u8>,
    change: impl FnOnce(&mut BTreeMap<String, Told>),
) -> Outcome<Vec<u8>> {
    let (mut told, mut storages) = (BTreeMap::new(), Vec::new());
    for (index, (name, tensor)) in expected()?.into_iter().enumerate() {
        let counter = tensor.dtype() == DType::I64;
        let bytes: Vec<u8> = if counter {
            numbers(&tensor)?.into_iter().flat_map(|number| (number as i64).to_le_bytes()).collect()
        } else {
            numbers(&tensor)?.into_iter().flat_map(|number| (number as f32).to_le_bytes()).collect()
        };
        let dims = tensor.dims().iter().map(|&dim| dim as i64).collect();
        let class = if counter { "LongStorage" } else { "FloatStorage" };
        let tensor = Told { class, key: index.to_string(), offset: 0, dims, strides: contiguous(tensor.dims()) };
        told.insert(name, tensor);
        storages.push((format!("archive/data/{index}"), bytes));
    }
    change(&mut told);
    let pickle = pickled(told);
    let mut entries = vec![("archive/data.pkl", pickle.as_slice()), ("archive/byteorder", b"little")];
    entries.extend(storages.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())));
    Ok(zip(&entries))
}

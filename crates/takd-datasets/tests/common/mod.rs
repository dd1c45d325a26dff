//! Small parquet files in the hub's layout, written by the tests themselves.
#![allow(dead_code)] // Each program uses its own part.

use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder, codecs::png::PngEncoder};
use parquet::{
    data_type::{ByteArray, ByteArrayType, Int64Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::{fs, path::Path, sync::Arc};
use takd_datasets::{Dataset, Known, Result, Sources, load};

/// A row: the image's file, if any, and its label, if any.
pub type Row = (Option<Vec<u8>>, Option<i64>);

/// Pixels of a 32x32 picture that differ from seed to seed.
pub fn pixels(seed: usize) -> Vec<u8> {
    (0..32 * 32 * 3).map(|i| (i * 7 + seed * 31 + i / 96) as u8).collect()
}

pub fn png(pixels: &[u8], width: u32, height: u32) -> Vec<u8> {
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(pixels, width, height, ExtendedColorType::Rgb8).unwrap();
    file
}

pub fn jpeg(pixels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    JpegEncoder::new_with_quality(&mut file, 100).write_image(pixels, 32, 32, ExtendedColorType::Rgb8).unwrap();
    file
}

/// `n` good rows of CIFAR-10, image and label telling which row it is.
pub fn rows(n: usize) -> Vec<Row> {
    (0..n).map(|i| (Some(png(&pixels(i), 32, 32)), Some((i % 10) as i64))).collect()
}

/// Writes `rows` as the hub has them, `group` rows a row group.
pub fn write(path: &Path, label: &str, rows: &[Row], group: usize) {
    let schema = format!(
        "message schema {{
            optional group img {{ optional binary bytes; optional binary path (UTF8); }}
            optional int64 {label};
        }}"
    );
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut writer = SerializedFileWriter::new(
        fs::File::create(path).unwrap(),
        Arc::new(parse_message_type(&schema).unwrap()),
        Arc::new(WriterProperties::builder().build()),
    )
    .unwrap();
    for rows in rows.chunks(group) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<ByteArray> = rows.iter().filter_map(|row| row.0.clone()).map(ByteArray::from).collect();
        let levels: Vec<i16> = rows.iter().map(|row| if row.0.is_some() { 2 } else { 1 }).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&images, Some(&levels), None).unwrap();
        column.close().unwrap();

        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; rows.len()]), None).unwrap();
        column.close().unwrap();

        let labels: Vec<i64> = rows.iter().filter_map(|row| row.1).collect();
        let levels: Vec<i16> = rows.iter().map(|row| i16::from(row.1.is_some())).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&labels, Some(&levels), None).unwrap();
        column.close().unwrap();
        group.close().unwrap();
    }
    writer.close().unwrap();
}

/// Writes both splits of CIFAR-10 under `dir` in the hub's layout.
pub fn write_cifar10(dir: &Path, train: &[Row], test: &[Row]) {
    let folder = dir.join("cifar10/plain_text");
    write(&folder.join("train-00000-of-00001.parquet"), "label", train, 4);
    write(&folder.join("test-00000-of-00001.parquet"), "label", test, 4);
}

/// Loads from this folder and no other place.
pub fn load_from(dir: &Path, known: Known) -> Result<Dataset> {
    let sources = Sources { folder: Some(dir.into()), ..Sources::default() };
    load(&known.into(), &sources, &mut |_| {})
}

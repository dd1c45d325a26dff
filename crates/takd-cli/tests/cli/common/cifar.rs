//! Small data sets in the hub's layout.

use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::{properties::WriterProperties, writer::SerializedFileWriter};
use parquet::schema::parser::parse_message_type;
use std::fs;
use std::path::Path;
use std::sync::Arc;

const SCHEMA: &str = "message schema {
    optional group img { optional binary bytes; optional binary path (UTF8); }
    optional int64 label;
}";

/// Writes a CIFAR-10 of 40 training and 20 test images: `folder/train-*.parquet` and `test-*.parquet`.
pub fn write(folder: &Path) {
    fs::create_dir_all(folder).expect("a folder");
    write_split(&folder.join("train-00000-of-00001.parquet"), 40);
    write_split(&folder.join("test-00000-of-00001.parquet"), 20);
}

fn write_split(path: &Path, images: usize) {
    let file = fs::File::create(path).expect("a file");
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(file, schema, properties).expect("a writer");
    let mut group = writer.next_row_group().expect("a row group");
    let files: Vec<ByteArray> = (0..images).map(|image| ByteArray::from(png(image))).collect();
    let mut column = group.next_column().expect("a column").expect("images");
    column.typed::<ByteArrayType>().write_batch(&files, Some(&vec![2; images]), None).expect("images");
    column.close().expect("images");
    let mut column = group.next_column().expect("a column").expect("paths");
    column.typed::<ByteArrayType>().write_batch(&[], Some(&vec![1; images]), None).expect("no paths");
    column.close().expect("paths");
    let labels: Vec<i64> = (0..images).map(|image| (image % 10) as i64).collect();
    let mut column = group.next_column().expect("a column").expect("labels");
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; images]), None).expect("labels");
    column.close().expect("labels");
    group.close().expect("a row group");
    writer.close().expect("a file");
}

/// A picture that differs from image to image.
fn png(image: usize) -> Vec<u8> {
    let pixels: Vec<u8> = (0..32 * 32 * 3).map(|place| (place * 7 + image * 31 + place / 96) as u8).collect();
    let mut file = Vec::new();
    PngEncoder::new(&mut file).write_image(&pixels, 32, 32, ExtendedColorType::Rgb8).expect("a picture");
    file
}

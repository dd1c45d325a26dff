//! Images of one's own, from a folder to a student; and `takd data`.

use crate::common::{folder, json, run, takd, text};
use image::{ImageFormat, RgbImage};
use std::fs;
use std::path::{Path, PathBuf};

/// A folder for each class, with images of several sizes and formats: squares of a colour, moved about.
fn photographs(root: &Path, classes: &[(&str, [u8; 3])], count: u32) -> PathBuf {
    let root = root.join("My Photos");
    for (name, colour) in classes {
        fs::create_dir_all(root.join(name)).expect("a folder can be made");
        for i in 0..count {
            let (width, height) = (40 + 7 * i % 30, 36 + 11 * i % 40);
            let inside = |x: u32, y: u32| x.abs_diff(10 + i % 12) < 9 && y.abs_diff(12 + i % 9) < 9;
            let image = RgbImage::from_fn(width, height, |x, y| {
                image::Rgb(if inside(x, y) { *colour } else { [(i * 40 % 255) as u8; 3] })
            });
            let (ending, format) =
                [("jpg", ImageFormat::Jpeg), ("png", ImageFormat::Png), ("bmp", ImageFormat::Bmp)][i as usize % 3];
            image
                .save_with_format(root.join(name).join(format!("{i}.{ending}")), format)
                .expect("an image can be written");
        }
    }
    root
}

const CLASSES: [(&str, [u8; 3]); 2] = [("apples", [230, 20, 30]), ("limes", [20, 220, 40])];

#[test]
fn folder_of_photographs_becomes_a_student() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 30);
    let out = dir.path().join("results");
    let distill = |size: &str| {
        let mut command =
            takd(&["distill", "resnet14", "resnet8", "--epochs", "1", "--quiet", "--json", "--size", size]);
        command.arg("--data").arg(&photos).arg("--out").arg(&out);
        json(&run(&mut command, 0).stdout)
    };
    let report = distill("24");
    assert_eq!(report["cells"][0]["dataset"], "my-photos@24");
    assert_eq!(report["cells"][0]["side"], 24);
    // The images of another size are another data set, and have runs of their own.
    distill("16");
    let mut listed = takd(&["runs", "ls", "--json", "--data", "my-photos@24", "--out"]);
    assert_eq!(json(&run(listed.arg(&out), 0).stdout).as_array().expect("a list").len(), 2);
}

#[test]
fn class_with_a_single_image_is_told_of() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 12);
    photographs(dir.path(), &[("plums", [120, 0, 120])], 1);
    let shown = text(&run(takd(&["data", "show"]).arg(&photos).current_dir(dir.path()), 0).stdout);
    assert!(shown.contains("no image of plums was set aside: give each class more images"), "{shown}");
    assert!(!shown.contains("left to train on"), "{shown}");
}

#[test]
fn augmentation_and_size_are_flags_and_wrong_ones_are_refused_in_own_words() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 12);
    let distill = |size: &str, augmentation: &str, status| {
        let mut command = takd(&["distill", "resnet8", "--epochs", "1", "--quiet", "--json", "--size", size, "--data"]);
        command.arg(&photos).args(["--augmentation", augmentation, "--out"]).arg(dir.path().join("results"));
        run(&mut command, status)
    };
    let report = json(&distill("20of24", "resized-crop-flip + jitter 0.4 + mixup 0.2", 0).stdout);
    assert_eq!(report["cells"][0]["dataset"], "my-photos@20of24");
    assert!(
        report.to_string().contains("images augmented by \\\"resized-crop-flip + jitter 0.4 + mixup 0.2\\\""),
        "{report}"
    );
    let refused = text(&distill("20", "crop-flop", 2).stderr);
    assert!(refused.contains("`crop-flop` is no augmentation"), "{refused}");
    let refused = text(&distill("20of10", "none", 2).stderr);
    assert!(refused.contains("`20of10` is no size of images"), "{refused}");
}

#[test]
fn plain_networks_take_no_other_size_and_resnets_are_named() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 6);
    let mut command = takd(&["distill", "plane2", "--size", "64", "--out"]);
    command.arg(dir.path().join("results")).arg("--data").arg(&photos);
    let refused = text(&run(&mut command, 1).stderr);
    assert!(refused.contains("plane2 takes images of 32x32, and those of my-photos@64 are 64x64"), "{refused}");
    assert!(refused.contains("ResNets"), "{refused}");
}

#[test]
fn recipe_may_name_a_folder_and_a_size() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 12);
    let recipe = dir.path().join("mine.toml");
    let text = format!(
        "title = \"mine\"\n[[cell]]\nname = \"mine\"\ndata = {:?}\nsize = 16\nepochs = 1\npaths = [\"resnet8\"]\n",
        photos.display().to_string()
    );
    fs::write(&recipe, text).expect("a file can be written");
    let out = dir.path().join("results");
    let mut command = takd(&["run", "--quiet", "--json", "--out"]);
    command.arg(&out).arg(&recipe);
    assert_eq!(json(&run(&mut command, 0).stdout)["cells"][0]["dataset"], "my-photos@16");
    // A report needs no images.
    fs::remove_dir_all(&photos).expect("a folder can be deleted");
    let mut command = takd(&["report", "--json", "--out"]);
    command.arg(&out).arg(&recipe);
    assert_eq!(json(&run(&mut command, 0).stdout)["cells"][0]["dataset"], "my-photos@16");
}

#[test]
fn image_that_cannot_be_decoded_is_named_or_left_out_where_that_is_allowed() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 12);
    fs::write(photos.join("limes/bad.jpg"), "no image").expect("a file can be written");
    let distill = |more: &[&str], code: i32| {
        let mut command = takd(&["distill", "resnet8", "--epochs", "1", "--size", "16"]);
        command.args(more).arg("--out").arg(dir.path().join("results")).arg("--data").arg(&photos);
        text(&run(&mut command, code).stderr)
    };
    let refused = distill(&[], 1);
    assert!(refused.contains("limes/bad.jpg: its image is neither JPEG"), "{refused}");
    let told = distill(&["--skip-bad", "1"], 0);
    assert!(told.contains("left out: ") && told.contains("limes/bad.jpg"), "{told}");
}

#[test]
fn data_is_shown_with_a_sheet_and_checked() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 9);
    let sheet = dir.path().join("sheet.png");
    let mut show = takd(&["data", "show", "--json", "--out"]);
    show.arg(dir.path().join("results")).arg("--sheet").arg(&sheet).arg(&photos);
    let card = json(&run(&mut show, 0).stdout);
    assert_eq!(card["class_names"], serde_json::json!(["apples", "limes"]));
    let sheet = image::open(&sheet).expect("the sheet is a picture");
    assert!(sheet.width() > 500 && sheet.height() > 100);

    let check = |code: i32| {
        let mut command = takd(&["data", "check"]);
        command.arg(&photos);
        text(&run(&mut command, code).stdout)
    };
    assert!(check(0).contains("apples 9, limes 9"), "{}", check(0));
    fs::copy(photos.join("apples/1.png"), photos.join("limes/copy.png")).expect("a file can be copied");
    let told = check(0);
    assert!(told.contains("1 are more than once in a split") && told.contains("with different labels"), "{told}");
    fs::write(photos.join("limes/bad.jpg"), "no image").expect("a file can be written");
    assert!(check(1).contains("bad.jpg"));
    let listed = json(&run(takd(&["data", "list", "--json", "--offline"]).env("HF_HUB_CACHE", dir.path()), 0).stdout);
    assert_eq!(listed[0]["name"], "cifar10");
}

#[test]
fn images_that_stay_in_their_files_make_the_same_network() {
    let dir = folder();
    let photos = photographs(dir.path(), &CLASSES, 12);
    let network = |out: &str, more: &[&str]| {
        let out = dir.path().join(out);
        let mut command = takd(&["distill", "resnet8", "--epochs", "2", "--size", "160", "--device", "cpu", "--out"]);
        command.arg(&out).arg("--data").arg(&photos).args(more);
        let told = text(&run(&mut command, 0).stderr);
        let folders = crate::common::run_folders(&out);
        let network = fs::read(folders[0].join("model.safetensors")).expect("a network");
        (told, folders[0].file_name().map(ToOwned::to_owned), network)
    };
    let (told, id, held) = network("held", &[]);
    assert!(!told.contains("stay in their files"), "{told}");
    // 19 images of 160x160 are 1.4 MiB.
    let (told, same_id, stored) = network("stored", &["--image-memory", "1"]);
    assert!(told.contains("its images stay in their files, and are decoded in every epoch"), "{told}");
    assert_eq!(id, same_id);
    assert!(held == stored);
}

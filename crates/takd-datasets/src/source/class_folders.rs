//! Folders of classes: `train/<class>/…` and `val/<class>/…`, or `val/…` with a list of the classes; or classes alone.

use super::class_list;
use crate::{
    Error, Result, Split,
    regular_file::Stamp,
    stored::{Data, Stored},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// How deep below a class's folder images are looked for.
const MAX_DEPTH: usize = 8;

/// The endings of files that are taken for images, in small letters.
const ENDINGS: [&str; 9] = ["jpg", "jpeg", "jpe", "png", "webp", "gif", "tif", "tiff", "bmp"];

/// What a split's folder may be called.
const TRAIN: [&str; 2] = ["train", "training"];
const TEST: [&str; 5] = ["test", "val", "valid", "validation", "testing"];

/// Where the classes of each split are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClassFolders {
    pub(crate) train: PathBuf,
    /// Nothing if the test images are yet to be set aside.
    pub(crate) test: Option<PathBuf>,
    /// What says the classes of the test images, if their folder has no folders of classes.
    pub(crate) list: Option<PathBuf>,
    /// Other folders with images: of a third split, or without classes.
    left_out: Vec<PathBuf>,
}

/// What is in them.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// The classes in the order of their labels: that of the bytes of their names, as in Python's `sorted`.
    pub(crate) class_names: Vec<String>,
    pub(crate) train: Vec<Stored>,
    pub(crate) test: Option<Vec<Stored>>,
    pub(crate) notes: Vec<String>,
}

/// The folders of classes below `place`, if that is what is there.
pub(crate) fn find(place: &Path) -> Result<Option<ClassFolders>> {
    let folders = folders(place)?;
    let named = |names: &[&str]| {
        names
            .iter()
            .find_map(|name| folders.iter().find(|folder| folder.to_lowercase() == *name))
            .map(|name| place.join(name))
    };
    if let Some(train) = named(&TRAIN) {
        if self::folders(&train)?.is_empty() {
            return Ok(None);
        }
        let mut found = ClassFolders { train, test: None, list: None, left_out: Vec::new() };
        for test in TEST.iter().filter_map(|name| named(&[name])) {
            // Tiny ImageNet has all images of a split in a folder of this name.
            let holds_classes = self::folders(&test)?.iter().any(|name| name != "images");
            let list = if holds_classes { None } else { class_list::find(&test) };
            if found.test.is_none() && (list.is_some() || holds_classes) {
                found = ClassFolders { test: Some(test), list, ..found };
            } else if holds_image(&test, 0)? {
                found.left_out.push(test);
            }
        }
        return Ok(Some(found));
    }
    for folder in &folders {
        if holds_image(&place.join(folder), 0)? {
            return Ok(Some(ClassFolders { train: place.to_owned(), test: None, list: None, left_out: Vec::new() }));
        }
    }
    Ok(None)
}

/// Lists all images.
///
/// # Errors
/// If there are fewer than two classes, one of them has no image, or a class of the test images is none of the training images'.
pub(crate) fn list(folders: &ClassFolders) -> Result<Contents> {
    let mut contents = Contents { class_names: self::folders(&folders.train)?, ..Contents::default() };
    let mut others = Others::default();
    if contents.class_names.len() < 2 {
        let problem = format!(
            "it has {} folder of images, and a folder is a class: 2 or more are needed",
            contents.class_names.len()
        );
        return Err(Error::Folder { path: folders.train.clone(), problem });
    }
    for (label, class) in (0..).zip(&contents.class_names) {
        let folder = folders.train.join(class);
        let before = contents.train.len();
        walk(&folder, 0, label, &mut contents.train, &mut others)?;
        if contents.train.len() == before {
            return Err(Error::Folder {
                path: folder,
                problem: format!(
                    "this class has no images ({}): put some there, or remove the folder",
                    ENDINGS.join(", ")
                ),
            });
        }
    }
    if let (Some(test), Some(list)) = (&folders.test, &folders.list) {
        let mut images = Vec::new();
        walk(test, 0, 0, &mut images, &mut Others::default())?;
        if images.is_empty() {
            return Err(Error::NoImages { split: Split::Test });
        }
        class_list::label(list, &mut images, &contents.class_names)?;
        contents.notes.push(format!("the classes of its {} images are those of {}", Split::Test, list.display()));
        contents.test = Some(images);
    } else if let Some(test) = &folders.test {
        let mut images = Vec::new();
        let classes = self::folders(test)?;
        for class in &classes {
            let Ok(label) = contents.class_names.binary_search(class) else {
                return Err(Error::Folder {
                    path: test.join(class),
                    problem: format!(
                        "this class is not among those of the training images in {}",
                        folders.train.display()
                    ),
                });
            };
            walk(&test.join(class), 0, label as u32, &mut images, &mut others)?;
        }
        let missing: Vec<_> = contents.class_names.iter().filter(|class| !classes.contains(class)).collect();
        if let Some(first) = missing.first() {
            contents.notes.push(format!(
                "{} of the classes have no {} images, as `{first}`",
                missing.len(),
                Split::Test
            ));
        }
        contents.test = Some(images);
    }
    let left_out = folders.left_out.iter().map(|folder| format!("the images in {} were left out", folder.display()));
    contents.notes.extend(left_out);
    contents.notes.extend(others.note());
    Ok(contents)
}

/// Files that are no images by their names.
#[derive(Debug, Default)]
struct Others {
    count: usize,
    first: Option<PathBuf>,
}

impl Others {
    fn note(self) -> Option<String> {
        let first = self.first?;
        Some(format!("{} files are no images by their names and were left out, as {}", self.count, first.display()))
    }
}

/// Appends the images below a folder, in the order of the bytes of their names. Links to folders are not followed.
fn walk(folder: &Path, depth: usize, label: u32, images: &mut Vec<Stored>, others: &mut Others) -> Result<()> {
    if depth > MAX_DEPTH {
        return Err(Error::Folder {
            path: folder.to_owned(),
            problem: format!("images are looked for at most {MAX_DEPTH} folders below that of their class"),
        });
    }
    for entry in entries(folder)? {
        let path = folder.join(&entry.name);
        if entry.is_folder {
            if !entry.is_link {
                walk(&path, depth + 1, label, images, others)?;
            }
        } else if is_image(&entry.name) {
            let stamp = Stamp::of(&path);
            images.push(Stored { data: Data::File { path: path.into(), stamp }, label });
        } else {
            others.count += 1;
            others.first.get_or_insert(path);
        }
    }
    Ok(())
}

fn holds_image(folder: &Path, depth: usize) -> Result<bool> {
    let entries = entries(folder)?;
    if entries.iter().any(|entry| !entry.is_folder && is_image(&entry.name)) {
        return Ok(true);
    }
    if depth < MAX_DEPTH {
        for entry in entries.iter().filter(|entry| entry.is_folder && !entry.is_link) {
            if holds_image(&folder.join(&entry.name), depth + 1)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

fn is_image(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(_, ending)| ENDINGS.contains(&&*ending.to_lowercase()))
}

/// What a folder holds, without what systems leave there.
struct Entry {
    name: String,
    is_folder: bool,
    is_link: bool,
}

fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let io = |source| Error::Io { path: folder.into(), source };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(io)? {
        let entry = entry.map_err(io)?;
        let Ok(name) = entry.file_name().into_string() else {
            let problem = "its name is not Unicode: rename it".into();
            return Err(Error::Picture { path: entry.path(), problem });
        };
        if name.starts_with('.') || ["Thumbs.db", "desktop.ini", "__MACOSX"].contains(&&*name) {
            continue;
        }
        let kind = entry.file_type().map_err(io)?;
        let is_link = kind.is_symlink();
        // A link that leads nowhere is left for the reading of the file, which names it.
        let is_folder =
            if is_link { fs::metadata(entry.path()).is_ok_and(|kind| kind.is_dir()) } else { kind.is_dir() };
        found.push(Entry { name, is_folder, is_link });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// The folders directly below a folder, in the order of the bytes of their names; links to folders among them.
fn folders(folder: &Path) -> Result<Vec<String>> {
    Ok(entries(folder)?.into_iter().filter(|entry| entry.is_folder).map(|entry| entry.name).collect())
}

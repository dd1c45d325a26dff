//! Folders that are written whole or not at all.

use crate::file::{expect_kind, folder_of, make_folder, sync_folder, write_file};
use crate::names::{WRITING, is_file_name};
use crate::removal::OwnFiles;
use crate::{Error, FileKind, Result};
use std::fs;
use std::path::Path;

/// How the name of a folder begins that is being replaced by a newer one.
const REPLACED: &str = ".replaced-";

/// Puts a folder with these files, by their names, at `path`: whole and on the disk, or not at all.
///
/// The files are written into a new folder beside it (its name begins with `.writing-`), which is renamed into its place. If a folder
/// is there already, it may be empty, or hold nothing but regular files that `is_own` knows by their names: then it is replaced. It is
/// first renamed (`.replaced-` and some letters): a kill or a power failure between that and the next rename leaves both folders under
/// these names, each of them whole.
///
/// # Errors
/// If anything else stands at `path` or in that folder, a name is not that of a file in a folder, or the disk refuses. What was there
/// stays then, or is in the folder that the error names.
pub fn write_folder(path: &Path, files: &[(&str, &[u8])], is_own: OwnFiles) -> Result<()> {
    if let Some((name, _)) = files.iter().find(|(name, _)| !is_file_name(name)) {
        return Err(Error::FileName((*name).to_owned()));
    }
    let old = own_files(path, is_own)?;
    let beside = folder_of(path);
    make_folder(beside)?;
    let new = temporary_folder(WRITING, beside)?;
    files.iter().try_for_each(|(name, bytes)| write_file(&new.path().join(name), bytes))?;
    let io = Error::io("write the folder", path);
    match old {
        None => fs::rename(new.path(), path).map_err(io)?,
        Some(files) => replace(path, new.path(), &files)?,
    }
    // It is in its place, and no longer where it would be deleted.
    let _ = new.keep();
    sync_folder(beside).map_err(Error::io("write the folder", path))
}

/// Whether [`write_folder`] may put a folder at `path`, for those who want to know it long before.
///
/// # Errors
/// If anything stands there that it would not replace.
pub fn check_folder(path: &Path, is_own: OwnFiles) -> Result<()> {
    own_files(path, is_own).map(drop)
}

/// The names of the files in the folder at `path`, if there is one.
fn own_files(path: &Path, is_own: OwnFiles) -> Result<Option<Vec<String>>> {
    if expect_kind(path, FileKind::Folder)?.is_none() {
        return Ok(None);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io("read the folder", path))? {
        let entry = entry.map_err(Error::io("read the folder", path))?;
        let is_file = entry.file_type().map_err(Error::io("read", &entry.path()))?.is_file();
        match entry.file_name().into_string() {
            Ok(name) if is_file && is_own(&name) => files.push(name),
            _ => return Err(Error::NotOwn { path: path.to_owned(), found: entry.path() }),
        }
    }
    Ok(Some(files))
}

/// Puts the folder `new` into the place of the one at `path`, of which these files are deleted and no others.
fn replace(path: &Path, new: &Path, files: &[String]) -> Result<()> {
    let old = temporary_folder(REPLACED, folder_of(path))?;
    let aside = old.path().join("folder");
    fs::rename(path, &aside).map_err(Error::io("replace the folder", path))?;
    if let Err(error) = fs::rename(new, path) {
        // If that fails too, the old folder stays where it was put.
        return match fs::rename(&aside, path) {
            Ok(()) => Err(Error::io("write the folder", path)(error)),
            Err(_) => Err(Error::io("write the folder", &old.keep())(error)),
        };
    }
    let removed = files.iter().try_for_each(|file| fs::remove_file(aside.join(file)));
    // A file that somebody has just put there keeps the folder.
    if let Err(error) = removed.and_then(|()| fs::remove_dir(&aside)) {
        return Err(Error::io("delete the replaced folder", &old.keep())(error));
    }
    Ok(())
}

/// A new folder that everybody may read who may read other folders of this user; it is deleted when it is dropped.
fn temporary_folder(prefix: &str, beside: &Path) -> Result<tempfile::TempDir> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
    builder.tempdir_in(beside).map_err(Error::io("write into the folder", beside))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: &[(&str, &[u8])] = &[("a.txt", b"first"), ("b.txt", b"second")];

    fn is_own(name: &str) -> bool {
        name.ends_with(".txt")
    }

    /// Names in a folder, hidden ones too.
    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = entries.collect();
        names.sort();
        names
    }

    #[test]
    fn folder_is_made_with_those_above_it_and_replaced_as_a_whole() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("above/folder");
        write_folder(&path, FILES, is_own).unwrap();
        assert_eq!(names(&path), ["a.txt", "b.txt"]);
        write_folder(&path, &[("c.txt", b"third")], is_own).unwrap();
        assert_eq!(
            (names(&path), fs::read(path.join("c.txt")).unwrap()),
            (vec!["c.txt".to_owned()], b"third".to_vec())
        );
        // Nothing is left beside it.
        assert_eq!(names(path.parent().unwrap()), ["folder"]);
    }

    #[test]
    fn folder_with_anything_else_in_it_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("folder");
        fs::create_dir_all(path.join("sub.txt")).unwrap();
        let error = write_folder(&path, FILES, is_own).unwrap_err();
        assert!(matches!(&error, Error::NotOwn { found, .. } if found.ends_with("sub.txt")), "{error}");
        fs::remove_dir(path.join("sub.txt")).unwrap();
        fs::write(path.join("mine.jpg"), "mine").unwrap();
        assert!(matches!(write_folder(&path, FILES, is_own), Err(Error::NotOwn { .. })));
        assert_eq!((names(&path), names(root.path())), (vec!["mine.jpg".to_owned()], vec!["folder".to_owned()]));
    }

    #[test]
    fn file_or_link_in_its_place_and_names_elsewhere_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("folder");
        fs::write(&path, "a file").unwrap();
        assert!(matches!(write_folder(&path, FILES, is_own), Err(Error::WrongKind { .. })));
        fs::remove_file(&path).unwrap();
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(root.path(), &path).unwrap();
            assert!(matches!(write_folder(&path, FILES, is_own), Err(Error::WrongKind { .. })));
            fs::remove_file(&path).unwrap();
        }
        assert!(matches!(write_folder(&path, &[("../out.txt", b"")], is_own), Err(Error::FileName(_))));
        assert!(names(root.path()).is_empty());
    }
}

//! A folder that is laid out again and again, and in which nothing is deleted or overwritten that was not laid out before.

use anyhow::{Context, Result, bail};
use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::path::{Component, Path, PathBuf};

/// Lists what was laid out in the folder, a path a line after the first.
const LIST: &str = "packed-files.txt";

const FIRST_LINE: &str = "# What cargo xtask pack-gpu has put here, and replaces when it is called again.";

/// A folder that is ours to lay out: it was empty, or its list says what is ours in it.
#[derive(Debug)]
pub(super) struct Folder {
    root: PathBuf,
    /// What an earlier call laid out.
    earlier: Vec<PathBuf>,
}

/// A folder in which nothing of an earlier call is left.
#[derive(Debug)]
pub(super) struct Emptied {
    root: PathBuf,
    list: File,
}

impl Folder {
    /// Makes the folder, or checks that it is empty or has a list; changes nothing in it.
    pub(super) fn open(root: &Path) -> Result<Self> {
        fs::create_dir_all(root).with_context(|| format!("cannot make {}", root.display()))?;
        let path = root.join(LIST);
        let foreign =
            || format!("{} has files that pack-gpu did not put there; --out takes an empty folder", root.display());
        let earlier: Vec<PathBuf> = match fs::read_to_string(&path) {
            Ok(list) => {
                let files = list.strip_prefix(FIRST_LINE).with_context(foreign)?;
                files.lines().skip(1).map(PathBuf::from).collect()
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if fs::read_dir(root)?.next().is_some() {
                    bail!(foreign());
                }
                Vec::new()
            }
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        if let Some(outside) = earlier.iter().find(|file| !stays_inside(file)) {
            bail!("{}: {} is no file of this folder", path.display(), outside.display());
        }
        Ok(Self { root: root.to_owned(), earlier })
    }

    /// Deletes what an earlier call laid out, and nothing else.
    pub(super) fn empty(self) -> Result<Emptied> {
        for file in &self.earlier {
            let file = self.root.join(file);
            check_no_link(&self.root, file.parent().unwrap_or(&self.root))?;
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).with_context(|| format!("cannot delete {}", file.display()));
                }
                _ => {}
            }
        }
        let path = self.root.join(LIST);
        let mut emptied = Emptied {
            list: File::create(&path).with_context(|| format!("cannot write {}", path.display()))?,
            root: self.root,
        };
        emptied.write_line(FIRST_LINE)?;
        Ok(emptied)
    }
}

impl Emptied {
    fn write_line(&mut self, line: &str) -> Result<()> {
        writeln!(self.list, "{line}").with_context(|| format!("cannot write {}", self.root.join(LIST).display()))
    }

    /// Copies a file to a place in the folder where nothing may stand yet.
    pub(super) fn add(&mut self, from: &Path, to: &Path) -> Result<()> {
        let target = self.root.join(to);
        let parent = target.parent().unwrap_or(&self.root);
        fs::create_dir_all(parent).with_context(|| format!("cannot make {}", parent.display()))?;
        check_no_link(&self.root, parent)?;
        if target.symlink_metadata().is_ok() {
            bail!("pack-gpu did not put {} there and leaves it alone; move it away", target.display());
        }
        // Listed first, so that a call that is interrupted leaves no file that the next one takes for the user's.
        let name = to.to_str().filter(|name| !name.contains('\n'));
        self.write_line(name.with_context(|| format!("the name of {} cannot stand in a list", from.display()))?)?;
        fs::copy(from, &target).with_context(|| format!("cannot copy {} to {}", from.display(), target.display()))?;
        Ok(())
    }

    /// Copies a folder's files with those of its folders.
    pub(super) fn add_all(&mut self, from: &Path, to: &Path) -> Result<()> {
        let entries = fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, to) = (entry.path(), to.join(entry.file_name()));
            if path.is_dir() { self.add_all(&path, &to)? } else { self.add(&path, &to)? }
        }
        Ok(())
    }
}

/// Whether a path of the list leads to a file below the folder.
fn stays_inside(file: &Path) -> bool {
    file.components().next().is_some() && file.components().all(|part| matches!(part, Component::Normal(_)))
}

/// Checks that no folder from `root`, which may be one, down to `folder` is a link to elsewhere.
fn check_no_link(root: &Path, folder: &Path) -> Result<()> {
    for folder in folder.ancestors().take_while(|folder| *folder != root) {
        if folder.is_symlink() {
            bail!("{} is a link; pack-gpu does not follow it: move it away", folder.display());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An empty folder, and a file to lay out.
    fn scratch() -> (tempfile::TempDir, PathBuf, PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let (root, from) = (scratch.path().join("root"), scratch.path().join("from"));
        fs::create_dir(&root).unwrap();
        fs::write(&from, "new").unwrap();
        (scratch, root, from)
    }

    fn lay_out(root: &Path, from: &Path, names: &[&str]) -> Result<()> {
        let mut folder = Folder::open(root)?.empty()?;
        names.iter().try_for_each(|name| folder.add(from, Path::new(name)))
    }

    fn files(root: &Path) -> Vec<String> {
        let mut found = Vec::new();
        let mut folders = vec![root.to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        found
    }

    #[test]
    fn what_was_laid_out_is_replaced_and_what_the_user_added_stays() {
        let (_scratch, root, from) = scratch();
        lay_out(&root, &from, &["tests/golden-1", "run.sh"]).unwrap();
        fs::create_dir(root.join("results-gpu")).unwrap();
        for name in ["tests/mine", "results-gpu/summary.tsv"] {
            fs::write(root.join(name), "mine").unwrap();
        }
        lay_out(&root, &from, &["tests/golden-2", "run.sh"]).unwrap();
        assert_eq!(
            files(&root),
            ["packed-files.txt", "results-gpu/summary.tsv", "run.sh", "tests/golden-2", "tests/mine"]
        );

        let error = lay_out(&root, &from, &["tests/mine"]).unwrap_err().to_string();
        assert!(error.contains("tests/mine") && error.contains("leaves it alone"), "{error}");
        assert_eq!(fs::read_to_string(root.join("tests/mine")).unwrap(), "mine");
    }

    #[test]
    fn folder_with_files_of_the_user_is_refused_and_left_as_it_is() {
        let (_scratch, root, _) = scratch();
        fs::create_dir(root.join("tests")).unwrap();
        fs::write(root.join("tests/mine.py"), "mine").unwrap();
        let error = Folder::open(&root).unwrap_err().to_string();
        assert!(error.contains("pack-gpu did not put there"), "{error}");
        fs::write(root.join(LIST), "tests/mine.py\n").unwrap();
        Folder::open(&root).unwrap_err();
        assert_eq!(files(&root), ["packed-files.txt", "tests/mine.py"]);
    }

    #[test]
    fn list_that_leads_out_of_the_folder_is_refused() {
        let (_scratch, root, _) = scratch();
        for outside in ["../mine", "/mine", ""] {
            fs::write(root.join(LIST), format!("{FIRST_LINE}\ntests/a\n{outside}\n")).unwrap();
            let error = Folder::open(&root).unwrap_err().to_string();
            assert!(error.contains("is no file of this folder"), "{error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn nothing_is_deleted_or_written_through_a_link() {
        let (scratch, root, from) = scratch();
        let elsewhere = scratch.path().join("elsewhere");
        fs::create_dir(&elsewhere).unwrap();
        lay_out(&root, &from, &["tests/a"]).unwrap();
        fs::remove_dir_all(root.join("tests")).unwrap();
        fs::write(elsewhere.join("a"), "mine").unwrap();
        std::os::unix::fs::symlink(&elsewhere, root.join("tests")).unwrap();
        let error = lay_out(&root, &from, &["tests/a"]).unwrap_err().to_string();
        assert!(error.contains("is a link"), "{error}");
        assert_eq!(fs::read_to_string(elsewhere.join("a")).unwrap(), "mine");

        let fresh = scratch.path().join("fresh");
        let mut folder = Folder::open(&fresh).unwrap().empty().unwrap();
        std::os::unix::fs::symlink(&elsewhere, fresh.join("tests")).unwrap();
        folder.add(&from, Path::new("tests/b")).unwrap_err();
        assert_eq!(files(&elsewhere), ["a"]);
    }
}

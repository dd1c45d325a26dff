//! Which file system a path is on, for messages.

use crate::{printable, printable_path, read_file};
use std::path::{Path, PathBuf};

/// The file system that `path` is on, such as ``the file system `nfs4` at /home``.
pub(crate) fn file_system_of(path: &Path) -> String {
    let mounts = read_file(Path::new("/proc/self/mounts"), 1 << 20).ok().flatten().unwrap_or_default();
    let absolute = path.ancestors().find_map(|path| path.canonicalize().ok());
    let mount = absolute.and_then(|path| find(&String::from_utf8_lossy(&mounts), &path));
    mount.map_or_else(
        || "its file system".to_owned(),
        |Mount { kind, at }| format!("the file system `{}` at {}", printable(&kind), printable_path(&at)),
    )
}

#[derive(Debug, PartialEq)]
struct Mount {
    kind: String,
    at: PathBuf,
}

/// The last of the mounts whose place is nearest above `path`: it hides those before it.
fn find(mounts: &str, path: &Path) -> Option<Mount> {
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let at = PathBuf::from(unescape(fields.next()?));
        Some(Mount { kind: fields.next()?.to_owned(), at })
    });
    mounts
        .filter(|mount| mount.at.is_absolute() && path.starts_with(&mount.at))
        .max_by_key(|mount| mount.at.components().count())
}

/// Spaces and the like are written as a backslash and three octal digits.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code = part.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                text.push_str(&part[3..]);
            }
            None => text.extend(["\\", part]),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_system_of_a_path_is_that_of_the_nearest_mount_above_it() {
        let mounts = r"/dev/sda1 / ext4 rw 0 0
server:/x /home nfs4 rw 0 0
server:/y /home/my\040runs lustre rw 0 0
z / btrfs rw 0 0
";
        let found = |path: &str| find(mounts, Path::new(path)).map(|mount| mount.kind);
        assert_eq!(found("/home/someone/runs").as_deref(), Some("nfs4"));
        assert_eq!(found("/home/my runs/0123456789abcdef/claim").as_deref(), Some("lustre"));
        assert_eq!(found("/homes").as_deref(), Some("btrfs"));
        assert_eq!(find("", Path::new("/")), None);
    }

    #[test]
    fn strange_mounts_are_passed_over() {
        assert_eq!(find("\nx\n  \n\\777 \\ \\\\9 \\04", Path::new("/")), None);
        assert_eq!(unescape(r"a\040b\0400\é\77"), r"a b 0\é\77");
    }
}

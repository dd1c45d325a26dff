//! A disk that is full, or a limit to what may be written: an error, and nothing lost.

use crate::common::{assert_equal_runs, distill, folder, program, run, runs, text};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const EPOCHS: [&str; 2] = ["--epochs", "3"];

/// The run's folder of each seed, from 1, trained with nothing in the way.
fn undisturbed(seeds: usize, out: &Path) -> Vec<PathBuf> {
    let list: Vec<String> = (1..=seeds).map(|seed| seed.to_string()).collect();
    let mut command = distill(&["plane2"], out, &EPOCHS);
    let output = run(command.args(["--json", "--seeds", &list.join(",")]), 0);
    let ids = crate::common::ids(&crate::common::json(&output.stdout));
    ids.into_iter().map(|id| out.join("runs").join(id)).collect()
}

/// The same run in another folder.
fn same(expected: &Path, out: &Path) -> PathBuf {
    out.join("runs").join(expected.file_name().expect("an id"))
}

/// Fails unless `message` names a file in `folder` and `cause`, and neither twice.
fn assert_says(message: &str, folder: &Path, cause: &str) {
    let line = message.trim_end().lines().last().unwrap_or_default();
    assert!(line.contains(&*folder.display().to_string()), "no file in {} in\n{message}", folder.display());
    assert_eq!(line.matches(cause).count(), 1, "{cause} in\n{message}");
}

#[test]
fn file_that_may_not_grow_ends_the_run_and_the_same_command_goes_on() {
    let [whole, out] = [folder(), folder()];
    // So many blocks of 512 bytes, or of 1024 as some shells have it: too few for the measurements, for a checkpoint.
    let limits = ["1", "64"];
    for (place, expected) in undisturbed(limits.len(), whole.path()).iter().enumerate() {
        let seed = (place + 1).to_string();
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f $1; shift; exec \"$@\"", "sh", limits[place]]).arg(program());
        limited.args(["distill", "plane2", "--data", "shapes10", "--limit", "100", "--seeds", &seed]).args(EPOCHS);
        let output = limited.arg("--out").arg(out.path()).output().expect("there is a shell");
        assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
        let found = same(expected, out.path());
        assert_says(&text(&output.stderr), &found, "File too large");

        run(distill(&["plane2"], out.path(), &EPOCHS).args(["--seeds", &seed]), 0);
        assert_equal_runs(&found, expected);
    }
    run(&mut runs(&["verify"], out.path()), 0);
}

/// A small disk of its own, on which runs are trained with so many KiB free; then with more room.
#[cfg(target_os = "linux")]
const ON_A_SMALL_DISK: &str = r#"
out=$1; takd=$2; shift 2
mkdir "$out/disk" && mount -t tmpfs -o size=4m none "$out/disk" || exit 99
train() { "$takd" distill plane2 --data shapes10 --limit 100 --epochs 3 --out "$out/disk" --seeds "$1"; }
train 1 > "$out/log" 2>&1 || exit 98
seed=1
for free; do
    seed=$((seed + 1))
    room=$(df -Pk "$out/disk" | awk 'NR == 2 { print $4 }')
    dd if=/dev/zero of="$out/disk/filler" bs=1024 count=$((room - free)) 2> "$out/log" || exit 97
    train $seed > "$out/log" 2> "$out/full-$free"
    echo $? > "$out/status-$free"
    "$takd" runs ls --json --out "$out/disk" > "$out/runs-$free" || exit 96
    rm "$out/disk/filler"
    train $seed > "$out/log" 2>&1 || exit 95
done
"$takd" runs verify --out "$out/disk" > "$out/log" 2>&1 || exit 94
cp -R "$out/disk/runs" "$out/runs"
"#;

#[cfg(target_os = "linux")]
fn on_a_small_disk(out: &Path, free_kib: &[&str]) -> std::io::Result<Output> {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--mount", "sh", "-c", ON_A_SMALL_DISK, "sh"]);
    command.arg(out).arg(program()).args(free_kib).output()
}

#[cfg(target_os = "linux")]
#[test]
fn full_disk_ends_the_run_and_the_same_command_goes_on_when_there_is_room() {
    let [whole, out] = [folder(), folder()];
    // Room for nothing; for the configuration, and the measurements; for all but the first checkpoint, the second, the
    // network, the last checkpoint.
    let free_kib = ["0", "8", "12", "60", "130", "250", "300"];
    let output = match on_a_small_disk(out.path(), &free_kib) {
        Err(error) => return println!("skipped: no `unshare` here: {error}"),
        // 1 is unshare's own, 99 the mount's.
        Ok(output) if matches!(output.status.code(), Some(1 | 99)) => {
            return println!("skipped: no disk may be mounted here: {}", text(&output.stderr));
        }
        Ok(output) => output,
    };
    let log = fs::read_to_string(out.path().join("log")).unwrap_or_default();
    assert_eq!(output.status.code(), Some(0), "{}{log}", text(&output.stderr));
    let expected = undisturbed(free_kib.len() + 1, whole.path());
    assert_equal_runs(&same(&expected[0], out.path()), &expected[0]);
    for (free, expected) in free_kib.iter().zip(&expected[1..]) {
        let read = |name: &str| fs::read_to_string(out.path().join(format!("{name}-{free}"))).expect(name);
        let message = read("full");
        assert_eq!(read("status").trim(), "1", "{free} KiB free: {message}");
        assert_says(&message, &same(expected, &out.path().join("disk")), "No space left on device");
        // Whatever of the run was written is no damage, and the others are as they were.
        let list = crate::common::json(read("runs").as_bytes());
        let damaged = |run: &&serde_json::Value| run["state"] == "damaged";
        assert_eq!(list.as_array().expect("an array").iter().find(damaged), None, "{free} KiB free");
        assert_equal_runs(&same(expected, out.path()), expected);
    }
}

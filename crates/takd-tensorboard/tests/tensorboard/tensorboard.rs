//! The same bytes as TensorBoard's own writer, and TensorBoard reads ours.

use std::fs;
use std::path::Path;
use std::process::Command;
use takd_tensorboard::{EventWriter, Scalar, read};

/// Made by `golden.py`, which has the same list, with TensorBoard's own writer.
const GOLDEN: &[u8] = include_bytes!("../golden.tfevents");

fn golden_scalars() -> Vec<Scalar> {
    [
        ("train/loss", 2.1, 0, 1_700_000_001.0),
        ("test/accuracy", 0.0, 0, 1_700_000_001.5),
        ("train/loss", 1.25, 300, 1_700_000_002.125),
        ("λ", -0.0, -1, 1_700_000_003.0),
        ("train/loss", f32::INFINITY, 9_007_199_254_740_993, 1_700_000_004.000001),
    ]
    .map(|(tag, value, step, wall_time_s)| Scalar { tag: tag.to_owned(), value, step, wall_time_s })
    .into()
}

fn write(events: &mut EventWriter, scalars: &[Scalar]) -> takd_tensorboard::Result<()> {
    scalars.iter().try_for_each(|s| events.scalar(&s.tag, s.value, s.step, s.wall_time_s))?;
    events.flush()
}

#[test]
fn golden_file_of_tensorboard_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.tfevents");
    fs::write(&path, GOLDEN).unwrap();
    assert_eq!(read(&path).unwrap(), golden_scalars());
}

/// TensorBoard's version event names its writer beside the version; every other record is the same, byte for byte.
#[test]
fn golden_file_of_tensorboard_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("golden.tfevents");
    fs::write(&path, GOLDEN).unwrap();
    // Only the version event is kept if the last step is before all others.
    let mut events = EventWriter::resume(&path, i64::MIN, 0.0).unwrap();
    assert_eq!(read(&path).unwrap(), []);
    write(&mut events, &golden_scalars()).unwrap();
    assert_eq!(fs::read(&path).unwrap(), GOLDEN);
}

/// Prints each scalar that TensorBoard's reader finds in a folder, its numbers as bits.
const ACCUMULATE: &str = "
import struct, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
events = EventAccumulator(sys.argv[1], size_guidance={'scalars': 0}, purge_orphaned_data=False).Reload()
assert events.file_version == 2.0, events.file_version
for tag in events.Tags()['scalars']:
    for s in events.Scalars(tag):
        print(tag, s.step, *struct.unpack('2Q', struct.pack('2d', s.value, s.wall_time)))
";

#[test]
fn tensorboard_reads_what_was_written_and_resumed() {
    let Some(python) = std::env::var_os("TAKD_TENSORBOARD_PYTHON") else {
        println!("skipped: set TAKD_TENSORBOARD_PYTHON to a Python with tensorboard installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.out.tfevents.0");
    let step = |tag: &str, value, step| Scalar { tag: tag.into(), value, step, wall_time_s: 1.7e9 + step as f64 / 3.0 };
    let loss: Vec<Scalar> = (0..300).map(|n| step("train/loss", 1.0 / (n + 1) as f32, n)).collect();
    let accuracy: Vec<Scalar> = (0..3).map(|n| step("test/accuracy", n as f32 / 3.0, n * 100)).collect();

    // 250 steps, half a record, and back to the checkpoint of step 199.
    write(&mut EventWriter::create(&path, 1.7e9).unwrap(), &accuracy[..2]).unwrap();
    write(&mut EventWriter::resume(&path, i64::MAX, 1.7e9).unwrap(), &loss[..250]).unwrap();
    let torn = fs::read(&path).unwrap();
    fs::write(&path, &torn[..torn.len() - 7]).unwrap();
    let mut events = EventWriter::resume(&path, 199, 1.7e9).unwrap();
    write(&mut events, &loss[200..]).unwrap();
    write(&mut events, &accuracy[2..]).unwrap();

    let found = run(Command::new(&python).args(["-c", ACCUMULATE]).arg(folder.path()));
    let line =
        |s: &Scalar| format!("{} {} {} {}\n", s.tag, s.step, f64::from(s.value).to_bits(), s.wall_time_s.to_bits());
    let written: String = accuracy.iter().chain(&loss).map(line).collect();
    assert_eq!((found.lines().count(), found), (303, written));

    let inspected =
        run(Command::new(&python).args(["-m", "tensorboard.main", "--inspect", "--logdir"]).arg(folder.path()));
    let statistics = "scalars
   first_step           0
   last_step            200
   max_step             299
   min_step             0
   num_steps            300
";
    assert!(inspected.contains(statistics), "{inspected}");
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn golden_script_lists_the_same_scalars() {
    // If Python is there, the committed file is what the script makes.
    let Some(python) = std::env::var_os("TAKD_TENSORBOARD_PYTHON") else {
        println!("skipped: set TAKD_TENSORBOARD_PYTHON to a Python with tensorboard installed");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    run(Command::new(python).arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden.py")).arg(folder.path()));
    let made = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
    assert_eq!(fs::read(made).unwrap(), GOLDEN);
}

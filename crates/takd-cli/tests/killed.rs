//! A run that is killed goes on as if nothing had been. A program of its own, since when it kills is measured.
#![cfg(unix)]

#[allow(dead_code, reason = "this uses some of what the other tests use")]
#[path = "cli/common/mod.rs"]
mod common;

use common::{assert_equal_runs, distill, folder, program, run, run_folders, runs};
use rand::RngExt;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

const KILLS: u32 = 20;

/// Decides the moments; another one may be set by the variable TAKD_KILL_SEED.
const SEED: u64 = 1;

/// Epochs that last twice as long as all that is trained between the kills, should the machine become faster meanwhile.
const EPOCHS: &str = "150";

fn start(out: &Path) -> Child {
    let mut command = Command::new(program());
    command.args(["distill", "plane2", "--data", "shapes10", "--limit", "100", "--epochs", EPOCHS, "--out"]).arg(out);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the program starts")
}

/// Waits until the training begins, or the program ends; what follows on standard error is thrown away.
fn until_training(child: &mut Child) {
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    lines.any(|line| line.is_ok_and(|line| line.starts_with("run ")));
    // A full pipe would stop the program.
    thread::spawn(move || lines.for_each(drop));
}

#[test]
fn run_killed_at_twenty_random_moments_ends_in_the_bytes_of_an_undisturbed_one() {
    let [whole, broken] = [folder(), folder()];
    // What it takes on this machine and at this moment.
    let started = Instant::now();
    let mut child = start(whole.path());
    until_training(&mut child);
    let to_begin = started.elapsed();
    assert!(child.wait().expect("it ends").success());
    let to_train = started.elapsed() - to_begin;

    let seed = std::env::var("TAKD_KILL_SEED").map_or(SEED, |seed| seed.parse().expect("a seed is a number"));
    let mut random = takd_rng::stream(seed, "kills");
    let mut hits = 0;
    let mut kills = Vec::new();
    for kill in 0..KILLS {
        // One in five before or as the training begins: while the checkpoint is read and the files are cut to it.
        let early = kill % 5 == 4;
        let share: f64 = random.random_range(0.0..1.0);
        let delay = if early { to_begin.mul_f64(1.1 * share) } else { (to_train / KILLS).mul_f64(share) };
        let mut child = start(broken.path());
        if !early {
            until_training(&mut child);
        }
        thread::sleep(delay);
        child.kill().expect("it can be killed");
        let hit = child.wait().expect("it ends").signal() == Some(9);
        hits += u32::from(hit);
        kills.push(format!(
            "{} {delay:.0?}{}",
            if early { "start +" } else { "training +" },
            if hit { "" } else { " (over)" }
        ));
    }
    println!("seed {seed}; undisturbed {to_begin:.0?} + {to_train:.0?}; killed at {}", kills.join(", "));
    assert!(hits >= 15, "only {hits} of {KILLS} kills hit the program at work");

    run(&mut distill(&["plane2"], broken.path(), &["--epochs", EPOCHS, "--quiet"]), 0);
    assert_equal_runs(&run_folders(broken.path())[0], &run_folders(whole.path())[0]);
    run(&mut runs(&["verify"], broken.path()), 0);
    // Nothing is left of the files that were being written.
    let names = |out: &Path| {
        let entries = run_folders(out)[0].read_dir().expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("a file").file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(broken.path()), names(whole.path()));
}

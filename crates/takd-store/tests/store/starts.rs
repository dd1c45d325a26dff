//! Who began or resumed a run.

use crate::countdown::{Countdown, begin, store};
use std::fs;
use takd_store::{Start, limits};

fn start(time: u64) -> Start {
    Start { command: vec!["countdown".into(), "3".into()], program: "countdown 0.1.0".into(), host: "pad".into(), time }
}

#[test]
fn first_start_and_the_last_twenty_are_kept() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    assert_eq!(store.starts(claim.id()).unwrap(), []);
    for time in 0..25 {
        claim.add_start(&start(time)).unwrap();
    }
    let times: Vec<u64> = store.starts(claim.id()).unwrap().into_iter().map(|start| start.time).collect();
    assert_eq!(times, [0].into_iter().chain(5..25).collect::<Vec<u64>>());
    assert_eq!(store.starts(claim.id()).unwrap()[20], start(24));
}

#[test]
fn damaged_lines_are_passed_over() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    claim.add_start(&start(1)).unwrap();
    let path = claim.path("starts.jsonl");
    let whole = fs::read(&path).unwrap();
    fs::write(&path, [b"\xff\n{}\n", &whole[..], &whole[..whole.len() / 2]].concat()).unwrap();
    assert_eq!(store.starts(claim.id()).unwrap(), [start(1)]);
    claim.add_start(&start(2)).unwrap();
    assert_eq!(store.starts(claim.id()).unwrap(), [start(1), start(2)]);
}

#[test]
fn command_of_any_length_can_be_kept_and_read_again() {
    let (_folder, store) = store();
    let claim = begin(&store, &Countdown::new(3));
    let mut long = start(1);
    long.command.extend(vec!["\u{1}".repeat(100); 100_000]);
    long.program = "λ".repeat(1 << 20);
    long.host = "\u{1}".repeat(1 << 20);
    for _ in 0..22 {
        claim.add_start(&long).unwrap();
    }
    assert!(fs::metadata(claim.path("starts.jsonl")).unwrap().len() < limits::STARTS);
    let starts = store.starts(claim.id()).unwrap();
    assert_eq!(starts.len(), 21);
    assert_eq!(starts[20].command[..2], start(1).command);
    assert_eq!(starts[20].command.last().unwrap(), "…");
}

#[test]
fn start_of_this_moment_names_the_machine() {
    let Start { host, time, .. } = Start::now(Vec::new(), String::new());
    assert!(time > 1_700_000_000);
    #[cfg(unix)]
    assert!(!host.is_empty());
    let _ = host;
}

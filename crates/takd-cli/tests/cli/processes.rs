//! Several processes that work in one folder.

use crate::common::{folder, program, run, runs, text};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

fn table(out: &Path) -> Command {
    let mut command = Command::new(program());
    command.args(["reproduce-table1", "--preset", "quick", "--cells", "plain/cifar10", "--seeds", "20,31"]);
    command.args(["--epochs", "1", "--limit", "100", "--out"]).arg(out);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

#[test]
fn four_processes_share_the_runs_of_a_table_and_train_each_once() {
    let out = folder();
    let children: Vec<_> = (0..4).map(|_| table(out.path()).spawn().expect("the program starts")).collect();
    let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().expect("it ends")).collect();
    let mut trained = BTreeMap::new();
    for output in &outputs {
        let progress = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{progress}");
        assert_eq!(output.stdout, outputs[0].stdout);
        // Every process is told of every run, of those that it trained as such.
        assert_eq!(progress.matches("trained, ").count(), 10, "{progress}");
        for (name, _) in progress.lines().filter_map(|line| line.split_once(": trained, ")) {
            *trained.entry(name.to_owned()).or_insert(0) += 1;
        }
    }
    assert_eq!((trained.len(), trained.values().sum::<i32>()), (10, 10), "{trained:?}");
    let verified = run(&mut runs(&["verify"], out.path()), 0);
    assert_eq!(text(&verified.stdout), "10 runs: all is whole\n");
}

//! `--search` and `takd study`.

use crate::common::{folder, json, program, run, takd, text, without_seconds};
use rand::RngExt;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

const RECIPE: &str = r#"
title = "Which λ and τ?"

[defaults]
epochs = 4
limit = 100

[[cell]]
name = "plain"
data = "shapes10"
paths = ["plane4 -> plane2", "plane2"]

[search]
trials = 7
window = 3
epochs = 3

[search.space]
lambda = { from = 0.25, to = 1.0, step = 0.25 }
temperature = [1, 5, 20]
"#;

fn recipe(folder: &Path) -> String {
    let path = folder.join("mine.toml");
    fs::write(&path, RECIPE).expect("a file");
    path.display().to_string()
}

fn ids(out: &Path) -> BTreeSet<String> {
    let folders = crate::common::run_folders(out);
    folders.iter().map(|folder| folder.file_name().expect("a name").to_string_lossy().into_owned()).collect()
}

#[test]
fn search_killed_at_ten_random_moments_ends_with_the_same_trials_whatever_the_number_of_jobs() {
    let whole = folder();
    let recipe = recipe(whole.path());
    let args = ["run", &recipe, "--json", "--quiet", "--out"];
    let report =
        |jobs: &str, out: &Path| without_seconds(json(&run(takd(&args).arg(out).args(["--jobs", jobs]), 0).stdout));
    let undisturbed = report("1", whole.path());
    let study = &undisturbed["cells"][0]["studies"][0];
    assert_eq!((study["trials"].as_array().expect("trials").len(), &study["ended"]), (7, &true.into()));
    let mut random = takd_rng::stream(1, "kills");
    for jobs in ["1", "2", "4"] {
        let broken = folder();
        for _ in 0..10 {
            let mut command = Command::new(program());
            command.args(args).arg(broken.path()).args(["--jobs", jobs]);
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
            thread::sleep(Duration::from_millis(random.random_range(20..500)));
            child.kill().expect("it can be killed");
            child.wait().expect("it ends");
        }
        assert_eq!(report(jobs, broken.path()), undisturbed, "{jobs} jobs");
        assert_eq!(ids(broken.path()), ids(whole.path()), "{jobs} jobs");
    }
}

#[test]
fn two_processes_share_a_search_and_find_the_same() {
    let [one, two] = [folder(), folder()];
    let recipe = recipe(one.path());
    let command = |out: &Path| {
        let mut command = Command::new(program());
        command.args(["run", &recipe, "--json", "--quiet", "--out"]).arg(out);
        command.stdout(Stdio::piped()).spawn().expect("it starts")
    };
    let alone = command(one.path()).wait_with_output().expect("it ends");
    let both = [command(two.path()), command(two.path())].map(|child| child.wait_with_output().expect("it ends"));
    for output in both {
        assert!(output.status.success());
        assert_eq!(without_seconds(json(&output.stdout)), without_seconds(json(&alone.stdout)));
    }
    assert_eq!(ids(two.path()), ids(one.path()));
}

#[test]
fn study_is_shown_while_it_goes_on_and_when_it_has_ended() {
    let out = folder();
    let recipe = recipe(out.path());
    let show =
        |more: &[&str], status| run(takd(&["study", "show", &recipe, "--out"]).arg(out.path()).args(more), status);
    let dry = text(&run(takd(&["run", &recipe, "--dry-run", "--out"]).arg(out.path()), 0).stdout);
    assert!(dry.contains("Searches name further runs as they go on"), "{dry}");
    // Of the search alone its teacher is trained.
    let teacher = ["distill", "plane4", "--data", "shapes10", "--limit", "100", "--epochs", "4", "--seeds", "1000"];
    run(takd(&teacher).arg("--out").arg(out.path()), 0);
    let begun = text(&show(&[], 0).stdout);
    assert!(begun.contains("Not ended: 3 trials are known of 7.") && begun.contains("running"), "{begun}");
    let trained = run(takd(&["run", &recipe, "--out"]).arg(out.path()), 0);
    let (said, printed) = (text(&trained.stderr), text(&trained.stdout));
    assert!(said.contains("trial 7 of 7: λ") && said.contains("best so far λ"), "{said}");
    assert!(printed.contains("What was found by trials") && printed.contains("is the best of 7 trials"), "{printed}");
    let studies = json(&show(&["--json"], 0).stdout);
    let trials = studies[0]["trials"].as_array().expect("trials");
    let winner = &trials[studies[0]["winner"].as_u64().expect("a winner") as usize - 1];
    assert_eq!((&winner["state"], trials.len()), (&"whole".into(), 7));
    assert_eq!(winner["values"][0]["setting"], "lambda");
    // What was found outlives the networks.
    for folder in crate::common::run_folders(out.path()) {
        for file in ["model.safetensors", "last.safetensors"] {
            fs::remove_file(folder.join(file)).expect("a finished run has it");
        }
    }
    let ended = text(&show(&[], 0).stdout);
    assert!(ended.contains(&format!("Best: trial {}", studies[0]["winner"])), "{ended}");
}

#[test]
fn search_is_asked_for_by_flags_too_and_refused_where_nobody_could_trust_it() {
    let out = folder();
    let distill = ["distill", "plane2", "plane2-narrow", "--data", "shapes10", "--limit", "100", "--epochs", "1"];
    let more = ["--trials", "2", "--json", "--quiet", "--out"];
    let report = json(&run(takd(&distill).args(more).arg(out.path()), 0).stdout);
    assert_eq!(report["cells"][0]["studies"][0]["trials"].as_array().expect("trials").len(), 2);
    let refused = text(&run(takd(&distill).args(["--search", "--seeds", "1000"]), 2).stderr);
    assert!(refused.contains("seed 1000 is the experiment's too"), "{refused}");
    let refused = text(&run(takd(&distill).args(["--search", "--temperature", "3"]), 2).stderr);
    assert!(refused.contains("τ is given, and it is also among what is searched"), "{refused}");
    let nothing = text(&run(takd(&["study", "show", "table1", "--out"]).arg(out.path()), 1).stderr);
    assert!(nothing.contains("cifar10"), "{nothing}");
}

//! `takd doctor`.

use crate::common::{cifar, damage, distill, folder, json, run, run_folders, takd, text};
use std::path::Path;

fn doctor(out: &Path, more: &[&str], status: i32) -> serde_json::Value {
    let mut command = takd(&["doctor", "--json", "--out"]);
    command.arg(out).args(more).env("HF_HUB_CACHE", out.join("hub")).env_remove("HF_HOME");
    json(&run(&mut command, status).stdout)
}

fn finding<'a>(found: &'a serde_json::Value, what: &str) -> &'a serde_json::Value {
    let mut findings = found["findings"].as_array().expect("findings").iter();
    findings.find(|finding| finding["what"] == what).unwrap_or_else(|| panic!("no {what} in {found}"))
}

#[test]
fn machine_without_results_and_data_has_nothing_wrong() {
    let out = folder();
    let elsewhere = out.path().join("elsewhere");
    let found = doctor(&elsewhere, &[], 0);
    assert_eq!(found["wrong"], 0);
    for what in ["version", "processor", "threads", "memory", "cuda", "disk", "results", "caches", "data", "runs"] {
        assert_ne!(finding(&found, what)["verdict"], "wrong", "{what}");
    }
    assert!(finding(&found, "processor")["values"]["vector_bits"].as_u64() >= Some(32));
    let cores = std::thread::available_parallelism().expect("cores").get();
    assert_eq!(finding(&found, "threads")["values"]["cores"], cores);
    assert_eq!(finding(&found, "results")["values"]["there"], false);
    assert_eq!(finding(&found, "data")["values"]["not_here"].as_array().map(Vec::len), Some(4));
    // Nothing is made for it.
    assert!(!elsewhere.exists() && !out.path().join("hub").exists());
    if cfg!(unix) {
        assert!(finding(&found, "disk")["values"]["free_bytes"].as_u64() > Some(0));
    }
}

#[test]
fn folder_of_results_is_tried_and_left_as_it_was_and_its_runs_are_counted() {
    let out = folder();
    run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--seeds", "1,2", "--quiet"]), 0);
    let before = run_folders(out.path());
    let found = doctor(out.path(), &[], 0);
    assert_eq!(run_folders(out.path()), before);
    assert_eq!(
        (&finding(&found, "results")["verdict"], &finding(&found, "runs")["values"]),
        (&"fine".into(), &serde_json::json!({ "finished": 2 }))
    );

    damage(&before[0].join("ending.json"));
    let found = doctor(out.path(), &[], 1);
    assert_eq!((&found["wrong"], &finding(&found, "runs")["verdict"]), (&1.into(), &"wrong".into()));
    assert_eq!(finding(&found, "runs")["values"], serde_json::json!({ "finished": 1, "damaged": 1 }));
    let printed = run(takd(&["doctor", "--out"]).arg(out.path()), 1);
    assert!(text(&printed.stdout).contains("`takd runs verify` says what is damaged"), "{}", text(&printed.stdout));
    assert_eq!(text(&printed.stderr), "1 thing is wrong\n");
}

#[test]
fn data_sets_are_found_where_they_are_named() {
    let [out, data] = [folder(), folder()];
    cifar::write(&data.path().join("cifar10/plain_text"));
    let data_dir = data.path().display().to_string();
    let found = doctor(out.path(), &["--data-dir", &data_dir], 0);
    assert_eq!(finding(&found, "cifar10")["values"]["here"], true);
    let missing = doctor(out.path(), &["--data-dir", "/no/such/folder"], 1);
    assert_eq!(finding(&missing, "caches")["verdict"], "wrong");
}

#[cfg(unix)]
#[test]
fn folder_that_cannot_be_written_into_is_wrong() {
    use std::os::unix::fs::PermissionsExt;
    let out = folder();
    let runs = out.path().join("runs");
    std::fs::create_dir(&runs).expect("a folder");
    std::fs::set_permissions(&runs, std::fs::Permissions::from_mode(0o555)).expect("permissions");
    // Whoever may write everywhere cannot be kept out.
    if std::fs::write(runs.join("x"), "").is_err() {
        let found = doctor(out.path(), &[], 1);
        assert_eq!(finding(&found, "results")["verdict"], "wrong");
        assert!(finding(&found, "results")["remedy"].as_str().is_some_and(|remedy| remedy.contains("--out")));
    }
    std::fs::set_permissions(&runs, std::fs::Permissions::from_mode(0o755)).expect("permissions");
}

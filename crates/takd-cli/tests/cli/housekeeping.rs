//! `takd runs gc`, `tag` and `note`.

use crate::common::{
    damage, distill, folder, id_of, ids, json, made_up_run, masked, program, run, run_folders, runs, show, text,
};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use takd_distill::Runs;

/// `plane4 → plane2`.
fn train_two(out: &Path) {
    run(&mut distill(&["plane4", "plane2"], out, &["--epochs", "2", "--quiet"]), 0);
}

/// A run of `plane6` that is trained until it is killed.
fn endless(out: &Path) -> Child {
    let mut command = Command::new(program());
    command.args(["distill", "plane6", "--data", "shapes10", "--limit", "100", "--epochs", "100000", "--out"]);
    let child = command.arg(out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("the program starts");
    let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    assert!(lines.any(|line| line.is_ok_and(|line| line.contains("epoch 2 of"))));
    std::thread::spawn(move || lines.for_each(drop));
    child
}

fn kill(mut child: Child) {
    child.kill().and_then(|()| child.wait()).expect("it ends");
}

fn gc(out: &Path, flags: &[&str]) -> serde_json::Value {
    json(&run(runs(&["gc", "--json"], out).args(flags), 0).stdout)
}

/// What can go, by kind, sorted.
fn kinds(collected: &serde_json::Value, of: &str) -> Vec<String> {
    let items = collected[of].as_array().expect("an array").iter();
    let mut kinds: Vec<String> = items.map(|item| item["what"].as_str().expect("a kind").to_owned()).collect();
    kinds.sort();
    kinds
}

/// Every file below a folder, with its length.
fn files(folder: &Path) -> Vec<(PathBuf, u64)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let bytes = path.metadata().expect("a file").len();
            found.push((path, bytes));
        }
    }
    found.sort();
    found
}

#[test]
fn what_can_go_is_told_and_nothing_is_deleted_before_yes() {
    let out = folder();
    train_two(out.path());
    let (before, teacher) = (files(out.path()), id_of("plane4", out.path()));
    insta::assert_snapshot!("gc", masked(&text(&run(&mut runs(&["gc"], out.path()), 0).stdout), out.path()));
    let told = gc(out.path(), &["--dry-run"]);
    assert_eq!(
        (kinds(&told, "items"), kinds(&told, "more")),
        (vec!["kept-logits".into()], vec!["checkpoint".into(); 2])
    );
    assert_eq!(files(out.path()), before);

    let deleted = gc(out.path(), &["--yes"]);
    let freed: u64 = before.iter().map(|(_, bytes)| bytes).sum::<u64>()
        - files(out.path()).iter().map(|(_, bytes)| bytes).sum::<u64>();
    // The claim's few bytes say who held it last.
    assert!(deleted["bytes"].as_u64().expect("bytes").abs_diff(freed) < 64, "{deleted}, {freed}");
    assert_eq!((&deleted["deleted"], &deleted["items"][0]["run"]), (&true.into(), &teacher.as_str().into()));
    assert!(text(&run(&mut runs(&["gc"], out.path()), 0).stdout).starts_with("Nothing is left over."));
    run(&mut runs(&["verify"], out.path()), 0);
    // Another student has the logits computed again, and the same ones.
    let mut another = distill(&["plane4", "plane2"], out.path(), &["--epochs", "2", "--lambda", "0.25", "--json"]);
    let found = json(&run(&mut another, 0).stdout);
    let fresh = folder();
    let mut same = distill(&["plane4", "plane2"], fresh.path(), &["--epochs", "2", "--lambda", "0.25", "--json"]);
    let expected = json(&run(&mut same, 0).stdout);
    assert_eq!(crate::common::without_seconds(found.clone()), crate::common::without_seconds(expected));
    assert_eq!(ids(&found).len(), 2);
}

#[test]
fn checkpoints_go_only_if_they_are_named_and_then_more_epochs_begin_anew() {
    let out = folder();
    run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--quiet"]), 0);
    gc(out.path(), &["--yes"]);
    assert!(run_folders(out.path())[0].join("last.safetensors").exists());
    let told = text(&run(&mut runs(&["gc"], out.path()), 0).stdout);
    assert!(told.contains("--checkpoints") && told.contains("--epochs of more would go on"), "{told}");
    assert_eq!(kinds(&gc(out.path(), &["--yes", "--checkpoints"]), "items"), ["checkpoint"]);
    assert!(!run_folders(out.path())[0].join("last.safetensors").exists());
    run(&mut runs(&["verify"], out.path()), 0);
    let said = text(&run(&mut distill(&["plane2"], out.path(), &["--epochs", "2"]), 0).stderr);
    assert!(said.contains("begins anew: its last checkpoint is gone"), "{said}");
}

#[test]
fn run_at_work_is_left_alone_and_a_killed_one_goes_only_if_it_is_asked_for() {
    let out = folder();
    let child = endless(out.path());
    let at_work = gc(out.path(), &["--yes", "--stopped", "--failed", "--checkpoints"]);
    assert_eq!((kinds(&at_work, "items"), kinds(&at_work, "more")), (Vec::<String>::new(), Vec::new()));
    kill(child);
    let run_folder = run_folders(out.path()).remove(0);
    fs::write(run_folder.join(".writing-abc"), "half").expect("a file");
    fs::write(run_folder.join("mine.txt"), "mine").expect("a file");
    let killed = gc(out.path(), &["--failed"]);
    // What a kill left of a run that goes is not told apart.
    assert_eq!((kinds(&killed, "items"), kinds(&killed, "more")), (Vec::<String>::new(), vec!["stopped-run".into()]));
    assert!(run_folder.join("last.safetensors").exists());
    // What no run wrote stays, and does not count.
    let own = files(&run_folder).into_iter().filter(|(path, _)| !path.ends_with("mine.txt"));
    assert_eq!(killed["more"][0]["bytes"], own.map(|(_, bytes)| bytes).sum::<u64>());
    let deleted = run(&mut runs(&["gc", "--stopped", "--yes"], out.path()), 0);
    assert!(text(&deleted.stderr).contains("left alone, because no run wrote it"), "{}", text(&deleted.stderr));
    assert_eq!(files(&run_folder), [(run_folder.join("mine.txt"), 4)]);
}

#[test]
fn leftovers_of_kills_and_runs_that_were_not_begun_go_and_damaged_and_foreign_runs_stay() {
    let out = folder();
    train_two(out.path());
    let config = crate::common::config_text(out.path());
    let foreign = made_up_run(&config.replace("schema = 1\n", "schema = 2\n"), out.path());
    let not_begun = out.path().join("runs/0123456789abcdef");
    fs::create_dir(&not_begun).expect("a folder");
    fs::write(not_begun.join("claim"), "process 1\n").expect("a file");
    let student = out.path().join("runs").join(id_of("plane2", out.path()));
    fs::write(student.join(".writing-abc"), "half").expect("a file");
    fs::copy(student.join("last.safetensors"), student.join("previous.safetensors")).expect("a copy");
    let unknown = out.path().join("runs/fedcba9876543210");
    fs::create_dir(&unknown).expect("a folder");
    fs::copy(student.join("last.safetensors"), unknown.join("last.safetensors")).expect("a copy");
    let teacher = out.path().join("runs").join(id_of("plane4", out.path()));
    damage(&teacher.join("ending.json"));

    let deleted = gc(out.path(), &["--yes", "--stopped", "--failed"]);
    assert_eq!(kinds(&deleted, "items"), ["leftover", "not-begun"]);
    assert!(unknown.join("last.safetensors").exists());
    assert!(foreign.exists() && teacher.join("logits-train-100-cpu-numerics3.safetensors").exists());
    assert!(
        !not_begun.exists() && !student.join(".writing-abc").exists() && !student.join("previous.safetensors").exists()
    );
}

#[cfg(unix)]
#[test]
fn half_written_files_beside_the_runs_go_after_a_day_and_links_are_not_followed() {
    let out = folder();
    train_two(out.path());
    gc(out.path(), &["--yes"]);
    let victim = out.path().join("precious");
    fs::write(&victim, "mine").expect("a file");
    let (old, new) = (out.path().join("tables/.writing-old"), out.path().join("cards/.writing-new"));
    for path in [&old, &new] {
        fs::write(path, "half").expect("a file");
    }
    let days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 60 * 60);
    fs::File::options().write(true).open(&old).and_then(|file| file.set_modified(days_ago)).expect("an old file");
    std::os::unix::fs::symlink(&victim, out.path().join("tables/.writing-link")).expect("a link");
    let run_folder = run_folders(out.path()).remove(0);
    for name in ["last.safetensors", "logits-test-2000-cpu-numerics3.safetensors", ".writing-x"] {
        let _ = fs::remove_file(run_folder.join(name));
        std::os::unix::fs::symlink(&victim, run_folder.join(name)).expect("a link");
    }
    let deleted = gc(out.path(), &["--yes"]);
    assert_eq!(
        (kinds(&deleted, "items"), &deleted["items"][0]["run"]),
        (vec!["leftover".into()], &serde_json::Value::Null)
    );
    assert!(!old.exists() && new.exists() && out.path().join("tables/.writing-link").exists());
    gc(out.path(), &["--yes", "--checkpoints"]);
    assert_eq!(fs::read_to_string(&victim).expect("it is left"), "mine");
    assert!(run_folder.join("last.safetensors").is_symlink());
}

#[cfg(unix)]
#[test]
fn half_written_recipes_and_folders_of_models_go_after_a_day() {
    let out = folder();
    let days_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(2 * 24 * 60 * 60);
    let age = |path: &Path| fs::File::open(path).and_then(|file| file.set_modified(days_ago)).expect("it becomes old");
    let path = |name: &str| out.path().join(name);
    for folder in
        ["recipes", "models/.writing-old", "models/.writing-new", "models/.writing-other/theirs", "models/mine", "runs"]
    {
        fs::create_dir_all(path(folder)).expect("a folder");
    }
    let old = ["recipes/.writing-recipe", "models/.writing-old/.writing-x", "models/.writing-old/config.json"];
    let stay = ["recipes/mine.toml", "models/mine/config.json", "models/.writing-new/config.json"];
    for name in old.iter().chain(&stay) {
        fs::write(path(name), "half").expect("a file");
        age(&path(name));
    }
    for folder in ["models/.writing-old", "models/.writing-other", "models/mine"] {
        age(&path(folder));
    }
    let told = gc(out.path(), &[]);
    assert_eq!((kinds(&told, "items").len(), &told["bytes"]), (2, &12.into()), "{told}");
    assert!(old.iter().all(|name| path(name).exists()));
    gc(out.path(), &["--yes"]);
    assert!(!path("recipes/.writing-recipe").exists() && !path("models/.writing-old").exists());
    // A folder in which somebody may be at work, and one that holds what takd does not write.
    assert!(stay.iter().all(|name| path(name).exists()) && path("models/.writing-other/theirs").exists());
}

#[test]
fn run_that_diverged_goes_with_failed_unless_it_has_a_note_or_a_student_that_stays() {
    let out = folder();
    train_two(out.path());
    let store = Runs::open(&out.path().join("runs")).expect("runs");
    let (teacher, student) = (id_of("plane4", out.path()), id_of("plane2", out.path()));
    let diverge = |id: &str| {
        let claim = store.claim(&id.parse().expect("an id")).expect("a claim").expect("nobody has it");
        let extent = takd_store::Journal::begin(&claim).and_then(|journal| journal.extent()).expect("a journal");
        claim
            .end(
                &takd_store::Ending::<takd_distill::RunResult>::Failed("epoch 1: the loss is NaN".into()),
                &extent,
                &[],
            )
            .expect("an ending");
    };
    diverge(&teacher);
    let kept = gc(out.path(), &["--yes", "--failed"]);
    assert_eq!((kinds(&kept, "items"), &kept["kept"][0]["run"]), (Vec::<String>::new(), &teacher.as_str().into()));
    assert!(kept["kept"][0]["why"].as_str().is_some_and(|why| why.contains(&student)), "{kept}");

    diverge(&student);
    run(&mut runs(&["note", &student, "why?"], out.path()), 0);
    let kept = gc(out.path(), &["--yes", "--failed"]);
    assert_eq!((kinds(&kept, "items"), kept["kept"].as_array().map(Vec::len)), (Vec::<String>::new(), Some(2)));
    run(&mut runs(&["note", &student, "--remove"], out.path()), 0);
    assert_eq!(kinds(&gc(out.path(), &["--yes", "--failed"]), "items"), ["failed-run"; 2]);
    assert_eq!(run_folders(out.path()), [] as [&Path; 0]);
}

#[test]
fn runs_are_found_again_by_tags_and_have_a_note_that_changes_nothing_of_them() {
    let out = folder();
    train_two(out.path());
    let (teacher, student) = (id_of("plane4", out.path()), id_of("plane2", out.path()));
    let listed = text(&run(&mut runs(&["ls"], out.path()), 0).stdout);
    assert!(!listed.contains("tags"), "{listed}");
    let tag = |words: &[&str], status| run(&mut runs(&[&["tag"], words].concat(), out.path()), status);
    assert_eq!(text(&tag(&[&student], 0).stdout), format!("run {student}: no tags\n"));
    assert_eq!(text(&tag(&[&student, "paper", "baseline"], 0).stdout), format!("run {student}: baseline, paper\n"));
    tag(&[&teacher, "paper"], 0);
    insta::assert_snapshot!(
        "tags",
        masked(&text(&run(&mut runs(&["ls", "--sort", "path"], out.path()), 0).stdout), out.path())
    );
    let count = |flags: &[&str]| {
        let listed = json(&run(runs(&["ls", "--json"], out.path()).args(flags), 0).stdout);
        listed.as_array().expect("an array").len()
    };
    assert_eq!((count(&["--tag", "paper"]), count(&["--tag", "baseline"]), count(&["--tag", "other"])), (2, 1, 0));
    assert_eq!(count(&["--tag", "paper", "--tag", "baseline"]), 1);
    assert_eq!(text(&tag(&[&student, "--remove", "paper"], 0).stdout), format!("run {student}: baseline\n"));

    let note = |words: &[&str], status| run(&mut runs(&[&["note"], words].concat(), out.path()), status);
    assert_eq!(text(&note(&[&student], 0).stdout), "no note\n");
    note(&[&student, "the first that worked\nλ = 0.5 \u{1b}[31m"], 0);
    let shown = text(&run(&mut runs(&["show", &student], out.path()), 0).stdout);
    assert!(shown.contains("tags: baseline\nnote: the first that worked\n      λ = 0.5 \\u{1b}[31m\n"), "{shown}");
    let shown = show(&student, out.path());
    assert_eq!(
        (&shown["tags"][0], &shown["note"]),
        (&"baseline".into(), &"the first that worked\nλ = 0.5 \u{1b}[31m".into())
    );
    run(&mut runs(&["verify"], out.path()), 0);
    let again = text(&run(&mut distill(&["plane4", "plane2"], out.path(), &["--epochs", "2"]), 0).stderr);
    assert!(!again.contains(": trained,"), "{again}");
    note(&[&student, "--remove"], 0);
    tag(&[&student, "--remove", "baseline"], 0);
    assert!(!out.path().join("runs").join(&student).join("annotation.json").exists());

    for (words, expected, status) in [
        (&["tag", &student, "two words"][..], "is not a tag", 2),
        (&["tag", &student, "--remove"], "none is named", 1),
        (&["tag", "zzz", "x"], "takd runs ls", 1),
        (&["note", &student, &"x".repeat(9000)], "a note has at most 8192 bytes", 1),
        (&["note", &student, "text", "--remove"], "cannot be used with", 2),
    ] {
        let message = text(&run(&mut runs(words, out.path()), status).stderr);
        assert!(message.contains(expected), "{words:?}: {message}");
    }
}

#[test]
fn damaged_annotation_is_named_and_hides_no_run() {
    let out = folder();
    run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--quiet"]), 0);
    let annotation = run_folders(out.path())[0].join("annotation.json");
    fs::write(&annotation, "{\"tags\": [\"\\u001b[31m\"]}").expect("a file");
    let id = id_of("plane2", out.path());
    for command in [&["tag", &id, "x"][..], &["note", &id, "x"], &["verify"]] {
        let output = run(&mut runs(command, out.path()), 1);
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(said.contains("annotation.json") && !said.contains('\u{1b}'), "{command:?}: {said}");
    }
    let verified = text(&run(&mut runs(&["verify"], out.path()), 1).stdout);
    assert!(
        verified.contains("no training repairs annotation.json") && !verified.contains("to repair it"),
        "{verified}"
    );
    assert_eq!(fs::read_to_string(&annotation).expect("it is left"), "{\"tags\": [\"\\u001b[31m\"]}");
}

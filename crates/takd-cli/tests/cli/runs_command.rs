//! `takd runs`.

use crate::common::{
    assert_equal_runs, damage, distill, folder, id_of, json, masked, program, run, run_folders, runs, show, takd, text,
};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

/// `plane4 → plane2`, trained in `out`.
fn train_two(out: &Path) {
    run(&mut distill(&["plane4", "plane2"], out, &["--epochs", "2", "--quiet"]), 0);
}

/// The same, trained once for all tests.
fn two_runs(out: &Path) {
    static FILES: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    let files = FILES.get_or_init(|| {
        let trained = folder();
        train_two(trained.path());
        let folders = run_folders(trained.path()).into_iter();
        let paths =
            folders.flat_map(|folder| folder.read_dir().expect("a folder").map(|entry| entry.expect("a file").path()));
        let read = |path: PathBuf| {
            let relative = path.strip_prefix(trained.path()).expect("a path in the folder").to_owned();
            (relative, fs::read(path).expect("a file"))
        };
        paths.map(read).collect()
    });
    for (path, bytes) in files {
        let path = out.join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        fs::write(path, bytes).expect("the file is written");
    }
}

/// A run that is trained until it is killed.
struct Endless(Child);

impl Endless {
    fn start(out: &Path) -> Self {
        let mut command = Command::new(program());
        command.args(["distill", "plane6", "--data", "shapes10", "--limit", "100", "--epochs", "100000", "--out"]);
        let child = command.arg(out).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut child = child.expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.contains("epoch 2 of"))));
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The last command that `takd runs show` gives.
fn again(id: &str, out: &Path) -> assert_cmd::Command {
    let shown = show(id, out);
    let start = shown["starts"].as_array().expect("starts").last().expect("a start");
    let words: Vec<&str> =
        start["command"].as_array().expect("a command").iter().map(|word| word.as_str().expect("a word")).collect();
    assert_eq!(Path::new(words[0]).file_stem().expect("a program"), "takd");
    takd(&words[1..])
}

#[test]
fn runs_are_listed_and_shown_with_all_that_is_known_of_them() {
    let out = folder();
    // In the order of time, which copies would not keep.
    train_two(out.path());
    let (teacher, student) = (id_of("plane4", out.path()), id_of("plane2", out.path()));
    insta::assert_snapshot!("ls", masked(&text(&run(&mut runs(&["ls"], out.path()), 0).stdout), out.path()));
    let shown = text(&run(&mut runs(&["show", &student], out.path()), 0).stdout);
    let sizes_end = shown.find("\nFiles:").expect("a list of files");
    insta::assert_snapshot!("show", masked(&shown[..sizes_end], out.path()));
    assert!(shown[sizes_end..].contains("model.safetensors"), "{shown}");

    let shown = json(&run(&mut runs(&["show", &teacher[..6], "--json"], out.path()), 0).stdout);
    assert_eq!((&shown["network"], &shown["students"][0]["run"]), (&"plane4".into(), &student.as_str().into()));
    let files = shown["files"].as_array().expect("files").iter().map(|file| file["name"].as_str().expect("a name"));
    assert!(
        files.clone().any(|name| name == "logits-train-100-cpu-numerics3.safetensors"),
        "{:?}",
        files.collect::<Vec<_>>()
    );
}

#[test]
fn command_that_a_run_is_shown_with_is_the_one_that_trains_it() {
    let out = folder();
    run(&mut distill(&["plane4", "plane2"], out.path(), &["--epochs", "1", "--lambda", "0.25"]), 0);
    run(&mut distill(&["resnet8"], out.path(), &["--epochs", "1", "--protocol", "paper", "--replays", "2"]), 0);
    let mut quick = takd(&["reproduce-table1", "--preset", "quick", "--cells", "plain/cifar10", "--epochs", "1"]);
    run(quick.args(["--limit", "50", "--protocol", "code", "--out"]).arg(out.path()), 0);
    let list = json(&run(&mut runs(&["ls", "--json"], out.path()), 0).stdout);
    let list = list.as_array().expect("an array");
    assert_eq!(list.len(), 3 + 5);
    for id in list.iter().map(|run| run["id"].as_str().expect("an id")) {
        // The command has the run among its own, and finds all of these trained.
        let output = run(again(id, out.path()).arg("--json"), 0);
        assert!(text(&output.stdout).contains(id) && !text(&output.stderr).contains(": trained,"), "{output:?}");
    }
}

#[test]
fn run_is_finished_running_unfinished_or_damaged_and_none_breaks_the_list() {
    let out = folder();
    two_runs(out.path());
    let state = |network: &str| {
        let list = json(&run(&mut runs(&["ls", "--json"], out.path()), 0).stdout);
        let run = list.as_array().expect("an array").iter().find(|run| run["network"] == network).cloned();
        run.expect("a run of that network")
    };
    let endless = Endless::start(out.path());
    let running = state("plane6");
    assert_eq!((&running["state"], &running["epochs"]), (&"running".into(), &100_000.into()));
    assert!(running["epochs_done"].as_u64() >= Some(1), "{running}");
    let refused = text(&run(&mut runs(&["rm", running["id"].as_str().expect("an id")], out.path()), 1).stderr);
    assert!(refused.contains("another process works on the run"), "{refused}");
    drop(endless);
    assert_eq!(state("plane6")["state"], "unfinished");
    let shown = text(&run(&mut runs(&["show", running["id"].as_str().expect("an id")], out.path()), 0).stdout);
    assert!(shown.contains("of 100000 epochs are over") && shown.contains("So far, after epoch"), "{shown}");

    damage(&out.path().join("runs").join(id_of("plane2", out.path())).join("ending.json"));
    assert_eq!(state("plane2")["state"], "damaged");
    // A folder of an older version, whose configuration says what is no longer known.
    let old = out.path().join("runs/0123456789abcdef");
    fs::create_dir(&old).expect("a folder");
    fs::write(old.join("config.toml"), "numerics = 1\nspeed = 9\n").expect("a file");
    let list = json(&run(&mut runs(&["ls", "--json"], out.path()), 0).stdout);
    let list = list.as_array().expect("an array");
    let of_old = list.iter().find(|run| run["id"] == "0123456789abcdef").expect("it is listed");
    assert_eq!((list.len(), &of_old["state"]), (4, &"damaged".into()));
    assert!(of_old["problem"].as_str().is_some_and(|problem| problem.contains("config.toml")), "{of_old}");
    let shown = text(&run(&mut runs(&["show", "0123"], out.path()), 0).stdout);
    assert!(shown.contains("a run whose configuration cannot be read") && shown.contains("state: damaged"), "{shown}");
    // It can be got rid of.
    run(&mut runs(&["rm", "0123"], out.path()), 0);
    assert!(!old.exists());
}

#[test]
fn damaged_file_is_found_and_the_command_named_with_it_repairs_it() {
    let out = folder();
    two_runs(out.path());
    let [whole, student] = [folder().keep(), out.path().join("runs").join(id_of("plane2", out.path()))];
    for name in ["config.toml", "metrics.jsonl", "model.safetensors", "ending.json"] {
        fs::copy(student.join(name), whole.join(name)).expect("a copy");
    }
    run(&mut runs(&["verify"], out.path()), 0);
    damage(&student.join("model.safetensors"));
    let found = run(&mut runs(&["verify"], out.path()), 1);
    insta::assert_snapshot!("verify", masked(&text(&found.stdout), out.path()));
    assert_eq!(text(&found.stderr), "2 runs, 1 damaged\n");
    let teacher = id_of("plane4", out.path());
    assert_eq!(text(&run(&mut runs(&["verify", &teacher], out.path()), 0).stdout), "1 run: all is whole\n");

    let found = json(&run(&mut runs(&["verify", "--json"], out.path()), 1).stdout);
    assert_eq!(found[0]["findings"][0]["file"], student.join("model.safetensors").display().to_string());
    let command: Vec<&str> = found[0]["command"].as_str().expect("a command").split(' ').collect();
    run(&mut takd(&command[1..]), 0);
    run(&mut runs(&["verify"], out.path()), 0);
    assert_equal_runs(&student, &whole);
    fs::remove_dir_all(whole).expect("the copy is deleted");
}

#[test]
fn run_that_teaches_is_deleted_with_its_students_or_by_force() {
    let [one, two] = [folder(), folder()];
    two_runs(one.path());
    let (teacher, student) = (id_of("plane4", one.path()), id_of("plane2", one.path()));
    let refused = run(&mut runs(&["rm", &teacher], one.path()), 1);
    insta::assert_snapshot!("rm", masked(&text(&refused.stderr), one.path()));
    assert_eq!(run_folders(one.path()).len(), 2);

    let deleted = run(&mut runs(&["rm", &teacher, "--force"], one.path()), 0);
    assert!(text(&deleted.stdout).starts_with(&format!("deleted run {teacher}: plane4 on shapes10, seed 31, ")));
    let orphan = run(&mut runs(&["verify"], one.path()), 1);
    assert!(text(&orphan.stdout).contains("it is the teacher's run"), "{}", text(&orphan.stdout));

    two_runs(two.path());
    run(&mut runs(&["rm", &teacher, &student], two.path()), 0);
    assert_eq!(run_folders(two.path()), [] as [&Path; 0]);
}

#[test]
fn what_is_no_run_is_refused() {
    let out = folder();
    let nowhere = text(&run(&mut runs(&["ls"], &out.path().join("elsewhere")), 1).stderr);
    assert!(nowhere.contains("elsewhere") && nowhere.contains("--out"), "{nowhere}");
    assert!(!out.path().join("elsewhere").exists());
    two_runs(out.path());
    let none = text(&run(&mut runs(&["show", "zzz"], out.path()), 1).stderr);
    assert!(none.contains("`zzz`") && none.contains("takd runs ls"), "{none}");
    let several = text(&run(&mut runs(&["rm", ""], out.path()), 1).stderr);
    assert!(several.contains("2 runs"), "{several}");
    run(&mut takd(&["runs", "rm"]), 2);
}

#[test]
fn paths_are_compared_seed_by_seed_and_image_by_image() {
    let out = folder();
    for path in [&["plane2"][..], &["plane4", "plane2"]] {
        run(&mut distill(path, out.path(), &["--seeds", "1,2", "--epochs", "2", "--quiet"]), 0);
    }
    let compare = |first: &str, second: &str, more: &[&str], status| {
        run(runs(&["compare", first, second], out.path()).args(more), status)
    };
    let printed = text(&compare("plane4 -> plane2", "plane2", &[], 0).stdout);
    assert!(printed.starts_with("plane4 → plane2, less plane2, on shapes10\n"), "{printed}");
    assert!(printed.contains("over seeds ") && printed.contains("paired over 2000 test images"), "{printed}");

    let compared = json(&compare("plane4 -> plane2", "plane2", &["--json"], 0).stdout);
    let accuracies = |side: &str| {
        let runs = compared[side]["runs"].as_array().expect("runs").iter();
        runs.map(|run| run["test_accuracy"].as_f64().expect("a number")).collect::<Vec<_>>()
    };
    let (first, second) = (accuracies("first"), accuracies("second"));
    let mean = (first.iter().sum::<f64>() - second.iter().sum::<f64>()) / 2.0;
    assert!((compared["test_accuracy"]["mean"].as_f64().expect("a mean") - mean).abs() < 1e-12);
    assert_eq!(compared["over_images"]["images"], 2000);

    // The same by ids; and the other way round.
    let ids = |side: &str| {
        let runs = compared[side]["runs"].as_array().expect("runs").iter();
        runs.map(|run| run["run"].as_str().expect("an id")).collect::<Vec<_>>().join(",")
    };
    let swapped = json(&compare(&ids("second"), &ids("first"), &["--json"], 0).stdout);
    assert_eq!(swapped["test_accuracy"]["mean"].as_f64(), compared["test_accuracy"]["mean"].as_f64().map(|mean| -mean));

    // What cannot be compared is refused, with what could be done.
    run(&mut distill(&["plane2"], out.path(), &["--seeds", "1", "--epochs", "1", "--quiet"]), 0);
    let refused = |first, second, more: &[&str]| text(&compare(first, second, more, 1).stderr);
    assert!(refused("plane2", "plane4", &[]).contains("--epochs"));
    assert!(refused("plane6", "plane4", &[]).contains("no runs of plane6"));
    assert!(refused("plane4 -> plane7", "plane4", &[]).contains("plane7"));
    assert!(refused("plane2", "plane4", &["--data", "cifar10"]).contains("no runs of plane2"));
    let (seed_1, seed_2) = (ids("first"), ids("second"));
    let (seed_1, seed_2) = (seed_1.split(',').next().unwrap(), seed_2.split(',').next_back().unwrap());
    assert!(refused(seed_1, seed_2, &[]).contains("no seed is finished on both sides"));
}

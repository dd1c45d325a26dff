//! `takd runs` over many runs, odd runs, and runs of other versions.

use crate::common::{config_text, distill, folder, id_of, json, made_up_run, run, run_folders, runs, text};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};
use takd_distill::{RunConfig, Runs};
use takd_store::{Configuration, Ending, Journal};

fn one_run(out: &Path) {
    run(&mut distill(&["plane2"], out, &["--epochs", "1", "--quiet"]), 0);
}

#[test]
fn five_hundred_runs_are_listed_without_reading_a_network() {
    let out = folder();
    one_run(out.path());
    let store = Runs::open(&out.path().join("runs")).expect("runs");
    let [first] = <[_; 1]>::try_from(store.ids().expect("ids")).expect("one run");
    let result = store.outcome(&first).expect("it reads").expect("it is finished");
    let config = config_text(out.path());
    for seed in 1000..1499 {
        let config =
            RunConfig::parse(&config.replace("seed = 31\n", &format!("seed = {seed}\n"))).expect("a configuration");
        let claim = store.claim(&config.id()).expect("a claim").expect("nobody has it");
        claim.write_config(&config).expect("a file");
        let extent = Journal::begin(&claim).and_then(|journal| journal.extent()).expect("a journal");
        // A terabyte in all, of which the disk holds nothing: no test would live to see it read.
        let network = fs::File::create(claim.path("model.safetensors")).expect("a file");
        network.set_len(2 << 30).expect("a sparse file");
        claim.end(&Ending::Finished(result.clone()), &extent, &["model.safetensors"]).expect("an ending");
    }
    let list = || {
        let mut ls = runs(&["ls", "--json"], out.path());
        let started = Instant::now();
        let listed = run(ls.timeout(Duration::from_secs(20)), 0).stdout;
        (started.elapsed(), listed)
    };
    // Of several, because a machine may have other work; it takes a tenth of that.
    let (fastest, listed) = (0..5).map(|_| list()).min_by_key(|(took, _)| *took).expect("five");
    assert!(fastest < Duration::from_secs(1), "{fastest:?}");
    let listed = json(&listed);
    let listed = listed.as_array().expect("an array");
    assert_eq!(listed.len(), 500);
    assert!(listed.iter().all(|run| run["state"] == "finished" && run["test_accuracy"].is_number()));
}

#[test]
fn run_of_another_version_is_listed_as_foreign_left_alone_and_never_called_damaged() {
    let out = folder();
    one_run(out.path());
    let config = config_text(out.path());
    let others = [
        config.replace("seed = 31\n", "seed = 31\nwizardry = true\n"),
        config.replace("schema = 1\n", "schema = 2\n"),
        config.replace("numerics = 3\n", "numerics = 99\n"),
        config.replace("[training]\n", "[training]\nwarm_up = 5\n"),
    ];
    let start = r#"{"command":["takd","distill"],"program":"takd 0.9.7","host":"there","time":1700000000}"#;
    for other in &others {
        let other_run = made_up_run(other, out.path());
        fs::write(other_run.join("starts.jsonl"), format!("{start}\n")).expect("a file");
        let id = other_run.file_name().expect("an id").to_str().expect("text");

        let listed = json(&run(&mut runs(&["ls", "--json", "--state", "foreign"], out.path()), 0).stdout);
        let found = listed.as_array().expect("an array").iter().find(|run| run["id"] == id);
        let problem = found.expect("it is listed as foreign")["problem"].as_str().expect("a problem").to_owned();
        let this = format!("this is takd {}", env!("CARGO_PKG_VERSION"));
        assert!(
            problem.contains("left alone") && problem.contains("made by takd 0.9.7") && problem.contains(&this),
            "{problem}"
        );

        let shown = text(&run(&mut runs(&["show", id], out.path()), 0).stdout);
        assert!(shown.contains("state: foreign") && shown.contains("2023-11-14"), "{shown}");
        let verified = run(&mut runs(&["verify"], out.path()), 0);
        let verified = format!("{}{}", text(&verified.stdout), text(&verified.stderr));
        // Of other numerics, but of a known form: every file is whole.
        assert!(verified.contains("foreign") || other.contains("numerics = 99"), "{verified}");
        for said in [&shown, &verified, &problem] {
            assert!(!said.contains("damaged") && !said.contains("repair"), "{said}");
        }
    }
    // Training beside them touches none.
    run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--seeds", "1,31", "--quiet"]), 0);
    for other in &others {
        let other_run = made_up_run(other, out.path());
        assert_eq!(fs::read_dir(other_run).expect("a folder").count(), 2);
    }
    assert_eq!(run_folders(out.path()).len(), 2 + others.len());
}

#[test]
fn runs_that_differ_only_in_their_settings_differ_in_the_list() {
    let out = folder();
    for flags in [&["--lambda", "0.25"][..], &["--temperature", "2"], &["--protocol", "code"], &["--limit", "90"]] {
        let mut command = crate::common::takd(&["distill", "plane2", "plane2", "--data", "shapes10", "--epochs", "1"]);
        let limit: &[&str] = if flags[0] == "--limit" { &[] } else { &["--limit", "100"] };
        run(command.args(flags).args(limit).args(["--quiet", "--out"]).arg(out.path()), 0);
    }
    let listed = text(&run(&mut runs(&["ls", "--network", "plane2", "--sort", "path"], out.path()), 0).stdout);
    let students: Vec<&str> = listed.lines().filter(|line| line.contains("plane2 → plane2")).collect();
    assert_eq!(students.len(), 4, "{listed}");
    let row_with = |parts: &[&str]| {
        students.iter().any(|row| parts.iter().all(|part| row.split_whitespace().any(|word| word == *part)))
    };
    assert!(row_with(&["0.25", "5", "sound", "100"]), "{listed}");
    assert!(row_with(&["0.5", "2", "sound", "100"]), "{listed}");
    assert!(row_with(&["0.5", "5", "code", "100"]), "{listed}");
    assert!(row_with(&["0.5", "5", "sound", "90"]), "{listed}");
    assert!(students.iter().all(|row| row.ends_with("KiB") && row.contains("-") && row.contains(':')), "{listed}");
}

#[test]
fn list_is_filtered_and_sorted() {
    let out = folder();
    run(&mut distill(&["plane4", "plane2"], out.path(), &["--epochs", "1", "--seeds", "1,2", "--quiet"]), 0);
    let list = |flags: &[&str]| -> Vec<serde_json::Value> {
        let listed = json(&run(&mut runs(&[&["ls", "--json"], flags].concat(), out.path()), 0).stdout);
        listed.as_array().expect("an array").clone()
    };
    assert_eq!(list(&[]).len(), 4);
    assert!(list(&["--seed", "2"]).iter().all(|run| run["seed"] == 2) && list(&["--seed", "2"]).len() == 2);
    assert_eq!(list(&["--network", "plane4"]).len(), 4);
    assert_eq!(list(&["--network", "plane2"]).len(), 2);
    assert_eq!((list(&["--data", "cifar10"]).len(), list(&["--data", "shapes10"]).len()), (0, 4));
    assert_eq!((list(&["--state", "damaged"]).len(), list(&["--state", "finished"]).len()), (0, 4));
    assert_eq!(list(&["--path", "plane4 -> plane2"]).len(), 2);
    assert_eq!((list(&["--lambda", "0.5"]).len(), list(&["--lambda", "0.4"]).len()), (2, 0));
    assert_eq!((list(&["--temperature", "5"]).len(), list(&["--epochs", "1"]).len()), (2, 4));
    assert_eq!((list(&["--protocol", "sound"]).len(), list(&["--protocol", "paper"]).len()), (4, 0));
    for (flags, expected) in [
        (["--seed", "x"], "a seed is a whole number"),
        (["--lambda", "2"], "λ is a number from 0 to 1"),
        (["--temperature", "0"], "τ is a number above 0"),
        (["--epochs", "0"], "a number of epochs is a whole number"),
        (["--network", "plane3"], "did you mean `plane2` or `plane4`?"),
        (["--path", "plane4 ->"], "empty step"),
        (["--tag", "two words"], "is not a tag"),
    ] {
        let message = text(&run(runs(&["ls"], out.path()).args(flags), 2).stderr);
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
    let ids = |flags: &[&str]| list(flags).iter().map(|run| run["id"].clone()).collect::<Vec<_>>();
    let mut reversed = ids(&["--sort", "path", "--reverse"]);
    reversed.reverse();
    assert_eq!(reversed, ids(&["--sort", "path"]));
    let ascending = |flags: &[&str], field: &str| {
        let values: Vec<f64> = list(flags).iter().map(|run| run[field].as_f64().expect("a number")).collect();
        assert!(values.is_sorted(), "{field}: {values:?}");
    };
    ascending(&["--sort", "accuracy"], "test_accuracy");
    ascending(&["--sort", "size"], "bytes");
    ascending(&["--sort", "date"], "started");
    ascending(&["--sort", "seed"], "seed");
    let csv = text(&run(&mut runs(&["ls", "--format", "csv", "--sort", "path"], out.path()), 0).stdout);
    assert_eq!(csv.lines().count(), 5);
    assert!(csv.starts_with("id,path,dataset,train_images,seed,lambda,temperature,protocol,epochs_done,"), "{csv}");
    assert!(csv.contains(",plane4 → plane2,shapes10,100,1,0.5,5.0,sound,1,1,finished,0."), "{csv}");
}

#[test]
fn list_and_check_agree_on_a_student_whose_teacher_is_gone() {
    let out = folder();
    run(&mut distill(&["plane4", "plane2"], out.path(), &["--epochs", "1", "--quiet"]), 0);
    let (teacher, student) = (id_of("plane4", out.path()), id_of("plane2", out.path()));
    run(&mut runs(&["rm", "--force", &teacher], out.path()), 0);
    let listed = json(&run(&mut runs(&["ls", "--json"], out.path()), 0).stdout);
    assert_eq!((&listed[0]["id"], &listed[0]["state"]), (&student.as_str().into(), &"no-teacher".into()));
    let verified = run(&mut runs(&["verify", "--json"], out.path()), 1);
    let found = json(&verified.stdout);
    assert_eq!((&found[0]["run"], &found[0]["state"]), (&student.as_str().into(), &"no-teacher".into()));
    assert_eq!(text(&verified.stderr), "1 run, 1 no-teacher\n");
    let shown = text(&run(&mut runs(&["show", &student], out.path()), 0).stdout);
    assert!(shown.contains("state: finished; a teacher of it has no result any more"), "{shown}");
}

#[test]
fn deleting_what_is_not_there_says_nothing_of_a_run_that_goes_on() {
    let out = folder();
    one_run(out.path());
    let message = text(&run(&mut runs(&["rm", "zzz"], out.path()), 1).stderr);
    assert!(!message.contains("goes on") && message.contains("takd runs ls"), "{message}");
}

//! `takd distill`.

use crate::common::{assert_equal_runs, distill, folder, ids, json, masked, run, run_folders, runs, show, text};

#[test]
fn path_of_three_is_trained_step_by_step_and_shares_its_beginning_with_others() {
    let out = folder();
    let flags = ["--epochs", "2", "--lambda", "0.3,0.7", "--temperature", "4"];
    let first = run(&mut distill(&["plane4 -> plane4->plane2"], out.path(), &flags), 0);
    insta::assert_snapshot!(masked(&text(&first.stdout), out.path()));
    // The same in the shell's own words, for a script; nothing is trained.
    let again = run(distill(&["plane4", "plane4", "plane2"], out.path(), &flags).arg("--json"), 0);
    assert!(!text(&again.stderr).contains(": trained,"), "{}", text(&again.stderr));
    assert_eq!(text(&again.stderr).matches(": already trained,").count(), 3);
    let report = json(&again.stdout);
    let (list, ids) = (report["cells"][0]["paths"].as_array().expect("an array"), ids(&report));
    let configs: Vec<_> = ids.iter().map(|id| show(id, out.path())["config"].take()).collect();
    let of = |place: usize| (&list[place]["path"], &configs[place]["distillation"]);
    assert_eq!(of(0), (&"plane4".into(), &serde_json::Value::Null));
    assert_eq!(
        (of(1).0, &of(1).1["lambda"], &of(1).1["temperature"]),
        (&"plane4 → plane4".into(), &0.3.into(), &4.0.into())
    );
    assert_eq!((of(2).0, &of(2).1["lambda"]), (&"plane4 → plane4 → plane2".into(), &0.7.into()));
    assert_eq!(of(2).1["teachers"][0], *ids[1]);
    assert!(list.iter().all(|path| path["runs"][0]["test_accuracy"].is_number()));
    // Of another path with the same beginning only the end is new.
    let other = run(&mut distill(&["plane4", "plane2"], out.path(), &flags[..2]), 0);
    assert_eq!(text(&other.stderr).matches(": trained,").count(), 1);
}

#[cfg(not(feature = "cuda"))]
#[test]
fn device_that_the_program_was_built_without_is_an_error_of_one_line_with_the_remedy() {
    let out = folder();
    let output = run(&mut distill(&["plane2"], out.path(), &["--device", "cuda"]), 1);
    let message = text(&output.stderr);
    assert!(message.contains("--features cuda") && message.contains("--device cpu"), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn two_networks_teach_a_third_together() {
    let out = folder();
    let output = run(&mut distill(&["plane2+plane4", "plane2"], out.path(), &["--epochs", "1", "--json"]), 0);
    let report = json(&output.stdout);
    let ids = ids(&report);
    assert_eq!(report["cells"][0]["paths"][2]["path"], "plane2 + plane4 → plane2");
    let teachers = &show(&ids[2], out.path())["config"]["distillation"]["teachers"];
    assert_eq!(*teachers, serde_json::json!([ids[0], ids[1]]));
    run(&mut runs(&["verify"], out.path()), 0);
}

#[test]
fn wrong_arguments_are_refused_with_what_would_be_right() {
    let out = folder();
    let refused: [(&[&str], &[&str], &str); 9] = [
        (&["plane4", "plane2"], &["--lambda", "0.1,0.2"], "λ has 2 values, and the path plane4 → plane2 has 1 step"),
        (
            &["plane4", "plane4", "plane2"],
            &["--temperature", "1,2,3"],
            "has 2 steps: give one value, or one for each step",
        ),
        (&["plane3", "plane2"], &[], "unknown network `plane3`; did you mean `plane2` or `plane4`?"),
        (&["plane4+plane4", "plane2"], &[], "stands twice in one stage"),
        (&["plane4->"], &[], "empty step in `plane4->`, column 9"),
        (&["plane2"], &["--data-dir", "data"], "--data shapes10 trains on built-in images and reads no --data-dir"),
        (&["plane4", "plane2"], &["--lambda", "2"], "λ is a number from 0 to 1"),
        (&["plane2"], &["--jobs", "0"], "invalid value '0' for '--jobs"),
        (&[], &[], "PATH"),
    ];
    for (path, flags, expected) in refused {
        let message = text(&run(&mut distill(path, out.path(), flags), 2).stderr);
        assert!(message.contains(expected) && message.contains("--help"), "{path:?} {flags:?}: {message}");
    }
    assert!(!out.path().join("runs").exists());
}

#[test]
fn equal_commands_end_in_equal_bytes_whatever_is_said_of_progress() {
    let [one, two] = [folder(), folder()];
    run(&mut distill(&["plane2"], one.path(), &["--epochs", "2"]), 0);
    let quiet = run(&mut distill(&["plane2"], two.path(), &["--epochs", "2", "--quiet"]), 0);
    assert_eq!(text(&quiet.stderr), "");
    assert_equal_runs(&run_folders(two.path())[0], &run_folders(one.path())[0]);
}

#[test]
fn number_of_threads_changes_no_byte() {
    let [one, three] = [folder(), folder()];
    for (out, threads) in [(&one, "1"), (&three, "3")] {
        run(&mut distill(&["plane2"], out.path(), &["--epochs", "2", "--threads", threads]), 0);
    }
    assert_equal_runs(&run_folders(one.path())[0], &run_folders(three.path())[0]);
}

//! What newcomers are told.

use crate::common::{distill, folder, json, run, run_folders, takd, text};
use std::fs;
use std::time::{Duration, Instant};

#[test]
fn number_of_threads_is_capped_at_the_cores_with_one_line() {
    let out = folder();
    let started = Instant::now();
    let said = text(&run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--threads", "100000"]), 0).stderr);
    let cores = std::thread::available_parallelism().expect("cores");
    assert_eq!(said.matches("--threads 100000: this machine has ").count(), 1, "{said}");
    assert!(said.contains(&format!("has {cores} core")), "{said}");
    assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
}

#[test]
fn any_number_of_jobs_is_taken_for_as_many_as_there_are_runs() {
    let out = folder();
    let flags = ["--epochs", "1", "--seeds", "1,2", "--jobs", "20000"];
    let said = text(&run(&mut distill(&["plane2"], out.path(), &flags), 0).stderr);
    assert_eq!(said.matches(": trained, ").count(), 2, "{said}");
}

#[test]
fn wrong_values_are_refused_in_words_that_say_what_is_right() {
    let refused: [(&[&str], &str); 12] = [
        (&["--epochs", "0"], "a number of epochs is a whole number of 1 or more, as in 160"),
        (&["--limit", "2k"], "a number of images is a whole number of 1 or more, as in 2000"),
        (&["--limit", "0"], "a number of images is a whole number of 1 or more, as in 2000"),
        (&["--seeds", "1..x"], "a range such as `1..5`"),
        (&["--seeds", "-1"], "seed"),
        (&["--lambda", "-0.1"], "λ is a number from 0 to 1, as in 0.5"),
        (&["--lambda", "nan"], "λ is a number from 0 to 1, as in 0.5"),
        (&["--temperature", "inf"], "τ is a number above 0, as in 5"),
        (&["--device", "gpu"], "an NVIDIA GPU is `cuda`, an Apple GPU is `metal`"),
        (&["--device", "mps"], "an Apple GPU is `metal`"),
        (&["--jobs", "many"], "a whole number of 1 or more, as in 4"),
        (&["--data", "svhn"], "the known ones are cifar10, cifar100, mnist, fashion-mnist, shapes10, shapes100"),
    ];
    for (flags, expected) in refused {
        let out = folder();
        let message = text(&run(takd(&["distill", "plane4", "plane2", "--out"]).arg(out.path()).args(flags), 2).stderr);
        assert!(message.contains(expected), "{flags:?}: {message}");
        for word in ["non-zero type", "invalid digit", "tip: "] {
            assert!(!message.contains(word), "{flags:?}: {message}");
        }
        assert!(!out.path().join("runs").exists());
    }
}

#[test]
fn range_of_seeds_is_each_of_them() {
    let out = folder();
    let said = text(&run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--seeds", "4..6"]), 0).stderr);
    for seed in 4..=6 {
        assert!(said.contains(&format!("plane2 on shapes10, seed {seed}: trained")), "{said}");
    }
}

#[test]
fn wrong_paths_are_refused_with_the_nearest_name_or_the_place() {
    let refused: [(&[&str], &str); 6] = [
        (&["plane3"], "unknown network `plane3`; did you mean `plane2` or `plane4`?"),
        (&["Plane10"], "did you mean `plane10`?"),
        (&["resnet18"], "did you mean `resnet20` or `imagenet-resnet18`?"),
        (&["plane10->"], "empty step in `plane10->`"),
        (&["plane4->->plane2"], "empty step in `plane4->->plane2`"),
        (&["plane10", "+"], "no network beside `+`"),
    ];
    let out = folder();
    for (path, expected) in refused {
        let message = text(&run(&mut distill(path, out.path(), &[]), 2).stderr);
        assert!(message.contains(expected) && message.lines().count() < 8, "{path:?}: {message}");
        assert!(!message.contains("quotes"), "{path:?}: {message}");
    }
}

#[test]
fn epochs_may_be_said_for_each_network() {
    let out = folder();
    let epochs = |value: &str| {
        let command = &mut distill(&["plane4", "plane2"], out.path(), &["--dry-run", "--json", "--epochs", value]);
        let listed = json(&run(command, 0).stdout);
        listed["runs"].as_array().expect("runs").iter().map(|run| run["epochs"].as_u64()).collect::<Vec<_>>()
    };
    assert_eq!(epochs("plane2=3,2"), [Some(2), Some(3)]);
    assert_eq!(epochs("plane2=3"), [Some(150), Some(3)]);
    for (wrong, expected) in [
        ("plane3=2", "did you mean `plane2`"),
        ("plane2=0", "whole number"),
        ("plane2=3,plane2=4", "second number"),
        ("3,4", "second number"),
        ("plane2=", "whole number"),
    ] {
        let said = text(&run(&mut distill(&["plane2"], out.path(), &["--epochs", wrong]), 2).stderr);
        assert!(said.contains(expected), "{wrong}: {said}");
    }
}

#[test]
fn arrow_may_be_a_word_of_its_own() {
    let out = folder();
    let plan = |path: &[&str]| {
        let command = &mut distill(path, out.path(), &["--dry-run", "--json", "--epochs", "1"]);
        let listed = json(&run(command, 0).stdout);
        let runs = listed["runs"].as_array().expect("runs").iter();
        runs.map(|run| run["id"].as_str().expect("an id").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(plan(&["plane4", "->", "plane2"]), plan(&["plane4", "plane2"]));
    run(&mut distill(&["->"], out.path(), &[]), 2);
}

#[test]
fn arrow_that_the_shell_took_is_answered_with_the_hint_on_quotes() {
    let out = folder();
    // `takd distill plane10->plane2` and `takd distill plane10 -> plane2`, as a shell hands them on.
    for path in [&["plane10-"][..], &["plane10", "-"], &["plane10-", "plane2"]] {
        let message = text(&run(&mut distill(path, out.path(), &[]), 2).stderr);
        assert!(
            message.contains("quotes, as in 'plane10->plane2', or as words: plane10 plane2"),
            "{path:?}: {message}"
        );
    }
}

#[test]
fn settings_without_effect_and_a_seed_that_may_be_meant_as_a_number_are_each_told_in_a_line() {
    let out = folder();
    let said = text(
        &run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--lambda", "0.3", "--seeds", "2"]), 0).stderr,
    );
    assert_eq!(said.matches("--lambda and --temperature change nothing: plane2 has no teacher").count(), 1, "{said}");
    assert_eq!(said.matches("--seeds 2 is one seed, the number 2; several are 1,2,3 or 1..3").count(), 1, "{said}");
    let mut other = distill(&["plane2"], out.path(), &["--epochs", "1", "--seeds", "31"]);
    let said = text(&run(&mut other, 0).stderr);
    assert!(!said.contains("is one seed"), "{said}");
}

#[test]
fn finished_run_goes_on_for_more_epochs_or_it_is_told_why_not() {
    let out = folder();
    let train = |networks: &[&str], epochs: &str| {
        text(&run(&mut distill(networks, out.path(), &["--epochs", epochs]), 0).stderr)
    };
    let told = |said: &str| said.contains("goes on from the end") || said.contains("begins anew");
    let plane = ["plane4", "plane2"];
    assert!(!told(&train(&plane, "1")));
    let said = train(&plane, "2");
    assert_eq!(said.matches("goes on from the end of the finished run").count(), 1, "{said}");
    assert!(said.contains("plane4 on shapes10, seed 31: goes on") && said.contains(" of 1 epoch"), "{said}");
    // What is finished needs no word, nor what has another seed.
    assert!(!told(&train(&plane, "2")));
    assert!(!told(&text(&run(&mut distill(&plane, out.path(), &["--epochs", "2", "--seeds", "77"]), 0).stderr)));

    let resnet = ["resnet8"];
    train(&resnet, "3");
    let said = train(&resnet, "2");
    assert!(said.contains(" of 3 epochs is left as it is, and one of 2 begins anew: a finished run is kept"), "{said}");
    // Of 3 epochs the rate falls in the third, of 8 in the fifth; of 2 in the second.
    assert!(train(&resnet, "8").contains("begins anew: the learning rate changes in other epochs"));
    for run in run_folders(out.path()) {
        fs::remove_file(run.join("last.safetensors")).unwrap();
    }
    assert!(train(&plane, "3").contains("begins anew: its last checkpoint is gone"));
}

#[test]
fn network_at_chance_level_is_pointed_out_in_one_line() {
    let out = folder();
    let printed = text(&run(&mut distill(&["plane2"], out.path(), &["--epochs", "1", "--seeds", "1,2"]), 0).stdout);
    assert_eq!(printed.matches("At chance level: plane2, seeds 1, 2").count(), 1, "{printed}");
}

#[test]
fn result_of_a_run_is_called_test_accuracy() {
    let out = folder();
    let said = text(&run(&mut distill(&["plane2"], out.path(), &["--epochs", "1"]), 0).stderr);
    assert!(said.contains(": trained, test accuracy "), "{said}");
    assert!(!said.contains("of the test images"), "{said}");
}

#[test]
fn commands_with_a_quick_preset_name_it_to_those_without_images_and_others_do_not() {
    let out = folder();
    let recipe = out.path().join("mine.toml");
    let cell = "[[cell]]\nname = \"one\"\ndata = \"cifar10\"\npaths = [\"plane2\"]\n";
    fs::write(&recipe, format!("title = \"Mine\"\nlayout = \"paths\"\n{cell}")).expect("a file");
    let recipe = recipe.display().to_string();
    let commands: [(&[&str], bool, bool); 4] = [
        (&["reproduce-table1"], true, false),
        (&["run", "table1"], true, false),
        (&["run", &recipe], false, false),
        (&["distill", "plane2"], false, true),
    ];
    for (words, quick, drawn) in commands {
        let mut command = takd(words);
        command.args(["--offline", "--data-dir"]).arg(out.path()).arg("--out").arg(out.path());
        let message = text(&run(&mut command, 1).stderr);
        assert_eq!(message.contains("--preset quick"), quick, "{words:?}: {message}");
        assert_eq!(message.contains("--data shapes10"), drawn, "{words:?}: {message}");
    }
}

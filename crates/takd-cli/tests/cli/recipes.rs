//! `takd run` and `takd recipe`.

use crate::common::{folder, json, run, run_folders, takd, text};
use std::fs;
use std::path::Path;

/// What a newcomer makes of the shipped recipe with three lines changed: other seeds, fewer epochs and images.
fn mine(folder: &Path) -> String {
    let recipe = text(&run(&mut takd(&["recipe", "show", "table1"]), 0).stdout);
    let changed = [
        ("seeds = [31]", "seeds = [1, 2]"),
        ("epochs = 6\n", "epochs = 1\n"),
        ("drawn = { train = 2500, test = 1000 }", "drawn = { train = 200, test = 100 }"),
    ];
    let mine = changed.iter().fold(recipe, |recipe, (old, new)| {
        assert_eq!(recipe.matches(old).count(), 1, "{old}");
        recipe.replace(old, new)
    });
    let path = folder.join("mine.toml");
    fs::write(&path, mine).expect("a file");
    path.display().to_string()
}

#[test]
fn recipe_of_ones_own_is_the_shipped_one_with_three_lines_changed() {
    let out = folder();
    let mine = mine(out.path());
    let mut command = takd(&["run", &mine, "--preset", "quick", "--cells", "plain/cifar10", "--json", "--out"]);
    let report = json(&run(command.arg(out.path()), 0).stdout);
    let cell = &report["cells"][0];
    assert_eq!((&cell["dataset"], &cell["seeds"]), (&"shapes10".into(), &serde_json::json!([1, 2])));
    assert_eq!((&cell["train_images"], crate::common::ids(&report).len()), (&200.into(), 10));
    assert!(cell["paths"].as_array().expect("paths").iter().all(|path| path["test_accuracy"]["n"] == 2));
}

#[test]
fn wrong_recipe_is_refused_with_its_line_before_anything_is_trained() {
    let out = folder();
    let path = mine(out.path());
    let recipe = fs::read_to_string(&path).expect("the recipe");
    let wrong = [
        ("lambda = 0.5", "lamda = 0.5", "did you mean `lambda`?"),
        ("paths = [\"plane2\",", "paths = [\"plane3\",", "unknown network `plane3`"),
        ("temperature = 5.0", "temperature = -1", "temperature"),
        ("layout = \"methods\"", "layout = methods", "mine.toml"),
    ];
    for (right, wrong, expected) in wrong {
        fs::write(&path, recipe.replacen(right, wrong, 1)).expect("a file");
        let line = 1 + recipe[..recipe.find(right).expect("it is there")].matches('\n').count();
        let message = text(&run(takd(&["run", &path, "--out"]).arg(out.path()), 1).stderr);
        let expected_place = format!("mine.toml:{line}:");
        assert!(message.contains(&expected_place) && message.contains(expected), "no {expected_place} in {message}");
    }
    assert!(!out.path().join("runs").exists());
}

#[test]
fn dry_run_lists_the_runs_and_trains_nothing() {
    let out = folder();
    let mine = mine(out.path());
    let dry = |more: &[&str]| {
        let mut command = takd(&["run", &mine, "--preset", "quick", "--cells", "plain/cifar10", "--dry-run", "--out"]);
        run(command.arg(out.path()).args(more), 0)
    };
    let planned = json(&dry(&["--json"]).stdout);
    let runs = planned["runs"].as_array().expect("runs");
    assert_eq!(runs.len(), 10);
    for run in runs {
        assert_eq!(run["state"], "to train");
        assert!(run["gmac"].as_f64() > Some(0.0) && run["seconds"].as_f64() > Some(0.0), "{run}");
        assert!(run["bytes"].as_u64() > Some(0), "{run}");
    }
    assert!(text(&dry(&[]).stdout).contains("10 runs, 10 to train: about "));
    let csv = text(&dry(&["--format", "csv"]).stdout);
    assert!(csv.starts_with("id,path,dataset,seed,state,") && csv.lines().count() == 1 + 10, "{csv}");
    assert!(!out.path().join("runs").exists() || run_folders(out.path()).is_empty());

    // A run that is done is known as such.
    let mut one = takd(&["run", &mine, "--preset", "quick", "--cells", "plain/cifar10", "--seeds", "1", "--out"]);
    run(one.arg(out.path()), 0);
    let planned = json(&dry(&["--json"]).stdout);
    let done = planned["runs"].as_array().expect("runs").iter().filter(|run| run["state"] == "done");
    assert!(done.clone().all(|run| run["seed"] == 1 && run["seconds"] == 0.0));
    assert_eq!(done.count(), 5);
}

#[cfg(unix)]
#[test]
fn recipe_may_be_a_link_to_one_and_a_folder_is_refused_as_such() {
    let out = folder();
    let link = out.path().join("link.toml");
    std::os::unix::fs::symlink(mine(out.path()), &link).expect("a link");
    let link = link.display().to_string();
    let dry = ["run", &link, "--preset", "quick", "--cells", "plain/cifar10", "--dry-run", "--out"];
    run(takd(&dry).arg(out.path()), 0);
    let message = text(&run(takd(&["run"]).arg(out.path()), 1).stderr);
    assert!(message.contains("is a folder, and a recipe is a file"), "{message}");
}

#[test]
fn recipes_are_listed_and_an_unknown_one_is_refused_with_the_list() {
    let listed = json(&run(&mut takd(&["recipe", "list", "--json"]), 0).stdout);
    assert_eq!(listed[0]["name"], "table1");
    for args in [&["recipe", "show", "table7"][..], &["run", "table7"]] {
        let message = text(&run(&mut takd(args), 1).stderr);
        assert!(message.contains("table7") && message.contains("there are: table1"), "{message}");
    }
}

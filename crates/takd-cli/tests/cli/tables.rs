//! The tables that are printed and kept.

use crate::common::{distill, folder, id_of, json, program, run, runs, tables, takd, text};
use assert_cmd::Command;
use std::fs;
use std::path::Path;
use takd_distill::{RunResult, Runs};
use takd_store::{Ending, Journal, RunId};

fn table1(out: &Path, more: &[&str]) -> Command {
    let mut command = takd(&["reproduce-table1", "--preset", "quick", "--epochs", "1", "--limit", "50", "--out"]);
    command.arg(out).args(more);
    command
}

/// Ends a run as one whose training diverged.
fn end_as_diverged(id: &str, out: &Path) {
    let runs = Runs::open(&out.join("runs")).expect("runs");
    let id: RunId = id.parse().expect("an id");
    let claim = runs.claim(&id).expect("a claim").expect("nobody has it");
    let extent = Journal::begin(&claim).and_then(|journal| journal.extent()).expect("a journal");
    let reason = "the loss was not finite in step 1".to_owned();
    claim.end(&Ending::<RunResult>::Failed(reason), &extent, &[]).expect("an ending");
}

#[test]
fn smaller_table_is_kept_beside_the_larger_one() {
    let out = folder();
    run(&mut table1(out.path(), &["--cells", "plain/cifar10,plain/cifar100"]), 0);
    let [larger] = tables(out.path(), "md").try_into().expect("one table");
    let before = fs::read(&larger).expect("a table");
    run(&mut table1(out.path(), &["--cells", "plain/cifar10"]), 0);
    assert_eq!(fs::read(&larger).expect("a table"), before);
    assert_eq!((tables(out.path(), "md").len(), tables(out.path(), "csv").len()), (2, 2));
}

#[test]
fn several_seeds_are_printed_with_mean_deviation_and_interval_and_the_table_is_kept() {
    let out = folder();
    let flags = ["--epochs", "1", "--seeds", "1..3"];
    let printed = text(&run(&mut distill(&["plane2"], out.path(), &flags), 0).stdout);
    let row = printed.lines().find(|line| line.starts_with("plane2  ") && line.contains(" ± ")).expect("a row");
    assert!(row.contains(" to ") && row.ends_with(" 3"), "{row}");
    assert!(printed.contains("95 % interval"), "{printed}");
    let [markdown] = tables(out.path(), "md").try_into().expect("one table");
    let markdown_text = fs::read_to_string(&markdown).expect("a table");
    assert!(markdown_text.contains(" ± ") && markdown_text.contains("95 % interval"), "{markdown_text}");
    assert!(printed.contains(&markdown.with_extension("").display().to_string()), "{printed}");

    let report = json(&run(distill(&["plane2"], out.path(), &flags).arg("--json"), 0).stdout);
    let accuracy = &report["cells"][0]["paths"][0]["test_accuracy"];
    assert_eq!(accuracy["n"], 3);
    let [mean, deviation] = ["mean", "standard_deviation"].map(|name| accuracy[name].as_f64().expect(name));
    assert!((0.0..1.0).contains(&mean) && deviation > 0.0, "{accuracy}");
}

#[test]
fn page_is_printed_and_kept_with_every_run_and_its_learning_curves() {
    let out = folder();
    let flags = ["--epochs", "2", "--seeds", "1,2", "--quiet", "--format", "html"];
    let printed = text(&run(&mut distill(&["plane4", "plane2"], out.path(), &flags), 0).stdout);
    let [kept] = tables(out.path(), "html").try_into().expect("one page");
    assert_eq!(fs::read_to_string(kept).expect("a page").trim_end(), printed.trim_end());
    assert!(printed.starts_with("<!DOCTYPE html>") && printed.contains("Learning curves"), "{printed}");
    for path in ["plane4", "plane2"] {
        assert!(printed.contains(&id_of(path, out.path())), "{printed}");
    }
    // The command, and the form that is hashed.
    assert!(printed.contains("--epochs 2 --seeds 1,2") && printed.contains("schema = 1"), "{printed}");
    let refused = run(distill(&["plane2"], out.path(), &["--format", "html"]).arg("--dry-run"), 1);
    assert!(text(&refused.stderr).contains("--dry-run"), "{}", text(&refused.stderr));
}

#[test]
fn csv_has_a_named_column_a_value_and_a_row_a_run_with_shares_from_0_to_1() {
    let out = folder();
    let flags = ["--epochs", "1", "--seeds", "1,2", "--quiet", "--format", "csv"];
    let printed = text(&run(&mut distill(&["plane4", "plane2"], out.path(), &flags), 0).stdout);
    let rows: Vec<Vec<&str>> = printed.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + 4, "{printed}");
    let column = |name: &str| rows[0].iter().position(|&column| column == name).expect(name);
    for row in &rows[1..] {
        assert_eq!(row.len(), rows[0].len(), "{printed}");
        let accuracy: f64 = row[column("test_accuracy")].parse().expect("a number");
        assert!((0.0..=1.0).contains(&accuracy), "{printed}");
        assert_eq!((row[column("dataset")], row[column("protocol")]), ("shapes10", "sound"));
    }
    let seeds: Vec<&str> = rows[1..].iter().map(|row| row[column("seed")]).collect();
    assert_eq!(seeds, ["1", "2", "1", "2"]);
    assert_eq!(rows[4][column("lambda")], "0.5");
    let [kept] = tables(out.path(), "csv").try_into().expect("one table");
    assert_eq!(fs::read_to_string(kept).expect("a table"), printed);
}

#[test]
fn methods_are_compared_over_the_seeds_that_both_have_and_each_says_how_many_it_has() {
    let out = folder();
    let flags = ["--cells", "plain/cifar10", "--seeds", "1,2,3"];
    let first = json(&run(table1(out.path(), &flags).arg("--json"), 0).stdout);
    let paths = first["cells"][0]["paths"].as_array().expect("paths");
    let blkd = paths.iter().find(|path| path["path"] == "plane10 → plane2").expect("BLKD");
    let of_seed_2 = blkd["runs"].as_array().expect("runs").iter().find(|run| run["seed"] == 2).expect("seed 2");
    end_as_diverged(of_seed_2["run"].as_str().expect("an id"), out.path());

    let output = run(table1(out.path(), &flags).arg("--json"), 1);
    assert!(text(&output.stderr).contains("--retry"), "{}", text(&output.stderr));
    let report = json(&output.stdout);
    let cell = &report["cells"][0];
    for path in cell["paths"].as_array().expect("paths") {
        let n = if path["path"] == "plane10 → plane2" { 2 } else { 3 };
        assert_eq!(path["test_accuracy"]["n"], n, "{}", path["path"]);
    }
    for difference in cell["comparisons"].as_array().expect("comparisons") {
        let of_blkd = difference["path"] == "plane10 → plane2" || difference["minus"] == "plane10 → plane2";
        let seeds = if of_blkd { serde_json::json!([1, 3]) } else { serde_json::json!([1, 2, 3]) };
        assert_eq!(difference["seeds"], seeds, "{difference}");
    }
    let printed = text(&run(&mut table1(out.path(), &flags), 1).stdout);
    assert!(printed.contains("n = 2"), "{printed}");

    // It is not trained again until that is asked for.
    run(table1(out.path(), &flags).arg("--retry"), 0);
    assert_eq!(
        json(&run(&mut runs(&["ls", "--json", "--state", "diverged"], out.path()), 0).stdout),
        serde_json::json!([])
    );
}

#[test]
fn run_that_diverged_is_listed_as_such_and_ends_the_command_with_its_reason() {
    let out = folder();
    let flags = ["--epochs", "1", "--quiet"];
    run(&mut distill(&["plane4", "plane2"], out.path(), &flags), 0);
    let [teacher, student] = ["plane4", "plane2"].map(|network| id_of(network, out.path()));
    run(&mut runs(&["rm", &student], out.path()), 0);
    end_as_diverged(&teacher, out.path());
    let output = run(&mut distill(&["plane4", "plane2"], out.path(), &flags), 1);
    let message = text(&output.stderr);
    for part in
        ["plane4 on shapes10, seed 31: ", "the loss was not finite in step 1", "its teacher has no result", "--retry"]
    {
        assert!(message.contains(part), "no {part} in {message}");
    }
    let listed = text(&run(&mut runs(&["ls", "--state", "diverged"], out.path()), 0).stdout);
    assert!(listed.contains(&teacher), "{listed}");
}

#[cfg(target_os = "linux")]
#[test]
fn dumb_terminal_gets_lines_as_a_pipe_does() {
    let out = folder();
    let command = format!(
        "{} distill plane2 --data shapes10 --limit 100 --epochs 1 --out {}",
        program().display(),
        out.path().display()
    );
    let mut terminal = std::process::Command::new("script");
    let output = terminal.args(["-qec", &command, "/dev/null"]).env("TERM", "dumb").output();
    let Ok(output) = output else { return println!("skipped: no `script` here") };
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}");
    for part in ["run 1 of 1: plane2 on shapes10, seed 31", "epoch 1 of 1: loss", "trained, test accuracy"] {
        assert!(said.contains(part), "no {part} in {said}");
    }
    assert!(!said.contains('\u{1b}'), "{said:?}");
}

#[cfg(target_os = "linux")]
#[test]
fn tables_and_lists_fit_a_terminal_of_eighty_columns_and_have_no_lines_in_a_pipe() {
    let out = folder();
    let flags = ["--cells", "plain/cifar10", "--seeds", "1,2"];
    let piped = text(&run(&mut table1(out.path(), &flags), 0).stdout);
    assert!(!piped.contains('│') && !piped.contains('─'), "{piped}");
    let program = program().display();
    let out = out.path().display();
    let table = format!("{program} reproduce-table1 --preset quick --epochs 1 --limit 50 {} --quiet", flags.join(" "));
    for command in [table, format!("{program} runs ls")] {
        let command = format!("stty cols 80 rows 24; {command} --out {out}");
        let output = std::process::Command::new("script").args(["-qec", &command, "/dev/null"]).output();
        let Ok(output) = output else { return println!("skipped: no `script` here") };
        let said = text(&output.stdout);
        assert!(output.status.success() && said.contains("plane10"), "{said}");
        // Sentences may be broken by the terminal; rows may not.
        let is_sentence = |line: &str| line.starts_with("All: ") || line.starts_with("The same as a page");
        let wide = said.lines().find(|line| line.trim_end().chars().count() > 80 && !is_sentence(line));
        assert_eq!(wide, None, "{said}");
    }
}

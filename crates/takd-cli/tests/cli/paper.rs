//! The commands of the paper's tables and figures, reports of what they trained, and all of them together.

use crate::common::{folder, json, run, run_folders, tables, takd, text};
use std::fs;
use std::path::Path;

/// A command of the paper in the smallest form that it has.
fn small(command: &str, out: &Path, more: &[&str]) -> assert_cmd::Command {
    let mut command = takd(&[command, "--preset", "quick", "--epochs", "1", "--limit", "60", "--quiet"]);
    command.args(["--cells", "plain/cifar10", "--out"]).arg(out).args(more);
    command
}

/// Its report, of runs that there are.
fn report(recipe: &str, out: &Path, more: &[&str]) -> assert_cmd::Command {
    let mut command = takd(&["report", recipe, "--preset", "quick", "--epochs", "1", "--limit", "60"]);
    command.args(["--cells", "plain/cifar10", "--out"]).arg(out).args(more);
    command
}

#[test]
fn sweeps_share_their_runs_and_reports_need_nothing_but_them() {
    let out = folder();
    let sweep_ta = text(&run(&mut small("sweep-ta", out.path(), &[]), 0).stdout);
    assert!(sweep_ta.contains("nearest to the line") && sweep_ta.contains("trying each"), "{sweep_ta}");
    let trained = run_folders(out.path()).len();
    // Five sizes alone, three taught by the largest, the student by way of each and straight.
    assert_eq!(trained, 5 + 3 + 4);
    run(&mut small("sweep-student", out.path(), &[]), 0);
    assert_eq!(run_folders(out.path()).len(), trained, "sweep-student needs nothing more");
    let sweep_teacher = text(&run(&mut small("sweep-teacher", out.path(), &[]), 0).stdout);
    assert_eq!(run_folders(out.path()).len(), trained + 3);
    assert!(sweep_teacher.contains("entropy") && sweep_teacher.contains("calibration"), "{sweep_teacher}");

    // A report is the command's own table, and trains nothing.
    let printed = text(&run(&mut report("sweep-teacher", out.path(), &[]), 0).stdout);
    assert!(sweep_teacher.starts_with(printed.trim_end()), "{printed}\n{sweep_teacher}");
    let several = run(report("sweep-ta", out.path(), &["--json"]).arg("sweep-student"), 0);
    assert_eq!(json(&several.stdout).as_array().map(Vec::len), Some(2));
    let csv = text(&run(report("sweep-ta", out.path(), &["--format", "csv"]).arg("sweep-student"), 0).stdout);
    assert_eq!(csv.matches("cell,dataset,").count(), 1, "{csv}");

    // What is not trained is said, and nothing is begun.
    let paths = text(&run(&mut report("paths", out.path(), &["--budget", "1e12"]), 0).stdout);
    assert!(paths.contains("Not finished: ") && paths.contains("For at most 1.00e12 multiply-adds"), "{paths}");
    assert_eq!(run_folders(out.path()).len(), trained + 3);
    let poor = text(&run(&mut report("paths", out.path(), &["--budget", "1"]), 0).stdout);
    assert!(poor.contains("No path that has a result takes at most 1.00e0"), "{poor}");

    let budget = text(&run(&mut small("paths", out.path(), &["--budget", "1e13"]), 0).stdout);
    assert!(budget.contains("For at most 1.00e13 multiply-adds the best path"), "{budget}");

    // Figures are files.
    let figures = out.path().join("figures");
    let mut command = report("sweep-ta", out.path(), &["--figures"]);
    run(command.arg(&figures), 0);
    let written: Vec<_> = figures.read_dir().expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    assert!(written.len() >= 2, "{written:?}");
    for figure in written.iter().filter(|path| path.extension().is_some_and(|ending| ending == "svg")) {
        assert!(fs::read_to_string(figure).expect("a figure").starts_with("<svg"), "{}", figure.display());
    }
    assert_eq!(tables(out.path(), "html").len(), 4);
}

#[test]
fn report_of_what_is_not_there_says_what_is_missing() {
    let out = folder();
    let refused = |command: &mut assert_cmd::Command, status| text(&run(command, status).stderr);
    let message = refused(&mut report("table1", out.path(), &[]), 1);
    assert!(message.contains("there are no runs"), "{message}");
    fs::create_dir(out.path().join("runs")).expect("a folder");
    let message = refused(&mut report("table1", out.path(), &[]), 1);
    assert!(message.contains("nothing is known of shapes10"), "{message}");
    assert!(refused(&mut report("table2", out.path(), &[]), 1).contains("table1, sweep-ta"));
    assert!(refused(&mut report("table1", out.path(), &["--budget", "-1"]), 2).contains("2.5e14"));
    let mut two_pages = report("table1", out.path(), &["--format", "html"]);
    assert!(refused(two_pages.arg("paths"), 2).contains("several pages"));
}

#[test]
fn everything_of_a_cell_is_one_plan_and_each_recipe_has_its_table() {
    let out = folder();
    let listed = json(&run(&mut small("all", out.path(), &["--dry-run", "--json"]), 0).stdout);
    let runs = listed["runs"].as_array().expect("runs");
    let ids: std::collections::BTreeSet<_> = runs.iter().map(|run| run["id"].to_string()).collect();
    assert_eq!(ids.len(), runs.len());
    let reports = json(&run(&mut small("all", out.path(), &["--json"]), 0).stdout);
    // All recipes that have the cell; versus and landscape have others.
    assert_eq!(reports.as_array().map(Vec::len), Some(5));
    assert_eq!(run_folders(out.path()).len(), runs.len());
    let refused = text(&run(takd(&["all", "--cells", "plain/cifar11", "--out"]).arg(out.path()), 2).stderr);
    assert!(refused.contains("no recipe has a cell `plain/cifar11`"), "{refused}");
    let cells = "plain/cifar10,plain/cifar1O";
    let refused = text(&run(takd(&["all", "--preset", "quick", "--cells", cells, "--out"]).arg(out.path()), 2).stderr);
    assert!(refused.contains("no recipe has a cell `plain/cifar1O`"), "{refused}");
}

#[test]
fn loss_around_students_is_looked_at_once_and_reported() {
    let out = folder();
    let arguments = ["--preset", "quick", "--epochs", "1", "--limit", "60", "--cells", "plain/cifar100", "--out"];
    let look = |more: &[&str]| {
        let mut command = takd(&["landscape"]);
        command.args(arguments).arg(out.path()).args(more);
        command
    };
    let first = run(&mut look(&["--points", "3", "--look-at", "20"]), 0);
    assert!(text(&first.stderr).contains("the loss around plane10 → plane4 → plane2"), "{}", text(&first.stderr));
    let printed = text(&first.stdout);
    assert!(
        printed.contains("The loss around the networks, nats") && printed.contains("rises least around"),
        "{printed}"
    );
    let [page] = tables(out.path(), "html").try_into().expect("one page");
    assert!(fs::read_to_string(page).expect("a page").contains("log10 of the loss"));
    // It is kept.
    let again = run(&mut look(&["--points", "3", "--look-at", "20", "--json"]), 0);
    assert!(!text(&again.stderr).contains("the loss around"), "{}", text(&again.stderr));
    let cell = &json(&again.stdout)["cells"][0];
    assert_eq!(cell["landscapes"].as_array().map(Vec::len), Some(3));
    assert_eq!(cell["landscapes"][0]["seeds"][0]["landscape"]["losses"].as_array().map(Vec::len), Some(9));
    // A report finds it, whatever the plane.
    let mut report = takd(&["report", "landscape"]);
    let report = json(&run(report.args(arguments).arg(out.path()).arg("--json"), 0).stdout);
    assert_eq!(report["cells"][0]["landscapes"], cell["landscapes"]);
    // A plane that makes no sense is refused before anything is trained.
    let refused = text(&run(&mut look(&["--points", "4"]), 2).stderr);
    assert!(refused.contains("odd number"), "{refused}");
}

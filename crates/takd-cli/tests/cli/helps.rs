//! What the commands around the training say of themselves.

use crate::common::{run, takd, text};

#[test]
fn helps_of_the_commands_around_the_training() {
    let commands: [&[&str]; 18] = [
        &["shrink"],
        &["train"],
        &["import"],
        &["export"],
        &["predict"],
        &["evaluate"],
        &["logits"],
        &["hub"],
        &["hub", "push"],
        &["models"],
        &["doctor"],
        &["completions"],
        &["man"],
        &["runs", "ls"],
        &["runs", "gc"],
        &["runs", "tag"],
        &["runs", "note"],
        &["runs", "tensorboard"],
    ];
    for command in commands {
        let help = run(takd(command).arg("--help").env("COLUMNS", "100"), 0);
        insta::assert_snapshot!(command.join("-"), text(&help.stdout));
    }
}

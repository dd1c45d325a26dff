//! The example for people runs to its end.

use std::process::Command;

#[test]
fn runs_of_ones_own_are_stopped_go_on_and_are_known_the_next_time() {
    let test = std::env::current_exe().expect("this test is a program");
    let built = test.ancestors().nth(2).expect("it lies in deps").join("examples").join("own_runs");
    // `cargo test` builds it; `cargo test --test store` does not.
    assert!(
        built.with_extension(std::env::consts::EXE_EXTENSION).is_file(),
        "{} is not built: `cargo build -p takd-store --examples` does that",
        built.display()
    );
    let folder = tempfile::tempdir().expect("a temporary folder");
    let printed = || {
        let output = Command::new(&built).arg(folder.path()).output().expect("the example starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let first = printed();
    assert!(first.contains("0 blocks were known, Some(Stopped)"), "{first}");
    assert!(first.contains("4 blocks were known, Some(Finished(3.14159"), "{first}");
    assert!(first.contains("\n10 records; pi is about Some(3.14159"), "{first}");
    // Finished runs are not done again.
    assert!(printed().starts_with("10 records; pi is about Some(3.14159"));
}

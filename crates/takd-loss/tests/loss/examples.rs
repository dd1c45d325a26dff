//! The example for people runs to its end.

use std::process::Command;

#[test]
fn network_of_ones_own_is_distilled() {
    let test = std::env::current_exe().expect("this test is a program");
    let built = test.ancestors().nth(2).expect("it lies in deps").join("examples").join("own_model");
    // `cargo test` builds it; `cargo test --test loss` does not.
    assert!(
        built.with_extension(std::env::consts::EXE_EXTENSION).is_file(),
        "{} is not built: `cargo build -p takd-loss --examples` does that",
        built.display()
    );
    let output = Command::new(built).output().expect("the example starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.lines().filter(|line| line.ends_with("of the training points")).count(), 3, "{printed}");
}

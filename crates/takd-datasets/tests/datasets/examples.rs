//! The example for people runs to its end.

use std::process::Command;

#[test]
fn folder_of_images_of_ones_own_is_loaded_and_batches_are_made_of_it() {
    let test = std::env::current_exe().expect("this test is a program");
    let built = test.ancestors().nth(2).expect("it lies in deps").join("examples").join("load");
    // `cargo test` builds it; `cargo test --test datasets` does not.
    assert!(
        built.with_extension(std::env::consts::EXE_EXTENSION).is_file(),
        "{} is not built: `cargo build -p takd-datasets --examples` does that",
        built.display()
    );
    for (arguments, expected) in [(&[][..], "images of 32x32"), (&["shapes10", "16"], "shapes10@16: ")] {
        let output = Command::new(&built).args(arguments).output().expect("the example starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let printed = String::from_utf8_lossy(&output.stdout);
        assert!(printed.contains(expected), "{printed}");
        assert_eq!(printed.lines().filter(|line| line.starts_with("a batch of 128, ")).count(), 2, "{printed}");
        assert!(!arguments.is_empty() || printed.contains("\nclasses: blue, red\n"), "{printed}");
    }
}

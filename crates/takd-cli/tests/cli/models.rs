//! `takd models`.

use crate::common::{json, run, takd, text};
use std::time::{Duration, Instant};

#[test]
fn networks_are_listed_with_what_they_take() {
    let named = ["models", "plane2", "plane10-wide", "resnet8", "imagenet-resnet18"];
    insta::assert_snapshot!("list", text(&run(&mut takd(&named), 0).stdout));
    insta::assert_snapshot!("markdown", text(&run(takd(&named).args(["--format", "markdown"]), 0).stdout));
    insta::assert_snapshot!("csv", text(&run(takd(&named).args(["--format", "csv"]), 0).stdout));
    insta::assert_snapshot!(
        "json",
        text(&run(&mut takd(&["models", "plane2", "--classes", "100", "--json"]), 0).stdout)
    );
}

#[test]
fn without_a_measurement_all_are_listed_at_once() {
    let started = Instant::now();
    let all = json(&run(&mut takd(&["models", "--json"]), 0).stdout);
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let all = all.as_array().expect("an array");
    for family in ["plain", "resnet", "imagenet-resnet"] {
        assert!(all.iter().filter(|model| model["family"] == family).count() >= 5, "{family}");
    }
    assert!(all.iter().all(|model| model["train_images_per_s"].is_null()));
}

#[test]
fn size_and_classes_are_those_that_are_asked_for_and_who_cannot_take_them_is_left_out() {
    let all = json(&run(&mut takd(&["models", "--size", "64", "--classes", "7", "--json"]), 0).stdout);
    let all = all.as_array().expect("an array");
    assert!(!all.is_empty() && all.iter().all(|model| model["family"] != "plain"));
    assert!(all.iter().all(|model| model["size"] == 64 && model["classes"] == 7));
    // Four times the pixels, and the last layer alone does not depend on them.
    let [small, large] = [32, 64].map(|size| {
        let listed = json(&run(takd(&["models", "resnet20", "--json", "--size"]).arg(size.to_string()), 0).stdout);
        listed[0]["multiply_adds"].as_u64().expect("a number") - 640
    });
    assert_eq!(large, 4 * small);
}

#[test]
fn pace_is_measured_where_that_is_asked_for() {
    let measured = json(&run(&mut takd(&["models", "plane2", "--measure", "--threads", "1", "--json"]), 0).stdout);
    let [train, evaluate] =
        ["train_images_per_s", "evaluation_images_per_s"].map(|pace| measured[0][pace].as_f64().expect("a number"));
    assert!(train > 1.0 && evaluate > train, "{train} {evaluate}");
}

#[test]
fn wrong_arguments_are_refused_in_words_that_say_what_is_right() {
    let refused: [(&[&str], &str); 6] = [
        (&["plane3"], "did you mean `plane2` or `plane4`?"),
        (&["plane2", "--size", "64"], "plane2 does not take images of 64x64: it takes 32x32 alone"),
        (&["imagenet-resnet18", "--size", "16"], "it takes 32x32 and larger"),
        (&["--classes", "0"], "a number of classes is a whole number from 1 to 100000, as in 10"),
        (&["--size", "-3"], "a size is a whole number of pixels from 1 to 512, as in 32"),
        (&["--threads", "2"], "--measure"),
    ];
    for (flags, expected) in refused {
        let message = text(&run(takd(&["models"]).args(flags), 2).stderr);
        assert!(message.contains(expected), "{flags:?}: {message}");
    }
}

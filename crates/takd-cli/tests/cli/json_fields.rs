//! Every field that `--json` prints is described.

use crate::common::{distill, folder, json, run, runs, takd};
use serde_json::Value;
use std::collections::BTreeSet;

/// The names of the fields in a value. Those of a run's whole configuration and result are types of takd-distill.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                found.insert(name.clone());
                if !["config", "result"].contains(&name.as_str()) {
                    fields(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, found)),
        _ => {}
    }
}

/// What a value is made of, a line a field: of a list its first element.
fn shape(value: &Value) -> String {
    fn lines(value: &Value, place: &str, found: &mut BTreeSet<String>) {
        let kind = match value {
            Value::Object(object) => {
                return object.iter().for_each(|(name, value)| lines(value, &format!("{place}.{name}"), found));
            }
            Value::Array(values) if !values.is_empty() => return lines(&values[0], &format!("{place}[]"), found),
            Value::Array(_) => "an empty list",
            Value::String(_) => "text",
            Value::Number(_) => "a number",
            Value::Bool(_) => "yes or no",
            Value::Null => "null",
        };
        found.insert(format!("{place}: {kind}"));
    }
    let mut found = BTreeSet::new();
    lines(value, "", &mut found);
    found.into_iter().collect::<Vec<_>>().join("\n")
}

#[test]
fn every_field_of_lists_and_findings_is_described_in_the_docs() {
    let out = folder();
    run(&mut distill(&["plane4", "plane2"], out.path(), &["--epochs", "1", "--quiet"]), 0);
    let docs = include_str!("../../JSON.md");
    let printed = |command: &mut assert_cmd::Command| {
        let output = command.env_remove("HF_HOME").env("HF_HUB_CACHE", out.path().join("hub")).output();
        json(&output.expect("the program starts").stdout)
    };
    let id = crate::common::id_of("plane2", out.path());
    let folder = out.path().join("my-model");
    let model = out.path().join("runs").join(&id).join("model.safetensors");
    let exported = printed(takd(&["export", "--json", &id]).arg(&folder).arg("--out").arg(out.path()));
    let image = out.path().join("image.png");
    image::RgbImage::new(8, 8).save(&image).expect("an image");
    let mut shrink = takd(&["shrink", "--json", "--data", "shapes10", "--student", "plane2", "--teacher", "plane4"]);
    shrink.args(["--limit", "100", "--epochs", "1", "--out"]).arg(out.path());
    let hub = crate::stub::StubHub::start();
    let mut push = takd(&["hub", "push", "--json"]);
    push.arg(&folder).arg("me/my-model").env("HF_ENDPOINT", &hub.endpoint).env("HF_TOKEN", crate::stub::TOKEN);
    let mut commands = vec![
        ("export", exported),
        ("hub-push", printed(&mut push)),
        ("models", printed(&mut takd(&["models", "plane2", "--json"]))),
        ("doctor", printed(takd(&["doctor", "--json", "--out"]).arg(out.path()))),
        ("ls", printed(&mut runs(&["ls", "--json"], out.path()))),
        ("show", printed(&mut runs(&["show", &id, "--json"], out.path()))),
        ("import", printed(takd(&["import", "--json", "--data", "shapes10", "--out"]).arg(out.path()).arg(&model))),
        ("evaluate", printed(takd(&["evaluate", "--json", "--out"]).arg(out.path()).arg("--model").arg(&folder))),
        ("predict", printed(takd(&["predict", "--json", "--model"]).arg(&folder).arg(&image))),
        ("gc", printed(&mut runs(&["gc", "--json"], out.path()))),
        ("shrink", printed(&mut shrink)),
        ("dry-run", printed(&mut distill(&["plane2"], out.path(), &["--dry-run", "--json"]))),
    ];
    // Elsewhere not everyone may make links.
    if cfg!(unix) {
        commands.push(("tensorboard", printed(&mut runs(&["tensorboard", "--json"], out.path()))));
    }
    for (command, value) in commands {
        let mut found = BTreeSet::new();
        fields(&value, &mut found);
        assert!(found.len() > 2, "{command}: {value}");
        // All machines have these in common.
        if command == "doctor" {
            let mut findings = value["findings"].as_array().expect("findings").iter();
            let threads = findings.find(|finding| finding["what"] == "threads").expect("a finding");
            let doctor = serde_json::json!({ "wrong": value["wrong"], "findings": [threads] });
            insta::assert_snapshot!("doctor", shape(&doctor));
        } else if command != "show" {
            insta::assert_snapshot!(command, shape(&value));
        }
        for field in found {
            assert!(docs.contains(&format!("`{field}`")), "JSON.md does not describe `{field}` of {command}");
        }
    }
}

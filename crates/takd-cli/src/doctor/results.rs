//! The runs in the results folder.

use super::finding::Finding;
use crate::runs::{State, states};
use serde_json::{Map, Value, json};
use std::path::Path;
use takd_distill::Runs;

pub(super) fn finding(out: &Path) -> Finding {
    let folder = out.join("runs");
    if !folder.is_dir() {
        return Finding::fine("runs", "none yet", json!({}));
    }
    let states = match Runs::open(&folder).map_err(Into::into).and_then(|runs| states(&runs)) {
        Ok(states) => states,
        Err(error) => {
            return Finding::fine("runs", error.to_string(), json!({})).wrong("--out names another results folder");
        }
    };
    let values: Map<String, Value> =
        states.iter().map(|(state, count)| (state.as_str().to_owned(), Value::from(*count))).collect();
    let counts: Vec<String> = states.iter().map(|(state, count)| format!("{count} {}", state.as_str())).collect();
    let found = if counts.is_empty() { "none yet".to_owned() } else { counts.join(", ") };
    let finding = Finding::fine("runs", found, Value::Object(values));
    let has = |state| states.contains_key(&state);
    if has(State::Damaged) {
        finding.wrong("`takd runs verify` says what is damaged and what repairs it")
    } else if has(State::NoTeacher) {
        finding.worth_knowing("of some runs the teacher's run is gone: `takd runs verify` names them")
    } else if has(State::Diverged) || has(State::Unfinished) {
        finding.worth_knowing(
            "`takd runs show` has the command that goes on with a run; `takd runs gc` deletes what is not wanted",
        )
    } else {
        finding
    }
}

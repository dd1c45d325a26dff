//! Steps that are read several at once.

#[path = "../../tests/common/mod.rs"]
mod common;

use super::*;
use crate::{LrFrom, Protocol, Recipe};
use common::{alone, copy_of, outcome, run, shapes, store, taught};

/// A run whose steps are read `queue_len` at a time, broken off at the first event that `ends` it; and what it told.
fn told(
    queue_len: usize,
    mut ends: impl FnMut(&Event<'_>) -> bool,
    config: &RunConfig,
    data: &Dataset,
    store: &Store,
) -> (Result<RunResult>, Vec<String>) {
    let mut events = Vec::new();
    let result = train_queued(queue_len, config, data, store, &Device::Cpu, &mut |event| {
        events.push(format!("{event:?}"));
        if ends(&event) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    (result, events)
}

#[test]
fn steps_read_several_at_once_tell_and_leave_what_steps_read_one_by_one_do() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    // 56 steps: one of them has a line in the metrics.
    let student = taught(alone("plane2", Protocol::Code, 8, &data), &teacher);
    let (folder, one_by_one) = store();
    run(&teacher, &data, &one_by_one).unwrap();
    let (_copy, several) = copy_of(&folder);
    let (result, expected) = told(1, |_| false, &student, &data, &one_by_one);
    result.unwrap();
    // 7 steps an epoch.
    let (result, found) = told(5, |_| false, &student, &data, &several);
    result.unwrap();
    assert_eq!(found, expected);
    assert!(outcome(&several, &student) == outcome(&one_by_one, &student));
}

#[test]
fn run_broken_off_among_steps_read_together_goes_on_after_the_last_of_them() {
    let data = shapes();
    let config = alone("resnet8", Protocol::Sound, 2, &data);
    let (_a, unbroken) = store();
    run(&config, &data, &unbroken).unwrap();
    let (_b, broken) = store();
    // 6 steps an epoch, read in fours and twos.
    for (ends_at, goes_on_after) in [(2, 4), (5, 6), (10, 10)] {
        let ends = |event: &Event<'_>| matches!(event, Event::Step { done, .. } if *done == ends_at);
        let (result, events) = told(4, ends, &config, &data, &broken);
        assert!(matches!(result, Err(Error::Stopped)));
        assert!(events.last().unwrap().starts_with(&format!("Step {{ done: {goes_on_after},")), "{events:?}");
    }
    let (result, events) = told(4, |_| false, &config, &data, &broken);
    result.unwrap();
    assert_eq!(events[0], "Started { done: 10, total: 12 }");
    assert!(outcome(&broken, &config) == outcome(&unbroken, &config));
}

#[test]
fn divergence_among_steps_read_together_is_told_as_among_steps_read_one_by_one() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let lr = vec![LrFrom { epoch: 0, lr: 0.01 }, LrFrom { epoch: 1, lr: 1e30 }];
    let config = RunConfig { recipe: Recipe { lr, ..config.recipe.clone() }, ..config };
    let told = |queue_len| {
        let (_folder, store) = store();
        let (result, events) = told(queue_len, |_| false, &config, &data, &store);
        let Err(Error::Diverged { epoch, step, reason, .. }) = result else { panic!("{result:?}") };
        ((epoch, step, reason), events)
    };
    assert_eq!(told(5), told(1));
    assert_eq!(told(7).0.1, 2);
}

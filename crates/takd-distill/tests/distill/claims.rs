//! One process at a time writes into a run's folder.

use crate::common::{Valid, alone, dir, names, outcome, run, run_for, run_until, shapes, store, taught, timeless};
use std::fs::{self, File};
use std::thread;
use takd_distill::{Error, Event, Pass, Protocol, RunSettings, Training};

#[test]
fn second_start_of_a_run_at_work_is_refused_at_once_and_has_the_result_afterwards() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let id = config.id();
    let (_folder, store) = store();
    let mut asked = 0;
    let ask = |event: Event<'_>| {
        // In the midst of an epoch and between two.
        if matches!(event, Event::Started { .. } | Event::Step { done: 3, .. } | Event::Epoch(_)) {
            let second = thread::scope(|scope| scope.spawn(|| run(&config, &data, &store)).join().unwrap());
            assert!(matches!(&second, Err(Error::Store(takd_store::Error::Claimed(run))) if *run == id), "{second:?}");
            assert!(matches!(store.remove(&id), Err(takd_store::Error::Claimed(_))));
            assert!(store.is_claimed(&id).unwrap());
            assert_eq!(store.verify(&id).unwrap(), []);
            asked += 1;
        }
        false
    };
    let result = run_until(ask, &config, &data, &store).unwrap();
    assert_eq!(asked, 4);
    assert_eq!(run(&config, &data, &store).unwrap(), result);
    // What the others did to it: nothing.
    let (_elsewhere, undisturbed) = crate::common::store();
    run(&config, &data, &undisturbed).unwrap();
    assert!(outcome(&store, &config) == outcome(&undisturbed, &config));
}

#[test]
fn run_whose_claim_is_deleted_stops_before_it_writes_again() {
    let data = shapes();
    // The first line of the metrics is that of step 50 of 50, before any checkpoint.
    let config = alone("plane2", Protocol::Code, 2, &data);
    let training = Training { batch_size: 4, ..config.training.clone() };
    let config = RunSettings { training, ..config };
    // Before a line about a step, before one about an epoch, before a checkpoint alone.
    let in_an_epoch = |event: &Event<'_>| matches!(event, Event::Step { done: 3, .. });
    let after_the_steps = |event: &Event<'_>| matches!(event, Event::Step { done: 50, .. });
    let at_its_end = |event: &Event<'_>| matches!(event, Event::Epoch(_));
    let moments: [&dyn Fn(&Event<'_>) -> bool; 3] = [&in_an_epoch, &after_the_steps, &at_its_end];
    for (moment, written) in moments.into_iter().zip([0, 1, 1]) {
        let (_folder, store) = store();
        let claim = dir(&store, &config).join("claim");
        let delete = |event: Event<'_>| {
            if moment(&event) {
                fs::remove_file(&claim).unwrap();
            }
            false
        };
        let error = run_until(delete, &config, &data, &store).unwrap_err();
        assert!(matches!(&error, Error::Store(takd_store::Error::ClaimLost { path }) if *path == claim), "{error}");
        let metrics = fs::read_to_string(dir(&store, &config).join("metrics.jsonl")).unwrap();
        assert_eq!(metrics.lines().count(), written);
        assert_eq!(
            names(&dir(&store, &config)),
            ["config.toml", "events.out.tfevents.takd", "metrics.jsonl", "starts.jsonl"]
        );
        // Started again it ends as if nothing had happened.
        run(&config, &data, &store).unwrap();
        assert_eq!(store.verify(&config.id()).unwrap(), []);
    }
}

#[test]
fn run_whose_claim_is_deleted_leaves_no_checkpoint_when_it_is_stopped() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    let claim = dir(&store, &config).join("claim");
    let delete_and_stop = |event: Event<'_>| {
        let stop = matches!(event, Event::Step { done: 3, .. });
        if stop {
            fs::remove_file(&claim).unwrap();
        }
        stop
    };
    let error = run_until(delete_and_stop, &config, &data, &store).unwrap_err();
    assert!(matches!(&error, Error::Store(takd_store::Error::ClaimLost { path }) if *path == claim), "{error}");
    assert_eq!(
        names(&dir(&store, &config)),
        ["config.toml", "events.out.tfevents.takd", "metrics.jsonl", "starts.jsonl"]
    );
}

#[test]
fn logits_are_not_written_into_a_folder_whose_claim_is_deleted() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 1, &data);
    let student = taught(alone("plane2", Protocol::Code, 1, &data), &teacher);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let claim = dir(&store, &teacher).join("claim");
    let delete = |event: Event<'_>| {
        if matches!(event, Event::Pass { pass: Pass::TeacherLogits, .. }) {
            fs::remove_file(&claim).unwrap();
        }
        false
    };
    let error = run_until(delete, &student, &data, &store).unwrap_err();
    assert!(matches!(&error, Error::Store(takd_store::Error::ClaimLost { path }) if *path == claim), "{error}");
    assert!(!names(&dir(&store, &teacher)).iter().any(|name| name.starts_with("logits-")));
    run(&student, &data, &store).unwrap();
}

#[test]
fn run_whose_claim_another_has_taken_over_leaves_the_others_files_alone() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 2, &data);
    let (_folder, store) = store();
    let mut others = None;
    let take_over = |event: Event<'_>| {
        if matches!(event, Event::Step { done: 10, .. }) {
            fs::remove_file(dir(&store, &config).join("claim")).unwrap();
            others = Some(timeless(&run(&config, &data, &store).unwrap()));
        }
        false
    };
    let error = run_until(take_over, &config, &data, &store).unwrap_err();
    assert!(matches!(error, Error::Store(takd_store::Error::ClaimLost { .. })), "{error}");
    assert_eq!(store.verify(&config.id()).unwrap(), []);
    assert_eq!(outcome(&store, &config).result, others.unwrap());
}

#[test]
fn claim_that_a_dead_process_left_binds_nobody_and_what_it_half_wrote_is_swept() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run_for(3, &config, &data, &store).unwrap_err();
    let dir = dir(&store, &config);
    fs::write(dir.join("claim"), "process 1\n").unwrap();
    fs::write(dir.join(".writing-Ab3x"), "half of a checkpoi").unwrap();
    assert!(!store.is_claimed(&config.id()).unwrap());
    run(&config, &data, &store).unwrap();
    let left = [
        "claim",
        "config.toml",
        "correct.json",
        "ending.json",
        "events.out.tfevents.takd",
        "last.safetensors",
        "metrics.jsonl",
        "model.safetensors",
        "starts.jsonl",
    ];
    assert_eq!(names(&dir), left);
    // For people who look.
    let claim = fs::read_to_string(dir.join("claim")).unwrap();
    assert_eq!(claim, format!("process {}\n", std::process::id()));
}

#[test]
fn claim_of_another_process_is_respected() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run_for(3, &config, &data, &store).unwrap_err();
    let before = fs::read(dir(&store, &config).join("last.safetensors")).unwrap();
    let claim = File::options().write(true).open(dir(&store, &config).join("claim")).unwrap();
    claim.try_lock().unwrap();
    assert!(matches!(run(&config, &data, &store), Err(Error::Store(takd_store::Error::Claimed(_)))));
    assert!(fs::read(dir(&store, &config).join("last.safetensors")).unwrap() == before);
    drop(claim);
    run(&config, &data, &store).unwrap();
}

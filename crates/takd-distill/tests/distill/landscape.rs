//! The loss around a trained network.

use crate::common::{Valid, alone, dir, names, run, shapes, store};
use std::fs;
use std::ops::ControlFlow;
use takd_distill::{Error, Landscape, Plane, Protocol, Result, RunSettings, Runs, landscape};
use takd_ops::Compute;

const PLANE: Plane = Plane { points: 5, reach: 1.0, images: 60, seed: 3 };

fn look(config: &RunSettings, store: &Runs, plane: Plane) -> Result<(Landscape, usize)> {
    let mut points = 0;
    let found = landscape(&config.valid(), &shapes(), store, &Compute::cpu(), plane, &mut |done, total| {
        assert_eq!(total, plane.points * plane.points);
        points = done;
        ControlFlow::Continue(())
    })?;
    Ok((found, points))
}

#[test]
fn landscape_rises_around_a_trained_network_and_is_computed_once() {
    let data = shapes();
    let config = alone("plane2", Protocol::Code, 4, &data);
    let (_folder, store) = store();
    assert!(matches!(look(&config, &store, PLANE), Err(Error::Unfinished { .. })));
    run(&config, &data, &store).unwrap();
    let (first, points) = look(&config, &store, PLANE).unwrap();
    assert_eq!((first.losses.len(), points), (25, 25));
    assert!(first.rise(1.0).unwrap() > 0.0, "{first:?}");
    // The middle is the network itself, in the bits of any other plane.
    let (other, _) = look(&config, &store, Plane { seed: 4, ..PLANE }).unwrap();
    assert_eq!(first.center(), other.center());
    assert_ne!(first.losses, other.losses);
    // Kept: nothing is computed again, and what is damaged is.
    assert_eq!(look(&config, &store, PLANE).unwrap(), (first.clone(), 0));
    let file = dir(&store, &config).join("landscape-5-1-60-3.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen('1', "2", 1)).unwrap();
    assert_eq!(store.verify(&config.id()).unwrap().len(), 1);
    assert_eq!(look(&config, &store, PLANE).unwrap(), (first, 25));
    assert_eq!(store.verify(&config.id()).unwrap(), []);
    store.remove(&config.id()).unwrap();
    assert_eq!(names(store.root()), [""; 0]);
}

#[test]
fn looking_around_can_be_broken_off_and_changes_nothing_of_the_network() {
    let data = shapes();
    let config = alone("resnet8", Protocol::Code, 1, &data);
    let (_folder, store) = store();
    run(&config, &data, &store).unwrap();
    let network = fs::read(store.model(&config.id()).unwrap()).unwrap();
    let stopped = landscape(&config.valid(), &data, &store, &Compute::cpu(), PLANE, &mut |done, _| match done {
        3 => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert!(matches!(stopped, Err(Error::Stopped)));
    assert!(matches!(look(&config, &store, Plane { points: 4, ..PLANE }), Err(Error::Config(_))));
    look(&config, &store, Plane { images: 1_000_000, points: 3, ..PLANE }).unwrap();
    assert_eq!(fs::read(store.model(&config.id()).unwrap()).unwrap(), network);
}

//! Several teachers at once.

use crate::common::{Valid, alone, copy_of, outcome, run, run_counting, run_for, shapes, store, taught, taught_by_all};
use takd_distill::{Distillation, Error, KlReduction, Protocol, RunSettings};

#[test]
fn teacher_named_twice_teaches_what_it_teaches_alone() {
    let data = shapes();
    let teacher = alone("plane4", Protocol::Code, 2, &data);
    let student = alone("plane2", Protocol::Code, 2, &data);
    let (_folder, store) = store();
    run(&teacher, &data, &store).unwrap();
    let (once, twice) = (taught(student.clone(), &teacher), taught_by_all(student, &[&teacher, &teacher]));
    assert_ne!(once.id(), twice.id());
    let [once, twice] = [once, twice].map(|config| run(&config, &data, &store).unwrap());
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-5, "{found}, expected {expected}");
    close(twice.test.unwrap().loss, once.test.unwrap().loss);
    let (once, twice) = (once.teachers.unwrap(), twice.teachers.unwrap());
    close(twice.kl, once.kl);
    close(twice.soft_target_entropy, once.soft_target_entropy);
    assert_eq!(twice.agreement, once.agreement);
}

#[test]
fn teachers_of_two_families_teach_together_and_the_run_resumes_bit_for_bit() {
    let data = shapes();
    let plain = alone("plane4", Protocol::Code, 1, &data);
    let residual = alone("resnet8", Protocol::Code, 1, &data);
    let student = |teachers: &[&RunSettings]| taught_by_all(alone("plane2", Protocol::Code, 2, &data), teachers);
    let both = student(&[&plain, &residual]);
    let (folder, unbroken) = store();
    run(&plain, &data, &unbroken).unwrap();
    run(&residual, &data, &unbroken).unwrap();
    let (_copy, broken) = copy_of(&folder);

    // Both look at the training and the test images.
    let (together, work) = run_counting(&both, &data, &unbroken).unwrap();
    assert_eq!(work.teacher_passes, 4);
    // Neither is the only one that is heard.
    for teacher in [&plain, &residual] {
        assert_ne!(
            run(&student(&[teacher]), &data, &unbroken).unwrap().test.unwrap().loss,
            together.test.unwrap().loss
        );
    }
    for _ in 0..2 {
        assert!(matches!(run_for(5, &both, &data, &broken), Err(Error::Stopped)));
    }
    run(&both, &data, &broken).unwrap();
    assert!(outcome(&broken, &both) == outcome(&unbroken, &both));
}

#[test]
fn run_is_refused_unless_every_teacher_is_finished() {
    let data = shapes();
    let (first, second) = (alone("plane2", Protocol::Code, 1, &data), alone("plane4", Protocol::Code, 1, &data));
    let (_folder, store) = store();
    run(&first, &data, &store).unwrap();
    run_for(3, &second, &data, &store).unwrap_err();
    let student = taught_by_all(alone("plane2", Protocol::Code, 1, &data), &[&first, &second]);
    let error = run(&student, &data, &store).unwrap_err();
    assert!(matches!(&error, Error::Unfinished { id, .. } if *id == second.id()), "{error}");
    run(&second, &data, &store).unwrap();
    run(&student, &data, &store).unwrap();
}

#[test]
fn run_that_is_to_be_taught_by_nobody_is_refused() {
    let data = shapes();
    let nobody = Some(Distillation {
        teachers: Vec::new(),
        lambda: 0.5,
        temperature: 4.0,
        kl_reduction: KlReduction::Mean,
        top_k: None,
    });
    let student = RunSettings { distillation: nobody, ..alone("plane2", Protocol::Code, 1, &data) };
    let (_folder, store) = store();
    assert!(matches!(run(&student, &data, &store), Err(Error::Config(_))));
    assert!(store.ids().unwrap().is_empty());
}

//! A recipe whose teacher is known by a file of its logits.

use crate::common::{cards, data, runs, sessions, shapes};
use std::fs;
use std::ops::ControlFlow;
use std::path::Path;
use takd_datasets::Known;
use takd_distill::{DeviceType, Error, Retry, import};
use takd_grid::recipe::Recipe;
use takd_grid::{Changes, Experiment, Outcome, Plan, execute};
use takd_models::ModelName;

/// A file of logits of `shapes10`'s training images, each for the class of its label, with the classes' names in this order.
fn write(path: &Path, class_names: &[String]) {
    let data = shapes(Known::Shapes10);
    let place = |label: u32| class_names.iter().position(|name| *name == data.card.class_names[label as usize]);
    let logits = data.train.labels().iter().flat_map(|&label| {
        let own = place(label);
        (0..10).map(move |class| if Some(class) == own { 4f32 } else { 0.0 })
    });
    let bytes: Vec<u8> = logits.flat_map(f32::to_le_bytes).collect();
    let names: Vec<String> = class_names.iter().map(|name| format!("\\\"{name}\\\"")).collect();
    let header = format!(
        "{{\"__metadata__\":{{\"checksum\":\"{}\",\"class_names\":\"[{}]\"}},\"train\":{{\"dtype\":\"F32\",\"shape\":[{},10],\
         \"data_offsets\":[0,{}]}}}}",
        data.card.checksum,
        names.join(","),
        data.train.len(),
        bytes.len()
    );
    fs::write(path, [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &bytes].concat()).unwrap();
}

fn recipe(paths: &str, import: &str, more: &str) -> String {
    format!(
        "title = \"by logits\"\n\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [{paths}]\n{import}\nseeds = [1, 2]\n\
         epochs = 1\n{more}"
    )
}

fn plan(text: &str) -> Result<(Experiment, Plan), String> {
    let recipe = Recipe::parse(text, "test.toml").map_err(|error| error.to_string())?;
    let experiment =
        Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).map_err(|error| error.to_string())?;
    let plan = Plan::new(&experiment, &cards(), &|_| None).map_err(|error| error.to_string())?;
    Ok((experiment, plan))
}

#[test]
fn recipe_has_a_student_taught_by_a_file_of_logits_alone_and_beside_another_teacher() {
    let (folder, runs) = runs();
    let path = folder.path().join("logits.safetensors");
    let mut names = shapes(Known::Shapes10).card.class_names.clone();
    names.reverse();
    write(&path, &names);
    let import_line = format!("import = {{ logits = \"{}\" }}", path.display());
    let text = recipe("\"logits -> plane2\", \"logits + plane4 -> plane2\"", &import_line, "");
    let (experiment, plan) = plan(&text).unwrap();
    // One run of logits for both seeds and paths; plane4 alone and two students, of two seeds each.
    let given: Vec<_> = plan.runs.iter().filter(|run| run.config.imported.is_some()).collect();
    assert_eq!((given.len(), plan.runs.len()), (1, 1 + 3 * 2));
    // The columns are found by their names.
    assert_eq!(given[0].config.imported.as_ref().unwrap().outputs, (0..10).rev().collect::<Vec<_>>());
    assert_eq!((given[0].cost.total(), given[0].name().as_str()), (0.0, "logits from elsewhere on shapes10"));

    let sessions = sessions(1, Retry::Never);
    let file = experiment.cells[0].from_elsewhere[&ModelName::LOGITS].open().unwrap();
    let shapes = shapes(Known::Shapes10);
    let watch = &mut |_: takd_distill::Event<'_>| ControlFlow::Continue(());
    let result = import(&file, &given[0].config, &shapes, &runs, &sessions[0], watch).unwrap();
    assert_eq!(result.test, None);
    let outcomes = execute(&plan, &data(), &runs, &sessions, &mut |_, _, _| ControlFlow::Continue(())).unwrap();
    assert!(outcomes.values().all(|outcome| matches!(outcome, Outcome::Finished(_))));
}

#[test]
fn logits_without_a_file_or_taught_or_of_augmented_images_or_unknown_classes_are_refused() {
    let (folder, _) = runs();
    let path = folder.path().join("logits.safetensors");
    let names = shapes(Known::Shapes10).card.class_names.clone();
    write(&path, &names);
    let import_line = format!("import = {{ logits = \"{}\" }}", path.display());
    let refused = |paths: &str, import: &str, more: &str| plan(&recipe(paths, import, more)).unwrap_err();
    for (paths, import) in [
        ("\"logits -> plane2\"", ""),
        ("\"logits\"", ""),
        ("\"logits -> plane4\", \"plane4 -> logits\"", import_line.as_str()),
    ] {
        let error = refused(paths, import, "");
        assert!(error.contains("known by a file of its logits") && error.contains("logits = \"FILE\""), "{error}");
    }
    let augmented = "[cell.training.resnet]\naugmentation = \"crop-flip\"\n";
    let error = refused("\"logits -> resnet8\"", &import_line, augmented);
    let expected = Error::Augmented { student: "resnet8".parse().unwrap(), augmentation: "crop-flip".parse().unwrap() };
    assert_eq!(error, expected.to_string());
    plan(&recipe("\"logits -> resnet8\"", &import_line, "[cell.training.resnet]\naugmentation = \"none\"\n")).unwrap();
    // λ = 0: nobody is taught.
    plan(&recipe("\"logits -> resnet8\"", &import_line, &format!("lambda = 0\n{augmented}"))).unwrap();

    let scaled =
        format!("import = {{ logits = {{ file = \"{}\", mean = [0, 0, 0], std = [1, 1, 1] }} }}", path.display());
    assert!(refused("\"logits -> plane2\"", &scaled, "").contains("leave them out"));
    let wrong = format!("import = {{ plane4 = \"{}\" }}", path.display());
    let error = refused("\"plane4 -> plane2\"", &wrong, "");
    assert!(
        error.contains("test.toml:7:") && error.contains("it holds logits with 10 outputs, and not plane4"),
        "{error}"
    );
    let mut others = names;
    others[3] = "unknown".into();
    write(&path, &others);
    assert!(refused("\"logits -> plane2\"", &import_line, "").contains("has no output for the class"));
}

//! Other data in place of a cell's own, and cells that can be run with those alone.

use takd_datasets::DatasetRef;
use takd_distill::DeviceType;
use takd_grid::recipe::{Recipe, Settings};
use takd_grid::{Changes, Experiment, ExperimentError, Preset};

const RECIPE: &str = r#"
title = "two cells, of which one has no data"

[[cell]]
name = "own"
data = "cifar10"
paths = ["resnet8"]

[[cell]]
name = "given"
data = "imagenet"
missing = "its images are not for everybody"
size = "224of256"
paths = ["resnet8", "imagenet-resnet50 -> imagenet-resnet14"]

[quick]
networks = { imagenet-resnet50 = "imagenet-resnet26" }
"#;

fn experiment(cells: &[&str], data: Option<&str>, preset: Preset) -> Result<Experiment, ExperimentError> {
    let recipe = Recipe::parse(RECIPE, "two.toml").expect("a recipe");
    let data = data.map(|data| data.parse::<DatasetRef>().expect("a known name"));
    let cells = cells.iter().map(|&name| name.to_owned()).collect();
    let changes = Changes { preset, cells, data, settings: Settings::default(), ..Changes::default() };
    Experiment::new(&recipe, &changes, DeviceType::Cpu)
}

#[test]
fn cell_without_data_of_its_own_is_run_on_those_that_are_given() {
    let experiment = experiment(&["given"], Some("cifar100"), Preset::Full).unwrap();
    assert!(experiment.missing.is_empty());
    let [cell] = experiment.cells.as_slice() else { panic!("{:?}", experiment.cells) };
    // At the size that the cell asks for.
    assert_eq!((cell.data.name.as_str(), cell.stands_for.as_deref()), ("cifar100@224of256", Some("imagenet")));
    let paths: Vec<String> = cell.paths.iter().map(|path| path.path.to_string()).collect();
    assert_eq!(paths, ["resnet8", "imagenet-resnet50 → imagenet-resnet14"]);
}

#[test]
fn data_that_say_their_size_have_that() {
    let experiment = experiment(&["given"], Some("shapes10@64"), Preset::Quick).unwrap();
    assert_eq!(experiment.cells[0].data.name.as_str(), "shapes10@64");
    assert_eq!(experiment.cells[0].paths[1].path.to_string(), "imagenet-resnet26 → imagenet-resnet14");
}

#[test]
fn cells_own_data_by_another_place_stand_for_no_others() {
    let experiment = experiment(&["own"], Some("cifar10"), Preset::Full).unwrap();
    assert_eq!(experiment.cells[0].stands_for, None);
}

#[test]
fn cell_without_data_is_listed_as_not_run_and_refused_if_it_is_asked_for() {
    for preset in [Preset::Full, Preset::Quick] {
        let all = experiment(&[], None, preset).unwrap();
        assert_eq!((all.cells.len(), all.missing[0].name.as_str()), (1, "given"));
        let refused = experiment(&["given"], None, preset).unwrap_err();
        assert!(matches!(&refused, ExperimentError::Missing { name, .. } if name == "given"), "{refused}");
    }
}

#[test]
fn other_data_are_for_one_cell_that_is_named() {
    let refused = experiment(&[], Some("cifar100"), Preset::Full).unwrap_err().to_string();
    assert_eq!(refused, "cifar100 can take the place of the data of one cell only, and these are own, given: name one");
}

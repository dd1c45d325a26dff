//! A recipe that has a teacher by its name on the hub.

use crate::common::cards;
use takd_distill::DeviceType;
use takd_grid::recipe::Recipe;
use takd_grid::{Changes, Experiment, Plan};

#[test]
fn model_of_the_hub_is_left_to_whoever_runs_the_experiment_and_never_trained_in_its_place() {
    let commit = "0123456789abcdef0123456789abcdef01234567";
    for name in ["timm/x".to_owned(), format!("timm/x@{commit}")] {
        let text = format!(
            "title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [\"plane4 -> plane2\"]\nseeds = [1]\n\
             import = {{ plane4 = {{ file = \"{name}\", order = [1, 0] }} }}\n"
        );
        let recipe = Recipe::parse(&text, "test.toml").unwrap();
        let experiment = Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).unwrap();
        let cell = &experiment.cells[0];
        assert!(cell.from_elsewhere.is_empty());
        let [wanted] = &cell.on_the_hub[..] else { panic!("one model") };
        assert_eq!((wanted.model.to_string(), wanted.network.to_string()), (name.clone(), "plane4".to_owned()));
        assert_eq!(wanted.order, [1, 0]);
        let error = Plan::new(&experiment, &cards(), &|_| None).unwrap_err().to_string();
        assert!(error.contains(&format!("plane4 is {name} of the hub")), "{error}");
    }
}

//! What runs an experiment is made of, and what one that fails costs.

use crate::common::{cards, data, plan, plan_of, runs, sessions};
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::slice::from_ref;
use takd_distill::{DeviceType, Error, Event, LrFrom, Result, Retry, RunConfig, RunSettings, Runs};
use takd_grid::recipe::{Epochs, Recipe, Settings, shipped};
use takd_grid::{Changes, Experiment, Outcome, Plan, PlanEvent, Preset, Trained, execute};
use takd_store::RunId;

fn table1(changes: Changes) -> Plan {
    let recipe = shipped().iter().find(|recipe| recipe.name == "table1").unwrap();
    plan_of(recipe.text, &Changes { preset: Preset::Quick, ..changes })
}

/// The runs that teach this one.
fn teachers<'a>(plan: &'a Plan, id: &RunId) -> &'a [RunId] {
    plan.run(id).unwrap().config.teachers()
}

#[test]
fn each_run_stands_in_the_plan_once_and_after_its_teacher() {
    let cells = ["plain/cifar10", "resnet/cifar100"].map(String::from).to_vec();
    let settings = Settings { epochs: Some(Epochs::All(1)), seeds: Some(vec![31, 55]), ..Settings::default() };
    let plan = table1(Changes { cells, settings, ..Changes::default() });
    // Teacher, assistant, and the student three times, for each cell and seed.
    assert_eq!(plan.runs.len(), 2 * 2 * 5);
    for (place, run) in plan.runs.iter().enumerate() {
        let earlier = &plan.runs[..place];
        assert!(earlier.iter().all(|other| other.id != run.id), "{}", run.name());
        let stands_earlier = |teacher: &RunId| earlier.iter().any(|other| other.id == *teacher);
        assert!(run.config.teachers().iter().all(stands_earlier), "{}", run.name());
    }
    // The assistant and the student are taught by one and the same teacher, that of its own cell and seed.
    for (cell, names) in plan.cells.iter().zip([["plane10", "plane4", "plane2"], ["resnet26", "resnet14", "resnet8"]]) {
        let [t, a, s] = names;
        let runs = |path: String| cell.runs(&path.parse().unwrap());
        for seed in 0..2 {
            let run = |path: String| &runs(path)[seed].run;
            let (teacher, assistant) = (run(t.to_owned()), run(format!("{t} -> {a}")));
            assert_eq!(teachers(&plan, assistant), from_ref(teacher));
            assert_eq!(teachers(&plan, run(format!("{t} -> {s}"))), from_ref(teacher));
            assert_eq!(teachers(&plan, run(format!("{t} -> {a} -> {s}"))), from_ref(assistant));
            assert!(teachers(&plan, run(s.to_owned())).is_empty() && teachers(&plan, teacher).is_empty());
        }
    }
}

#[test]
fn quick_form_of_table_1_trains_as_it_always_has() {
    let plan = table1(Changes::default());
    assert_eq!(plan.runs.len(), 4 * 5);
    for run in &plan.runs {
        let training = &run.config.training;
        let (batch_size, lr) = if run.config.model.to_string().starts_with("plane") { (128, 0.01) } else { (32, 0.02) };
        assert_eq!((training.epochs, training.batch_size), (6, batch_size));
        let pieces = [LrFrom { epoch: 0, lr }, LrFrom { epoch: 5, lr: lr / 10.0 }];
        assert_eq!(training.lr, pieces);
        assert_eq!((run.config.data.train_images, run.config.seed), (100, 31));
    }
}

#[test]
fn paths_that_share_their_beginnings_share_their_runs() {
    let recipe = r#"
        title = "every falling path"
        [[cell]]
        name = "plain"
        data = "shapes10"
        paths = ["plane10 -> plane8? -> plane6? -> plane4? -> plane2"]
    "#;
    let plan = plan_of(recipe, &Changes::default());
    // One run for each subset of 8, 6 and 4 that leads to 8, 6, 4 and 2, and the teacher.
    assert_eq!(plan.runs.len(), 1 + 1 + 2 + 4 + 8);
}

/// The plan of `plane4 -> plane2` whose teacher diverges at once.
fn diverging() -> Plan {
    let mut plan = plan("plane4 -> plane2", 1, &[31]);
    let changed = |run: &RunConfig, change: &dyn Fn(&mut RunSettings)| {
        let mut settings = run.settings().clone();
        change(&mut settings);
        RunConfig::new(settings).unwrap()
    };
    plan.runs[0].config = changed(&plan.runs[0].config, &|settings| {
        settings.training.lr = vec![LrFrom { epoch: 0, lr: 1e30 }];
        settings.training.batch_size = 32;
    });
    plan.runs[0].id = plan.runs[0].config.id();
    // The student asks for it by its new id.
    let teacher = plan.runs[0].id.clone();
    plan.runs[1].config = changed(&plan.runs[1].config, &|settings| {
        settings.distillation.as_mut().unwrap().teachers = vec![teacher.clone()];
    });
    plan.runs[1].id = plan.runs[1].config.id();
    plan
}

/// Executes the plan, and counts the steps that were taken.
fn execute_counting(jobs: usize, retry: Retry, plan: &Plan, runs: &Runs) -> (Result<HashMap<RunId, Outcome>>, usize) {
    let mut steps = 0;
    let outcomes = execute(plan, &data(), runs, &sessions(jobs, retry), &mut |_, _, event| {
        steps += usize::from(matches!(event, PlanEvent::Training(Event::Started { .. }, _)));
        ControlFlow::Continue(())
    });
    (outcomes, steps)
}

#[test]
fn run_that_diverges_costs_only_those_it_was_to_teach() {
    let mut plan = diverging();
    let alone = crate::common::plan("plane2", 1, &[7]);
    plan.runs.extend(alone.runs.clone());
    for jobs in [1, 3] {
        let (_folder, runs) = runs();
        let outcomes = execute_counting(jobs, Retry::Never, &plan, &runs).0.unwrap();
        assert!(matches!(outcomes[&plan.runs[0].id], Outcome::Diverged(_)));
        assert!(matches!(outcomes[&plan.runs[1].id], Outcome::NoTeacher));
        assert!(matches!(outcomes[&plan.runs[2].id], Outcome::Finished(_)));
    }
}

#[test]
fn divergence_is_remembered_and_met_again_only_if_that_is_asked_for() {
    let plan = diverging();
    let (_folder, runs) = runs();
    let (first, started) = execute_counting(1, Retry::Never, &plan, &runs);
    assert_eq!(started, 1);
    let reason = |outcomes: &HashMap<RunId, Outcome>| match &outcomes[&plan.runs[0].id] {
        Outcome::Diverged(reason) => reason.clone(),
        outcome => panic!("{outcome:?}"),
    };
    let first = reason(&first.unwrap());
    // Another command, or another process, does not train it again.
    let (second, started) = execute_counting(1, Retry::Never, &plan, &runs);
    assert_eq!((reason(&second.unwrap()), started), (first.clone(), 0));
    let (third, started) = execute_counting(1, Retry::Diverged, &plan, &runs);
    assert_eq!((reason(&third.unwrap()), started), (first, 1));
}

#[test]
fn teacher_that_is_not_in_the_plan_is_taken_if_it_is_finished_and_not_waited_for_if_it_is_not() {
    let whole = plan("plane4 -> plane2", 1, &[31]);
    let student_alone = Plan { runs: whole.runs[1..].to_vec(), ..Plan::default() };
    let (_folder, runs) = runs();
    let outcomes = execute_counting(1, Retry::Never, &student_alone, &runs).0.unwrap();
    assert!(matches!(outcomes[&whole.runs[1].id], Outcome::NoTeacher));
    execute_counting(1, Retry::Never, &plan("plane4", 1, &[31]), &runs).0.unwrap();
    let outcomes = execute_counting(1, Retry::Never, &student_alone, &runs).0.unwrap();
    assert!(matches!(outcomes[&whole.runs[1].id], Outcome::Finished(_)));
}

#[test]
fn teacher_that_is_deleted_or_damaged_meanwhile_is_trained_again_for_all_its_students() {
    // Six students at once, more than a teacher is trained again.
    let recipe = r#"
        title = "many students"
        [defaults]
        epochs = 1
        [[cell]]
        name = "plain"
        data = "shapes10"
        paths = ["plane4 -> {plane2, plane6, plane8}", "plane4 -> {resnet8, resnet14, resnet20}"]
    "#;
    let plan = plan_of(recipe, &Changes::default());
    let delete = |runs: &Runs, id: &RunId| _ = runs.remove(id).unwrap();
    let damage = |runs: &Runs, id: &RunId| std::fs::remove_file(runs.dir(id).join("model.safetensors")).unwrap();
    for damage in [delete as fn(&Runs, &RunId), damage] {
        let (_folder, runs) = runs();
        let teacher = plan.runs[0].id.clone();
        let mut ended = 0;
        let outcomes = execute(&plan, &data(), &runs, &sessions(6, Retry::Never), &mut |index, _, event| {
            if index == 0 && matches!(event, PlanEvent::Ended(..)) {
                ended += 1;
                if ended == 1 {
                    damage(&runs, &teacher);
                }
            }
            ControlFlow::Continue(())
        });
        assert!(outcomes.unwrap().values().all(|outcome| matches!(outcome, Outcome::Finished(_))));
        assert_eq!(ended, 2);
    }
}

#[test]
fn logits_of_a_teacher_are_computed_for_the_first_that_it_teaches() {
    let recipe = |training: &str| {
        format!(
            "title = \"shared\"\n[[cell]]\nname = \"plain\"\ndata = \"shapes10\"\n{training}\n\
             paths = [\"plane4 -> {{plane2, plane6}}\", \"plane4 + plane6 -> plane2\", \"plane4 + plane6 -> plane8\"]"
        )
    };
    let shares = |training: &str| {
        let plan = plan_of(&recipe(training), &Changes::default());
        let shares = plan.shares_logits();
        let named = plan.runs.iter().zip(shares).filter(|(_, shares)| *shares);
        named.map(|(run, _)| run.path.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(shares(""), ["plane4 → plane6", "plane4 + plane6 → plane8"]);
    // The largest of them are files of their own, and their rest is of one temperature.
    assert_eq!(shares("top_k = 3"), shares(""));
    assert_eq!(shares("top_k = 10\nreplays = 2\ntraining = { plain = { augmentation = \"crop-flip\" } }"), shares(""));
    // Where images look new in every epoch, nothing is kept.
    assert_eq!(shares("training = { plain = { augmentation = \"crop-flip\" } }"), [""; 0]);
}

#[test]
fn largest_logits_that_cannot_be_kept_are_refused_with_what_to_do() {
    let problem = |settings: &str| {
        let text = format!(
            "title = \"t\"\n[[cell]]\nname = \"c\"\ndata = \"shapes10\"\npaths = [\"plane4 -> plane2\"]\n{settings}\n"
        );
        let recipe = Recipe::parse(&text, "mine.toml").unwrap();
        let experiment = Experiment::new(&recipe, &Changes::default(), DeviceType::Cpu).unwrap();
        match Plan::new(&experiment, &cards(), &|_| None) {
            Err(Error::Config(problem)) => problem,
            other => panic!("{other:?}"),
        }
    };
    let new_in_every_epoch = problem("top_k = 3\ntraining.plain = { augmentation = \"crop-flip\" }");
    assert!(new_in_every_epoch.contains("`replays`"), "{new_in_every_epoch}");
    let too_many = problem("top_k = 11");
    assert!(too_many.contains("give at most 10"), "{too_many}");
}

#[test]
fn plan_whose_runs_are_all_finished_asks_for_no_image() {
    let plan = plan("plane4 -> plane2", 1, &[31]);
    let (_folder, runs) = runs();
    execute_counting(1, Retry::Never, &plan, &runs).0.unwrap();
    let gone = |_: &takd_distill::DataConfig| Err(Error::Config("the data are gone".into()));
    let outcomes = execute(&plan, &gone, &runs, &sessions(2, Retry::Never), &mut |_, _, event| {
        assert!(matches!(event, PlanEvent::Ended(Outcome::Finished(_), Trained::Before)), "{event:?}");
        ControlFlow::Continue(())
    });
    assert_eq!(outcomes.unwrap().len(), 2);
}

//! What runs a table is made of, and what one that fails costs.

use candle_core::Device;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use takd_datasets::{Dataset, DatasetName, Drawn, Sources, load};
use takd_distill::{DeviceType, LrFrom, Protocol, RunId, Store};
use takd_grid::{Cell, Happening, Outcome, Plan, Preset, Table1, execute};

fn data(table: &Table1) -> BTreeMap<DatasetName, Dataset> {
    let sources = Sources { drawn: Drawn { train: 100, test: 50, seed: 0 }, ..Sources::default() };
    table.datasets().into_iter().map(|name| (name, load(name, &sources, &mut |_| {}).unwrap())).collect()
}

fn table(cells: &[Cell], seeds: &[u64]) -> Table1 {
    Table1 {
        cells: cells.to_vec(),
        preset: Preset::Quick,
        protocol: Protocol::Code,
        device: DeviceType::Cpu,
        epochs: Some(1),
        seeds: seeds.to_vec(),
        lambda: 0.5,
        temperature: 5.0,
    }
}

#[test]
fn each_run_stands_in_the_plan_once_and_after_its_teacher() {
    let table = table(&[Cell::PlainCifar10, Cell::ResnetCifar100], &[31, 55]);
    let plan = table.plan(&data(&table)).unwrap();
    // Teacher, assistant, and the student three times, for each cell and seed.
    assert_eq!(plan.runs.len(), 2 * 2 * 5);
    for (place, run) in plan.runs.iter().enumerate() {
        let earlier = &plan.runs[..place];
        assert!(earlier.iter().all(|other| other.id != run.id), "{}", run.name());
        if let Some(kd) = &run.config.distillation {
            assert!(
                kd.teachers.iter().all(|teacher| earlier.iter().any(|other| other.id == *teacher)),
                "{}",
                run.name()
            );
        }
    }
    // The assistant and the student are taught by one and the same teacher, that of its own row and seed.
    for seed in plan.rows.iter().flat_map(|row| &row.seeds) {
        let taught_by = |id: &RunId| {
            let run = plan.runs.iter().find(|run| run.id == *id).unwrap();
            run.config.distillation.as_ref().map(|kd| kd.teachers.clone())
        };
        assert_eq!(taught_by(&seed.assistant), Some(vec![seed.teacher.clone()]));
        assert_eq!(taught_by(&seed.blkd), Some(vec![seed.teacher.clone()]));
        assert_eq!(taught_by(&seed.takd), Some(vec![seed.assistant.clone()]));
        assert_eq!([taught_by(&seed.no_kd), taught_by(&seed.teacher)], [None, None]);
    }
}

#[test]
fn run_that_diverges_costs_only_those_it_was_to_teach() {
    let table = table(&[Cell::PlainCifar10], &[31]);
    let data = data(&table);
    let mut plan: Plan = table.plan(&data).unwrap();
    let no_kd = plan.rows[0].seeds[0].no_kd.clone();
    // A teacher that cannot but diverge; those it teaches ask for it by its new id.
    let old = plan.runs[0].id.clone();
    plan.runs[0].config.recipe.lr = vec![LrFrom { epoch: 0, lr: 1e30 }];
    plan.runs[0].config.recipe.batch_size = 32;
    plan.runs[0].id = plan.runs[0].config.id().unwrap();
    let new = plan.runs[0].id.clone();
    for run in &mut plan.runs {
        if let Some(kd) = run.config.distillation.as_mut().filter(|kd| kd.teachers == [old.clone()]) {
            kd.teachers = vec![new.clone()];
        }
    }
    for jobs in [1, 3] {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let mut ended = 0;
        let outcomes = execute(&plan, &data, &store, &vec![Device::Cpu; jobs], &mut |_, _, what| {
            ended += usize::from(matches!(what, Happening::Ended(_)));
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(ended, 5);
        let finished = outcomes.iter().filter(|(_, outcome)| matches!(outcome, Outcome::Finished(_)));
        assert_eq!(finished.map(|(id, _)| id).collect::<Vec<_>>(), [&no_kd]);
        assert!(matches!(outcomes[&new], Outcome::Diverged(_)));
    }
}

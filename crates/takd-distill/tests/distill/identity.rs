//! What identifies a run: its canonical form, in which equal runs are equal and no others.

use std::num::NonZeroUsize;
use takd_datasets::{Augmentation, Known};
use takd_distill::{
    DataConfig, DecayOn, DeviceType, Distillation, Error, HoldOut, KlReduction, LrFrom, Pick, Protocol, RunConfig,
    RunSettings, Scale, Training,
};
use takd_models::Family;
use takd_store::{Configuration, ConfigurationError, RunId};

/// A student of two teachers, with every setting that has a default set to something else, but for those that came later.
fn full() -> RunSettings {
    let teacher = |digit: &str| RunId::try_from(digit.repeat(16)).unwrap();
    RunSettings {
        numerics: 3,
        device: DeviceType::CudaTf32,
        model: "plane4-wide".parse().unwrap(),
        seed: 31,
        data: DataConfig { dataset: Known::Cifar100.into(), checksum: "00ff".into(), train_images: 50_000 },
        training: Training {
            epochs: 160,
            batch_size: 128,
            gradient_accumulation: NonZeroUsize::MIN,
            lr: vec![LrFrom { epoch: 0, lr: 0.1 }, LrFrom { epoch: 80, lr: 0.01 }],
            warmup_epochs: 0.0,
            momentum: 0.9,
            nesterov: true,
            weight_decay: 1e-4,
            weight_decay_on: DecayOn::Weights,
            augmentation: Augmentation::CROP_FLIP,
            replays: NonZeroUsize::new(8),
            normalization: Scale::PublishedCode,
            pick: Pick::BestTestEpoch,
            hold_out: HoldOut::Tenth,
        },
        imported: None,
        distillation: Some(Distillation {
            teachers: vec![teacher("a"), teacher("b")],
            lambda: 0.5,
            temperature: 5.0,
            kl_reduction: KlReduction::Mean,
            top_k: None,
        }),
    }
}

/// A network alone, with every setting at its default.
fn plain() -> RunSettings {
    let training = Training {
        nesterov: false,
        weight_decay: 0.0,
        hold_out: HoldOut::Nothing,
        ..Protocol::Sound.training(Family::Plain, 150)
    };
    RunSettings {
        device: DeviceType::Cpu,
        model: "plane2".parse().unwrap(),
        data: DataConfig { dataset: Known::Cifar10.into(), ..full().data },
        training,
        distillation: None,
        ..full()
    }
}

fn config(settings: RunSettings) -> RunConfig {
    RunConfig::new(settings).unwrap()
}

fn id(settings: RunSettings) -> String {
    config(settings).id().to_string()
}

#[test]
fn canonical_forms_and_ids_are_pinned() {
    // If one of these changes, every run ever made is another: only a new schema number allows that.
    assert_eq!(
        config(full()).canonical(),
        "schema = 1\nnumerics = 3\ndevice = \"cuda-tf32\"\nmodel = \"plane4-wide\"\nseed = 31\n\
         [data]\ndataset = \"cifar100\"\nchecksum = \"00ff\"\ntrain_images = 50000\n\
         [training]\nepochs = 160\nbatch_size = 128\nlr = [\"0.1 from epoch 0\", \"0.01 from epoch 80\"]\nmomentum = 0.9\n\
         nesterov = true\nweight_decay = 0.0001\nweight_decay_on = \"weights\"\naugmentation = \"crop-flip\"\nreplays = 8\n\
         normalization = \"published-code\"\npick = \"best-test-epoch\"\nhold_out = \"tenth\"\n\
         [distillation]\nteachers = [\"aaaaaaaaaaaaaaaa\", \"bbbbbbbbbbbbbbbb\"]\nlambda = 0.5\ntemperature = 5.0\n\
         kl_reduction = \"mean\"\n"
    );
    assert_eq!(
        config(plain()).canonical(),
        "schema = 1\nnumerics = 3\ndevice = \"cpu\"\nmodel = \"plane2\"\nseed = 31\n\
         [data]\ndataset = \"cifar10\"\nchecksum = \"00ff\"\ntrain_images = 50000\n\
         [training]\nepochs = 150\nbatch_size = 128\nlr = [\"0.01 from epoch 0\"]\nmomentum = 0.9\n\
         normalization = \"own\"\npick = \"last-epoch\"\n"
    );
    assert_eq!([id(full()), id(plain())], ["e2fe822fbfe12931", "202c527f0c509a41"]);
}

#[test]
fn ids_of_settings_that_came_later_are_pinned() {
    let training =
        Training { gradient_accumulation: NonZeroUsize::new(4).unwrap(), warmup_epochs: 2.5, ..full().training };
    let settings = RunSettings { training, ..full() };
    let canonical = config(full()).canonical();
    let canonical = canonical.replace("batch_size = 128\n", "batch_size = 128\ngradient_accumulation = 4\n");
    let canonical = canonical.replace("epoch 80\"]\n", "epoch 80\"]\nwarmup_epochs = 2.5\n");
    assert_eq!(config(settings.clone()).canonical(), canonical);
    assert_eq!(id(settings.clone()), "fc80c7fb1841c301");
    let top_k = NonZeroUsize::new(20);
    let distillation = settings.distillation.clone().map(|kd| Distillation { top_k, ..kd });
    let settings = RunSettings { distillation, ..settings };
    assert_eq!(config(settings.clone()).canonical(), canonical + "top_k = 20\n");
    assert_eq!(id(settings), "67eddad11a3154c5");
}

#[test]
fn optional_setting_at_its_default_is_left_out_so_that_a_new_one_changes_no_id() {
    let defaults = Training {
        nesterov: false,
        weight_decay: 0.0,
        weight_decay_on: DecayOn::default(),
        augmentation: Augmentation::NONE,
        replays: None,
        hold_out: HoldOut::default(),
        ..full().training
    };
    let text = config(RunSettings { training: defaults, ..full() }).canonical();
    for key in [
        "gradient_accumulation",
        "warmup_epochs",
        "nesterov",
        "weight_decay",
        "weight_decay_on",
        "augmentation",
        "replays",
        "hold_out",
    ] {
        assert!(!text.contains(&format!("\n{key} =")), "{key} stands in {text}");
    }
    // Written by a program that knows of no such setting, it reads as the default.
    let training = RunConfig::parse(&text).unwrap().training.clone();
    assert_eq!(training.hold_out, HoldOut::Nothing);
    assert_eq!((training.gradient_accumulation.get(), training.warmup_epochs), (1, 0.0));
}

#[test]
fn any_change_of_the_configuration_is_another_run_and_the_form_reads_back() {
    let base = full();
    let kd = base.distillation.clone().unwrap();
    let training = |training: Training| RunSettings { training, ..full() };
    let distillation = |kd: Distillation| RunSettings { distillation: Some(kd), ..full() };
    let changed = [
        RunSettings { seed: 1, ..full() },
        RunSettings { model: "plane4".parse().unwrap(), ..full() },
        RunSettings { numerics: 4, ..full() },
        RunSettings { device: DeviceType::Cuda, ..full() },
        RunSettings { data: DataConfig { train_images: 49_999, ..full().data }, ..full() },
        RunSettings { distillation: None, ..full() },
        distillation(Distillation { lambda: 0.25, ..kd.clone() }),
        distillation(Distillation { temperature: 2.0, ..kd.clone() }),
        distillation(Distillation { top_k: NonZeroUsize::new(20), ..kd.clone() }),
        distillation(Distillation { top_k: NonZeroUsize::new(21), ..kd.clone() }),
        distillation(Distillation { kl_reduction: KlReduction::BatchMean, ..kd }),
        training(Training { epochs: 161, ..full().training }),
        training(Training { nesterov: false, ..full().training }),
        training(Training { gradient_accumulation: NonZeroUsize::new(2).unwrap(), ..full().training }),
        training(Training { warmup_epochs: 5.0, ..full().training }),
        training(Training { weight_decay_on: DecayOn::All, ..full().training }),
        training(Training { lr: vec![LrFrom { epoch: 0, lr: 0.1 }], ..full().training }),
    ];
    let mut ids: Vec<RunId> = Vec::new();
    for settings in changed.into_iter().chain([base, plain()]) {
        let config = config(settings);
        assert_eq!(RunConfig::parse(&config.canonical()).unwrap(), config);
        ids.push(config.id());
    }
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all);
}

#[test]
fn settings_without_effect_give_no_run_another_id() {
    let kd = full().distillation.unwrap();
    let lambda = |lambda, kl_reduction| {
        let kd = Distillation { lambda, kl_reduction, ..kd.clone() };
        id(RunSettings { distillation: Some(kd), ..full() })
    };
    assert_eq!(lambda(-0.0, KlReduction::BatchMean), lambda(0.0, KlReduction::BatchMean));
    assert_eq!(lambda(0.0, KlReduction::Mean), lambda(0.0, KlReduction::BatchMean));
    let top_k = |lambda, k| {
        let kd = Distillation { lambda, top_k: NonZeroUsize::new(k), ..kd.clone() };
        id(RunSettings { distillation: Some(kd), ..full() })
    };
    assert_eq!(top_k(0.0, 20), top_k(0.0, 0));
    assert_ne!(top_k(0.5, 20), top_k(0.5, 0));
    let training = |change: &dyn Fn(&mut Training)| {
        let mut settings = full();
        settings.training.epochs = 4;
        settings.training.lr.truncate(1);
        change(&mut settings.training);
        id(settings)
    };
    let replays = |replays| training(&|training| training.replays = NonZeroUsize::new(replays));
    assert_eq!(replays(4), replays(1_000));
    assert_ne!(replays(3), replays(4));
    let not_augmented = |replays| {
        training(&|training| {
            training.augmentation = Augmentation::NONE;
            training.replays = NonZeroUsize::new(replays);
        })
    };
    assert_eq!(not_augmented(0), not_augmented(2));
    // A piece after the last epoch, with the rate before it, or replaced in the same epoch.
    let lr = |pieces: &[(usize, f64)]| {
        training(&|training| training.lr = pieces.iter().map(|&(epoch, lr)| LrFrom { epoch, lr }).collect())
    };
    assert_eq!(lr(&[(0, 0.1), (4, 0.01)]), lr(&[(0, 0.1)]));
    assert_eq!(lr(&[(0, 0.1), (2, 0.1)]), lr(&[(0, 0.1)]));
    assert_eq!(lr(&[(0, 0.2), (0, 0.1)]), lr(&[(0, 0.1)]));
    assert_ne!(lr(&[(0, 0.1), (3, 0.01)]), lr(&[(0, 0.1)]));
    let without = |change: &dyn Fn(&mut Training)| training(change);
    let no_momentum = |nesterov| without(&|training| (training.momentum, training.nesterov) = (0.0, nesterov));
    assert_eq!(no_momentum(true), no_momentum(false));
    let no_decay = |on| without(&|training| (training.weight_decay, training.weight_decay_on) = (0.0, on));
    assert_eq!(no_decay(DecayOn::All), no_decay(DecayOn::Weights));
    // A tenth of fewer than ten.
    let of_nine = |hold_out| {
        let mut settings = full();
        settings.data.train_images = 9;
        settings.training.hold_out = hold_out;
        id(settings)
    };
    assert_eq!(of_nine(HoldOut::Tenth), of_nine(HoldOut::Nothing));
}

#[test]
fn invalid_configuration_cannot_be_made_and_its_error_names_the_setting() {
    type Change = fn(&mut RunSettings);
    let cases: [(&str, Change); 20] = [
        ("λ = 1.5", |s| s.distillation.as_mut().unwrap().lambda = 1.5),
        ("λ = NaN", |s| s.distillation.as_mut().unwrap().lambda = f64::NAN),
        ("τ = 0", |s| s.distillation.as_mut().unwrap().temperature = 0.0),
        ("τ = inf", |s| s.distillation.as_mut().unwrap().temperature = f64::INFINITY),
        ("no teacher", |s| s.distillation.as_mut().unwrap().teachers.clear()),
        // Its teacher looks at every batch, so that no logits are kept.
        ("fixed number of augmented forms (`replays`)", |s| {
            s.distillation.as_mut().unwrap().top_k = NonZeroUsize::new(20);
            s.training.replays = None;
        }),
        ("seed", |s| s.seed = u64::MAX),
        ("no epochs", |s| s.training.epochs = 0),
        ("no images a step", |s| s.training.batch_size = 0),
        ("epoch 0", |s| s.training.lr.clear()),
        ("epoch 0", |s| s.training.lr[0].epoch = 1),
        ("order of their epochs", |s| s.training.lr.extend([LrFrom { epoch: 20, lr: 0.05 }])),
        ("learning rate NaN", |s| s.training.lr[1].lr = f64::NAN),
        ("rise for NaN epochs", |s| s.training.warmup_epochs = f64::NAN),
        ("rise for inf epochs", |s| s.training.warmup_epochs = f64::INFINITY),
        ("rise for -1 epochs", |s| s.training.warmup_epochs = -1.0),
        ("momentum 1", |s| s.training.momentum = 1.0),
        ("momentum -0.1", |s| s.training.momentum = -0.1),
        ("weight decay -1", |s| s.training.weight_decay = -1.0),
        ("no images are left", |s| s.data.train_images = 0),
    ];
    for (expected, change) in cases {
        let mut settings = full();
        change(&mut settings);
        let error = RunConfig::new(settings).unwrap_err();
        let fits = matches!(&error, Error::Config(problem) if problem.contains(expected));
        assert!(fits, "{expected}: {error}");
    }
}

#[test]
fn form_of_another_version_is_told_from_a_wrong_one() {
    let text = config(full()).canonical();
    let newer = text.replace("schema = 1", "schema = 2");
    assert!(matches!(RunConfig::parse(&newer), Err(ConfigurationError::OtherVersion { .. })));
    for wrong in [
        format!("{text}speed = 1\n"),
        text.replace("seed = 31", "seed = 31\nspeed = 1"),
        text.replace("lambda = 0.5", "lambda = 0.50"),
        text.replace("lambda = 0.5", "lambda = 7.5"),
        text.replace("lambda = 0.5", "lambda = nan"),
        format!("{text}top_k = 0\n"),
        format!("{text}top_k = -1\n"),
        text.replace("replays = 8\n", "") + "top_k = 20\n",
        text.replace("momentum = 0.9\n", ""),
        text.replace("lr = [", "gradient_accumulation = 0\nlr = ["),
        text.replace("lr = [", "gradient_accumulation = 1\nlr = ["),
        text.replace("momentum", "warmup_epochs = 0.0\nmomentum"),
        text.replace("momentum", "warmup_epochs = -5.0\nmomentum"),
        String::new(),
    ] {
        assert!(matches!(RunConfig::parse(&wrong), Err(ConfigurationError::Invalid(_))), "{wrong}");
    }
}

#[test]
fn teacher_is_the_same_run_whatever_it_teaches() {
    // Nothing of the teaching stands with the training: a teacher of protocol `code`, whose students average the KL term
    // otherwise, has no setting that says so.
    let teacher = RunSettings { distillation: None, ..full() };
    assert!(!config(teacher).canonical().contains("kl"));
}

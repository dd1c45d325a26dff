//! Models of a hub of our own on this machine.

use crate::stub::StubHub;
use std::fs;
use std::path::Path;
use std::time::Duration;
use takd_hub::{Hub, Lookup, ModelFiles, Progress, Repository, Token};

const ID: &str = "timm/resnet.a1_in1k";

fn hub(endpoint: &str, cache: &Path) -> Hub {
    Hub {
        endpoint: endpoint.into(),
        cache: Some(cache.into()),
        offline: false,
        token: None,
        patience: Duration::from_millis(500),
    }
}

fn find(hub: &Hub, progress: &mut dyn FnMut(Progress<'_>)) -> takd_hub::Result<Lookup<ModelFiles>> {
    hub.find_model(&Repository::model(ID).unwrap(), progress)
}

fn found(hub: &Hub) -> ModelFiles {
    match find(hub, &mut |_| {}).unwrap() {
        Lookup::Found(files) => files,
        Lookup::Missing(looked) => panic!("not found: {looked:?}"),
    }
}

#[test]
fn model_is_downloaded_once_and_again_if_it_changed_and_the_cache_serves_offline() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    stub.keep(ID, &[("config.json", b"{1}"), ("model.safetensors", &[5; 9000]), ("model.onnx", b"no")]);
    let hub = hub(&stub.endpoint, cache.path());
    let mut last: Vec<(String, u64, u64)> = Vec::new();
    find(&hub, &mut |Progress { what, done, total, .. }| {
        last.retain(|(name, ..)| name != what);
        last.push((what.to_owned(), done, total));
    })
    .unwrap();
    assert_eq!(last, [("config.json".to_owned(), 3, 3), ("model.safetensors".to_owned(), 9000, 9000)]);
    let first = found(&hub);
    assert_eq!(fs::read(&first.weights).unwrap(), [5; 9000]);
    assert_eq!(fs::read(first.config.as_ref().unwrap()).unwrap(), b"{1}");
    assert!(!fs::symlink_metadata(&first.weights).unwrap().is_symlink());
    stub.requests();
    assert_eq!(find(&hub, &mut |_| panic!("a download")).unwrap(), Lookup::Found(first));
    assert_eq!(stub.asked(), [format!("GET /api/models/{ID}/revision/main")]);

    stub.keep(ID, &[("config.json", b"{22}"), ("model.safetensors", &[6; 9001])]);
    let offline = Hub { offline: true, ..hub.clone() };
    assert_eq!(fs::read(found(&offline).weights).unwrap(), [5; 9000]);
    let second = found(&hub);
    assert_eq!(fs::read(&second.weights).unwrap(), [6; 9001]);
    assert_eq!(fs::read(second.config.as_ref().unwrap()).unwrap(), b"{22}");
    assert_eq!(second.commit, stub.model(ID).unwrap().commits.last().cloned());
    drop(stub);
    // Out of reach, as offline.
    assert_eq!(found(&hub), second);
    assert_eq!(found(&offline), second);
}

#[test]
fn weights_of_pytorch_are_taken_if_there_are_no_others_and_config_is_not_needed() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    stub.keep(ID, &[("pytorch_model.bin", &[3; 80])]);
    let files = found(&hub(&stub.endpoint, cache.path()));
    assert_eq!((fs::read(files.weights).unwrap(), files.config), (vec![3; 80], None));
    stub.keep(ID, &[("README.md", b"words")]);
    let error = find(&hub(&stub.endpoint, cache.path()), &mut |_| {}).unwrap_err();
    let said = format!("the hub's `{ID}`: it lists no model.safetensors and no pytorch_model.bin");
    assert_eq!(error.to_string(), said);
}

#[test]
fn config_that_is_missing_in_the_cache_alone_is_fetched() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    stub.keep(ID, &[("config.json", b"{}"), ("model.safetensors", &[5; 90])]);
    let hub = hub(&stub.endpoint, cache.path());
    let commit = stub.model(ID).unwrap().commits[0].clone();
    found(&hub);
    fs::remove_file(cache.path().join("models--timm--resnet.a1_in1k/snapshots").join(commit).join("config.json"))
        .unwrap();
    assert!(found(&hub).config.is_some());
}

#[test]
fn model_that_is_nowhere_names_both_places() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    for offline in [false, true] {
        let hub = Hub { offline, ..hub(&stub.endpoint, cache.path()) };
        let Lookup::Missing(looked) = find(&hub, &mut |_| {}).unwrap() else { panic!("found") };
        assert!(looked[0].place.contains("models--timm--resnet.a1_in1k"), "{looked:?}");
        assert_eq!(looked[1].place, format!("the hub, {}/{ID}", stub.endpoint));
        assert!(looked[1].found.contains(if offline { "not asked (offline)" } else { "404" }), "{looked:?}");
    }
}

#[test]
fn config_that_is_too_large_is_refused_and_nothing_of_it_stays() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    stub.keep(ID, &[("config.json", &vec![b' '; (1 << 20) + 1]), ("model.safetensors", &[5; 90])]);
    let error = find(&hub(&stub.endpoint, cache.path()), &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("config.json: it has 1048577 bytes, and at most 1048576 are downloaded"), "{error}");
    assert!(!cache.path().join("models--timm--resnet.a1_in1k/refs").exists());
}

#[test]
fn model_without_a_home_folder_is_refused_before_its_files_are_asked_for() {
    let stub = StubHub::start();
    stub.keep(ID, &[("model.safetensors", &[5; 90])]);
    let hub = Hub { cache: None, ..hub(&stub.endpoint, Path::new("")) };
    let error = find(&hub, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("set HF_HOME"), "{error}");
}

#[test]
fn config_that_nobody_asked_the_hub_for_is_not_said_to_be_missing() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    stub.keep(ID, &[("model.safetensors", &[5; 90])]);
    let hub = hub(&stub.endpoint, cache.path());
    // The hub lists none, the first time and the second.
    for _ in 0..2 {
        let files = found(&hub);
        assert_eq!((files.config, files.config_is_known), (None, true));
    }
    // That is noted in the cache; without the note, as other programs leave it, nobody knows.
    let offline = Hub { offline: true, ..hub };
    assert_eq!((found(&offline).config, found(&offline).config_is_known), (None, true));
    fs::remove_dir_all(cache.path().join("models--timm--resnet.a1_in1k/.no_exist")).unwrap();
    assert_eq!((found(&offline).config, found(&offline).config_is_known), (None, false));
}

#[test]
fn model_at_a_commit_is_that_of_the_commit_and_the_cache_serves_it_without_a_question() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    for number in 1..=2_u8 {
        stub.keep(ID, &[("config.json", b"{}"), ("model.safetensors", &[number; 90])]);
    }
    let commits = stub.model(ID).unwrap().commits;
    let hub = hub(&stub.endpoint, cache.path());
    let first = Repository::model(ID).unwrap().at_commit(&commits[0]);
    let find = |repository: &Repository, hub: &Hub| match hub.find_model(repository, &mut |_| {}).unwrap() {
        Lookup::Found(files) => files,
        Lookup::Missing(looked) => panic!("not found: {looked:?}"),
    };
    let files = find(&first, &hub);
    assert_eq!((fs::read(&files.weights).unwrap(), files.commit.as_ref()), (vec![1; 90], Some(&commits[0])));
    // What others take for the newest is left as it is.
    assert!(!cache.path().join("models--timm--resnet.a1_in1k/refs/main").exists());
    assert_eq!(fs::read(find(&Repository::model(ID).unwrap(), &hub).weights).unwrap(), [2; 90]);
    stub.requests();
    assert_eq!(find(&first, &hub), files);
    assert!(stub.asked().is_empty());
    let gone = first.at_commit(&"f".repeat(40));
    let Lookup::Missing(looked) = hub.find_model(&gone, &mut |_| {}).unwrap() else { panic!("found") };
    assert!(looked[0].found.contains("at that commit") && looked[1].found.contains("404"), "{looked:?}");
}

#[test]
fn file_of_the_right_length_with_other_bytes_is_refused_whether_large_or_small() {
    for (name, what) in [("config.json", "SHA-1 in Git"), ("model.safetensors", "SHA-256")] {
        let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
        stub.keep(ID, &[("config.json", b"{1}"), ("model.safetensors", b"abc")]);
        stub.serve_instead(name, b"xyz");
        let error = find(&hub(&stub.endpoint, cache.path()), &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains(&format!("{name} could not be downloaded: its {what} is")), "{error}");
        assert!(!cache.path().join("models--timm--resnet.a1_in1k/refs").exists());
    }
}

#[test]
fn token_that_no_header_takes_is_refused_by_its_place() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    stub.keep(ID, &[("model.safetensors", &[5; 90])]);
    let token = Some(Token { text: "hf_a\u{7}".into(), place: "HF_TOKEN".into() });
    let error = find(&Hub { token, ..hub(&stub.endpoint, cache.path()) }, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("the token in HF_TOKEN") && error.contains("set it anew"), "{error}");
    assert!(stub.asked().is_empty());
}

#[test]
fn password_in_the_address_is_not_shown() {
    let (cache, stub) = (tempfile::tempdir().unwrap(), StubHub::start());
    let endpoint = stub.endpoint.replace("http://", "http://me:secret@");
    for offline in [false, true] {
        let hub = Hub { offline, ..hub(&endpoint, cache.path()) };
        let Lookup::Missing(looked) = find(&hub, &mut |_| {}).unwrap() else { panic!("found") };
        assert_eq!(looked[1].place, format!("the hub, {}/{ID}", stub.endpoint));
        assert!(!format!("{looked:?}").contains("secret"), "{looked:?}");
    }
}

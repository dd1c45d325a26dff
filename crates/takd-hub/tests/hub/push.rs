//! Pushing to a hub of our own on this machine.

use crate::stub::{StubHub, TOKEN, sha256};
use std::time::Duration;
use takd_hub::{Hub, Progress, Push, PushError, Pushed, Repository, Stage, Token, Visibility};

const ID: &str = "me/my-model";

fn hub(stub: &StubHub, token: &str) -> Hub {
    Hub {
        endpoint: stub.endpoint.clone(),
        cache: None,
        offline: false,
        token: Some(Token { text: token.into(), place: "a file".into() }),
        patience: Duration::from_secs(5),
    }
}

fn weights() -> Vec<u8> {
    (0..100_000_u32).map(|i| (i * 31 % 251) as u8).collect()
}

fn push_as(
    hub: &Hub,
    weights: &[u8],
    visibility: Visibility,
    progress: &mut dyn FnMut(Progress<'_>),
) -> Result<Pushed, PushError> {
    let files: [(&str, &[u8]); 3] =
        [("config.json", b"{}\n"), ("model.safetensors", weights), ("README.md", "# λ\n".as_bytes())];
    let repository = Repository::model(ID).unwrap();
    hub.push(&Push { repository: &repository, files: &files, message: "Upload my-model", visibility }, progress)
}

fn push(stub: &StubHub, weights: &[u8]) -> Result<Pushed, PushError> {
    push_as(&hub(stub, TOKEN), weights, Visibility::OwnersDefault, &mut |_| {})
}

#[test]
fn new_repository_is_made_and_has_the_very_bytes_in_one_commit() {
    let stub = StubHub::start();
    let mut seen = Vec::new();
    let pushed = push_as(
        &hub(&stub, TOKEN),
        &weights(),
        Visibility::OwnersDefault,
        &mut |Progress { stage, what, done, total }| {
            assert_eq!((stage, what, total), (Stage::Upload, "model.safetensors", 100_000));
            seen.push(done);
        },
    )
    .unwrap();
    assert_eq!((seen[0], *seen.last().unwrap()), (0, 100_000));
    assert!(seen.is_sorted());
    let model = stub.model(ID).unwrap();
    assert_eq!(model.files["model.safetensors"], weights());
    assert_eq!(model.files["config.json"], b"{}\n");
    assert_eq!(model.files["README.md"], "# λ\n".as_bytes());
    assert_eq!((model.files.len(), model.commits.len(), model.is_private), (3, 1, false));
    assert_eq!((&pushed.commit, pushed.is_new), (&model.commits.last().cloned(), Some(true)));
    assert_eq!(pushed.address, format!("{}/{ID}", stub.endpoint));
    assert!(pushed.files.iter().all(|file| file.is_sent));
    let (requests, oid) = (stub.requests(), sha256(&weights()));
    let paths: Vec<String> = requests.iter().map(|request| format!("{} {}", request.method, request.path)).collect();
    assert_eq!(
        paths,
        [
            "POST /api/repos/create".to_owned(),
            format!("POST /api/models/{ID}/preupload/main"),
            format!("POST /{ID}.git/info/lfs/objects/batch"),
            format!("PUT /storage/{oid}"),
            format!("POST /verify/{oid}"),
            format!("POST /api/models/{ID}/commit/main"),
        ]
    );
    assert_eq!(requests[3].headers["x-signed"], "yes");
    assert_eq!(requests[5].headers["content-type"], "application/x-ndjson");
}

#[test]
fn what_the_hub_has_is_not_sent_again() {
    let stub = StubHub::start();
    push(&stub, &weights()).unwrap();
    stub.requests();
    let pushed = push(&stub, &weights()).unwrap();
    assert_eq!(pushed.is_new, Some(false));
    let sent: Vec<bool> = pushed.files.iter().map(|file| file.is_sent).collect();
    assert_eq!(sent, [true, false, true]);
    assert!(stub.asked().iter().all(|asked| !asked.starts_with("PUT")));
    let other = vec![7; 50];
    push(&stub, &other).unwrap();
    let model = stub.model(ID).unwrap();
    assert_eq!((&model.files["model.safetensors"], model.commits.len()), (&other, 3));
}

#[test]
fn large_files_go_in_parts_if_the_hub_wants_them_so() {
    let stub = StubHub::start();
    stub.want_parts_of(30_000);
    let mut last = 0;
    push_as(&hub(&stub, TOKEN), &weights(), Visibility::OwnersDefault, &mut |progress| last = progress.done).unwrap();
    assert_eq!(last, 100_000);
    assert_eq!(stub.model(ID).unwrap().files["model.safetensors"], weights());
    assert_eq!(stub.asked().iter().filter(|asked| asked.starts_with("PUT")).count(), 4);
}

#[test]
fn private_repository_is_private_or_nothing_is_pushed() {
    let stub = StubHub::start();
    push_as(&hub(&stub, TOKEN), &weights(), Visibility::Private, &mut |_| {}).unwrap();
    assert!(stub.model(ID).unwrap().is_private);

    for is_there in [true, false] {
        let stub = StubHub::start();
        if is_there {
            stub.keep(ID, &[("config.json", b"{}")]);
        }
        stub.ignore_privacy();
        let error = push_as(&hub(&stub, TOKEN), &weights(), Visibility::Private, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("everyone may see it"), "{error}");
        assert!(!stub.model(ID).unwrap().files.contains_key("model.safetensors"));
        assert!(stub.asked().iter().all(|asked| !asked.contains("storage")));
    }
}

#[test]
fn without_a_token_or_offline_nothing_is_asked() {
    let stub = StubHub::start();
    let without = Hub { token: None, ..hub(&stub, TOKEN) };
    let error = push_as(&without, &weights(), Visibility::OwnersDefault, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains(&format!("make one that may write at {}/settings/tokens", stub.endpoint)), "{error}");
    assert!(error.contains("HF_TOKEN"), "{error}");
    let offline = Hub { offline: true, ..hub(&stub, TOKEN) };
    let error = push_as(&offline, &weights(), Visibility::OwnersDefault, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE"), "{error}");
    assert!(stub.asked().is_empty());
}

#[test]
fn refused_token_is_named_with_its_place_and_not_with_its_text() {
    let stub = StubHub::start();
    let error =
        push_as(&hub(&stub, "hf_old"), &weights(), Visibility::OwnersDefault, &mut |_| {}).unwrap_err().to_string();
    for part in [
        ID,
        "status code 401, Invalid username or password.",
        "the token in a file",
        "/settings/tokens",
        "nothing was changed",
    ] {
        assert!(error.contains(part), "no `{part}` in: {error}");
    }
    assert!(!error.contains("hf_old"), "{error}");
}

#[test]
fn token_that_may_make_nothing_pushes_to_what_is_there() {
    let stub = StubHub::start();
    stub.keep(ID, &[("config.json", b"{}")]);
    stub.fail("POST", "/api/repos/create", 403, 1);
    push(&stub, &weights()).unwrap();
    let stub = StubHub::start();
    stub.fail("POST", "/api/repos/create", 403, 1);
    let error = push(&stub, &weights()).unwrap_err().to_string();
    assert!(error.contains("it could not be made (status code 403, out of order)"), "{error}");
}

#[test]
fn failure_that_passes_is_tried_again() {
    let stub = StubHub::start();
    stub.fail("POST", "/preupload/", 503, 2);
    stub.fail("PUT", "/storage/", 500, 1);
    push(&stub, &weights()).unwrap();
    assert_eq!(stub.model(ID).unwrap().files["model.safetensors"], weights());
}

#[test]
fn failure_that_stays_leaves_the_repository_as_it_was_and_says_so() {
    for (method, path, status, said) in [
        (
            "POST",
            "/preupload/",
            500,
            "how its files are to be sent could not be learnt (status code 500, out of order)",
        ),
        ("POST", "/batch", 500, "where its files are to be sent could not be learnt (status code 500"),
        ("PUT", "/storage/", 500, "model.safetensors could not be sent (status code 500"),
        ("PUT", "/storage/", 403, "model.safetensors could not be sent (status code 403"),
        ("POST", "/verify/", 422, "model.safetensors could not be sent (status code 422"),
        ("POST", "/commit/", 500, "the commit was refused (status code 500"),
        ("POST", "/commit/", 307, "it may have another name now"),
    ] {
        for is_there in [true, false] {
            let stub = StubHub::start();
            if is_there {
                stub.keep(ID, &[("config.json", b"old")]);
            }
            stub.fail(method, path, status, 10);
            let error = push(&stub, &weights()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("`{ID}` was not pushed: ")) && error.contains(said), "{error}");
            let seen_at = format!("whether it is there nevertheless is seen at {}/{ID}", stub.endpoint);
            let left = match (path, is_there) {
                // A gateway may have given up while the commit went through.
                ("/commit/", _) if status >= 500 => &seen_at,
                ("/commit/", _) => "the repository has no file of this push",
                (_, true) => "the repository is as it was",
                (_, false) => "the repository was made, and is still empty",
            };
            assert!(error.ends_with(left), "{error}");
            let model = stub.model(ID).unwrap();
            assert_eq!(model.files.len(), usize::from(is_there), "{error}");
            assert_eq!(model.files.values().next().map(Vec::as_slice), is_there.then_some(&b"old"[..]));
        }
    }
}

#[test]
fn commit_is_sent_once_even_if_it_fails() {
    let stub = StubHub::start();
    stub.fail("POST", "/commit/", 500, 1);
    push(&stub, &weights()).unwrap_err();
    assert_eq!(stub.asked().iter().filter(|asked| asked.contains("/commit/")).count(), 1);
}

#[test]
fn hub_that_cannot_be_reached_ends_in_a_message() {
    let closed = StubHub::start().endpoint.clone();
    let hub = Hub {
        endpoint: closed,
        cache: None,
        offline: false,
        token: Some(Token { text: TOKEN.into(), place: "a file".into() }),
        patience: Duration::from_millis(300),
    };
    let error = push_as(&hub, &weights(), Visibility::OwnersDefault, &mut |_| {}).unwrap_err().to_string();
    assert!(error.ends_with("nothing was changed on the hub"), "{error}");
}

#[test]
fn commit_whose_answer_is_lost_is_not_said_to_be_missing() {
    let stub = StubHub::start();
    stub.lose_answers("POST", "/commit/", 1);
    let error = push(&stub, &weights()).unwrap_err().to_string();
    assert!(error.contains("status code 504") && error.contains("is seen at"), "{error}");
    assert!(!error.contains("no file of this push"), "{error}");
    assert!(stub.model(ID).unwrap().files.contains_key("model.safetensors"));
}

#[test]
fn repository_whose_first_answer_is_lost_is_not_said_to_have_been_there() {
    let stub = StubHub::start();
    stub.lose_answers("POST", "/api/repos/create", 1);
    assert_eq!(push(&stub, &weights()).unwrap().is_new, None);

    let stub = StubHub::start();
    stub.lose_answers("POST", "/api/repos/create", 1);
    stub.fail("PUT", "/storage/", 403, 1);
    let error = push(&stub, &weights()).unwrap_err().to_string();
    assert!(error.ends_with("the repository is as it was, or was made and is still empty"), "{error}");
}

#[test]
fn token_with_a_control_character_is_refused_by_its_place_and_nothing_is_asked() {
    let stub = StubHub::start();
    let error = push_as(&hub(&stub, "hf_a\nb"), &weights(), Visibility::OwnersDefault, &mut |_| {});
    let error = error.unwrap_err().to_string();
    assert!(error.contains("the token in a file") && !error.contains("hf_a"), "{error}");
    assert!(stub.asked().is_empty());
}

#[test]
fn password_in_the_address_is_in_no_message() {
    let stub = StubHub::start();
    let endpoint = stub.endpoint.replace("http://", "http://me:secret@");
    stub.fail("POST", "", 401, 10);
    for token in [Some(TOKEN), None] {
        let token = token.map(|text| Token { text: text.into(), place: "a file".into() });
        for offline in [false, true] {
            let hub = Hub { endpoint: endpoint.clone(), offline, token: token.clone(), ..hub(&stub, TOKEN) };
            let error = push_as(&hub, &weights(), Visibility::OwnersDefault, &mut |_| {}).unwrap_err().to_string();
            assert!(error.contains(&stub.endpoint) && !error.contains("secret"), "{error}");
        }
    }
}

#[test]
fn large_file_that_the_hub_wants_within_the_commit_is_refused_before_it_is_sent() {
    let stub = StubHub::start();
    let large = vec![0; (64 << 20) + 1];
    let files: [(&str, &[u8]); 1] = [("notes.txt", &large)];
    let repository = Repository::model(ID).unwrap();
    let push = Push { repository: &repository, files: &files, message: "m", visibility: Visibility::OwnersDefault };
    let error = hub(&stub, TOKEN).push(&push, &mut |_| {}).unwrap_err().to_string();
    assert!(error.contains("notes.txt") && error.contains(".gitattributes"), "{error}");
    assert!(stub.asked().iter().all(|asked| !asked.contains("/commit/")));
}

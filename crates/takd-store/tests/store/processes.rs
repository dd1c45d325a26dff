//! Two processes at one run, and processes that are killed.

use crate::countdown::{Countdown, Landed, ROCKET, begin, finish, names, open, store};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};
use takd_store::{Configuration, Ending, Error, Extent, Journal, Start};

const TASK: &str = "TAKD_STORE_TEST_TASK";
const ROOT: &str = "TAKD_STORE_TEST_ROOT";
const LENGTH: usize = 300_000;

fn config() -> Countdown {
    Countdown::new(3)
}

/// What the other process does; without a task this is no test.
#[test]
fn other_process() {
    let (Ok(task), Some(root)) = (env::var(TASK), env::var_os(ROOT)) else { return };
    let store = open(Path::new(&root));
    if task == "finish and remove" {
        println!("ready");
        for _ in 0..10_000 {
            finish(&store, &config());
            store.remove(&config().id()).unwrap();
        }
    }
    let claim = begin(&store, &config());
    println!("ready");
    let mut journal = Journal::begin(&claim).unwrap();
    for round in 0u8.. {
        match task.as_str() {
            "wait" => thread::sleep(Duration::from_secs(1)),
            _ => {
                claim.write(ROCKET, &vec![round; LENGTH]).unwrap();
                claim.add_start(&Start::now(Vec::new(), String::new())).unwrap();
                journal.add(&vec![round; 1_000]).unwrap();
                claim.end(&Ending::<Landed>::Failed(round.to_string()), &journal.extent().unwrap(), &[]).unwrap();
                journal = Journal::begin(&claim).unwrap();
            }
        }
        // The tests take a moment; should they have died, this ends too.
        if round == 255 && task == "wait" {
            return;
        }
    }
}

/// A process that works on the run.
struct Other(Child);

impl Other {
    fn start(task: &str, root: &Path) -> Self {
        let mut command = Command::new(env::current_exe().unwrap());
        command.args(["--exact", "processes::other_process", "--nocapture"]);
        let mut child = command.env(TASK, task).env(ROOT, root).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert!(lines.map_while(Result::ok).any(|line| line.contains("ready")), "the other process did not begin");
        Self(child)
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn claim_of_another_process_is_respected_until_that_is_killed() {
    let (folder, store) = store();
    let id = config().id();
    let other = Other::start("wait", folder.path());
    assert!(store.is_claimed(&id).unwrap());
    assert!(store.claim(&id).unwrap().is_none());
    assert!(matches!(store.remove(&id), Err(Error::Claimed(_))));
    other.kill();
    assert!(!store.is_claimed(&id).unwrap());
    store.claim(&id).unwrap().unwrap().check().unwrap();
}

#[test]
fn kill_in_the_midst_of_writing_leaves_each_file_old_or_new() {
    let (folder, store) = store();
    let id = config().id();
    let mut left_half = 0;
    for round in 0..20 {
        let other = Other::start("write", folder.path());
        thread::sleep(Duration::from_millis(7 * round % 50));
        other.kill();
        let dir = store.dir(&id);
        left_half += names(&dir).iter().filter(|name| name.starts_with(".writing-")).count();
        assert_eq!(store.config(&id).unwrap(), Some(config()));
        assert!(matches!(store.ending(&id), Ok(None | Some(Ending::Failed(_)))), "{:?}", store.ending(&id));
        if let Ok(bytes) = fs::read(dir.join(ROCKET)) {
            assert!(bytes == vec![bytes[0]; LENGTH], "{} bytes", bytes.len());
        }
        let starts = fs::read_to_string(dir.join("starts.jsonl")).unwrap_or_default();
        assert_eq!(store.starts(&id).unwrap().len(), starts.lines().count());
        store.records::<Vec<u8>>(&id).unwrap();
        assert!(store.verify(&id).unwrap().is_empty());
        // The next claim sweeps.
        drop(store.claim(&id).unwrap().unwrap());
        assert!(!names(&dir).iter().any(|name| name.starts_with(".writing-")));
    }
    println!("{left_half} of 20 kills left a file half written");
}

#[test]
fn kill_in_the_midst_of_removing_leaves_no_finished_run_without_its_files() {
    let (folder, store) = store();
    let id = config().id();
    for round in 0..20 {
        let other = Other::start("finish and remove", folder.path());
        thread::sleep(Duration::from_millis(11 * round % 60));
        other.kill();
        let ending = store.ending(&id);
        assert!(matches!(ending, Ok(None | Some(Ending::Finished(_)))), "{ending:?}");
        assert!(store.remove(&id).unwrap().left.is_empty());
        assert_eq!(names(folder.path()), [""; 0]);
    }
}

#[test]
fn threads_and_processes_that_all_want_a_run_have_it_one_after_the_other() {
    let (_folder, store) = store();
    let count = || {
        for _ in 0..50 {
            let claim = loop {
                match store.claim(&config().id()).unwrap() {
                    Some(claim) => break claim,
                    None => thread::yield_now(),
                }
            };
            // Not atomic: two at once would lose a count.
            let counted = claim
                .read("count", 100)
                .unwrap()
                .map_or(0, |text| String::from_utf8(text).unwrap().parse::<u64>().unwrap());
            fs::write(claim.path("count"), (counted + 1).to_string()).unwrap();
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(count))));
    assert_eq!(fs::read_to_string(store.dir(&config().id()).join("count")).unwrap(), "200");
    let claim = store.claim(&config().id()).unwrap().unwrap();
    claim.end::<Landed>(&Ending::Stopped, &Extent::default(), &[]).unwrap();
}

//! Results folders that somebody else has prepared: links, pipes, devices, escape sequences.

use crate::common::{config_text, distill, folder, made_up_run, run, run_folders, runs, takd, text};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// What is made in the place of a file.
#[derive(Clone, Copy, Debug)]
enum Odd {
    Pipe,
    Zero,
    Link,
}

/// The same run, trained once for each test; its folder.
fn trained(out: &Path) -> PathBuf {
    run(&mut train(out), 0);
    run_folders(out).remove(0)
}

fn train(out: &Path) -> assert_cmd::Command {
    let mut command = distill(&["plane2"], out, &["--epochs", "1", "--quiet"]);
    // Of a pipe that is waited for, or of a device that is read, the test has to end too.
    command.timeout(Duration::from_secs(60));
    command
}

/// Puts something odd in the place of a file; a link leads to `victim`.
fn put(odd: Odd, place: &Path, victim: &Path) {
    let _ = fs::remove_file(place);
    match odd {
        Odd::Pipe => assert!(Command::new("mkfifo").arg(place).status().expect("mkfifo").success()),
        Odd::Zero => symlink("/dev/zero", place).expect("a link"),
        Odd::Link => symlink(victim, place).expect("a link"),
    }
}

/// What the command says, on both outputs; fails if it is not over at once.
fn said(command: &mut assert_cmd::Command) -> String {
    let started = Instant::now();
    let output = command.timeout(Duration::from_secs(60)).output().expect("it starts");
    assert!(output.status.code().is_some() && started.elapsed() < Duration::from_secs(50), "{command:?} hangs");
    format!("{}{}", text(&output.stdout), text(&output.stderr))
}

#[test]
fn pipe_or_device_or_link_in_place_of_a_file_is_named_left_alone_and_hangs_no_command() {
    let place = folder();
    let out = place.path().join("out");
    let run_folder = trained(&out);
    let id = run_folder.file_name().expect("an id").to_str().expect("text");
    let victim = place.path().join("victim");
    for name in ["ending.json", "config.toml", "metrics.jsonl", "model.safetensors", "claim", "starts.jsonl"] {
        for odd in [Odd::Pipe, Odd::Zero, Odd::Link] {
            fs::remove_dir_all(&out).expect("deleted");
            trained(&out);
            fs::write(&victim, "precious").expect("a file");
            let file = run_folder.join(name);
            if ["claim", "starts.jsonl"].contains(&name) {
                // Only a run that is not finished is claimed and started.
                fs::remove_file(run_folder.join("ending.json")).expect("deleted");
            }
            put(odd, &file, &victim);
            let listed = said(&mut runs(&["ls"], &out));
            assert!(listed.contains(id), "{listed}");
            said(&mut runs(&["show", id], &out));
            let verified = text(&run(&mut runs(&["verify"], &out), 1).stdout);
            assert!(verified.contains(&file.display().to_string()), "{name} {odd:?}: {verified}");
            let refused = text(&run(&mut train(&out), 1).stderr);
            assert!(refused.contains(&file.display().to_string()), "{name} {odd:?}: {refused}");
            assert!(refused.contains("it is left alone: move it away"), "{name} {odd:?}: {refused}");
            assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious", "{name}");
        }
    }
}

#[test]
fn pipe_or_device_or_link_in_place_of_an_annotation_hides_no_run_and_is_not_written_through() {
    let place = folder();
    let out = place.path().join("out");
    let run_folder = trained(&out);
    let id = run_folder.file_name().expect("an id").to_str().expect("text");
    let (victim, annotation) = (place.path().join("victim"), run_folder.join("annotation.json"));
    for odd in [Odd::Pipe, Odd::Zero, Odd::Link] {
        fs::write(&victim, "precious").expect("a file");
        put(odd, &annotation, &victim);
        assert!(said(&mut runs(&["ls"], &out)).contains("finished"));
        said(&mut runs(&["show", id], &out));
        for command in [&["tag", id, "x"][..], &["note", id, "x"], &["verify"]] {
            let refused = run(runs(command, &out).timeout(Duration::from_secs(60)), 1);
            let refused = format!("{}{}", text(&refused.stdout), text(&refused.stderr));
            assert!(refused.contains(&annotation.display().to_string()), "{odd:?}: {refused}");
        }
        assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious");
    }
    said(&mut runs(&["rm", id], &out));
    assert_eq!(fs::read_to_string(&victim).expect("the victim"), "precious");
}

#[test]
fn file_of_any_size_in_place_of_a_small_one_is_refused_unread() {
    let out = folder();
    let run_folder = trained(out.path());
    for name in ["config.toml", "ending.json"] {
        let file = run_folder.join(name);
        let whole = fs::read(&file).expect("a file");
        fs::File::create(&file).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
        let listed = said(&mut runs(&["ls"], out.path()));
        assert!(listed.contains("damaged"), "{listed}");
        let refused = text(&run(&mut train(out.path()), 1).stderr);
        assert!(refused.contains("is larger than") && refused.contains(name), "{refused}");
        fs::write(&file, whole).expect("a file");
    }
    run(&mut runs(&["verify"], out.path()), 0);
}

#[test]
fn link_in_place_of_a_runs_folder_is_neither_followed_nor_emptied() {
    let place = folder();
    let out = place.path().join("out");
    let run_folder = trained(&out);
    let id = run_folder.file_name().expect("an id").to_str().expect("text");
    let own = place.path().join("own");
    fs::create_dir(&own).expect("a folder");
    fs::write(own.join("thesis.tex"), "thesis").expect("a file");
    fs::remove_dir_all(&run_folder).expect("deleted");
    symlink(&own, &run_folder).expect("a link");
    for mut command in [runs(&["rm", id], &out), runs(&["rm", "--force", id], &out), train(&out)] {
        let refused = text(&run(&mut command, 1).stderr);
        assert!(refused.contains(&run_folder.display().to_string()) && refused.contains("symbolic link"), "{refused}");
    }
    let names: Vec<_> = own.read_dir().expect("a folder").map(|entry| entry.expect("a file").file_name()).collect();
    assert_eq!(names, ["thesis.tex"]);
    assert!(said(&mut runs(&["ls"], &out)).contains("damaged"));
    assert!(said(&mut runs(&["verify"], &out)).contains("it is a symbolic link in the place of a folder"));
}

#[test]
fn files_of_the_users_in_a_runs_folder_outlive_the_run_and_are_named() {
    let out = folder();
    let run_folder = trained(out.path());
    let own = run_folder.join("notes.txt");
    fs::write(&own, "mine").expect("a file");
    let id = run_folder.file_name().expect("an id").to_str().expect("text");
    let removed = run(&mut runs(&["rm", id], out.path()), 0);
    assert!(text(&removed.stderr).contains(&own.display().to_string()), "{}", text(&removed.stderr));
    assert_eq!(fs::read_to_string(own).expect("the file"), "mine");
    assert!(!run_folder.join("model.safetensors").exists());
}

#[test]
fn escape_sequences_of_files_and_names_do_not_reach_the_terminal() {
    let place = folder();
    let out = place.path().join("out");
    let run_folder = trained(&out);
    let id = run_folder.file_name().expect("an id").to_str().expect("text").to_owned();
    // In the name of a file, in a configuration that hashes to its id, in how a run ended, in who started it.
    fs::write(run_folder.join("\u{1b}]0;name\u{7}.txt"), "").expect("a file");
    let config = config_text(&out).replace("plane2", "\\u001b[31mplane2");
    let odd = made_up_run(&config, &out);
    let note = r#"{"tags":[],"note":"\u001b]0;title\u0007"}"#;
    fs::write(run_folder.join("annotation.json"), note).expect("a file");
    let start = r#"{"command":["takd","\u001b[31m\u009b31m"],"program":"takd \u001b[32m","host":"\u202e","time":1}"#;
    fs::write(odd.join("starts.jsonl"), format!("{start}\n")).expect("a file");
    fs::write(run_folder.join("starts.jsonl"), format!("{start}\n")).expect("a file");
    let odd_id = odd.file_name().expect("an id").to_str().expect("text").to_owned();
    let recipe = place.path().join("odd.toml");
    let cell = "[[cell]]\nname = \"one\"\ndata = \"shapes10\"\npaths = [\"plane2\"]\n";
    fs::write(&recipe, format!("title = \"\\u001b[31mred\\u009b32m\"\nlayout = \"paths\"\n{cell}")).expect("a file");
    let bad = place.path().join("bad\u{1b}[31m.toml");
    fs::write(&bad, format!("title = \"x\"\nlayout = \"paths\"\n\"\\u001b[31mkey\" = 1\n{cell}")).expect("a file");
    let no_data = place.path().join("no\u{1b}[31mdata");

    let mut commands = Vec::new();
    for json in [&["--json"][..], &[]] {
        commands.push(runs(&[&["ls"], json].concat(), &out));
        commands.push(runs(&[&["verify"], json].concat(), &out));
        commands.push(runs(&[&["gc"], json].concat(), &out));
        commands.push(runs(&[&["tensorboard"], json].concat(), &out));
        for id in [&id, &odd_id] {
            commands.push(runs(&[&["show", id], json].concat(), &out));
        }
    }
    commands.push(runs(&["ls", "--format", "csv"], &out));
    for format in ["text", "markdown", "html", "csv", "json"] {
        let mut command = takd(&["run"]);
        command.arg(&recipe).args(["--epochs", "1", "--limit", "100", "--format", format, "--out"]).arg(&out);
        commands.push(command);
    }
    let mut command = takd(&["run"]);
    command.arg(&bad).arg("--out").arg(&out);
    commands.push(command);
    let mut command = takd(&["distill", "plane2", "--data-dir"]);
    command.arg(&no_data).arg("--out").arg(&out);
    commands.push(command);
    commands.push(runs(&["rm", &id], &out));
    for command in &mut commands {
        let output = command.output().expect("it starts");
        let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
        let raw = said.chars().find(|&c| c.is_control() && c != '\n' || c == '\u{202e}');
        assert_eq!(raw, None, "{command:?}: {said}");
        if command.get_args().any(|arg| arg == "--json") {
            // Escaped or not, it is JSON and means the same.
            crate::common::json(&output.stdout);
        }
    }
}

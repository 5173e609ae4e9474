//! The command line: what it starts is ended by ctrl-C, by `lab down`, and after kill -9.

#![allow(clippy::unwrap_used, reason = "helpers of a test fail by panicking, too")]

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use lab::run::lab_directory;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const LIMIT: Duration = Duration::from_mins(1);

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lab"));
    command.args(arguments);
    command
}

fn output(arguments: &[&str]) -> Output {
    lab(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Starts `lab up` and reads its output until a line begins with `until`.
fn up(name: &str, more: &[&str], until: &str) -> Child {
    let mut child = lab(&["up", "--tier", "small", "--name", name, "--servers", "1"])
        .args(more)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().starts_with(until)), "lab up ended without {until:?}");
    child
}

fn run_path(name: &str) -> PathBuf {
    lab_directory().join("run").join(name)
}

/// Processes whose environment or command line names the run.
fn processes_of(name: &str) -> Vec<String> {
    let path = run_path(name).display().to_string();
    let ours = |process: &PathBuf| {
        ["environ", "cmdline"]
            .iter()
            .any(|file| std::fs::read(process.join(file)).is_ok_and(|bytes| text(&bytes).contains(&path)))
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|process| process.join("stat").exists() && ours(process))
        .map(|process| text(&std::fs::read(process.join("cmdline")).unwrap_or_default()))
        .collect()
}

fn wait_until_nothing_is_left(name: &str) {
    let begin = Instant::now();
    while !processes_of(name).is_empty() || run_path(name).exists() {
        assert!(begin.elapsed() < LIMIT, "left of {name}: {:?}", processes_of(name));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn signal(child: &Child, signal: Signal) {
    kill(Pid::from_raw(i32::try_from(child.id()).unwrap()), signal).unwrap();
}

#[test]
fn left_up_until_down() {
    let name = format!("cli-kept-{}", std::process::id());
    let mut child = up(&name, &[], "up;");
    assert!(child.wait().unwrap().success());
    assert!(processes_of(&name).len() >= 4, "etcd, API server, controller-manager, MySQL");
    assert!(text(&output(&["status"]).stdout).contains(&format!("{name}: up")));
    let again = output(&["up", "--tier", "small", "--name", &name]);
    assert!(!again.status.success());
    assert!(text(&again.stderr).contains("lab down"), "{}", text(&again.stderr));
    assert!(output(&["down", &name]).status.success());
    wait_until_nothing_is_left(&name);
    let gone = output(&["down", &name]);
    assert!(!gone.status.success());
    assert!(text(&gone.stderr).contains("no lab run"), "{}", text(&gone.stderr));
}

#[test]
fn interrupted_in_the_middle_and_at_the_end() {
    for (more, until) in [(&["--foreground"][..], "up;"), (&[][..], "kubectl:")] {
        let name = format!("cli-interrupted-{}", std::process::id());
        let mut child = up(&name, more, until);
        signal(&child, Signal::SIGINT);
        assert_eq!(child.wait().unwrap().code(), Some(130));
        wait_until_nothing_is_left(&name);
    }
}

#[test]
fn killed_while_it_starts_something_to_keep() {
    let name = format!("cli-killed-{}", std::process::id());
    let mut child = up(&name, &[], "export KUBECONFIG");
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    assert!(!processes_of(&name).is_empty(), "nothing to clean up: the test shows nothing");
    assert!(text(&output(&["status"]).stdout).contains(&format!("{name}: left behind")));
    assert!(output(&["down", &name]).status.success());
    wait_until_nothing_is_left(&name);
}

#[test]
fn killed_in_the_foreground_its_servers_go_with_it() {
    let name = format!("cli-foreground-{}", std::process::id());
    let mut child = up(&name, &["--foreground"], "up;");
    signal(&child, Signal::SIGKILL);
    child.wait().unwrap();
    let begin = Instant::now();
    while !processes_of(&name).is_empty() {
        assert!(begin.elapsed() < LIMIT, "still there: {:?}", processes_of(&name));
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(output(&["down", &name]).status.success());
    wait_until_nothing_is_left(&name);
}

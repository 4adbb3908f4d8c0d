//! Signals: the first asks a run to stop, another ends it at once, and one that is ignored stays ignored.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{interruptible, signal, succeed, text, wait_until};

/// Starts the program with its standard error in a file, and waits until its run has a folder.
fn begin(mut command: Command, run: &Path, said: &Path) -> Child {
    let file = File::create(said).expect("created");
    let child = command.stdout(Stdio::null()).stderr(file).spawn().expect("it starts");
    wait_until(|| run.join("config.toml").exists());
    child
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("text")
}

#[test]
fn a_signal_is_told_of_and_the_run_is_saved() {
    for (name, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        let folder = tempfile::tempdir().expect("a folder");
        let [run, said] = ["run", "said"].map(|name| folder.path().join(name));
        let command = interruptible(&["train", "--iterations", "1000000", "--out", text(&run)]);
        let mut child = begin(command, &run, &said);
        wait_until(|| read(&said).contains("loss"));
        signal(&child, name);
        assert_eq!(child.wait().expect("it ends").code(), Some(status));
        for file in ["model.bpk", "metrics.csv", "checkpoint.safetensors"] {
            assert!(run.join(file).exists(), "{name}: {file}");
        }
        succeed(&["eval", text(&run)]);
    }
}

/// An iteration of these takes seconds.
const SLOW: &str = "iterations = 1000\ncheckpoint_seconds = 0.0\nmethod = 'bptt'\n[network]\nneurons = 600\n[pattern_generation]\nsteps = 8000\n";

#[test]
fn another_signal_ends_a_slow_iteration_at_its_last_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let [run, said, settings] = ["run", "said", "slow.toml"].map(|name| folder.path().join(name));
    fs::write(&settings, SLOW).expect("written");
    let command = interruptible(&["train", "--config", text(&settings), "--out", text(&run)]);
    let mut child = begin(command, &run, &said);
    wait_until(|| run.join("metrics.csv").exists());
    signal(&child, "TERM");
    wait_until(|| read(&said).contains("SIGTERM: stopping"));
    while child.try_wait().expect("it can be waited for").is_none() {
        std::thread::sleep(Duration::from_millis(100));
        let _ = Command::new("kill").args(["-INT", &child.id().to_string()]).stderr(Stdio::null()).status();
    }
    assert_eq!(child.wait().expect("it has ended").code(), Some(130));
    // It went no further than the checkpoint, and that is whole.
    let metrics = read(&run.join("metrics.csv"));
    assert!(run.join(".lock").exists(), "it ended by itself: {metrics}");
    succeed(&["eval", text(&run)]);
    let edited = read(&run.join("config.toml"))
        .replace("iterations = 1000\n", &format!("iterations = {}\n", metrics.lines().count() - 1));
    fs::write(run.join("config.toml"), edited).expect("written");
    succeed(&["train", "--resume", text(&run)]);
    assert_eq!(read(&run.join("metrics.csv")), metrics);
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_that_is_ignored_stays_ignored() {
    let folder = tempfile::tempdir().expect("a folder");
    let [run, said] = ["run", "said"].map(|name| folder.path().join(name));
    let mut command = Command::new("env");
    command.args(["--default-signal=TERM", "sh", "-c", "trap '' HUP INT; exec \"$@\"", "sh"]);
    command.args([env!("CARGO_BIN_EXE_eprop"), "train", "--iterations", "1000000", "--out", text(&run)]);
    let mut child = begin(command, &run, &said);
    wait_until(|| read(&said).contains("loss"));
    for name in ["HUP", "INT", "HUP", "INT"] {
        signal(&child, name);
        std::thread::sleep(Duration::from_millis(300));
    }
    assert_eq!(child.try_wait().expect("it can be waited for"), None);
    signal(&child, "TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    let said = read(&said);
    assert!(!said.contains("SIGHUP") && !said.contains("SIGINT"), "{said}");
}

#[test]
fn a_stop_before_the_first_iteration_leaves_a_run_that_can_begin() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let arguments = ["--until-stdin-ends", "train", "--iterations", "1000000", "--out", text(&run)];
    let output = interruptible(&arguments).stdin(Stdio::null()).output().expect("it starts");
    assert_eq!(output.status.code(), Some(130), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("interrupted after"));
    let edited = read(&run.join("config.toml")).replace("iterations = 1000000\n", "iterations = 500\n");
    fs::write(run.join("config.toml"), edited).expect("written");
    // However soon it stopped, there are all rows in the end.
    succeed(&["train", "--resume", text(&run)]);
    assert_eq!(read(&run.join("metrics.csv")).lines().count(), 501);
}

/// A signal to the comparison alone, as by `kill`, not to all that the terminal began.
#[test]
fn a_comparison_that_is_asked_to_stop_asks_its_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let [out, said] = ["out", "said"].map(|name| folder.path().join(name));
    let run = out.join("eprop-1");
    let compare = ["compare", "pattern-generation", "--methods", "eprop", "--seeds", "1"];
    let command = interruptible(&[&compare[..], &["--iterations", "1000000", "--out", text(&out)]].concat());
    let mut child = begin(command, &run, &said);
    let log = out.join("eprop-1.log");
    wait_until(|| read(&log).contains("loss"));
    signal(&child, "TERM");
    assert_eq!(child.wait().expect("it ends").code(), Some(143));
    assert!(run.join("checkpoint.safetensors").exists() && !run.join(".lock").exists());
    assert!(read(&log).contains("interrupted after"), "{}", read(&log));
}

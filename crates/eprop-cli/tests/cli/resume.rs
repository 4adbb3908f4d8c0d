//! Runs that are killed, and go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::runs::write_recordings;
use crate::support::{eprop, refuse, succeed, text};

/// Runs of all kinds: e-prop with weights that mirror each other and looks at validation data and at BPTT's gradients, windows with a synthetic
/// gradient on a task that grows, batches of a text, rewards while an episode goes on, and recordings that are changed, heard in
/// both directions by two layers. A checkpoint after each iteration.
const RUNS: [(&str, &str); 5] = [
    (
        "evidence",
        "task = 'evidence-accumulation'
signal = 'adaptive'
iterations = 24
batch = 64
checkpoint_seconds = 0
[validation]
every = 5
criterion = 0.9
stop = false
[alignment]
every = 7
[network]
neurons = 12
[evidence_accumulation]
cues = 3
cue_ms = 4
pause_ms = 1
delay_ms = 5
recall_ms = 4
",
    ),
    (
        "copy",
        "task = 'copy-repeat'
method = 'eprop3'
iterations = 40
batch = 20
checkpoint_seconds = 0
[network]
neurons = 10
[copy_repeat]
bits = 2
criterion_bits = 0.9
",
    ),
    (
        "text",
        "task = 'character-model'
method = 'bptt'
cell = 'alif'
iterations = 24
batch = 4
checkpoint_seconds = 0
[network]
neurons = 10
[character_model]
steps = 12
",
    ),
    (
        "maze",
        "task = 'memory-maze'
iterations = 30
batch = 8
checkpoint_seconds = 0
[network]
neurons = 10
",
    ),
    (
        "digits",
        "task = 'spoken-digits'
iterations = 30
batch = 8
checkpoint_seconds = 0
[network]
neurons = 10
layers = 2
bidirectional = true
[augmentation]
speed = 0.2
frequency = 0.1
noise = 0.2
masked_frames = 3
[spoken_digits]
held_out = { indices = { start = 0, end = 1 } }
",
    ),
];

const TEXT: &str = "it was the best of times, it was the worst of times; ";

/// Settings and data of a run, in a folder.
fn prepare(folder: &Path, name: &str, settings: &str) -> [PathBuf; 2] {
    let [config, data] = ["toml", "data"].map(|extension| folder.join(name).with_extension(extension));
    fs::write(&config, settings).expect("written");
    if name == "digits" {
        fs::create_dir(&data).expect("made");
        write_recordings(&data, 0..3);
    } else {
        fs::write(&data, TEXT.repeat(40)).expect("written");
    }
    [config, data]
}

fn rows(run: &Path) -> usize {
    fs::read_to_string(run.join("metrics.csv")).map_or(0, |metrics| metrics.lines().count())
}

/// Starts a command, and kills it a moment after it has done another iteration.
fn kill_after(arguments: &[&str], run: &Path, moment: Duration) {
    let before = rows(run);
    let mut child = eprop(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    while rows(run) <= before && child.try_wait().expect("it can be waited for").is_none() {
        assert!(Instant::now() < deadline, "no iteration");
        std::thread::sleep(Duration::from_millis(1));
    }
    std::thread::sleep(moment);
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    for (name, settings) in RUNS {
        let folder = tempfile::tempdir().expect("a folder");
        let [config, data] = prepare(folder.path(), name, settings);
        let [whole, killed] = ["whole", "killed"].map(|run| folder.path().join(run));
        let mut train = vec!["train", "--config", text(&config)];
        if ["text", "digits"].contains(&name) {
            train.extend(["--data", text(&data)]);
        }
        succeed(&[&train[..], &["--out", text(&whole)]].concat());
        let all = rows(&whole);

        // Killed before the first checkpoint: there are settings alone.
        fs::create_dir(&killed).expect("made");
        fs::copy(whole.join("config.toml"), killed.join("config.toml")).expect("copied");
        // Then at all moments of an iteration and of writing its checkpoint.
        let resume = ["train", "--resume", text(&killed)];
        let mut midway = 0;
        for kill in 0..6 {
            kill_after(&resume, &killed, Duration::from_micros(700 * kill));
            midway += usize::from((2..all).contains(&rows(&killed)));
        }
        assert!(midway > 0, "{name}: {} of {all} rows, always too early or too late", rows(&killed));
        succeed(&resume);
        // In model.bpk, parameters have other ids; what they are worth, the loss on the test data tells with all digits.
        let aligned = (name == "evidence").then_some("alignment.svg");
        for file in ["metrics.csv", "evaluation.json", "learning_curve.svg"].into_iter().chain(aligned) {
            let read =
                |run: &Path| fs::read(run.join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(read(&killed) == read(&whole), "{name}: {file} differs");
        }
        let mut names: Vec<_> =
            fs::read_dir(&killed).expect("a folder").map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|file| !whole.join(file).exists());
        assert!(names.is_empty(), "{name}: {names:?} were left behind");
    }
}

#[test]
fn a_run_goes_on_with_the_data_that_it_began_with_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let (name, settings) = RUNS[2];
    let [config, data] = prepare(folder.path(), name, settings);
    let run = folder.path().join("run");
    succeed(&[
        "train",
        "--config",
        text(&config),
        "--data",
        text(&data),
        "--iterations",
        "2",
        "--out",
        text(&run),
    ]);
    fs::write(&data, "another text, of other words and other letters entirely ".repeat(40)).expect("written");
    refuse(&["train", "--resume", text(&run)], &["checkpoint.safetensors", "not those with which"]);

    // A checkpoint of more iterations than the settings', and one of other settings.
    let edit = |from: &str, to: &str| {
        let path = run.join("config.toml");
        let settings = fs::read_to_string(&path).expect("there").replace(from, to);
        fs::write(path, settings).expect("written");
    };
    edit("iterations = 2", "iterations = 1");
    refuse(&["train", "--resume", text(&run)], &["2 iterations", "more than the 1"]);
    edit("iterations = 1", "iterations = 3");
    edit("neurons = 10", "neurons = 11");
    fs::write(&data, TEXT.repeat(40)).expect("written");
    refuse(&["train", "--resume", text(&run)], &["checkpoint.safetensors", "does not fit"]);
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    let long = ["train", "--iterations", "100000", "--out", text(&run)];
    let mut child = eprop(&long).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    while !run.join("config.toml").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    refuse(&["train", "--resume", text(&run)], &["run", "another process is training there"]);
    refuse(&["train", "--iterations", "1", "--out", text(&run)], &["run", "not empty"]);
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
}

#[test]
fn runs_end_with_the_comparison_that_began_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("comparison");
    let compare = ["compare", "pattern-generation", "--methods", "eprop", "--seeds", "1", "--iterations"];
    let long = [&compare[..], &["1000000", "--out", text(&out)]].concat();
    let mut child = eprop(&long).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let lock = out.join("eprop-1/.lock");
    let deadline = Instant::now() + Duration::from_secs(120);
    // A run that has done no iteration has nothing to save.
    let has_learned =
        || fs::read_to_string(out.join("eprop-1.log")).is_ok_and(|log| log.contains("/1000000"));
    while !has_learned() {
        assert!(Instant::now() < deadline, "no run");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    let is_locked = || fs::File::open(&lock).is_ok_and(|lock| lock.try_lock().is_err());
    while is_locked() {
        assert!(Instant::now() < deadline, "the run goes on");
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(out.join("eprop-1/checkpoint.safetensors").exists(), "it was saved");
}

#[test]
fn other_recordings_are_not_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let (name, settings) = RUNS[4];
    let [config, data] = prepare(folder.path(), name, settings);
    let run = folder.path().join("run");
    succeed(&[
        "train",
        "--config",
        text(&config),
        "--data",
        text(&data),
        "--iterations",
        "2",
        "--out",
        text(&run),
    ]);
    fs::remove_file(data.join("3_bob_2.wav")).expect("removed");
    refuse(&["train", "--resume", text(&run)], &["checkpoint.safetensors", "not those with which"]);
    succeed(&["eval", text(&run)]);
}

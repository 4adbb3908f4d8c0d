//! Runs that are killed, and go on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::support::{eprop, refuse, succeed, text};

/// Runs of all kinds: e-prop with weights that mirror each other and a look at validation data, windows with a synthetic
/// gradient on a task that grows, and batches of a text. A checkpoint after each iteration.
const RUNS: [(&str, &str); 3] = [
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
];

/// Settings and text of a run, in a folder.
fn prepare(folder: &Path, name: &str, settings: &str) -> [PathBuf; 2] {
    let [config, data] = ["toml", "txt"].map(|extension| folder.join(name).with_extension(extension));
    fs::write(&config, settings).expect("written");
    fs::write(&data, "it was the best of times, it was the worst of times; ".repeat(40)).expect("written");
    [config, data]
}

/// Starts a command and kills it after a time. Returns whether it had ended before.
fn kill_after(arguments: &[&str], time: Duration) -> bool {
    let mut child = eprop(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    std::thread::sleep(time);
    let ended = child.try_wait().expect("it can be waited for").is_some();
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    ended
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_as_one_that_is_not() {
    for (name, settings) in RUNS {
        let folder = tempfile::tempdir().expect("a folder");
        let [config, data] = prepare(folder.path(), name, settings);
        let [whole, killed] = ["whole", "killed"].map(|run| folder.path().join(run));
        let mut train = vec!["train", "--config", text(&config)];
        if name == "text" {
            train.extend(["--data", text(&data)]);
        }
        succeed(&[&train[..], &["--out", text(&whole)]].concat());

        // Killed at all moments, from before the first checkpoint to the middle of writing one.
        kill_after(&[&train[..], &["--out", text(&killed)]].concat(), Duration::from_millis(30));
        if !killed.join("config.toml").exists() {
            fs::create_dir_all(&killed).expect("made");
            fs::copy(whole.join("config.toml"), killed.join("config.toml")).expect("copied");
        }
        let resume = ["train", "--resume", text(&killed)];
        for kill in 0..12 {
            kill_after(&resume, Duration::from_millis(25 + 17 * kill));
        }
        succeed(&resume);
        // In model.bpk, parameters have other ids; what they are worth, the loss on the test data tells with all digits.
        for file in ["metrics.csv", "evaluation.json", "activity.svg"] {
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
    fs::write(&data, "it was the best of times, it was the worst of times; ".repeat(40)).expect("written");
    refuse(&["train", "--resume", text(&run)], &["checkpoint.safetensors", "does not fit"]);
}

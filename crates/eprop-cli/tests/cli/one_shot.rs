//! One-shot tasks: what is learned from one presentation, and that a run survives.

use eprop_cli::device::DeviceName;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{eprop, refuse, succeed, text};
use serde_json::Value;

const TINY: &str = "\
task = 'sine-regression'
iterations = 30
batch = 4
checkpoint_seconds = 0.0
[learner]
neurons = 12
[module]
neurons = 10
[sine_regression]
steps = 40
";

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn number(report: &Value, name: &str) -> f64 {
    report[name].as_f64().unwrap_or_else(|| panic!("no {name} in {report}"))
}

#[test]
fn a_sine_is_learned_from_one_presentation() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let summary = succeed(&["train", "sine-regression", "--iterations", "250", "--out", text(&out)]);
    assert!(summary.contains("after one update"), "{summary}");
    for file in ["config.toml", "model.bpk", "checkpoint.safetensors", "learning_curve.svg", "one_shot.svg"] {
        assert!(std::fs::metadata(out.join(file)).is_ok_and(|file| file.len() > 0), "{file}");
    }
    let report = json(&read(&out.join("evaluation.json")));
    let [before, after, zero] =
        ["error_before", "error_after", "baseline_zero"].map(|name| number(&report, name));
    println!("{before} before, {after} after, {zero} without an output");
    assert!(after < 0.6 * zero && after < 0.6 * before, "{report}");
    assert_eq!(json(&succeed(&["eval", text(&out), "--json"])), report);
}

#[test]
fn a_run_that_is_killed_goes_on_as_if_it_had_not_been() {
    let folder = tempfile::tempdir().expect("a folder");
    let [config, whole, killed] = ["tiny.toml", "whole", "killed"].map(|name| folder.path().join(name));
    std::fs::write(&config, TINY).expect("written");
    succeed(&["train", "--config", text(&config), "--out", text(&whole)]);

    let arguments = ["train", "--config", text(&config), "--iterations", "30", "--out", text(&killed)];
    let mut child = eprop(&arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts");
    let deadline = Instant::now() + Duration::from_secs(60);
    let rows = || std::fs::read_to_string(killed.join("metrics.csv")).map_or(0, |csv| csv.lines().count());
    while rows() < 6 {
        assert!(Instant::now() < deadline, "no checkpoint");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().expect("SIGKILL");
    child.wait().expect("it ends");
    let before = rows();
    assert!(before < 31, "it was too fast to be killed");

    succeed(&["train", "--resume", text(&killed)]);
    for file in ["metrics.csv", "evaluation.json", "config.toml", "one_shot.svg"] {
        assert_eq!(read(&killed.join(file)), read(&whole.join(file)), "{file}");
    }
    // What does not learn stays as it was, also after it was loaded.
    let frozen = folder.path().join("frozen");
    let settings =
        format!("{TINY}[update]\nouter_lr_factor = 0.0\n").replace("iterations = 30", "iterations = 3");
    std::fs::write(&config, settings).expect("written");
    succeed(&["train", "--config", text(&config), "--signal", "frozen", "--out", text(&frozen)]);
    let longer = read(&frozen.join("config.toml")).replace("iterations = 3", "iterations = 6");
    std::fs::write(frozen.join("config.toml"), longer).expect("written");
    succeed(&["train", "--resume", text(&frozen)]);
    let metrics = read(&frozen.join("metrics.csv"));
    let rates: Vec<_> =
        metrics.lines().skip(1).map(|row| row.rsplit(',').next().expect("a column")).collect();
    assert!(rates.len() == 6 && rates.iter().all(|rate| *rate == rates[0]), "{rates:?}");

    // There is nothing left to do, and nothing is lost by asking.
    succeed(&["train", "--resume", text(&killed)]);
    assert_eq!(read(&killed.join("metrics.csv")), read(&whole.join("metrics.csv")));
}

#[test]
fn the_arm_is_moved_by_every_teacher_and_cell() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("arm.toml");
    let settings = TINY.replace("sine-regression", "arm-reaching").replace("sine_regression", "arm_reaching");
    std::fs::write(&config, settings.replace("iterations = 30", "iterations = 2")).expect("written");
    for signal in ["learned", "frozen", "shuffled", "symmetric", "random", "none"] {
        let out = folder.path().join(signal);
        succeed(&["train", "--config", text(&config), "--signal", signal, "--out", text(&out)]);
        let report = json(&read(&out.join("evaluation.json")));
        assert!(number(&report, "error_after").is_finite(), "{report}");
        assert!(std::fs::metadata(out.join("trajectory.svg")).is_ok_and(|file| file.len() > 0));
        let metrics = read(&out.join("metrics.csv"));
        let column =
            metrics.lines().next().and_then(|row| row.split(',').position(|name| name == "module_rate_hz"));
        let row = metrics.lines().nth(1).expect("an iteration");
        let rate = row.split(',').nth(column.expect("a column")).expect("a number");
        let speaks = ["learned", "frozen", "shuffled"].contains(&signal);
        assert_eq!(rate != "0", speaks, "a module at {rate} Hz for {signal}");
    }
    for device in DeviceName::CPUS.iter().map(DeviceName::to_string) {
        for cell in ["alif", "lstm", "lif"] {
            let out = folder.path().join(format!("{cell}-{device}"));
            let arguments =
                ["train", "--config", text(&config), "--cell", cell, "--device", &device, "--out"];
            succeed(&[&arguments[..], &[text(&out)]].concat());
        }
    }
}

#[test]
fn what_cannot_be_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let [config, run] = ["tiny.toml", "run"].map(|name| folder.path().join(name));
    std::fs::write(&config, TINY.replace("iterations = 30", "iterations = 1")).expect("written");
    refuse(&["train", "sine-regression", "--method", "bptt"], &["--method", "one-shot"]);
    refuse(&["train", "sine-regression", "--family", "full"], &["--family", "arm-reaching"]);
    refuse(&["train", "copy-repeat", "--family", "full"], &["--family", "arm-reaching"]);
    refuse(&["train", "arm-reaching", "--signal", "adaptive"], &["signal", "adaptive", "learned"]);
    refuse(&["train", "copy-repeat", "--signal", "learned"], &["signal", "learned", "symmetric"]);
    refuse(&["train", "arm-reaching", "--signal", "shuffled", "--batch", "1"], &["batch is 1", "shuffled"]);
    refuse(&["train", "arm-reaching", "--lr", "2"], &["lr is 2"]);
    refuse(&["train", "--resume", text(&run)], &["cannot read", "config.toml"]);
    refuse(&["train", "arm-reaching", "--resume", text(&run)], &["--resume"]);

    for (from, to, words) in [
        ("iterations = 1", "iterations = 1\nrate_weight = 1e308", &["rate.strength"][..]),
        ("steps = 40", "steps = 40\n[arm_reaching]", &["sine_regression"]),
        ("steps = 40", "steps = 40\n[update]\nsees = 'observed-position'", &["update.sees"]),
        ("steps = 40", "steps = 100000\n[sine_regression.code]\nunits = 10000", &["values", "2147483648"]),
        ("steps = 40", "steps = 40\n[sine_regression.code]\nsigma = 1e308", &["sigma"]),
        ("neurons = 12", "neurons = 16385", &["learner.neurons"]),
    ] {
        let wrong = folder.path().join("wrong.toml");
        std::fs::write(&wrong, TINY.replace("iterations = 30", "iterations = 1").replace(from, to))
            .expect("written");
        refuse(&["train", "--config", text(&wrong)], words);
    }
    let pupils = ["compare", "arm-reaching", "--signals", "learned:observed-position"];
    refuse(&pupils, &["error module"]);
    refuse(&["compare", "arm-reaching", "--methods", "bptt"], &["--signals"]);
    refuse(&["compare", "copy-repeat", "--signals", "learned"], &["learned", "symmetric"]);

    succeed(&["train", "--config", text(&config), "--out", text(&run)]);
    refuse(&["train", "--config", text(&config), "--out", text(&run)], &["not empty"]);
    refuse(&["eval", text(&run), "--split", "all"], &["--split"]);
    let checkpoint = run.join("checkpoint.safetensors");
    let bytes = std::fs::read(&checkpoint).expect("a checkpoint");
    for length in [0, 7, bytes.len() / 2, bytes.len() - 1] {
        std::fs::write(&checkpoint, &bytes[..length]).expect("written");
        refuse(&["train", "--resume", text(&run)], &["checkpoint.safetensors", "not a whole checkpoint"]);
    }
    std::fs::remove_file(&checkpoint).expect("removed");
    refuse(&["train", "--resume", text(&run)], &["cannot read", "checkpoint.safetensors"]);
}

#[test]
fn signals_are_compared() {
    let folder = tempfile::tempdir().expect("a folder");
    let [config, out] = ["tiny.toml", "out"].map(|name| folder.path().join(name));
    std::fs::write(&config, TINY.replace("iterations = 30", "iterations = 4")).expect("written");
    let arguments = ["compare", "sine-regression", "--signals", "learned,none", "--seeds", "1,2", "--config"];
    let arguments = [&arguments[..], &[text(&config), "--out", text(&out)]].concat();
    assert!(succeed(&arguments).contains("4 of 4 runs to do"));
    let table = read(&out.join("compare.md"));
    assert!(table.starts_with("| signal | error before | error after | error after by seed |"), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
    assert!(read(&out.join("compare.svg")).contains("Error after one update"));
    assert!(succeed(&arguments).contains("0 of 4 runs to do"));
    // A run that was cut off goes on from its checkpoint.
    std::fs::remove_file(out.join("learned-1/evaluation.json")).expect("removed");
    assert!(succeed(&arguments).contains("1 of 4 runs to do"));
    assert_eq!(read(&out.join("compare.md")), table);
}

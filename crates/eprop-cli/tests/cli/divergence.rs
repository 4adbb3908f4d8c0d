//! Runs that diverge say so, by their exit status too, and keep the last network that can be gone on with.

use std::fs;
use std::path::Path;

use crate::runs::write_recordings;
use crate::support::{refuse, run, succeed, text};

/// A run of few small steps.
const SMALL: &str = "schedule = 'constant'\nlr = 0.003\n[network]\nneurons = 4\n[pattern_generation]\nsteps = 20\ninput_count = 3\n";

fn edit(run: &Path, from: &str, to: &str) {
    let path = run.join("config.toml");
    let settings = fs::read_to_string(&path).expect("there");
    assert!(settings.contains(from), "{settings}");
    fs::write(path, settings.replace(from, to)).expect("written");
}

#[test]
fn the_last_good_checkpoint_is_kept() {
    for wild in ["lr = 1e308", "lr = 1e30"] {
        let folder = tempfile::tempdir().expect("a folder");
        let [settings, out] = ["small.toml", "run"].map(|name| folder.path().join(name));
        fs::write(&settings, SMALL).expect("written");
        succeed(&["train", "--config", text(&settings), "--iterations", "5", "--out", text(&out)]);
        let files = ["checkpoint.safetensors", "model.bpk", "metrics.csv", "evaluation.json"];
        let contents = || files.map(|file| fs::read(out.join(file)).expect(file));
        let good = contents();

        edit(&out, "iterations = 5", "iterations = 10");
        edit(&out, "lr = 0.003", wild);
        let resume = ["train", "--resume", text(&out)];
        let kept =
            format!("the last checkpoint, of iteration 5, is {}/checkpoint.safetensors", out.display());
        refuse(&resume, &["iteration ", &kept]);
        assert!(contents() == good, "{wild}: a file has changed");
        succeed(&["eval", text(&out)]);
        edit(&out, wild, "lr = 0.003");
        succeed(&resume);
    }
}

#[test]
fn what_is_said_to_be_kept_is_there() {
    let folder = tempfile::tempdir().expect("a folder");
    for (lr, number, kept) in [
        ("1e10", 2, "the last checkpoint, of iteration 1, is FOLDER/checkpoint.safetensors"),
        ("1e308", 1, "there is no checkpoint in FOLDER"),
    ] {
        let [settings, out] =
            ["toml", lr].map(|extension| folder.path().join("run").with_extension(extension));
        fs::write(&settings, SMALL.replace("lr = 0.003", &format!("lr = {lr}"))).expect("written");
        let train = ["train", "--config", text(&settings), "--iterations", "5", "--out", text(&out)];
        let kept = kept.replace("FOLDER", text(&out));
        refuse(&train, &[&format!("iteration {number}: "), "the run has diverged", &kept]);
        assert_eq!(out.join("checkpoint.safetensors").exists(), number > 1);
        let metrics = fs::read_to_string(out.join("metrics.csv")).unwrap_or_default();
        assert_eq!(metrics.lines().count(), [0, 2][number - 1]);
    }
}

/// All kinds of runs, each with an iteration that changes weights by more than any network bears.
#[test]
fn every_kind_of_run_says_that_it_has_diverged() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, settings] = ["data", "wild.toml"].map(|name| folder.path().join(name));
    fs::create_dir(&data).expect("made");
    write_recordings(&data, 4..6);
    let wild = "iterations = 3\nbatch = 4\n";
    let lr = "schedule = 'constant'\nlr = 1e30\n[network]\nneurons = 5\n";
    for (name, arguments, more) in [
        ("digits", &["train", "spoken-digits", "--data", text(&data)][..], lr),
        ("windows", &["train", "copy-repeat"], lr),
        ("alignment", &["align", "store-recall"], lr),
        ("rewards", &["train", "delayed-choice"], lr),
        ("one-shot", &["train", "sine-regression"], "[learner]\nreadout_gain = 1e30\n"),
    ] {
        fs::write(&settings, format!("{wild}{more}")).expect("written");
        let out = folder.path().join(name);
        let output = run(&[arguments, &["--config", text(&settings), "--out", text(&out)]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{name}: {said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("the run has diverged"), "{name}: {last}");
        assert_eq!(
            last.contains("the last checkpoint"),
            out.join("checkpoint.safetensors").exists(),
            "{last}"
        );
        assert!(!out.join("evaluation.json").exists(), "{name}");
    }
}

/// The network is wild only after the last iteration, when it is evaluated.
#[test]
fn a_run_whose_last_update_makes_it_diverge_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let [settings, out] = ["small.toml", "run"].map(|name| folder.path().join(name));
    fs::write(&settings, SMALL.replace("lr = 0.003", "lr = 1e10")).expect("written");
    let train = ["train", "--config", text(&settings), "--iterations", "1", "--out", text(&out)];
    refuse(&train, &["on test data", "the run has diverged", text(&out)]);
}

#[test]
fn a_run_that_diverges_does_not_hide_those_beside_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let [settings, out] = ["wild.toml", "comparison"].map(|name| folder.path().join(name));
    // The synthetic gradient alone diverges, and takes with it what learns by it.
    let wild =
        "schedule = 'constant'\niterations = 3\nbatch = 4\n[network]\nneurons = 8\n[synthetic]\nlr = 1e30\n";
    fs::write(&settings, wild).expect("written");
    let compare = ["compare", "copy-repeat", "--methods", "eprop3:linear,bptt", "--seeds", "1,2"];
    let compare = [&compare[..], &["--config", text(&settings), "--out", text(&out)]].concat();
    let output = run(&compare);
    let [said, error] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes));
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.starts_with("error: 2 of 4 runs failed") && error.lines().count() == 1, "{error}");
    let failed: Vec<&str> = said.lines().filter(|line| line.starts_with("failed: ")).collect();
    assert!(failed.len() == 2 && failed.iter().all(|line| line.contains("eprop3-linear")), "{said}");
    assert!(failed.iter().all(|line| line.contains("the run has diverged")), "{said}");
    let table = fs::read_to_string(out.join("compare.md")).expect("written");
    let row = |name: &str| table.lines().find(|line| line.starts_with(&format!("| {name} |"))).expect(name);
    assert!(row("eprop3:linear").contains("failed") && !row("eprop3:linear").contains("NaN"), "{table}");
    assert!(!row("bptt").contains("failed"), "{table}");
    assert_eq!(fs::read_to_string(out.join("compare.csv")).expect("written").lines().count(), 1 + 2 * 3);
}

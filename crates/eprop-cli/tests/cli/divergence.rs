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

/// The update of an iteration makes weights infinite when there is no checkpoint yet.
#[test]
fn what_was_learnt_before_there_was_a_checkpoint_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let [settings, out] = ["small.toml", "run"].map(|name| folder.path().join(name));
    // Its learning rate grows beyond all numbers when the first cosine has come to its end? No: see the settings of each task.
    fs::write(&settings, SMALL.replace("lr = 0.003", "lr = 1e308")).expect("written");
    let train = ["train", "--config", text(&settings), "--iterations", "5", "--out", text(&out)];
    let none = format!("there is no checkpoint in {}", out.display());
    refuse(&train, &["iteration 1: ", "diverged", &none]);
    assert!(!out.join("checkpoint.safetensors").exists());
}

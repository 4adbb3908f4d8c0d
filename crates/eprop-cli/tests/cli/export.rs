//! `eprop export`: what is written is what was trained.

use std::path::Path;

use anyhow::Result;
use burn::store::ModuleSnapshot;
use burn::tensor::Device;
use burn_eprop::interchange;
use eprop_cli::config::RunConfig;
use eprop_cli::method::Model;
use eprop_cli::model::{self, WithModel};
use safetensors::SafeTensors;

use crate::support::{refuse, succeed, text};

/// Whether the record of a run and its export fill fresh networks with the same bits.
struct Comparison<'a> {
    record: &'a Path,
    exported: &'a Path,
}

impl WithModel for Comparison<'_> {
    type Output = bool;

    fn run<M: Model>(self, model: M) -> Result<bool> {
        let content = |model: &M| -> Vec<_> {
            let parameters = model.collect(None, None, false).into_iter();
            parameters.map(|it| (it.name.clone(), it.to_bytes().expect("read").to_vec())).collect()
        };
        let imported = interchange::load(&model, self.exported)?;
        assert_ne!(content(&imported), content(&model), "nothing was trained");
        Ok(content(&imported) == content(&model::load(model, self.record)?))
    }
}

#[test]
fn what_was_trained_comes_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("settings.toml");
    for (name, task, cell, more) in [
        ("lif", "pattern-generation", "lif", ""),
        ("alif", "pattern-generation", "alif", "layers = 2"),
        ("both", "pattern-generation", "lstm", "bidirectional = true"),
        ("synthetic", "copy-repeat", "lstm", ""),
        ("reward", "delayed-choice", "alif", ""),
    ] {
        let lines = format!("iterations = 2\ncell = '{cell}'\n[network]\nneurons = 8\n{more}\n");
        std::fs::write(&settings, lines).expect("written");
        let out = folder.path().join(name);
        succeed(&["train", task, "--config", text(&settings), "--out", text(&out)]);
        let exported = out.join("model.safetensors");
        let printed = succeed(&["export", text(&out), "--format", "safetensors"]);
        assert_eq!(printed.trim(), text(&exported));

        let bytes = std::fs::read(&exported).expect("written");
        let tensors = SafeTensors::deserialize(&bytes).expect("whole");
        let direction = if name == "both" { "backward." } else { "" };
        let shape =
            |tensor: &str| tensors.tensor(&format!("{direction}{tensor}")).expect("there").shape().to_vec();
        let sizes = [shape("layers.0.w_in")[0], shape("readout.weight")[1]];
        let config = RunConfig::read(&out.join("config.toml")).expect("whole");
        let comparison = Comparison { record: &out.join("model.bpk"), exported: &exported };
        assert!(model::with_model(&config, sizes, &Device::flex(), comparison).expect("loaded"), "{name}");

        // The file says what the settings were, and refuses others.
        let (mut other, record) = (config, out.join("model.bpk"));
        other.network.tau_readout_ms += 1.0;
        let comparison = Comparison { record: &record, exported: &exported };
        let error = model::with_model(&other, sizes, &Device::flex(), comparison).expect_err("refused");
        assert!(error.to_string().contains("readout.tau_ms` is "), "{error}");
    }
}

#[test]
fn what_cannot_be_exported_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let [settings, run, elsewhere] =
        ["settings.toml", "run", "elsewhere.safetensors"].map(|name| folder.path().join(name));
    refuse(&["export", text(&run)], &["config.toml"]);
    refuse(&["export", text(&run), "--format", "onnx"], &["onnx", "safetensors"]);
    std::fs::write(&settings, "iterations = 1\n[network]\nneurons = 8\n").expect("written");
    succeed(&["train", "--config", text(&settings), "--out", text(&run)]);

    std::fs::write(&elsewhere, "precious").expect("written");
    refuse(&["export", text(&run), "--out", text(&elsewhere)], &["elsewhere.safetensors", "--out"]);
    assert_eq!(std::fs::read(&elsewhere).expect("kept"), b"precious");
    std::fs::remove_file(&elsewhere).expect("removed");
    refuse(&["export", text(&run), "--out", text(&folder.path().join("no/such"))], &["no/such"]);

    let record = run.join("model.bpk");
    let whole = std::fs::read(&record).expect("written");
    for damaged in [&b""[..], b"garbage", &whole[..whole.len() / 3]] {
        std::fs::write(&record, damaged).expect("written");
        refuse(&["export", text(&run), "--out", text(&elsewhere)], &["model.bpk"]);
    }
    std::fs::write(&record, &whole).expect("written");
    let config = std::fs::read_to_string(run.join("config.toml")).expect("written");
    std::fs::write(run.join("config.toml"), config.replace("neurons = 8", "neurons = 9")).expect("written");
    refuse(&["export", text(&run), "--out", text(&elsewhere)], &["model.bpk"]);
    std::fs::remove_file(&record).expect("removed");
    refuse(&["export", text(&run), "--out", text(&elsewhere)], &["model.bpk"]);
    assert!(!elsewhere.exists() && !run.join("model.safetensors").exists());
}

#[test]
fn one_shot_runs_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("config.toml"), "task = 'sine-regression'\n").expect("written");
    refuse(&["export", text(folder.path())], &["one-shot", text(folder.path())]);
}

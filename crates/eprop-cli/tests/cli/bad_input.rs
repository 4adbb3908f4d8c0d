//! Whatever a user gets wrong: one line that names it, status 2, nothing torn.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::support::{refuse, succeed, text};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

#[test]
fn words_of_the_command_line() {
    refuse(&["train", "--device", "abacus"], &["abacus", "--device"]);
    if cfg!(not(feature = "wgpu")) {
        refuse(&["train", "--device", "wgpu"], &["built without wgpu", "--features eprop-cli/wgpu"]);
    }
    refuse(&["train", "--device", "rocm"], &["rocm"]);
    refuse(&["train", "chess"], &["chess"]);
    refuse(&["train", "--cell", "brain"], &["brain", "--cell"]);
    refuse(&["train", "--batch", "0"], &["0", "--batch"]);
    refuse(&["fly"], &["fly"]);
    refuse(&["bench", "--steps", "0"], &["0", "--steps"]);
    refuse(&["train", "--lr", "NaN"], &["lr"]);
    refuse(&["train", "--lr=-1"], &["lr", "-1"]);
    refuse(&["train", "--synthetic", "linear"], &["linear", "eprop3"]);
    refuse(&["train", "--method", "truncated-bptt", "--synthetic", "mlp"], &["mlp", "truncated-bptt-sg"]);
    refuse(&["train", "--method", "truncated-bptt-sg", "--synthetic", "none"], &["truncated-bptt"]);
    refuse(&["train", "copy-repeat", "--method", "bptt", "--update", "window"], &["update", "window"]);
    refuse(&["compare", "copy-repeat"], &["--methods"]);
    refuse(&["compare", "copy-repeat", "--methods", "eprop3:cubic"], &["cubic"]);
    refuse(&["compare", "copy-repeat", "--methods", "bptt,bptt"], &["bptt", "twice"]);
    refuse(&["train", "character-model", "--data", "no-such-book.txt"], &["no-such-book.txt"]);
    for number in ["inf", "-inf", "nan", "-1", "-0.1", "1e999"] {
        let tolerance = format!("--tolerance={number}");
        refuse(&["gradcheck", "none.safetensors", &tolerance], &["--tolerance", number]);
    }
    for threads in ["0", "-1", "1.5", "1025", "99999999999999999999"] {
        let flag = format!("--threads={threads}");
        refuse(&["train", "--iterations", "1", &flag], &["threads", threads]);
        refuse(&["compare", "store-recall", "--methods", "eprop", &flag], &["threads", threads]);
    }
}

#[test]
fn what_a_task_would_ignore() {
    let folder = tempfile::tempdir().expect("a folder");
    let [settings, out] = ["settings.toml", "run"].map(|name| folder.path().join(name));
    let data = ["--data", text(folder.path())];
    let at_out = ["--out", text(&out)];
    for task in [
        "copy-repeat",
        "delayed-choice",
        "evidence-accumulation",
        "memory-maze",
        "pattern-generation",
        "store-recall",
    ] {
        for command in ["train", "align"] {
            refuse(&[&[command, task][..], &data, &at_out].concat(), &["data", task]);
        }
        refuse(&[&["compare", task, "--methods", "eprop"][..], &data, &at_out].concat(), &["data", task]);
    }
    refuse(&[&["train", "arm-reaching"][..], &data, &at_out].concat(), &["--data"]);
    for (of_others, words) in [
        ("data = 'book.txt'", ["data", "pattern-generation"]),
        ("[copy_repeat]\nbits = 3", ["[copy_repeat]", "pattern-generation"]),
        ("[reward]\ndiscount = 0.9", ["[reward]", "pattern-generation"]),
    ] {
        std::fs::write(&settings, of_others).expect("written");
        refuse(&[&["train", "--config", text(&settings)][..], &at_out].concat(), &words);
    }
    assert!(!out.exists());
    succeed(&[&["train", "--iterations", "1"][..], &at_out].concat());
    refuse(&[&["eval", text(&out)][..], &data].concat(), &["--data", text(&out)]);
}

#[test]
fn settings_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("settings.toml");
    let path = text(&path);
    refuse(&["train", "--config", path], &["settings.toml"]);
    for (settings, words) in [
        ("iterations = ", &["settings.toml"][..]),
        ("iterationz = 3", &["iterationz"]),
        ("iterations = \"many\"", &["iterations"]),
        ("device = \"abacus\"", &["abacus"]),
        ("task = \"chess\"", &["task", "chess"]),
        ("chunk = 0", &["chunk", "0"]),
        ("lr = inf", &["lr", "inf"]),
        ("[network]\nneurons = 0", &["neurons", "0"]),
        ("[network]\nthreshold = 0.0", &["threshold", "0"]),
        ("[network]\ntau_membrane_ms = -3.0", &["tau_membrane_ms", "-3"]),
        ("[rate]\nstrength = -1.0\ntarget_hz = 10.0", &["rate.strength", "-1"]),
        ("[pattern_generation]\nsteps = 0", &["steps", "0"]),
        ("task = \"copy-repeat\"\n[copy_repeat]\nbits = 0", &["copy_repeat", "bits", "0"]),
        ("task = \"copy-repeat\"\n[synthetic]\nlambda = 2.0", &["synthetic", "lambda", "2"]),
        ("task = \"copy-repeat\"\n[synthetic]\nlr = 0.0", &["synthetic.lr", "0"]),
        ("task = \"character-model\"\n[character_model]\nsteps = 0", &["character_model.steps", "0"]),
    ] {
        std::fs::write(path, settings).expect("written");
        let out = folder.path().join("run");
        refuse(&["train", "--config", path, "--out", text(&out)], words);
        let _ = std::fs::remove_dir_all(out);
    }
}

#[test]
fn recordings() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path();
    refuse(&["train", "spoken-digits"], &["--data"]);
    refuse(&["train", "spoken-digits", "--data", text(&data.join("none"))], &["none"]);
    let train = ["train", "spoken-digits", "--data", text(data)];
    refuse(&train, &[text(data), "wav"]);

    let wav = data.join("3_ann_7.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&wav, spec).expect("created");
    (0..800).for_each(|sample| writer.write_sample((sample % 50) as i16).expect("written"));
    writer.finalize().expect("finished");
    let bytes = std::fs::read(&wav).expect("written");
    for damaged in
        [&b""[..], b"not a recording at all", &bytes[..20], &bytes[..44], &bytes[..bytes.len() / 2]]
    {
        std::fs::write(&wav, damaged).expect("written");
        refuse(&train, &["3_ann_7.wav"]);
    }
    let mut law = bytes.clone();
    law[20] = 7; // µ-law
    std::fs::write(&wav, law).expect("written");
    refuse(&train, &["3_ann_7.wav"]);
}

#[test]
fn output_folders() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("precious"), "data").expect("written");
    refuse(&["train", "--out", text(folder.path())], &["not empty"]);
    let below = folder.path().join("precious/run");
    refuse(&["train", "--out", text(&below)], &["precious"]);
    let left = std::fs::read_dir(folder.path()).expect("readable").count();
    assert_eq!(left, 1);
    refuse(&["train", "--out", "/proc/eprop"], &["/proc/eprop"]);
}

#[test]
fn runs_that_are_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().join("run");
    refuse(&["eval", text(&run)], &["config.toml"]);
    succeed(&["train", "--iterations", "1", "--out", text(&run)]);
    for file in ["model.bpk", "config.toml"] {
        let path = run.join(file);
        let whole = std::fs::read(&path).expect("written");
        let mut flipped = whole.clone();
        flipped[..whole.len() / 2].iter_mut().for_each(|byte| *byte ^= 0x5a);
        for damaged in [&b""[..], b"garbage", &whole[..whole.len() / 3], &flipped] {
            std::fs::write(&path, damaged).expect("written");
            refuse(&["eval", text(&run)], &[file]);
        }
        std::fs::write(&path, &whole).expect("written");
    }
    let config = std::fs::read_to_string(run.join("config.toml")).expect("written");
    let other = config.replace("neurons = 100", "neurons = 99");
    assert_ne!(config, other);
    std::fs::write(run.join("config.toml"), other).expect("written");
    refuse(&["eval", text(&run)], &["model.bpk"]);
}

#[test]
fn training_that_leaves_the_numbers_keeps_the_last_good_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("wild.toml");
    let settings = "optimizer = \"sgd\"\nschedule = \"constant\"\nlr = 1e30\ncell = \"lstm\"\n";
    std::fs::write(&config, settings).expect("written");
    let run = folder.path().join("run");
    refuse(&["train", "--config", text(&config), "--out", text(&run)], &["iteration", "NaN"]);
    let metrics = std::fs::read_to_string(run.join("metrics.csv")).expect("kept");
    assert!(!metrics.contains("NaN") && metrics.lines().count() >= 2, "{metrics}");
    assert!(run.join("model.bpk").exists());
}

/// A copy of a fixture, changed.
fn fixture(folder: &Path, change: impl FnOnce(&mut HashMap<String, (Vec<usize>, Vec<u8>)>)) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lif_seed1");
    let bytes = std::fs::read(source.with_extension("safetensors")).expect("part of the project");
    let file = SafeTensors::deserialize(&bytes).expect("whole");
    let mut tensors: HashMap<String, (Vec<usize>, Vec<u8>)> = file
        .tensors()
        .into_iter()
        .map(|(name, view)| (name, (view.shape().to_vec(), view.data().to_vec())))
        .collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, (shape, data))| {
        (name.clone(), TensorView::new(Dtype::F64, shape.clone(), data).expect("as many values as it says"))
    });
    let path = folder.join("changed.safetensors");
    std::fs::write(&path, serialize(views, None).expect("serialized")).expect("written");
    std::fs::copy(source.with_extension("json"), path.with_extension("json")).expect("copied");
    path
}

#[test]
fn fixtures() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    refuse(&["gradcheck", text(&folder.join("none.safetensors"))], &["none"]);

    let path = fixture(folder, |_| {});
    succeed(&["gradcheck", text(&path)]);
    let whole = std::fs::read(&path).expect("written");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("written");
    refuse(&["gradcheck", text(&path)], &["changed.safetensors"]);
    std::fs::write(path.with_extension("json"), "{}").expect("written");
    refuse(&["gradcheck", text(&path)], &["changed.json"]);
    std::fs::remove_file(path.with_extension("json")).expect("removed");
    refuse(&["gradcheck", text(&path)], &["changed.json"]);

    let path = fixture(folder, |_| {});
    let text_of = std::fs::read_to_string(path.with_extension("json")).expect("copied");
    let mut description: serde_json::Value = serde_json::from_str(&text_of).expect("JSON");
    description["config"]["c_reg"] = (-1.0).into();
    std::fs::write(path.with_extension("json"), description.to_string()).expect("written");
    refuse(&["gradcheck", text(&path)], &["changed.safetensors", "`rate.strength` is -1"]);

    let nan = fixture(folder, |tensors| {
        let (_, data) = tensors.get_mut("param_W_in").expect("there");
        data[..8].copy_from_slice(&f64::NAN.to_le_bytes());
    });
    refuse(&["gradcheck", text(&nan)], &["param_W_in", "NaN"]);
    let shape = fixture(folder, |tensors| tensors.get_mut("param_W_in").expect("there").0.reverse());
    refuse(&["gradcheck", text(&shape)], &["param_W_in", "[6, 4]"]);
    let unknown = fixture(folder, |tensors| {
        let gradient = tensors["grad_bptt_W_in"].clone();
        tensors.insert("grad_magic_W_in".into(), gradient);
    });
    refuse(&["gradcheck", text(&unknown)], &["grad_magic_W_in"]);
    let missing = fixture(folder, |tensors| {
        tensors.remove("in_x");
    });
    refuse(&["gradcheck", text(&missing)], &["in_x"]);
    let nothing = fixture(folder, |tensors| {
        tensors.retain(|name, _| name.starts_with("in_") || name.starts_with("param_"));
    });
    refuse(&["gradcheck", text(&nothing)], &["nothing"]);
    let beyond = fixture(folder, |tensors| {
        let outputs = tensors["out_y"].clone();
        tensors.insert("out_more".into(), outputs);
    });
    let output = crate::support::run(&["gradcheck", text(&beyond)]);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(printed.lines().any(|line| line.starts_with("out_more") && line.ends_with("not compared")));
    let off = fixture(folder, |tensors| {
        tensors.get_mut("grad_bptt_W_in").expect("there").1[7] ^= 0x80; // the sign of the first value
    });
    let output = crate::support::run(&["gradcheck", text(&off)]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

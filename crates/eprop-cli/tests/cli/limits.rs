//! Values, files and disks at their limits: one line that names them, status 2, nothing half-written.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{refuse, run, succeed, text};
use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::{Value, json};

/// A run of few small steps.
const SMALL: &str =
    "iterations = 2\n[network]\nneurons = 4\n[pattern_generation]\nsteps = 20\ninput_count = 3\n";

fn small_run(folder: &Path) -> PathBuf {
    let (settings, out) = (folder.join("small.toml"), folder.join("run"));
    fs::write(&settings, SMALL).expect("written");
    succeed(&["train", "--config", text(&settings), "--out", text(&out)]);
    out
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("readable");
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("readable").file_name().into_string().expect("UTF-8")).collect();
    names.sort();
    names
}

#[test]
fn settings_out_of_range_are_refused_before_a_folder_is_made() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, out) = (folder.path().join("settings.toml"), folder.path().join("run"));
    let train = ["train", "--config", text(&path), "--out", text(&out)];
    for (settings, name) in [
        ("batch = 2", "batch is 2"),
        ("batch = 1000000000000", "batch is 1000000000000"),
        ("lr = 2.0", "lr is 2"),
        ("lr = nan", "lr is NaN"),
        ("signal_decay = 1.0", "signal_decay: `decay` is 1"),
        ("seed = -1", "`seed`"),
        ("clip_norm = 0.0", "clip_norm is 0"),
        ("iterations = 1.5", "`iterations`"),
        ("rate = 3", "`rate`"),
        ("[rate]\ntarget_hz = 1001.0", "rate.target_hz is 1001"),
        ("[network]\nneurons = 1000000000000", "network.neurons is 1000000000000"),
        ("[network]\nneurons = 65536", "eligibility traces"),
        ("[network]\nneurons = -1", "`network.neurons`"),
        ("[network]\nthreshold = nan", "[network]: `threshold` is NaN"),
        ("cell = 'lstm'\n[network]\nthreshold = nan", "[network]: `threshold` is NaN"),
        ("[network]\ntau_adaptation_ms = nan", "[network]: `tau_adaptation_ms` is NaN"),
        ("[network]\nadaptation_strength = inf", "[network]: `adaptation_strength` is inf"),
        ("[network]\ndt_ms = nan", "network.dt_ms is NaN"),
        ("task = 'memory-maze'\n[network]\nbidirectional = true", "network.bidirectional"),
        ("task = 'character-model'\n[network]\nbidirectional = true", "network.bidirectional"),
        ("task = 'copy-repeat'\n[network]\nbidirectional = true", "update is window"),
        ("cell = 'lstm'\n[voltage]\nstrength = 1.0", "[voltage] is for spiking cells"),
        ("task = 'delayed-choice'\n[voltage]\nstrength = 1.0", "[voltage] is for eprop"),
        ("[voltage]\nstrength = -1.0", "`voltage.strength` is -1"),
        ("[network]\nlayers = 0", "network.layers is 0"),
        ("[network]\nlayers = 100\nneurons = 20000", "eligibility traces"),
        ("task = 'memory-maze'\n[reward]\nentropy_weight = -1.0", "reward.entropy_weight is -1"),
        ("[network]\ntau_readout_ms = -1.0", "network.tau_readout_ms is -1"),
        ("[network]\ninput_gain = inf", "network.input_gain is inf"),
        ("[pattern_generation]\nperiods_ms = [0.0]", "[pattern_generation]: `periods_ms` is 0"),
        ("[pattern_generation]\nsteps = 99999999999999", "`steps` is 99999999999999"),
    ] {
        fs::write(&path, settings).expect("written");
        refuse(&train, &[name]);
        assert!(!out.exists(), "{settings}");
    }
    fs::write(&path, b"\xff\xfe\x00").expect("written");
    refuse(&train, &["settings.toml"]);
    refuse(&["train", "--seed", "18446744073709551615"], &["--seed"]);
    refuse(&["train", "--iterations", "9223372036854775808"], &["--iterations"]);
    refuse(&["gradcheck", "none.safetensors", "--tolerance", "nan"], &["--tolerance"]);
    refuse(&["train", "--bogus"], &["--bogus"]);
    refuse(&["bench", "--neurons", "4000000000"], &["--neurons"]);
    refuse(&["bench", "--steps", "4000000000"], &["--steps"]);
    refuse(&["bench", "--neurons", "65536"], &["eligibility traces"]);
    refuse(&["eval"], &["<RUN>"]);
}

#[test]
fn no_damaged_byte_of_a_network_ends_in_a_panic() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = small_run(folder.path());
    let model = out.join("model.bpk");
    let whole = fs::read(&model).expect("written");
    for position in (0..whole.len()).step_by(1 + whole.len() / 150) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0xff;
        fs::write(&model, damaged).expect("written");
        let output = run(&["eval", text(&out)]);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(matches!(output.status.code(), Some(0 | 2)), "byte {position}: {message}");
        assert!(message.lines().count() <= 1, "byte {position}: {message}");
    }
}

#[test]
fn a_network_that_grew_beyond_all_numbers_is_not_evaluated() {
    let folder = tempfile::tempdir().expect("a folder");
    let (settings, out) = (folder.path().join("wild.toml"), folder.path().join("run"));
    let wild = format!("optimizer = \"sgd\"\nschedule = \"constant\"\nlr = 1e30\n{SMALL}");
    fs::write(&settings, wild).expect("written");
    refuse(&["train", "--config", text(&settings), "--out", text(&out)], &[text(&out)]);
    assert_eq!(names(&out), ["checkpoint.safetensors", "config.toml", "metrics.csv", "model.bpk"]);
    refuse(&["eval", text(&out), "--json"], &[text(&out), "loss"]);
}

#[test]
fn a_network_with_nan_in_it_is_not_evaluated() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = small_run(folder.path());
    let model = out.join("model.bpk");
    let mut bytes = fs::read(&model).expect("written");
    let last = bytes.len() - 4; // of the readout's weights, which come last
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&model, bytes).expect("written");
    refuse(&["eval", text(&out)], &["model.bpk", "NaN"]);
}

/// Short noises, of every digit.
fn write_recordings(folder: &Path, indices: &[u32]) {
    fs::create_dir(folder).expect("a folder");
    let spec =
        WavSpec { channels: 1, sample_rate: 8000, bits_per_sample: 16, sample_format: SampleFormat::Int };
    for (digit, index) in (0..10).flat_map(|digit| indices.iter().map(move |index| (digit, index))) {
        let path = folder.join(format!("{digit}_ann_{index}.wav"));
        let mut writer = WavWriter::create(path, spec).expect("created");
        let noise = (0..800).map(|sample| (sample * sample * (digit + 3) % 2001 - 1000) as i16);
        noise.for_each(|level| writer.write_sample(level).expect("written"));
        writer.finalize().expect("finished");
    }
}

#[test]
fn damaged_statistics_of_the_recordings_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, out] = ["data", "run"].map(|name| folder.path().join(name));
    write_recordings(&data, &[0, 5]);
    let train = ["train", "spoken-digits", "--data", text(&data), "--iterations", "1", "--batch", "2"];
    succeed(&[&train[..], &["--out", text(&out)]].concat());
    let eval = ["eval", text(&out)];
    succeed(&eval);

    let path = out.join("statistics.toml");
    let whole = fs::read(&path).expect("written");
    for damaged in
        [&b""[..], b"garbage", b"\xff\xfe", b"mean = [0.0]\nstd = [1.0]", &whole[..whole.len() / 2]]
    {
        fs::write(&path, damaged).expect("written");
        refuse(&eval, &["statistics.toml"]);
    }
    let nan = String::from_utf8(whole).expect("text").replacen("std = [", "std = [nan, ", 1);
    let (kept, _) = nan.trim_end().rsplit_once(',').expect("several deviations");
    fs::write(&path, format!("{kept}]")).expect("written");
    refuse(&eval, &["statistics.toml", "out of range"]);
    fs::remove_file(&path).expect("there");
    refuse(&eval, &["statistics.toml"]);
}

#[test]
fn a_settings_file_can_hold_out_a_speaker() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, out, settings] = ["data", "run", "settings.toml"].map(|name| folder.path().join(name));
    write_recordings(&data, &[5]);
    for digit in 0..2 {
        let [from, to] = ["ann", "bob"].map(|speaker| data.join(format!("{digit}_{speaker}_5.wav")));
        fs::copy(from, to).expect("copied");
    }
    let train = ["train", "spoken-digits", "--data", text(&data), "--config", text(&settings)];
    let train = [&train[..], &["--iterations", "1", "--batch", "2", "--out", text(&out)]].concat();
    fs::write(&settings, "[spoken_digits.held_out]\nspeaker = \"eve\"\n").expect("written");
    refuse(&train, &["`eve`", "ann, bob"]);
    fs::write(&settings, "[spoken_digits.held_out]\nspeaker = \"bob\"\n").expect("written");
    succeed(&train);
    let report: Value = serde_json::from_str(&succeed(&["eval", text(&out), "--json"])).expect("JSON");
    assert_eq!(report["sequences"], 2);
}

#[test]
fn test_recordings_are_looked_at_before_training() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, untested, out] = ["data", "untested", "run"].map(|name| folder.path().join(name));
    write_recordings(&untested, &[5]);
    write_recordings(&data, &[0, 5]);
    fs::write(data.join("3_ann_0.wav"), "RIFF").expect("written");
    for (folder, words) in [(&untested, [text(&untested), "Test"]), (&data, ["3_ann_0.wav", "WAV"])] {
        refuse(&["train", "spoken-digits", "--data", text(folder), "--out", text(&out)], &words);
        assert!(!out.exists());
    }
}

/// A copy of a fixture whose description has another value.
fn described(folder: &Path, change: impl FnOnce(&mut Value)) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lif_seed1");
    let path = folder.join("described.safetensors");
    fs::copy(source.with_extension("safetensors"), &path).expect("copied");
    let text = fs::read_to_string(source.with_extension("json")).expect("part of the project");
    let mut description = serde_json::from_str(&text).expect("JSON");
    change(&mut description);
    fs::write(path.with_extension("json"), description.to_string()).expect("written");
    path
}

#[test]
fn descriptions_of_fixtures_out_of_range_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, value) in [
        ("alpha", json!(1.0)),
        ("alpha", json!(0.0)),
        ("alpha", json!(null)),
        ("kappa", json!(2.0)),
        ("kappa", json!(-0.5)),
        ("g_in", json!(0.5)),
        ("v_th", json!(0.0)),
        ("gamma", json!(-1.0)),
        ("n_in", json!(0)),
        ("n_rec", json!(0)),
        ("n_rec", json!(100_000_000_000_000_u64)),
        ("n_out", json!(0)),
        ("T", json!(0)),
        ("B", json!(-1)),
        ("loss", json!("hinge")),
    ] {
        let path = described(folder.path(), |description| description["config"][name] = value);
        refuse(&["gradcheck", text(&path)], &["described."]);
    }
    let path = described(folder.path(), |description| {
        let sgd = json!({ "learning_rate": 0.001, "iterations": 3 });
        description["training"] = sgd;
        description["losses_nest_f64"] = json!([1.0, 2.0]);
    });
    refuse(&["gradcheck", text(&path)], &["training losses"]);
    let path = described(folder.path(), |description| description["model"] = json!("lstm"));
    refuse(&["gradcheck", text(&path)], &["described.safetensors", "param_W_x"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_full_standard_output_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = small_run(folder.path());
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lif_seed1.safetensors");
    for arguments in [["eval", text(&out)], ["gradcheck", text(&fixture)]] {
        let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
        let output = crate::support::eprop(&arguments).stdout(full).output().expect("the program starts");
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains("standard output") && message.lines().count() == 1, "{message}");
    }
}

/// Files may not grow beyond 8 or 16 KiB (as the shell counts), which the network does: as on a full disk, writing
/// ends midway.
#[cfg(unix)]
#[test]
fn a_full_disk_leaves_no_torn_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" train --iterations 1 --out \"$1\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, env!("CARGO_BIN_EXE_eprop"), text(&out)]).env("RUST_BACKTRACE", "1");
    let output = command.output().expect("a shell");
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    let last = message.lines().last().unwrap_or_default();
    assert!(last.starts_with("error: cannot write") && last.contains("checkpoint.safetensors"), "{message}");
    assert_eq!(names(&out), ["config.toml"]);
}

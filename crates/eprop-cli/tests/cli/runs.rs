//! Whole runs of the program: what they leave, and that they can be repeated.

use eprop_cli::device::DeviceName;
use std::f32::consts::TAU;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{eprop, refuse, run, succeed, text};
use hound::{SampleFormat, WavSpec, WavWriter};
use serde_json::Value;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn pattern_generation_leaves_a_whole_run_folder_and_can_be_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second] = ["first", "second"].map(|name| folder.path().join(name));
    let summary = succeed(&["train", "--iterations", "5", "--out", text(&first)]);
    assert!(summary.contains("plots:"), "{summary}");
    for file in ["config.toml", "model.bpk", "learning_curve.svg", "activity.svg", "evaluation.json"] {
        assert!(std::fs::metadata(first.join(file)).is_ok_and(|file| file.len() > 0), "{file}");
    }
    let metrics = read(&first.join("metrics.csv"));
    assert!(
        metrics.starts_with("iteration,loss,rate_loss,nmse,firing_rate_hz,gradient_norm,learning_rate\n")
    );
    assert_eq!(metrics.lines().count(), 6);

    let config = first.join("config.toml");
    succeed(&["train", "--config", text(&config), "--out", text(&second)]);
    assert_eq!(read(&second.join("metrics.csv")), metrics);
    let evaluated = json(&succeed(&["eval", text(&second), "--json"]));
    assert_eq!(evaluated, json(&read(&first.join("evaluation.json"))));
    assert!(evaluated["nmse"].as_f64().is_some_and(f64::is_finite));
}

#[test]
fn gradients_are_compared_with_those_of_bptt() {
    let folder = tempfile::tempdir().expect("a folder");
    let [run, exact] = ["run", "exact"].map(|name| folder.path().join(name));
    let task = ["pattern-generation", "--iterations", "4", "--every", "2"];
    let said = succeed(&[&["align"], &task[..], &["--out", text(&run)]].concat());
    assert!(said.contains("layers.0.w_rec") && said.contains("cosine"), "{said}");
    assert!(read(&run.join("alignment.svg")).contains("layers.0.w_in"));
    let metrics = read(&run.join("metrics.csv"));
    let rows: Vec<Vec<&str>> = metrics.lines().map(|line| line.split(',').collect()).collect();
    let column = |name: &str| {
        let place = rows[0].iter().position(|&column| column == name).expect(name);
        rows[1..].iter().map(|row| row[place].parse().expect("a number")).collect::<Vec<f64>>()
    };
    // e-prop's gradients of the readout are exact, and those of the neurons are not, by random feedback.
    let readout = column("cosine readout.weight");
    assert!(readout.iter().all(|cosine| (cosine - 1.0).abs() < 1e-5), "{readout:?}");
    let recurrent = column("cosine layers.0.w_rec");
    assert!(recurrent.iter().all(|cosine| cosine.abs() < 0.999), "{recurrent:?}");
    assert_eq!((recurrent[0], recurrent[2]), (recurrent[1], recurrent[3]));
    assert_ne!(recurrent[1], recurrent[2]);
    refuse(
        &[&["align"], &task[..], &["--method", "bptt", "--out", text(&exact)]].concat(),
        &["alignment", "bptt"],
    );
    refuse(&["align", "delayed-choice"], &["rewards"]);
    refuse(&["align", "--method", "readout"], &["alignment", "readout"]);

    let again = folder.path().join("again");
    let other = ["align", "pattern-generation", "--iterations", "4", "--every", "3", "--out"];
    succeed(&[&other[..], &[text(&again)]].concat());
    let whole = read(&again.join("metrics.csv"));
    succeed(&["align", "--resume", text(&again)]);
    assert_eq!(read(&again.join("metrics.csv")), whole);
    let plain = folder.path().join("plain");
    succeed(&["train", "--iterations", "1", "--out", text(&plain)]);
    refuse(&["align", "--resume", text(&plain)], &["plain", "not begun by align"]);
    refuse(&["align", "arm-reaching"], &["one presentation"]);
    assert!(!exact.exists());
}

#[test]
fn flags_go_before_the_settings_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("settings.toml");
    std::fs::write(&config, "iterations = 50\nlr = 0.01\n[network]\nneurons = 7\n").expect("written");
    let out = folder.path().join("run");
    succeed(&["train", "--config", text(&config), "--iterations", "2", "--out", text(&out)]);
    let written: toml::Table = read(&out.join("config.toml")).parse().expect("TOML");
    assert_eq!(written["iterations"].as_integer(), Some(2));
    assert_eq!(written["lr"].as_float(), Some(0.01));
    assert_eq!(written["network"]["neurons"].as_integer(), Some(7));
    assert_eq!(written["network"]["threshold"].as_float(), Some(0.03));
}

/// A tone for each digit, in the format that the recording's index chooses.
fn write_tone(folder: &Path, digit: u32, speaker: &str, index: usize) {
    let formats = [
        (8000, 1, 16, SampleFormat::Int),
        (44100, 2, 16, SampleFormat::Int),
        (8000, 1, 24, SampleFormat::Int),
        (16000, 1, 32, SampleFormat::Int),
        (8000, 1, 32, SampleFormat::Float),
        (8000, 1, 8, SampleFormat::Int),
        (22050, 1, 16, SampleFormat::Int),
    ];
    let (sample_rate, channels, bits_per_sample, sample_format) = formats[index % formats.len()];
    let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
    let path = folder.join(format!("{digit}_{speaker}_{index}.wav"));
    let mut writer = WavWriter::create(path, spec).expect("created");
    let hz = 300.0 + 250.0 * digit as f32 + if speaker == "ann" { 0.0 } else { 20.0 };
    for sample in 0..sample_rate / 5 {
        let value = 0.5 * (TAU * hz * sample as f32 / sample_rate as f32).sin();
        for _ in 0..channels {
            match sample_format {
                SampleFormat::Float => writer.write_sample(value).expect("written"),
                SampleFormat::Int => {
                    let full = 2f64.powi(i32::from(bits_per_sample) - 1) - 1.0;
                    writer.write_sample((f64::from(value) * full) as i32).expect("written");
                }
            }
        }
    }
    writer.finalize().expect("finished");
}

pub(crate) fn write_recordings(folder: &Path, indices: std::ops::Range<usize>) {
    for digit in 0..10 {
        for speaker in ["ann", "bob"] {
            indices.clone().for_each(|index| write_tone(folder, digit, speaker, index));
        }
    }
}

#[test]
fn spoken_digits_in_every_format_train_and_evaluate() {
    let folder = tempfile::tempdir().expect("a folder");
    let [seen, unseen, out] = ["seen", "unseen", "run"].map(|name| folder.path().join(name));
    for (data, indices) in [(&seen, 0..12), (&unseen, 20..22)] {
        std::fs::create_dir(data).expect("a folder");
        write_recordings(data, indices);
    }
    let train = ["train", "spoken-digits", "--data", text(&seen), "--iterations", "20", "--out", text(&out)];
    succeed(&train);
    let at_the_end = json(&read(&out.join("evaluation.json")));
    assert_eq!(json(&succeed(&["eval", text(&out), "--json"])), at_the_end);
    assert_eq!(at_the_end["sequences"], 100);
    assert!(at_the_end["accuracy"].as_f64() > Some(0.2), "{at_the_end}");
    assert!(out.join("confusion_matrix.svg").exists());

    let eval = ["eval", text(&out), "--data", text(&unseen), "--split", "all", "--json"];
    let elsewhere = json(&succeed(&eval));
    assert_eq!(elsewhere["sequences"], 40);
    assert!(elsewhere["loss"].as_f64().is_some_and(f64::is_finite));
}

/// The settings that the README shows.
#[test]
fn the_settings_in_the_readme_are_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, settings, out] = ["data", "settings.toml", "run"].map(|name| folder.path().join(name));
    std::fs::create_dir(&data).expect("made");
    write_recordings(&data, 0..12);
    let readme = include_str!("../../../../README.md");
    let shown = readme.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("settings");
    std::fs::write(&settings, shown).expect("written");
    let train = ["train", "spoken-digits", "--config", text(&settings), "--data", text(&data)];
    succeed(&[&train[..], &["--iterations", "2", "--batch", "4", "--out", text(&out)]].concat());
    let columns = read(&out.join("metrics.csv"));
    assert!(
        columns.starts_with("iteration,") && columns.contains("voltage_loss,validation_accuracy"),
        "{columns}"
    );
}

#[test]
fn every_method_and_cell_trains() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("small.toml");
    let small = "[network]\nneurons = 8\n[pattern_generation]\nsteps = 60\ninput_count = 5\n";
    std::fs::write(&config, small).expect("written");
    for cell in ["lif", "alif", "lstm"] {
        for method in ["eprop", "bptt", "truncated-bptt", "readout"] {
            for signal in ["symmetric", "random", "adaptive", "global"] {
                let out = folder.path().join(format!("{cell}-{method}-{signal}"));
                let mut arguments = vec!["train", "--config", text(&config), "--iterations", "2"];
                arguments.extend(["--cell", cell, "--method", method, "--signal", signal, "--chunk", "25"]);
                let device =
                    DeviceName::CPUS[usize::from(cell == "lif") % DeviceName::CPUS.len()].to_string();
                arguments.extend(["--device", &device]);
                arguments.extend(["--out", text(&out)]);
                succeed(&arguments);
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_saves_and_exits() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    let mut command = eprop(&["train", "--iterations", "1000000", "--out", text(&out)]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    // Until the handler is in place and the run has begun.
    let begun = Instant::now();
    while !out.join("config.toml").exists() && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let kill = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    for file in ["model.bpk", "metrics.csv", "checkpoint.safetensors"] {
        assert!(out.join(file).exists(), "{file}");
    }
    succeed(&["eval", text(&out)]);
}

#[test]
fn help_and_version() {
    assert!(succeed(&["--version"]).starts_with("eprop "));
    assert!(succeed(&["--help"]).contains("Examples:"));
    assert!(succeed(&["train", "--help"]).contains("--signal"));
}

#[test]
fn bench_prints_one_object() {
    let sizes = ["--inputs", "5", "--neurons", "6", "--steps", "40", "--batch", "2", "--repeats", "2"];
    for cell in ["lif", "alif", "lstm"] {
        for method in ["eprop", "bptt"] {
            let mut arguments = vec!["bench", "--json", "--cell", cell, "--method", method];
            arguments.extend(sizes);
            let report = json(&succeed(&arguments));
            assert!(report["ms_min"].as_f64() <= report["ms_median"].as_f64());
            assert!(report["ms_median"].as_f64() <= report["ms_max"].as_f64());
            assert!(report["peak_live_bytes"].as_u64() > Some(0));
            assert_eq!(report["steps"], 40);
        }
    }
}

#[test]
fn gradcheck_passes_fails_and_says_so() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/lstm_seed1.safetensors");
    let fixture = text(&fixture);
    for device in DeviceName::CPUS {
        let device = device.to_string();
        let report = json(&succeed(&["gradcheck", fixture, "--json", "--device", &device, "--chunk", "7"]));
        assert_eq!(report["passed"], true);
        assert!(report["max_relative_error"].as_f64() < Some(1e-9));
    }
    succeed(&["gradcheck", fixture, "--dtype", "f32", "--tolerance", "1e-4"]);
    let failed = run(&["gradcheck", fixture, "--dtype", "f32", "--tolerance", "1e-12"]);
    assert_eq!(failed.status.code(), Some(1));
}

/// Eight units, batches of four: what matters here is not what is learnt.
fn small(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("small.toml");
    std::fs::write(&path, "iterations = 4\nbatch = 4\n[network]\nneurons = 8\n").expect("written");
    path
}

#[test]
fn copy_repeat_by_every_method_can_be_repeated_and_evaluated() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = small(folder.path());
    for arguments in [
        "eprop3",
        "eprop3 --synthetic none",
        "eprop3 --synthetic mlp",
        "eprop3 --synthetic bp-lambda",
        "eprop3 --update sequence",
        "eprop3 --cell alif",
        "truncated-bptt",
        "truncated-bptt-sg --synthetic bp-lambda",
        "bptt",
        "eprop --signal symmetric",
    ] {
        let [first, second] = ["first", "second"].map(|name| folder.path().join(arguments).join(name));
        let mut train = vec!["train", "copy-repeat", "--config", text(&config), "--method"];
        train.extend(arguments.split(' '));
        succeed(&[train.as_slice(), &["--out", text(&first)]].concat());
        let metrics = read(&first.join("metrics.csv"));
        let header = metrics.lines().next().expect("a header");
        assert!(
            header.ends_with("solved_patterns,solved_repeats,solved_characters,solved_steps"),
            "{header}"
        );
        assert_eq!(metrics.lines().count(), 5);
        succeed(&["train", "--config", text(&first.join("config.toml")), "--out", text(&second)]);
        assert_eq!(read(&second.join("metrics.csv")), metrics, "{arguments}");
        let evaluated = json(&succeed(&["eval", text(&second), "--json"]));
        assert_eq!(evaluated, json(&read(&first.join("evaluation.json"))), "{arguments}");
    }
}

#[test]
fn copy_repeat_is_learnt_and_its_stages_rise() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    succeed(&["train", "copy-repeat", "--iterations", "250", "--batch", "32", "--out", text(&out)]);
    let evaluation = json(&read(&out.join("evaluation.json")));
    assert!(evaluation["solved_steps"].as_f64().is_some_and(|steps| steps >= 5.0), "{evaluation}");
}

#[test]
fn a_text_is_learnt_by_character() {
    let folder = tempfile::tempdir().expect("a folder");
    let book = folder.path().join("book.txt");
    std::fs::write(&book, "to be or not to be; that is the question. ".repeat(60)).expect("written");
    let out = folder.path().join("run");
    let data = ["train", "character-model", "--data", text(&book), "--iterations", "60", "--batch", "8"];
    succeed(&[&data[..], &["--out", text(&out)]].concat());
    let metrics = read(&out.join("metrics.csv"));
    let bits: Vec<f64> =
        metrics.lines().skip(1).filter_map(|line| line.split(',').nth(3)?.parse().ok()).collect();
    assert!(bits[0] > 3.0 && bits[59] < 0.5 * bits[0], "{} to {} bits", bits[0], bits[59]);
    let evaluated = json(&succeed(&["eval", text(&out), "--json"]));
    assert_eq!(evaluated, json(&read(&out.join("evaluation.json"))));

    // Without --data, the Markdown files from here on.
    let train = ["train", "character-model", "--iterations", "1", "--out", "run-without"];
    let call = || eprop(&train).current_dir(folder.path()).output().expect("the program starts");
    let refused = call();
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("Markdown"));
    std::fs::write(folder.path().join("notes.md"), "some words of a project\n".repeat(200)).expect("written");
    assert!(call().status.success());
}

#[test]
fn a_comparison_goes_on_where_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = small(folder.path());
    let out = folder.path().join("comparison");
    let compare = |more: &[&str]| {
        let fixed = ["compare", "copy-repeat", "--methods", "eprop3:bp-lambda,bptt", "--seeds", "1,2"];
        [&fixed[..], &["--config", text(&config), "--out", text(&out)], more]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let call = |more: &[&str]| {
        let arguments = compare(more);
        succeed(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    };
    assert!(call(&[]).contains("4 of 4 runs to do"));
    let [csv, table] = ["compare.csv", "compare.md"].map(|name| read(&out.join(name)));
    assert_eq!(csv.lines().count(), 1 + 4 * 4);
    assert!(csv.contains("\neprop3:bp-lambda,2,4,"), "{csv}");
    assert_eq!(table.lines().count(), 4);
    assert!(read(&out.join("compare.svg")).contains("polygon"));

    std::fs::remove_file(out.join("bptt-2").join("evaluation.json")).expect("removed");
    assert!(call(&[]).contains("1 of 4 runs to do"));
    assert_eq!(read(&out.join("compare.csv")), csv);
    // What belongs to another comparison stays.
    let other = compare(&["--iterations", "5"]);
    refuse(&other.iter().map(String::as_str).collect::<Vec<_>>(), &["holds something else", "--out"]);
    assert_eq!(read(&out.join("compare.csv")), csv);
}

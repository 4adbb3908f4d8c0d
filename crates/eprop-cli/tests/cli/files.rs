//! Files and folders of runs that come from elsewhere, or that several processes want.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use burn::store::burn_pack::{Reader, Writer};
use burn::tensor::Bytes;
use safetensors::SafeTensors;

use crate::runs::write_recordings;
use crate::support::{eprop, refuse, run, succeed, text};

/// A run of two small steps.
const SMALL: &str =
    "iterations = 2\n[network]\nneurons = 4\n[pattern_generation]\nsteps = 20\ninput_count = 3\n";

/// A folder with the run, its settings beside it.
fn small_run(folder: &Path) -> PathBuf {
    let [settings, out] = ["small.toml", "run"].map(|name| folder.join(name));
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

/// A program that goes on; it is killed at the latest where the test ends, however that ends.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(arguments: &[&str]) -> Running {
    Running(eprop(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("it starts"))
}

fn wait_for(path: &Path) {
    let deadline = Instant::now() + Duration::from_secs(120);
    while !path.exists() {
        assert!(Instant::now() < deadline, "no {}", path.display());
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Runs a line of the shell, in which `$0` is the program.
fn shell(folder: &Path, line: &str) -> Output {
    let mut command = Command::new("sh");
    command.args(["-c", line, env!("CARGO_BIN_EXE_eprop")]).current_dir(folder);
    command.env("RUST_BACKTRACE", "0").output().expect("a shell")
}

/// The single line of the standard error of a command that was refused.
#[track_caller]
fn refusal(output: &Output) -> String {
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
    message
}

#[cfg(unix)]
mod of_unix {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn no_link_in_a_folder_is_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = small_run(folder.path());
        let precious = folder.path().join("notes.txt");
        fs::write(&precious, "precious notes").expect("written");
        symlink("../notes.txt", run.join(".lock")).expect("linked");
        refuse(&["train", "--resume", text(&run)], &["run/.lock", "not a regular file"]);
        fs::remove_file(run.join(".lock")).expect("removed");

        for name in ["learning_curve.svg", "metrics.csv", "evaluation.json"] {
            fs::remove_file(run.join(name)).expect("written");
            symlink("../notes.txt", run.join(name)).expect("linked");
        }
        succeed(&["train", "--resume", text(&run)]);
        let exported = run.join("model.safetensors");
        symlink("../not-there", &exported).expect("linked");
        refuse(&["export", text(&run)], &["is there already"]);
        assert_eq!(fs::read(&precious).expect("kept"), b"precious notes");
        assert!(!folder.path().join("not-there").exists());
    }

    #[test]
    fn no_link_in_the_folder_of_a_comparison_is_written_through() {
        let folder = tempfile::tempdir().expect("a folder");
        let [settings, out, precious] =
            ["small.toml", "out", "precious"].map(|name| folder.path().join(name));
        fs::write(&settings, SMALL).expect("written");
        fs::create_dir_all(&out).expect("made");
        fs::create_dir_all(&precious).expect("made");
        fs::write(precious.join("notes.txt"), "notes").expect("written");
        for name in ["eprop-1.toml", "eprop-1.log", "compare.csv", "compare.svg"] {
            symlink("../precious/notes.txt", out.join(name)).expect("linked");
        }
        let compare = ["compare", "pattern-generation", "--methods", "eprop", "--config", text(&settings)];
        let compare = [&compare[..], &["--seeds", "1", "--out", text(&out)]].concat();
        let link = out.join("eprop-1");
        fs::create_dir(folder.path().join("empty")).expect("made");
        symlink("../empty", &link).expect("linked");
        refuse(&compare, &["eprop-1", "not a folder"]);
        assert!(names(&folder.path().join("empty")).is_empty());
        fs::remove_file(&link).expect("removed");
        succeed(&compare);
        assert_eq!(fs::read(precious.join("notes.txt")).expect("kept"), b"notes");
    }

    #[test]
    fn a_pipe_in_place_of_a_file_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let run = small_run(folder.path());
        let pipe = |path: &Path| {
            let _ = fs::remove_file(path);
            assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo runs").success());
        };
        // Whoever opened it would wait until the end of time: `timeout` ends with another status.
        let refuse = |arguments: &str, name: &str| {
            let output = shell(folder.path(), &format!("timeout 60 \"$0\" {arguments}"));
            let message = refusal(&output);
            assert!(message.contains(name) && message.contains("not a regular file"), "{message}");
        };
        let whole = folder.path().join("whole");
        fs::rename(&run, &whole).expect("renamed");
        for (name, arguments) in [
            (".lock", "train --resume run"),
            ("config.toml", "eval run"),
            ("config.toml", "train --resume run"),
            ("config.toml", "align --resume run"),
            ("model.bpk", "eval run"),
            ("model.bpk", "export run"),
            ("checkpoint.safetensors", "train --resume run"),
        ] {
            let _ = fs::remove_dir_all(&run);
            assert!(Command::new("cp").arg("-r").args([&whole, &run]).status().expect("cp runs").success());
            pipe(&run.join(name));
            refuse(arguments, name);
        }
        pipe(&folder.path().join("settings.toml"));
        refuse("train --config settings.toml", "settings.toml");
        refuse("compare pattern-generation --methods eprop --config settings.toml", "settings.toml");
        refuse("train --config /dev/zero", "/dev/zero");
        pipe(&folder.path().join("fixture.json"));
        refuse("gradcheck fixture.safetensors", "fixture.json");
    }

    #[test]
    fn settings_that_ask_for_more_than_the_network_has_are_refused_before_it_is_built() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("settings.toml");
        let sine = "task = 'sine-regression'\nbatch = 2\n[learner]\nneurons = 4\n[module]\nneurons = 5\n\
                    [sine_regression]\nsteps = 20\n";
        let choice = "task = 'delayed-choice'\nbatch = 2\n[network]\nneurons = 4\n";
        let copy = "task = 'copy-repeat'\nbatch = 2\n[network]\nneurons = 4\n[synthetic]\nkind = 'mlp'\nhidden = 6\n";
        for (name, content, from, to) in [
            ("pattern", SMALL, "neurons = 4", "neurons = 40000"),
            ("stack", SMALL, "neurons = 4\nlayers = 1", "neurons = 4000\nlayers = 20"),
            ("sine", sine, "neurons = 5", "neurons = 16000"),
            ("choice", choice, "neurons = 4", "neurons = 20000"),
            ("copy", copy, "hidden = 6", "hidden = 60000"),
        ] {
            fs::write(&settings, content).expect("written");
            let out = folder.path().join(name);
            succeed(&["train", "--config", text(&settings), "--iterations", "1", "--out", text(&out)]);
            let config = out.join("config.toml");
            let changed = fs::read_to_string(&config).expect("written");
            assert!(changed.contains(from), "{changed}");
            fs::write(&config, changed.replacen(from, to, 1)).expect("written");
            let mut commands = vec![("eval", "model.bpk"), ("train --resume", "checkpoint.safetensors")];
            commands.extend((name != "sine").then_some(("export", "model.bpk")));
            for (command, file) in commands {
                let limits = "export RAYON_NUM_THREADS=2; ulimit -c 0; ulimit -v 2500000";
                let line = format!("{limits}; exec \"$0\" {command} {name}");
                let message = refusal(&shell(folder.path(), &line));
                assert!(message.contains(file) && message.contains("does not fit its settings"), "{message}");
            }
        }
    }

    #[test]
    fn all_files_are_as_the_umask_wants() {
        for (umask, mode) in [("022", 0o644), ("077", 0o600), ("002", 0o664)] {
            let folder = tempfile::tempdir().expect("a folder");
            fs::write(folder.path().join("small.toml"), SMALL).expect("written");
            let lines = format!(
                "umask {umask}; \"$0\" train --config small.toml --out run && \"$0\" export run && \
                 \"$0\" compare pattern-generation --methods eprop --seeds 1 --config small.toml --out both"
            );
            let output = shell(folder.path(), &lines);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            for folder in ["run", "both", "both/eprop-1"].map(|name| folder.path().join(name)) {
                let files = names(&folder).into_iter().filter(|name| folder.join(name).is_file());
                for name in files {
                    let found = fs::metadata(folder.join(&name)).expect("there").permissions().mode();
                    assert_eq!(found & 0o777, mode, "{name} with umask {umask}");
                }
            }
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn folders_need_no_names_in_utf_8() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("small.toml");
        fs::write(&settings, SMALL).expect("written");
        let odd = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"odd-\xff");
        let odd = folder.path().join(odd);
        let mut compare = eprop(&["compare", "pattern-generation", "--methods", "eprop", "--seeds", "1"]);
        let output =
            compare.arg("--config").arg(&settings).arg("--out").arg(&odd).output().expect("it starts");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let expected = ["compare.csv", "compare.md", "compare.svg", "eprop-1", "eprop-1.log", "eprop-1.toml"];
        assert_eq!(names(&odd), expected);
        for command in ["eval", "export"] {
            let output = eprop(&[command]).arg(odd.join("eprop-1")).output().expect("it starts");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        // Nothing elsewhere.
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 2);
    }

    #[test]
    fn what_files_hold_does_not_control_the_terminal() {
        let folder = tempfile::tempdir().expect("a folder");
        let settings = folder.path().join("settings.toml");
        let long = format!("lr = \"{}\"", "x".repeat(200_000));
        for content in ["\u{1b}[2J = 1", "task = \"\u{1b}]0;title\u{7}\"", "[\u{9b}31m\u{202e}]", &long] {
            fs::write(&settings, content).expect("written");
            let output = run(&["train", "--config", text(&settings)]);
            let message = refusal(&output);
            assert!(message.contains("settings.toml"), "{message}");
            assert!(
                !message.trim_end().contains(|it: char| it.is_control() || it == '\u{202e}'),
                "{message:?}"
            );
            assert!(message.len() < 4000, "{} bytes", message.len());
        }
        let named = folder.path().join("\u{1b}[31mred");
        let output = run(&["train", "--config", "none.toml", "--out", text(&named)]);
        assert!(!refusal(&output).contains('\u{1b}'));
        fs::write(&settings, SMALL).expect("written");
        let said = succeed(&["train", "--config", text(&settings), "--out", text(&named)]);
        assert!(said.contains("\\u{1b}[31mred") && !said.contains('\u{1b}'), "{said:?}");
        assert!(named.join("model.bpk").exists());
    }
}

#[test]
fn a_changed_bit_is_noticed() {
    let folder = tempfile::tempdir().expect("a folder");
    let run_folder = small_run(folder.path());
    let report = succeed(&["eval", text(&run_folder), "--json"]);
    let model = run_folder.join("model.bpk");
    let whole = fs::read(&model).expect("written");
    let mut noticed = 0;
    for place in (0..whole.len()).step_by(1 + whole.len() / 120) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&model, damaged).expect("written");
        let output = run(&["eval", text(&run_folder), "--json"]);
        // What is no part of a value, such as padding, may change.
        let same = output.status.success() && String::from_utf8_lossy(&output.stdout) == report;
        assert!(same || output.status.code() == Some(2), "byte {place}");
        noticed += usize::from(!same);
    }
    assert!(noticed > 20, "{noticed}");
    fs::write(&model, whole).expect("written");

    let checkpoint = run_folder.join("checkpoint.safetensors");
    let whole = fs::read(&checkpoint).expect("written");
    let header = u64::from_le_bytes(whole[..8].try_into().expect("8 bytes")) as usize;
    for place in (8 + header..whole.len()).step_by(1 + whole.len() / 40) {
        let mut damaged = whole.clone();
        damaged[place] ^= 1;
        fs::write(&checkpoint, damaged).expect("written");
        refuse(
            &["train", "--resume", text(&run_folder)],
            &["checkpoint.safetensors", "not a whole checkpoint"],
        );
    }
}

#[test]
fn files_without_a_checksum_are_read_with_a_warning() {
    let folder = tempfile::tempdir().expect("a folder");
    let run_folder = small_run(folder.path());
    let report = succeed(&["eval", text(&run_folder), "--json"]);
    let model = run_folder.join("model.bpk");
    let read = |path: &Path| Bytes::from_bytes_vec(fs::read(path).expect("written"));
    let tensors = Reader::from_bytes(read(&model)).and_then(Reader::into_tensors).expect("a record");
    let plain = Writer::new(tensors).into_bytes().expect("a record");
    fs::write(&model, &*plain).expect("written");

    let checkpoint = run_folder.join("checkpoint.safetensors");
    let bytes = fs::read(&checkpoint).expect("written");
    let parts = SafeTensors::deserialize(&bytes).expect("a checkpoint");
    let plain = safetensors::serialize(parts.tensors(), None).expect("a checkpoint");
    fs::write(&checkpoint, plain).expect("written");
    for (arguments, file) in [
        (["eval", text(&run_folder)], "model.bpk"),
        (["export", text(&run_folder)], "model.bpk"),
        (["train --resume", text(&run_folder)], "checkpoint.safetensors"),
    ] {
        let arguments: Vec<&str> = arguments[0].split(' ').chain([arguments[1]]).collect();
        let output = run(&arguments);
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{message}");
        let warnings: Vec<_> = message.lines().filter(|line| line.starts_with("warning: ")).collect();
        assert!(warnings.len() == 1 && warnings[0].contains(file), "{arguments:?}: {message}");
    }
    assert_eq!(succeed(&["eval", text(&run_folder), "--json"]), report);
}

#[test]
fn runs_that_begin_together_have_folders_of_their_own() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("small.toml"), SMALL).expect("written");
    let begin = |_| {
        let mut command = eprop(&["train", "--config", "small.toml"]);
        command.current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().expect("it starts")
    };
    let children: Vec<Child> = (0..12).map(begin).collect();
    for child in children {
        let output = child.wait_with_output().expect("it ends");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    let expected = (1..=12).map(|number| format!("pattern-generation-lif-eprop-{number}"));
    let mut expected: Vec<String> = expected.collect();
    expected.sort();
    assert_eq!(names(&folder.path().join("runs")), expected);
    let all = ["activity.svg", "checkpoint.safetensors", "config.toml", "evaluation.json"];
    let all = [&all[..], &["learning_curve.svg", "metrics.csv", "model.bpk"]].concat();
    expected.iter().for_each(|run| assert_eq!(names(&folder.path().join("runs").join(run)), all));
}

#[test]
fn two_comparisons_do_not_share_a_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("both");
    let compare = ["compare", "pattern-generation", "--methods", "eprop", "--seeds", "1"];
    let long = [&compare[..], &["--iterations", "1000000", "--out", text(&out)]].concat();
    let first = start(&long);
    let config = out.join("eprop-1/config.toml");
    wait_for(&config);
    let begun = fs::metadata(&config).expect("there").modified().expect("a time");
    refuse(&long, &["both", "another process is training there"]);
    assert_eq!(fs::metadata(&config).expect("kept").modified().expect("a time"), begun);
    drop(first);
}

#[test]
fn a_comparison_leaves_a_run_that_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let [out, settings] = ["both", "endless.toml"].map(|name| folder.path().join(name));
    let endless = "iterations = 1000000\ncheckpoint_seconds = 1e6\nthreads = 1\n";
    fs::write(&settings, endless).expect("written");
    let run = out.join("eprop-1");
    let training = start(&["train", "--config", text(&settings), "--out", text(&run)]);
    wait_for(&run.join("config.toml"));
    let compare = ["compare", "pattern-generation", "--methods", "eprop", "--seeds", "1"];
    let compare = [&compare[..], &["--config", text(&settings), "--out", text(&out)]].concat();
    refuse(&compare, &["eprop-1", "another process is training there"]);
    assert_eq!(names(&run), [".lock", "config.toml"]);
    drop(training);

    // Interrupted before its first checkpoint, it goes on in its folder, with the settings alone.
    fs::write(&settings, endless.replace("1000000", "2")).expect("written");
    let config = fs::read_to_string(run.join("config.toml")).expect("there");
    fs::write(run.join("config.toml"), config.replace("iterations = 1000000", "iterations = 2"))
        .expect("written");
    fs::write(run.join(".unfinished-a1B2c3D4"), "half of a").expect("written");
    assert!(succeed(&compare).contains("1 of 1 runs to do"));
    assert!(run.join("evaluation.json").exists() && !run.join(".unfinished-a1B2c3D4").exists());
    let left = names(&out);
    assert!(!left.iter().any(|name| name == ".lock"), "{left:?}");
}

#[test]
fn speakers_are_names_and_no_paths() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::create_dir(folder.path().join("data")).expect("made");
    write_recordings(&folder.path().join("data"), 0..1);
    let small = "iterations = 1\nbatch = 2\n[network]\nneurons = 4\n";
    fs::write(folder.path().join("small.toml"), small).expect("written");
    let compare = |speaker: &str| {
        let fixed = ["compare", "spoken-digits", "--methods", "eprop", "--seeds", "1", "--data", "data"];
        let mut command = eprop(&fixed);
        command.args(["--config", "small.toml", "--out", "a/b", "--speakers", speaker]);
        command.current_dir(folder.path()).output().expect("it starts")
    };
    for speaker in ["../../escaped", "/tmp/escaped", "..\\escaped", "x\n=1+1", "\u{1b}[2J"] {
        let message = refusal(&compare(speaker));
        assert!(message.contains("cannot be the name of a folder"), "{message}");
    }
    assert_eq!(names(folder.path()), ["data", "small.toml"]);
}

/// Characters that Windows has in no names.
#[cfg(unix)]
#[test]
fn names_do_not_break_the_tables_of_a_comparison() {
    let folder = tempfile::tempdir().expect("a folder");
    let [data, settings, out] = ["data", "small.toml", "out"].map(|name| folder.path().join(name));
    fs::create_dir(&data).expect("made");
    write_recordings(&data, 0..1);
    let speaker = "a|b\"c";
    for digit in 0..2 {
        let [from, to] = ["ann", speaker].map(|speaker| data.join(format!("{digit}_{speaker}_0.wav")));
        fs::copy(from, to).expect("copied");
    }
    fs::write(&settings, "iterations = 1\nbatch = 2\n[network]\nneurons = 4\n").expect("written");
    let compare = ["compare", "spoken-digits", "--methods", "eprop", "--seeds", "1", "--data", text(&data)];
    let said = succeed(
        &[&compare[..], &["--config", text(&settings), "--out", text(&out), "--speakers", speaker]].concat(),
    );
    let csv = fs::read_to_string(out.join("compare.csv")).expect("written");
    assert!(csv.lines().nth(1).is_some_and(|row| row.starts_with("\"a|b\"\"c:eprop\",1,1,")), "{csv}");
    let table = fs::read_to_string(out.join("compare.md")).expect("written");
    assert!(table.contains("\n| a\\|b\"c:eprop | ") && said.contains(table.trim_end()), "{table}");
}

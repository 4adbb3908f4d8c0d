//! The threads that share a run's work: a setting like others, on which its numbers depend.

use std::fs;
use std::path::Path;

use crate::support::{eprop, succeed, text};

/// Sequences that threads share, of a spiking network, in which each last digit decides over spikes.
const SHARED: &str = "task = 'evidence-accumulation'
batch = 6
schedule = 'constant'
lr = 0.01
[network]
neurons = 20
[evidence_accumulation]
cues = 3
cue_ms = 20
pause_ms = 10
delay_ms = 20
recall_ms = 20
";

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn a_run_goes_on_with_the_threads_that_it_began_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("shared.toml");
    fs::write(&settings, SHARED).expect("written");
    let train = |name: &str, threads: &str, iterations: &str| {
        let out = folder.path().join(name);
        let flags = ["--threads", threads, "--iterations", iterations, "--out", text(&out)];
        succeed(&[&["train", "--config", text(&settings)][..], &flags].concat());
        out
    };
    let [whole, resumed, single] = [("whole", "3", "30"), ("resumed", "3", "10"), ("single", "1", "30")]
        .map(|(name, threads, iterations)| train(name, threads, iterations));
    let config = resumed.join("config.toml");
    let written: toml::Table = read(&config).parse().expect("TOML");
    assert_eq!(written["threads"].as_integer(), Some(3));
    fs::write(&config, read(&config).replace("iterations = 10\n", "iterations = 30\n")).expect("written");
    let mut resume = eprop(&["train", "--resume", text(&resumed)]);
    assert!(resume.env("RAYON_NUM_THREADS", "1").output().expect("it starts").status.success());
    let metrics = [&whole, &resumed, &single].map(|run| read(&run.join("metrics.csv")));
    assert!(metrics[0] == metrics[1], "{}\n{}", metrics[0], metrics[1]);
    assert!(metrics[0] != metrics[2], "the number of threads is of no account here");
    assert_eq!(succeed(&["eval", text(&whole), "--json"]), succeed(&["eval", text(&resumed), "--json"]));
}

#[test]
fn a_comparison_has_the_same_numbers_however_many_runs_go_on_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = folder.path().join("shared.toml");
    fs::write(&settings, SHARED).expect("written");
    let compare = |name: &str, more: &[&str]| {
        let out = folder.path().join(name);
        let fixed = ["compare", "evidence-accumulation", "--methods", "eprop,bptt", "--seeds", "1,2"];
        let of_all = ["--config", text(&settings), "--iterations", "8", "--out", text(&out)];
        succeed(&[&fixed[..], &of_all, more].concat());
        (read(&out.join("compare.csv")), read(&out.join("bptt-2/config.toml")))
    };
    let (csv, config) = compare("one", &["--jobs", "1"]);
    assert!(config.contains("\nthreads = 1\n"), "{config}");
    assert!(compare("two", &["--jobs", "2"]).0 == csv && compare("free", &[]).0 == csv);
    let (_, config) = compare("asked", &["--jobs", "2", "--threads", "3"]);
    assert!(config.contains("\nthreads = 3\n"), "{config}");
    fs::write(&settings, format!("threads = 2\n{SHARED}")).expect("written");
    let (_, config) = compare("set", &[]);
    assert!(config.contains("\nthreads = 2\n"), "{config}");
}

#[test]
fn older_runs_have_as_many_threads_as_the_machine() {
    let folder = tempfile::tempdir().expect("a folder");
    let out = folder.path().join("run");
    succeed(&["train", "--iterations", "1", "--threads", "1", "--out", text(&out)]);
    let config = read(&out.join("config.toml"));
    assert!(config.contains("threads = 1\n"), "{config}");
    fs::write(out.join("config.toml"), config.replace("threads = 1\n", "")).expect("written");
    succeed(&["eval", text(&out)]);
    succeed(&["train", "--resume", text(&out)]);
}

/// Commands where the system has no more threads for the program: a limit on processes, under which root does not stand.
#[cfg(target_os = "linux")]
#[test]
fn without_threads_one_does_the_work() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let folder = tempfile::tempdir().expect("a folder");
    let open = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("allowed");
    open(folder.path());
    // Where nobody may read it.
    let program = folder.path().join("eprop");
    fs::copy(env!("CARGO_BIN_EXE_eprop"), &program).expect("copied");
    open(&program);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures");
    for file in ["lif_seed1.safetensors", "lif_seed1.json"] {
        let copy = folder.path().join(file);
        fs::copy(fixtures.join(file), &copy).expect("copied");
        open(&copy);
    }
    let is_root = fs::metadata("/proc/self").expect("there").uid() == 0;
    let nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let limit = ["prlimit", "--nproc=1", text(&program)];
    let limited = if is_root { [&nobody[..], &limit].concat() } else { limit.to_vec() };

    let trained = folder.path().join("trained");
    succeed(&["train", "--iterations", "2", "--threads", "2", "--out", text(&trained)]);
    for (arguments, done) in [
        ("train --iterations 2 --threads 2 --out run", "run folder: run"),
        ("eval run", "nmse"),
        ("gradcheck lif_seed1.safetensors", "within"),
        ("bench --steps 20 --batch 4 --repeats 1", "ms a training step"),
        ("export run --out weights.safetensors", "weights.safetensors"),
    ] {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        let mut command = std::process::Command::new(limited[0]);
        command.args(&limited[1..]).args(&arguments).current_dir(folder.path()).env("RAYON_NUM_THREADS", "2");
        let output = command.output().expect("it starts");
        let [said, errors] =
            [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).expect("text"));
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {errors}");
        assert!(said.contains(done), "{arguments:?}: {said}");
        let told = errors.lines().filter(|line| line.contains("cannot be had")).count();
        assert_eq!(told, 1, "{arguments:?}: {errors}");
    }
    // There is one sequence, which threads do not share.
    let metrics = |run: &str| read(&folder.path().join(run).join("metrics.csv"));
    assert_eq!(metrics("run"), metrics("trained"));
}

//! Settings, and what runs keep beside them.

use std::path::Path;

use burn::tensor::Device;
use eprop_cli::cli::{TaskChoice, TrainArgs};
use eprop_cli::config::{RunConfig, TaskName};
use eprop_cli::method::CellName;
use eprop_cli::one_shot::OneShotConfig;
use eprop_cli::one_shot::config::OneShotTask;
use eprop_cli::run_folder::RunFolder;
use eprop_cli::task;

use crate::format::{Format, reader, replaced};

/// The config.toml of a run.
pub(crate) fn run() -> Format {
    let tasks =
        [TaskName::PatternGeneration, TaskName::CopyRepeat, TaskName::MemoryMaze, TaskName::SpokenDigits];
    let sound: Vec<Vec<u8>> = tasks.map(|task| settings(task).to_toml().into_bytes()).into();
    let read = |path: &Path| {
        let config = RunConfig::read(path).map_err(|error| format!("{error:#}"))?;
        std::fs::remove_file(path).expect("removed");
        std::fs::write(path, config.to_toml()).expect("written");
        let again = RunConfig::read(path).expect("settings that were accepted");
        assert_eq!(again.to_toml(), config.to_toml());
        Ok(())
    };
    let claims = ["batch", "neurons", "layers"].map(|name| claim(&sound[0], name));
    let deep = [b"a = ".to_vec(), vec![b'['; 50_000]].concat();
    Format {
        name: "settings of a run",
        file: "config.toml",
        refused: claims.into_iter().chain([deep]).collect(),
        sound,
        variants: 2000,
        read: reader("config.toml", |_| (), read),
    }
}

/// What `--config` takes.
pub(crate) fn asked() -> Format {
    let sound = "task = \"store-recall\"\nbatch = 4\nlr = 0.01\nnetwork = { layers = 2, neurons = 30 }\n\
                 rate = { strength = 1.0, target_hz = 5.0 }\nvoltage = { strength = 1e-3 }\n\
                 validation = { every = 50, criterion = 0.95, stop = true }\n";
    let read = |path: &Path| {
        let args = TrainArgs { config: Some(path.into()), ..TrainArgs::default() };
        RunConfig::resolve(&args).map(drop).map_err(|error| format!("{error:#}"))
    };
    let sound = sound.as_bytes().to_vec();
    let deep = [b"a = ".to_vec(), vec![b'['; 50_000]].concat();
    Format {
        name: "settings file",
        file: "a.toml",
        refused: ["batch", "neurons", "layers"]
            .map(|name| claim(&sound, name))
            .into_iter()
            .chain([deep])
            .collect(),
        sound: vec![sound],
        variants: 2000,
        read: reader("a.toml", |_| (), read),
    }
}

/// The config.toml of a one-shot run.
pub(crate) fn one_shot() -> Format {
    let tasks = [OneShotTask::ArmReaching, OneShotTask::SineRegression];
    let settings = |task| OneShotConfig::resolve(task, &TrainArgs::default()).expect("settings").to_toml();
    let sound: Vec<Vec<u8>> = tasks.map(|task| settings(task).into_bytes()).into();
    let read = |path: &Path| OneShotConfig::read(path).map(drop).map_err(|error| format!("{error:#}"));
    Format {
        name: "settings of a one-shot run",
        file: "config.toml",
        refused: ["batch", "neurons"].map(|name| claim(&sound[0], name)).into(),
        sound,
        variants: 1500,
        read: reader("config.toml", |_| (), read),
    }
}

/// How far a curriculum has come.
pub(crate) fn statistics() -> Format {
    let config = RunConfig { cell: CellName::Lstm, ..settings(TaskName::CopyRepeat) };
    let sound = task::train(&config, &Device::flex()).expect("a task").statistics().expect("a curriculum");
    let sound = sound.into_bytes();
    let read = move |path: &Path| {
        let folder = RunFolder::open(path.parent().expect("a folder"));
        let task = task::evaluate(&config, &folder, &Device::flex());
        task.map(drop).map_err(|error| format!("{error:#}"))
    };
    Format {
        name: "statistics of a run",
        file: "statistics.toml",
        refused: ["patterns", "repeats"].map(|name| claim(&sound, name)).into(),
        sound: vec![sound],
        variants: 500,
        read: reader("statistics.toml", |_| (), read),
    }
}

fn settings(task: TaskName) -> RunConfig {
    let args = TrainArgs { task: Some(TaskChoice::Sequence(task)), ..TrainArgs::default() };
    RunConfig::resolve(&args).expect("settings")
}

/// The settings with 10^10 for a number.
fn claim(toml: &[u8], name: &str) -> Vec<u8> {
    let text = std::str::from_utf8(toml).expect("TOML");
    let (_, after) = text.split_once(&format!("{name} = ")).expect("in the settings");
    let number = after.split([',', '\n', ' ']).next().expect("a number");
    let setting = |number: &str| format!("{name} = {number}").into_bytes();
    replaced(toml, &setting(number), &setting("10000000000"))
}

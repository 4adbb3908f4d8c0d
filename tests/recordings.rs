//! Real recordings of spoken digits, where the environment variable `EPROP_FSDD` says that there are some.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use eprop_cli::cli::{TaskChoice, TrainArgs};
use eprop_cli::config::TaskName;
use eprop_cli::method::MethodName;
use eprop_cli::train::{self, Ending};
use eprop_tasks::spoken_digits::{Split, SpokenDigits, SpokenDigitsConfig};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let trials = vec![
        trial("the official split of the recordings", official_split),
        trial("a spiking network learns the recordings by e-prop", learns),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn trial(name: &str, run: fn(&Path) -> Result<(), Failed>) -> Trial {
    Trial::ignorable_test(name, move || match std::env::var_os("EPROP_FSDD") {
        Some(folder) => run(&PathBuf::from(folder)).map(|()| Completion::Completed),
        None => Ok(Completion::ignored_with("EPROP_FSDD names no folder")),
    })
}

/// Six speakers say ten digits; the test set is the first five recordings of each.
fn official_split(folder: &Path) -> Result<(), Failed> {
    let digits = SpokenDigits::open(folder)?;
    let config = SpokenDigitsConfig::default();
    let count = |split| digits.select(split, &config).map(|recordings| recordings.len());
    assert_eq!(count(Split::Test)?, 6 * 10 * 5);
    assert_eq!(count(Split::Train)? + count(Split::Test)?, count(Split::All)?);
    Ok(())
}

/// Four passes over the recordings by e-prop; and for the same network, with its readout alone learning.
fn learns(folder: &Path) -> Result<(), Failed> {
    let eprop = accuracy(folder, MethodName::Eprop)?;
    let readout = accuracy(folder, MethodName::Readout)?;
    match eprop > 0.93 && eprop > readout + 0.03 {
        true => Ok(()),
        false => Err(format!("accuracy {eprop} by e-prop, {readout} by the readout alone").into()),
    }
}

fn accuracy(folder: &Path, method: MethodName) -> Result<f64, Failed> {
    let run = tempfile::tempdir()?;
    let args = TrainArgs {
        task: Some(TaskChoice::Sequence(TaskName::SpokenDigits)),
        method: Some(method),
        data: Some(folder.into()),
        iterations: Some(300),
        out: Some(run.path().into()),
        ..TrainArgs::default()
    };
    assert_eq!(train::run(&args, &AtomicBool::new(false))?, Ending::Complete);
    let report = std::fs::read_to_string(run.path().join("evaluation.json"))?;
    let report: serde_json::Value = serde_json::from_str(&report)?;
    Ok(report["accuracy"].as_f64().ok_or("no accuracy")?)
}

//! Gradients, losses, spikes and outputs of independent float64 programs, on every device.

use std::path::{Path, PathBuf};

use burn::tensor::DType;
use eprop_cli::device::DeviceName;
use eprop_cli::gradcheck::fixture::Fixture;
use eprop_cli::gradcheck::{Settings, check, largest_error};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for path in fixtures() {
        for device in [DeviceName::Flex, DeviceName::NdArray] {
            for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-4)] {
                for chunk in [1, 7, 32, 1000] {
                    trials.push(trial(&path, device, dtype, tolerance, chunk));
                }
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn fixtures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let files = std::fs::read_dir(folder).expect("the fixtures are part of the project");
    let mut paths: Vec<_> = files.map(|file| file.expect("readable").path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "safetensors"));
    paths.sort();
    paths
}

fn trial(path: &Path, device: DeviceName, dtype: DType, tolerance: f64, chunk: usize) -> Trial {
    let path = path.to_owned();
    let stem = path.file_stem().expect("a file").to_string_lossy().into_owned();
    Trial::test(format!("{stem} {device} {dtype:?} chunk {chunk}"), move || {
        let fixture = Fixture::read(&path)?;
        let settings = Settings { device: device.open(), dtype, chunk };
        let comparisons = check(&fixture, &settings)?;
        let error = largest_error(&comparisons);
        if error <= tolerance {
            return Ok(());
        }
        Err(Failed::from(format!("{error:e} > {tolerance:e}: {comparisons:#?}")))
    })
}

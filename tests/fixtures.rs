//! Gradients, losses, spikes and outputs of independent float64 programs, on every device.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Device};
use eprop_cli::device::DeviceName;
use eprop_cli::gradcheck::fixture::Fixture;
use eprop_cli::gradcheck::{Settings, check};
use eprop_tests::wgpu::{OpenedWgpu, on_wgpu, open_wgpu};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let wgpu = open_wgpu();
    let mut trials = Vec::new();
    for path in fixtures() {
        for &device in DeviceName::CPUS {
            for (dtype, tolerance) in [(DType::F64, 1e-9), (DType::F32, 1e-4)] {
                for chunk in [1, 7, 32, 1000] {
                    trials.push(cpu_trial(&path, device, dtype, tolerance, chunk));
                }
            }
        }
        // Software Vulkan takes a launch for every operation: the short fixtures only.
        if name(&path).ends_with("seed1") {
            trials.extend([7, 1000].map(|chunk| wgpu_trial(&path, chunk, &wgpu)));
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
    assert!(!paths.is_empty(), "the fixtures are part of the project");
    paths
}

fn name(path: &Path) -> String {
    path.file_stem().expect("a file").to_string_lossy().into_owned()
}

fn cpu_trial(path: &Path, device: DeviceName, dtype: DType, tolerance: f64, chunk: usize) -> Trial {
    let path = path.to_owned();
    Trial::test(format!("{} {device} {dtype:?} chunk {chunk}", name(&path)), move || {
        compare(&path, Settings { device: device.open()?, dtype, chunk }, tolerance)
    })
}

fn wgpu_trial(path: &Path, chunk: usize, wgpu: &OpenedWgpu) -> Trial {
    let (path, wgpu) = (path.to_owned(), wgpu.clone());
    Trial::ignorable_test(format!("{} wgpu F32 chunk {chunk}", name(&path)), move || {
        on_wgpu(&wgpu, |device: &Device| {
            compare(&path, Settings { device: device.clone(), dtype: DType::F32, chunk }, 1e-4)
        })
    })
}

fn compare(path: &Path, settings: Settings, tolerance: f64) -> Result<(), Failed> {
    let found = check(&Fixture::read(path)?, &settings)?;
    // e is in ē, which is not carried where κ = 0; the true dE/dz is no concern of e-prop's.
    let mut skippable = vec!["out_e_last", "out_ebar_last", "out_true_learning_signal_dE_dz"];
    if name(path).starts_with("lif") {
        skippable.extend(["out_a", "out_epsa_after_last"]); // LIF neurons do not adapt
    }
    if let Some(name) = found.skipped.iter().find(|name| !skippable.contains(&name.as_str())) {
        return Err(Failed::from(format!("{name} was not compared")));
    }
    let error = found.largest_error();
    if error <= tolerance {
        return Ok(());
    }
    Err(Failed::from(format!("{error:e} > {tolerance:e}: {found:#?}")))
}

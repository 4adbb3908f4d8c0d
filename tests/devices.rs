//! Devices against Flex: the same network and the same sequences, the same gradients.
//!
//! The trials of wgpu are ignored where the feature `wgpu` is not built in or no adapter is found, unless
//! the environment variable `EPROP_REQUIRE_WGPU` is set: then they fail.

use burn::tensor::{DType, Device, TensorCreationOptions};
use burn_eprop::loss::{RateAveraging, RateRegularization};
use burn_eprop::network::GradientPaths;
use burn_eprop::{Cell, Loss, Objective};
use eprop_cli::device::DeviceName;
use eprop_tests::case::{Build, Case, Problem};
use eprop_tests::cells::{alif, lif, lstm};
use eprop_tests::findings::Findings;
use eprop_tests::wgpu::{OpenedWgpu, on_wgpu, open_wgpu};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let wgpu = open_wgpu();
    let mut trials = Vec::new();
    add_trials(&mut trials, "lif", lif, &wgpu);
    add_trials(&mut trials, "alif", alif, &wgpu);
    add_trials(&mut trials, "lstm", lstm, &wgpu);
    libtest_mimic::run(&arguments, trials).exit();
}

/// How gradients are found.
#[derive(Debug, Clone, Copy)]
enum Method {
    Eprop,
    Bptt,
}

fn add_trials<C: Cell + 'static>(trials: &mut Vec<Trial>, cell: &str, build: Build<C>, wgpu: &OpenedWgpu) {
    for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-10)] {
        for method in [Method::Eprop, Method::Bptt] {
            let name = format!("ndarray {cell} {dtype:?} {method:?}");
            trials.push(Trial::test(name, move || {
                let case = case(vec![32, 16], 60);
                compare(&case, build, &DeviceName::NdArray.open()?, dtype, method, tolerance)
            }));
        }
    }
    let wgpu = wgpu.clone();
    trials.push(Trial::ignorable_test(format!("wgpu {cell} F32 Eprop"), move || {
        on_wgpu(&wgpu, |device| {
            // Every small operation costs a launch.
            compare(&case(vec![32], 20), build, device, DType::F32, Method::Eprop, 1e-4)
        })
    }));
}

fn case(neurons: Vec<usize>, steps: usize) -> Case {
    let rate =
        RateRegularization { strength: 5.0, target_per_step: 0.05, averaging: RateAveraging::PerTrial };
    let objective = Objective::mean(Loss::SoftmaxCrossEntropy).with_rate(rate);
    Case { neurons, steps, refractory_steps: 3, unequal_lengths: true, mask: true, objective, ..Case::new(0) }
}

/// Compares what is found on Flex and on another device.
fn compare<C: Cell>(
    case: &Case,
    build: Build<C>,
    device: &Device,
    dtype: DType,
    method: Method,
    tolerance: f64,
) -> Result<(), Failed> {
    let find = |device: &Device| -> Findings {
        let problem = Problem::new(case, build, &TensorCreationOptions::from((device, dtype)));
        match method {
            Method::Eprop => problem.estimate(problem.eprop(7)),
            Method::Bptt => problem.estimate(problem.bptt(GradientPaths::ALL)),
        }
    };
    let reference = find(&DeviceName::Flex.open()?);
    reference.assert_active::<C>();
    let differences = find(device).differences(&reference);
    match differences.iter().find(|(_, difference)| *difference > tolerance) {
        Some(_) => Err(Failed::from(format!("more than {tolerance:e}: {differences:#?}"))),
        None => Ok(()),
    }
}

//! Devices against Flex: the same network and the same sequences, the same gradients.
//!
//! The trials of wgpu are ignored where the feature `wgpu` is not built in or no adapter is found, unless
//! the environment variable `EPROP_REQUIRE_WGPU` is set: then they fail.

use burn::tensor::{DType, Device, TensorCreationOptions};
use burn_eprop::estimator::{BoundaryLearning, Eprop3};
use burn_eprop::kernel::{by_tensor_operations, is_supported};
use burn_eprop::loss::{RateAveraging, RateRegularization, VoltageRegularization};
use burn_eprop::network::GradientPaths;
use burn_eprop::surrogate::SurrogateShape;
use burn_eprop::{Cell, Loss, Objective};
use eprop_cli::device::DeviceName;
use eprop_tests::case::{Build, Case, Problem, SHAPES};
use eprop_tests::cells::{alif, alif_per_neuron, lif, lif_per_neuron, lstm, two_compartment};
use eprop_tests::findings::{Findings, relative_difference};
use eprop_tests::synthetic::with_module;
use eprop_tests::tasks::{Tasks, gradient};
use eprop_tests::wgpu::{OpenedWgpu, on_wgpu, open_wgpu};
use libtest_mimic::{Arguments, Failed, Trial};

fn main() {
    let arguments = Arguments::from_args();
    let wgpu = open_wgpu();
    let mut trials = Vec::new();
    add_trials(&mut trials, "lif", lif);
    add_trials(&mut trials, "alif", alif);
    add_trials(&mut trials, "lstm", lstm);
    for &device in other_cpus() {
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-10)] {
            trials.push(Trial::test(format!("{device} lif {dtype:?} one-shot"), move || {
                compare_one_shot(lif, &device.open()?, dtype, tolerance)
            }));
        }
    }
    add_one_shot_trials_of_wgpu(&mut trials, "lif", lif, &wgpu);
    add_one_shot_trials_of_wgpu(&mut trials, "alif", alif, &wgpu);
    add_one_shot_trials_of_wgpu(&mut trials, "lstm", lstm, &wgpu);
    add_trials_of_voltages(&mut trials, "lif", lif, &wgpu);
    add_trials_of_voltages(&mut trials, "alif", alif, &wgpu);
    add_trials_of_voltages(&mut trials, "alif per neuron", alif_per_neuron, &wgpu);
    let of_shape = &SHAPES[..1];
    add_trials_of_wgpu(&mut trials, "lif", lif, &SHAPES, &wgpu);
    add_trials_of_wgpu(&mut trials, "lif per neuron", lif_per_neuron, of_shape, &wgpu);
    add_trials_of_wgpu(&mut trials, "alif", alif, &SHAPES, &wgpu);
    add_trials_of_wgpu(&mut trials, "alif per neuron", alif_per_neuron, of_shape, &wgpu);
    add_trials_of_wgpu(&mut trials, "lstm", lstm, of_shape, &wgpu);
    add_trials_of_wgpu(&mut trials, "two compartment", two_compartment, of_shape, &wgpu);
    libtest_mimic::run(&arguments, trials).exit();
}

/// How gradients are found.
#[derive(Debug, Clone, Copy)]
enum Method {
    Eprop,
    /// With voltage regularisation.
    EpropOfVoltages,
    Bptt,
    BpttByKernels,
    /// In windows of so many steps, with a synthetic gradient that learns by BP(λ).
    Eprop3(usize),
}

/// The CPU devices but Flex.
fn other_cpus() -> &'static [DeviceName] {
    &DeviceName::CPUS[1..]
}

fn add_trials<C: Cell + 'static>(trials: &mut Vec<Trial>, cell: &str, build: Build<C>) {
    for &device in other_cpus() {
        for (dtype, tolerance) in [(DType::F32, 1e-4), (DType::F64, 1e-10)] {
            for method in [Method::Eprop, Method::Bptt, Method::Eprop3(5)] {
                let name = format!("{device} {cell} {dtype:?} {method:?}");
                trials.push(Trial::test(name, move || {
                    let case = case(vec![32, 16], 60);
                    compare(&case, build, &device.open()?, dtype, method, tolerance)
                }));
            }
        }
    }
}

fn add_trials_of_voltages<C: Cell + 'static>(
    trials: &mut Vec<Trial>,
    cell: &str,
    build: Build<C>,
    wgpu: &OpenedWgpu,
) {
    let (method, case) = (Method::EpropOfVoltages, || case(vec![9, 7], 16));
    for &device in other_cpus() {
        trials.push(Trial::test(format!("{device} {cell} {method:?}"), move || {
            compare(&case(), build, &device.open()?, DType::F64, method, 1e-10)
        }));
    }
    trials.push(Trial::test(format!("flex {cell} {method:?} by tensor operations"), move || {
        let flex = DeviceName::Flex.open()?;
        let find = || find(&case(), build, &flex, DType::F64, method);
        agree(&by_tensor_operations(find), &find(), 1e-10)
    }));
    let wgpu = wgpu.clone();
    trials.push(Trial::ignorable_test(format!("wgpu {cell} {method:?}"), move || {
        on_wgpu(&wgpu, |device| compare(&case(), build, device, DType::F32, method, 1e-4))
    }));
}

/// Every small operation costs a launch: sequences are short.
fn add_trials_of_wgpu<C: Cell + 'static>(
    trials: &mut Vec<Trial>,
    cell: &str,
    build: Build<C>,
    shapes: &'static [SurrogateShape],
    wgpu: &OpenedWgpu,
) {
    for method in [Method::Eprop, Method::BpttByKernels, Method::Eprop3(4), Method::Eprop3(7)] {
        for &shape in shapes {
            let wgpu = wgpu.clone();
            let name = format!("wgpu {cell} {shape:?} {method:?}");
            trials.push(Trial::ignorable_test(name, move || {
                on_wgpu(&wgpu, |device| {
                    let mut case = case(vec![32, 7], 20);
                    case.pseudo_derivative.shape = shape;
                    compare(&case, build, device, DType::F32, method, 1e-4)
                })
            }));
        }
    }
    let of_many = wgpu.clone();
    trials.push(Trial::ignorable_test(format!("wgpu {cell} of more neurons than units"), move || {
        on_wgpu(&of_many, |device| {
            let case = case(vec![300], 6);
            compare(&case, build, device, DType::F32, Method::Eprop, 1e-4)
        })
    }));
    let wgpu = wgpu.clone();
    trials.push(Trial::ignorable_test(format!("wgpu {cell} kernels are tensor operations"), move || {
        on_wgpu(&wgpu, |device| {
            for averaging in [RateAveraging::Batch, RateAveraging::Running { tau_steps: 6.0 }] {
                let rates = RateRegularization { averaging, ..rates() };
                let objective = Objective::sum(Loss::MeanSquaredError).with_rate(rates);
                let case = Case { refractory_steps: 0, objective, bias: true, ..case(vec![9, 8], 12) };
                let problem = Problem::new(&case, build, &TensorCreationOptions::from((device, DType::F32)));
                assert!(is_supported(&problem.network.readout.weight.val()), "no kernels on {device:?}");
                let find = || problem.estimate(problem.eprop(5));
                agree(&find(), &by_tensor_operations(find), 1e-5)?;
            }
            Ok(())
        })
    }));
}

fn add_one_shot_trials_of_wgpu<C: Cell + 'static>(
    trials: &mut Vec<Trial>,
    cell: &str,
    build: Build<C>,
    wgpu: &OpenedWgpu,
) {
    let wgpu = wgpu.clone();
    trials.push(Trial::ignorable_test(format!("wgpu {cell} one-shot"), move || {
        on_wgpu(&wgpu, |device| compare_one_shot(build, device, DType::F32, 1e-4))
    }));
}

/// Compares the gradients of an outer loop's loss, found on Flex and on another device.
fn compare_one_shot<C: Cell>(
    build: Build<C>,
    device: &Device,
    dtype: DType,
    tolerance: f64,
) -> Result<(), Failed> {
    let find = |device: &Device| {
        let case = Case { neurons: vec![5, 4], steps: 14, refractory_steps: 3, ..Case::new(3) };
        let tasks = Tasks::new(case, build, &TensorCreationOptions::from((device, dtype)));
        let (loss, gradients) = tasks.estimate(&tasks.one_shot());
        let parameters = tasks.parameters().into_iter();
        let mut found: Vec<_> = parameters
            .map(|(name, id)| {
                let gradient = gradient(&gradients, &name, id).expect("a gradient");
                (name, gradient)
            })
            .collect();
        found.push(("loss".into(), vec![loss]));
        found
    };
    for ((name, found), (_, expected)) in find(device).into_iter().zip(find(&DeviceName::Flex.open()?)) {
        let difference = relative_difference(&found, &expected);
        if difference > tolerance {
            return Err(Failed::from(format!("{name}: {difference:e} > {tolerance:e}")));
        }
    }
    Ok(())
}

fn rates() -> RateRegularization {
    RateRegularization { strength: 5.0, target_per_step: 0.05, averaging: RateAveraging::PerTrial }
}

fn case(neurons: Vec<usize>, steps: usize) -> Case {
    let objective = Objective::mean(Loss::SoftmaxCrossEntropy).with_rate(rates());
    Case { neurons, steps, refractory_steps: 3, unequal_lengths: true, mask: true, objective, ..Case::new(0) }
}

fn find<C: Cell>(case: &Case, build: Build<C>, device: &Device, dtype: DType, method: Method) -> Findings {
    let problem = Problem::new(case, build, &TensorCreationOptions::from((device, dtype)));
    match method {
        Method::Eprop => problem.estimate(problem.eprop(7)),
        Method::EpropOfVoltages => {
            let objective = problem.objective.with_voltage(VoltageRegularization { strength: 3.0 });
            let problem = Problem { objective, ..problem };
            problem.estimate(problem.eprop(7))
        }
        Method::Bptt => problem.estimate(problem.bptt(GradientPaths::ALL)),
        Method::BpttByKernels => problem.estimate(problem.bptt(GradientPaths::ALL).with_kernels(true)),
        Method::Eprop3(window) => {
            let network = with_module(&problem.network);
            let problem = Problem { network, ..problem };
            let learning = BoundaryLearning { lambda: 0.8, discount: 0.9 };
            let eprop3 = Eprop3::new(problem.objective, window).with_boundary_learning(learning);
            problem.estimate(eprop3.with_outputs(true))
        }
    }
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
    let find = |device: &Device| find(case, build, device, dtype, method);
    let reference = find(&DeviceName::Flex.open()?);
    reference.assert_active::<C>();
    agree(&find(device), &reference, tolerance)
}

fn agree(found: &Findings, reference: &Findings, tolerance: f64) -> Result<(), Failed> {
    let differences = found.differences(reference);
    match differences.iter().find(|(_, difference)| *difference > tolerance) {
        Some(_) => Err(Failed::from(format!("more than {tolerance:e}: {differences:#?}"))),
        None => Ok(()),
    }
}
